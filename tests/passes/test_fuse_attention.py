"""Attention in the ways that exporters write it becomes the one form that Paddle's passes take, and computes the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.onnx.checks import Runtime, check_model, everywhere, graph_model, rand

HEADS, SIZE = 2, 8
# [B, S, H · d] fed as q, k, v; a mask of bool as m
_SPLIT = "q4 = Reshape q s4; qh = Transpose q4 perm=0,2,1,3; k4 = Reshape k s4; v4 = Reshape v s4; vh = Transpose v4 perm=0,2,1,3; "
_KEYS = {
    "at once": "kt = Transpose k4 perm=0,2,3,1; ",
    "in two steps": "kh = Transpose k4 perm=0,2,1,3; kt = Transpose kh perm=0,1,3,2; ",
    "through matrices": (
        "kh = Transpose k4 perm=0,2,1,3; k3 = Reshape kh s3; kr = Transpose k3 perm=0,2,1; kt = Reshape kr st; "
    ),
}
_SCALES = {
    "divided behind": "p = MatMul qh kt; z = Div p root; ",
    "multiplied behind": "p = MatMul qh kt; z = Mul p inverse; ",
    "query and keys": "qs = Mul qh quarter; ks = Mul kt quarter; z = MatMul qs ks; ",
}
_MASKS = {
    "none": "w = Softmax z axis=-1; ",
    "added": "b = Where m zero low; a = Add z b; w = Softmax a axis=-1; ",
    "rows of NaN": ("b = Where m zero minus; a = Add z b; n = Softmax a axis=-1; f = IsNaN n; w = Where f zero n; "),
}
_JOIN = "o = MatMul w vh; ot = Transpose o perm=0,2,1,3; y = Reshape ot so"
FLOATS = {
    "root": np.sqrt(SIZE), "inverse": 1 / np.sqrt(SIZE), "quarter": SIZE**-0.25, "zero": 0.0, "low": -1e9, "minus": -np.inf,
}  # fmt: skip


def written(keys: str, scale: str, mask: str, sets: Sequence[Mapping[str, np.ndarray]]) -> onnx.ModelProto:
    batch = len(sets[0]["q"])
    nodes = []
    for line in (_SPLIT + _KEYS[keys] + _SCALES[scale] + _MASKS[mask] + _JOIN).split(";"):
        result, _, rest = line.strip().partition(" = ")
        op, *parts = rest.split()
        attrs: dict[str, Any] = dict(p.split("=") for p in parts if "=" in p)
        if "perm" in attrs:
            attrs["perm"] = [int(n) for n in attrs["perm"].split(",")]
        if "axis" in attrs:
            attrs["axis"] = int(attrs["axis"])
        nodes.append(helper.make_node(op, [p for p in parts if "=" not in p], [result], **attrs))
    shapes = {
        "s4": [0, 0, HEADS, SIZE], "s3": [-1, 0, SIZE], "st": [batch, HEADS, SIZE, -1], "so": [0, 0, HEADS * SIZE],
    }  # fmt: skip
    # Reshape copies a dimension at its own position: the matrices' first two are named outright
    shapes["s3"] = [batch * HEADS, -1, SIZE]
    constants = {n: np.array(v, np.float32) for n, v in FLOATS.items()}
    constants.update({n: np.array(v, np.int64) for n, v in shapes.items()})
    used = {i for node in nodes for i in node.input}
    return graph_model(
        nodes,
        {n: [fed[n] for fed in sets] for n in sets[0]},
        ["y"],
        constants={n: v for n, v in constants.items() if n in used},
    )


def inputs(batch: int, queries: int, keys: int, mask: str) -> dict[str, np.ndarray]:
    width = HEADS * SIZE
    fed = {
        "q": rand(batch, queries, width, seed=1), "k": rand(batch, keys, width, seed=2), "v": rand(batch, keys, width, seed=3),
    }  # fmt: skip
    if mask != "none":
        shown = np.arange(queries * keys).reshape(1, 1, queries, keys) % 3 > 0
        fed["m"] = np.broadcast_to(shown, (batch, 1, queries, keys)).copy()
        if mask == "rows of NaN":
            fed["m"][-1, :, 0] = False  # a query that sees nothing
    return fed


CASES = [
    *(pytest.param(keys, "divided behind", "added", id=f"keys {keys}") for keys in _KEYS),
    *(pytest.param("at once", scale, "none", id=scale) for scale in _SCALES),
    *(pytest.param("in two steps", "multiplied behind", mask, id=f"mask {mask}") for mask in _MASKS),
]


@everywhere
@pytest.mark.parametrize(("keys", "scale", "mask"), CASES)
def test_every_way_is_the_same_attention(runtime: Runtime, keys: str, scale: str, mask: str) -> None:
    sets = [inputs(2, 3, 5, mask), inputs(2, 4, 7, mask)]
    program = check_model(runtime, written(keys, scale, mask, sets), sets).program
    ops = program.main.ops
    products = [op for op in ops if op.type == "matmul_v2"]
    assert [op.attr("trans_y") for op in products] == [True, False]
    by = {name: op for op in ops for name in op.output_names}
    query = by[products[0].input("X")[0]]
    assert query.type == "scale" and abs(query.attr("scale") - SIZE**-0.5) < 1e-6
    for name in (query.input("X")[0], products[0].input("Y")[0], products[1].input("Y")[0]):
        assert by[name].type == "transpose2" and list(by[name].attr("axis")) == [0, 2, 1, 3]
    turn = next(op for op in ops if op.type == "transpose2" and op.input("X") == products[1].output("Out"))
    assert any(op.type == "reshape2" and op.input("X") == turn.output("Out") for op in ops)
    assert by[products[1].input("X")[0]].type == "softmax"
    assert not {"isnan_v2", "elementwise_div"} & {op.type for op in ops}


@everywhere
def test_what_reads_the_keys_or_minus_infinity_elsewhere_keeps_them(runtime: Runtime) -> None:
    """Transposed keys that are an output, too, and a mask that something else reads."""
    sets = [inputs(2, 3, 5, "rows of NaN"), inputs(2, 4, 7, "rows of NaN")]
    model = written("at once", "divided behind", "rows of NaN", sets)
    for name in ("kt", "b"):
        model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    check_model(runtime, model, sets)
