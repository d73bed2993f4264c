"""Where one position of an axis is read, what computes each position by itself computes that one alone, with the same numbers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from mconv import api
from mconv.onnx.convert import convert
from mconv.onnx.reader import OnnxModel
from mconv.passes.early_slice import slice_early
from mconv.program import files, targets
from tests.golden import case
from tests.onnx.checks import ONEDNN, PLAIN, Runtime, graph_model, in_runtimes, rand, reference, run_converted

HEADS, SIZE = 2, 4
WIDTH = HEADS * SIZE
# an encoder's layer on x [B, S, WIDTH] with a mask m, and its first or last token
ATTENTION = (
    "q = MatMul x wq; q4 = Reshape q s4; qh = Transpose q4 perm=0,2,1,3; qs = Mul qh root; "
    "k = MatMul x wk; k4 = Reshape k s4; kt = Transpose k4 perm=0,2,3,1; "
    "v = MatMul x wv; v4 = Reshape v s4; vh = Transpose v4 perm=0,2,1,3; "
    "p = MatMul qs kt; a = Add p m; w = Softmax a axis=-1; o = MatMul w vh; "
    "ot = Transpose o perm=0,2,1,3; oo = Reshape ot so; pr = MatMul oo wo; r = Add pr x; "
    "n = LayerNormalization r one bias axis=-1; "
)
FORWARD = "f = MatMul n wf; g = Relu f; h = MatMul g wb; hb = Add h bias; e = Add hb n; "
FIRST, LAST = "s = Slice e zero one1 ax1; y = MatMul s wo", "s = Slice e minus end ax1; y = MatMul s wo"
WEIGHTS = {
    **{name: rand(WIDTH, WIDTH, seed=seed) / 3 for seed, name in enumerate(("wq", "wk", "wv", "wo"))},
    "wf": rand(WIDTH, 16, seed=5) / 3, "wb": rand(16, WIDTH, seed=6) / 3, "root": np.float32(SIZE**-0.5),
    "one": rand(WIDTH, seed=7), "bias": rand(WIDTH, seed=8),
    "s4": np.array([0, 0, HEADS, SIZE]), "so": np.array([0, 0, WIDTH]), "zero": np.array([0]), "one1": np.array([1]),
    "minus": np.array([-1]), "end": np.array([1 << 62]), "ax1": np.array([1]), "ax2": np.array([2]),
    "flat": np.array([-1, WIDTH]), "unflat": np.array([2, -1, WIDTH]),
}  # fmt: skip
# the mask of every row, or one for each
MASKS = {"keys": lambda b, s: (b, 1, 1, s), "rows": lambda b, s: (b, 1, s, s)}


def model(text: str, feeds: list[dict[str, np.ndarray]], outputs: str = "y") -> onnx.ModelProto:
    nodes = []
    for line in text.split(";"):
        result, _, rest = line.strip().partition(" = ")
        op, *parts = rest.split()
        attrs: dict[str, Any] = {k: v for k, _, v in (p.partition("=") for p in parts if "=" in p)}
        attrs = {k: [int(n) for n in v.split(",")] if k == "perm" else int(v) for k, v in attrs.items()}
        nodes.append(helper.make_node(op, [p for p in parts if "=" not in p], [result], **attrs))
    used = {i for node in nodes for i in node.input}
    return graph_model(
        nodes, {name: [feed[name] for feed in feeds] for name in feeds[0]}, outputs.split(),
        constants={n: v for n, v in WEIGHTS.items() if n in used},
    )  # fmt: skip


def sets(
    mask: str = "keys", sizes: tuple[tuple[int, int], ...] = ((2, 5), (3, 1), (2, 4))
) -> list[dict[str, np.ndarray]]:
    found = []
    for number, (batch, length) in enumerate(sizes):
        hidden = np.where(rand(*MASKS[mask](batch, length), seed=number + 20) > 1, np.float32(-1e4), np.float32(0))
        found.append({"x": rand(batch, length, WIDTH, seed=number), "m": hidden})
    return found


def sliced(runtime: Runtime, text: str, feeds: list[dict[str, np.ndarray]], outputs: str = "y") -> int:
    """How many products compute one position; the answers are those of ONNX Runtime."""
    asked = model(text, feeds, outputs)
    made = convert(OnnxModel(asked), targets.get(runtime.target))
    count = slice_early(made.program)
    for feed, outs in zip(feeds, run_converted(runtime, made, feeds)):
        for want, got in zip(reference(asked, feed), outs):
            np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
    return count


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("end", [FIRST, LAST], ids=["first", "last"])
@in_runtimes(PLAIN, *ONEDNN)
def test_of_the_last_layer_keys_and_values_alone_are_of_every_token(runtime: Runtime, end: str, mask: str) -> None:
    """Six of its eight products, and what stands behind them, are of one."""
    assert sliced(runtime, ATTENTION + FORWARD + end, sets(mask)) == 6


def test_a_length_that_is_given(tmp_path: Path) -> None:
    text = ATTENTION.replace("Reshape q s4", "Reshape q given") + FORWARD + FIRST
    WEIGHTS["given"] = np.array([-1, 5, HEADS, SIZE])
    try:
        assert sliced(PLAIN, text, sets(sizes=((2, 5), (3, 5)))) == 6
    finally:
        del WEIGHTS["given"]


@pytest.mark.parametrize(
    "text, outputs, count",
    [
        ("f = MatMul x wf; g = Relu f; e = MatMul g wb; " + FIRST, "y g", 1),  # an output has every position of g
        ("f = MatMul x wf; e = MatMul f wb; z = Softmax e axis=1; s = Slice z zero one1 ax1; y = MatMul s wo", "y", 0),
        ("f = MatMul x wf; e = MatMul f wb; l = Slice e minus end ax1; t = MatMul l wo; " + FIRST, "y t", 0),
        ("r = Reshape x flat; e2 = MatMul r wo; e = Reshape e2 unflat; " + FIRST, "y", 0),  # rows of all together
        ("e = MatMul x wo; s = Slice e zero one1 ax2; y = Relu s", "y", 0),  # a column
        ("e = MatMul x wo; s = Slice e zero two ax1; y = Relu s", "y", 0),  # two positions
        ("e0 = MatMul x wo; e = Add e0 row; " + FIRST, "y", 1),  # an operand with one position
        ("e0 = MatMul x wo; e = Mul e0 e0; " + FIRST, "y", 1),
        ("e0 = MatMul x wo; t = Transpose e0 perm=1,0,2; s = Slice t zero one1 zero; y = Relu s", "y", 1),
    ],
    ids=["output", "softmax along it", "two parts", "rows of all", "column", "two", "broadcast", "twice", "turned"],
)  # fmt: skip
def test_what_needs_the_others_is_left_alone(text: str, outputs: str, count: int) -> None:
    more: Mapping[str, np.ndarray] = {"two": np.array([2]), "row": rand(1, 1, WIDTH, seed=9)}
    WEIGHTS.update(more)
    try:
        feeds = [{"x": feed["x"]} for feed in sets(sizes=((2, 5), (2, 1), (2, 4)))]
        assert sliced(PLAIN, text, feeds, outputs) == count
    finally:
        for name in more:
            del WEIGHTS[name]


def test_nothing_of_a_program_changes_where_nothing_is_gained() -> None:
    made = convert(OnnxModel(model("e = Relu x; " + FIRST, [{"x": rand(2, 5, WIDTH)}])), targets.get("2.3"))
    before = made.program.to_bytes()
    assert slice_early(made.program) == 0
    assert made.program.to_bytes() == before


@pytest.mark.parametrize("server, early", [("http", True), ("triton", True), ("paddle-serving", False)])
def test_services_that_run_it_elsewhere_than_in_paddle_serving_have_it(
    server: str, early: bool, tmp_path: Path
) -> None:
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\na\n")
    options = {"server": server, "tokenizer": tmp_path / "vocab.txt", "max_length": 16}
    made = api.to_serving(case("2.3.2-bert").model, out=tmp_path / "out", pipeline=options)
    changed = [count for what, count in made.changes.items() if "of which one is read" in what]
    assert bool(changed) == early
    assert slice_early(files.load_program(files.locate(tmp_path / "out" / "serving_server"))) == (0 if early else 6)
    plain = api.to_serving(case("2.3.2-bert").model, out=tmp_path / "plain")
    assert not plain.changes
