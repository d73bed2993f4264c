"""Half precision: what Paddle's own pass decides, casts, masks, control flow, weights; nothing is run here."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Callable, Optional

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mconv import api
from mconv.errors import UnsupportedError, UsageError
from mconv.onnx.convert import convert
from mconv.passes.half import halve
from mconv.passes.half_storage import weights_only
from mconv.passes.half_tables import LARGEST, SATURATED
from mconv.passes.halved import Form, Halved
from mconv.program import files, targets
from mconv.program.dtypes import DType
from mconv.program.params import ArraySource, TensorSource
from mconv.program.program import Program
from mconv.program.targets import PADDLE_2_3, PADDLE_2_6
from tests.golden import case
from tests.passes.paddles_half import kinds

DATA = Path(__file__).parent.parent / "data" / "half"
Model = tuple[Program, dict[str, TensorSource]]


def stored(folder: Path) -> Model:
    found = files.locate(folder)
    program = files.load_program(found)
    return program, {record.name: record for record in files.records(found, program)}


def golden(name: str) -> Callable[[Path], Model]:
    def make(folder: Path) -> Model:
        api.downgrade(case(f"2.3.2-{name}").model, folder / "model", target="2.6")
        return stored(folder / "model")

    return make


def ocr(part: str) -> Callable[[Path], Model]:
    def make(folder: Path) -> Model:
        package = pytest.importorskip("rapidocr_onnxruntime")
        (path,) = (Path(package.__file__).parent / "models").glob(f"*_{part}_infer.onnx")
        made = convert(path, target=PADDLE_2_6)
        return made.program, dict(made.params)

    return make


def from_onnx(
    nodes: Sequence[Any],
    inputs: dict[str, Sequence[Any]],
    outputs: dict[str, Sequence[Any]],
    weights: Optional[dict[str, np.ndarray]] = None,
    target: str = "2.3",
) -> Model:
    def infos(of: dict[str, Sequence[Any]]) -> list[Any]:
        return [helper.make_tensor_value_info(n, TensorProto.FLOAT, list(s)) for n, s in of.items()]

    held = [numpy_helper.from_array(a, n) for n, a in (weights or {}).items()]
    return as_program(helper.make_graph(list(nodes), "g", infos(inputs), infos(outputs), held), target)


def as_program(graph: onnx.GraphProto, target: str = "2.3") -> Model:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with tempfile.TemporaryDirectory() as folder:
        onnx.save(model, Path(folder) / "m.onnx")
        made = convert(Path(folder) / "m.onnx", target=targets.get(target))
        params = {name: ArraySource(source.array()) for name, source in made.params.items()}
    return made.program, params


def results(program: Program) -> Iterator[tuple[str, dict[str, str]]]:
    for op in program.main.ops:
        if op.type not in ("feed", "fetch"):
            held = {p: program.main.vars[names[0]].dtype for p, names in op.outputs.items() if names}
            yield op.type, {p: d.label for p, d in held.items() if d is not None and d.is_float}


def casts(made: Halved) -> list[tuple[str, str]]:
    return [(op.input("X")[0], op.output("Out")[0]) for op in made.program.main.ops if op.type == "cast"]


def types(made: Halved) -> dict[str, str]:
    return {n: v.dtype.label for n, v in made.program.main.vars.items() if v.dtype is not None}


MODELS: dict[str, Callable[[Path], Model]] = {
    **{name: golden(name) for name in ("bert", "conv", "mlp", "multi")},
    **{part: ocr(part) for part in ("det", "rec")},
}


@pytest.mark.parametrize("name", MODELS)
def test_the_decisions_are_those_of_paddles_own_pass(name: str, tmp_path: Path) -> None:
    """Operator by operator, as ``convert_to_mixed_precision`` of paddlepaddle-gpu 2.6.2 makes it."""
    program, params = MODELS[name](tmp_path)
    made = halve(program, params, PADDLE_2_6)
    want = json.loads((DATA / f"{name}.json").read_text())
    got = kinds(results(made.program))
    if name == "bert":  # where two filled tensors are folded before: a cast of integers fewer
        assert got.pop("cast float32") == want.pop("cast float32") + 1
    if name == "rec":  # a reshape when Paddle's pass was asked
        got["reshape2 float16"] += got.pop("squeeze2 float16")
    assert got == want
    size, before = (
        sum(m[v.name].nbytes for v in p.parameters) for m, p in ((made.params, made.program), (params, program))
    )
    kept = sum(s.nbytes for n, s in made.params.items() if s.dtype is DType.FP32)  # statistics
    assert size - kept == (before - kept - _integers(params)) / 2 + _integers(params)
    assert kept < 0.08 * before


def _integers(params: dict[str, TensorSource]) -> int:
    return sum(s.nbytes for s in params.values() if s.dtype is not DType.FP32)


@pytest.mark.parametrize("emulate", [False, True])
@pytest.mark.parametrize("target", ["2.3", "2.6", "3"])
@pytest.mark.parametrize("name", ["bert", "det", "rec"])
def test_no_cast_is_undone_by_the_next(name: str, target: str, emulate: bool, tmp_path: Path) -> None:
    program, params = MODELS[name](tmp_path)
    made = halve(program, params, targets.get(target), Form(emulate=emulate))
    if not emulate:
        written = {b: a for a, b in casts(made)}
        back = [a for a, _ in casts(made) if a in written and types(made)[written[a]].startswith("float")]
        assert not back
        sources = [a for a, b in casts(made) if types(made)[b].startswith("float")]
        assert len(sources) == len(set(sources))  # each tensor is cast once
    # what is read is there, and every parameter has data
    read = {n for op in made.program.main.ops for n in op.input_names}
    assert read <= set(made.program.main.vars)
    assert {v.name for v in made.program.parameters} <= set(made.params)


@pytest.mark.parametrize("dtype", [DType.FP16, DType.BF16])
@pytest.mark.parametrize("name", ["conv", "bert", "multi"])
def test_weights_that_are_stored_in_half_are_not_cast_back_and_forth(name: str, dtype: DType, tmp_path: Path) -> None:
    program, params = MODELS[name](tmp_path)
    stored = weights_only(program, params, dtype)
    made, want = (halve(p, held, PADDLE_2_3) for p, held in ((stored.program, stored.params), (program, params)))
    assert casts(made) == casts(want) and made.half == want.half
    assert {n: s.dtype for n, s in made.params.items()} == {n: s.dtype for n, s in want.params.items()}
    assert {v.name for v in made.program.parameters} == set(made.params)
    for op in made.program.main.ops:
        if op.type == "cast":
            said = {made.program.main.vars[op.input("X")[0]].dtype, DType(op.attr("in_dtype"))}
            assert len(said) == 1
    for source, other in ((made.params[n], want.params[n]) for n in made.params):
        a, b = source.array().astype(np.float64), other.array().astype(np.float64)
        assert np.abs(a - b).max() <= (2**-8 if dtype is DType.BF16 else 2**-11) * np.abs(b).max()


@pytest.mark.parametrize("io", ["float", "half"])
def test_casts_of_the_program_read_what_is_there(io: str) -> None:
    """An input in half, cast to float32 at once, and a cast to integers of what is computed in half."""
    nodes = [
        helper.make_node("Cast", ["x"], ["wide"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["wide", "w"], ["a"]),
        helper.make_node("Cast", ["a"], ["whole"], to=TensorProto.INT64),
        helper.make_node("Cast", ["whole"], ["y"], to=TensorProto.FLOAT),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT16, ["n", 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])
    weight = numpy_helper.from_array(np.eye(4, dtype=np.float32), "w")
    program, params = as_program(helper.make_graph(nodes, "g", [x], [y], [weight]))
    made = halve(program, params, PADDLE_2_3, Form(io=io))
    main = made.program.main
    (product,) = (op for op in main.ops if op.type in ("matmul_v2", "matmul"))
    assert product.input("X") == ["x"] and made.program.feeds[0].dtype is DType.FP16
    found = []
    for op in main.ops:
        if op.type == "cast":
            (a,), (b,) = op.input("X"), op.output("Out")
            said = DType(op.attr("in_dtype")), DType(op.attr("out_dtype"))
            assert said == (main.vars[a].dtype, main.vars[b].dtype)
            found.append(said)
    assert found[-1] == ((DType.FP32, DType.FP16) if io == "half" else (DType.INT64, DType.FP32))
    assert [said for said in found if DType.INT64 in said] == [(DType.FP16, DType.INT64), (DType.INT64, DType.FP32)]
    assert all(before in (DType.FP32, DType.INT64) for before, after in found if after is DType.FP32)


def test_depthwise_convolutions_of_2_3_are_convolutions_with_groups() -> None:
    """2.3.2 has no float16 kernel of its own for them, cuDNN's convolution has."""
    node = helper.make_node("Conv", ["x", "w"], ["y"], group=4, kernel_shape=[3, 3])
    program, params = from_onnx(
        [node], {"x": [1, 4, 8, 8]}, {"y": [1, 4, 6, 6]}, {"w": np.ones((4, 1, 3, 3), np.float32)}
    )
    assert "depthwise_conv2d" in {op.type for op in program.main.ops}
    (conv,) = (op for op in halve(program, params, PADDLE_2_3).program.main.ops if "conv" in op.type)
    assert (conv.type, conv.attr("groups")) == ("conv2d", 4)


def test_inputs_and_outputs_stay_as_they_are_unless_asked_for() -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["a"]), helper.make_node("Relu", ["a"], ["y"])]
    program, params = from_onnx(nodes, {"x": ["n", 4]}, {"y": ["n", 4]}, {"w": np.eye(4, dtype=np.float32)})
    made = halve(program, params, PADDLE_2_3)
    assert [p.dtype for p in (*made.program.feeds, *made.program.fetches)] == [DType.FP32, DType.FP32]
    assert len(casts(made)) == made.casts == 2
    whole = halve(program, params, PADDLE_2_3, Form(io="half"))
    assert [p.dtype for p in (*whole.program.feeds, *whole.program.fetches)] == [DType.FP16, DType.FP16]
    assert not casts(whole)
    assert [p.name for p in whole.program.fetches] == [p.name for p in program.fetches]


@pytest.mark.parametrize("dtype", [DType.FP16, DType.BF16])
def test_outputs_that_are_computed_in_float32_are_half_where_it_is_asked_for(dtype: DType) -> None:
    """exp stays float32; what it gives is rounded in the emulation, too, and may leave the range there."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["a"]), helper.make_node("Exp", ["a"], ["y"])]
    program, params = from_onnx(nodes, {"x": ["n", 4]}, {"y": ["n", 4]}, {"w": np.eye(4, dtype=np.float32)})
    made = halve(program, params, PADDLE_2_3, Form(dtype, io="half"))
    assert [(p.name, p.dtype) for p in made.program.fetches] == [("y", dtype)]
    (exp,) = (op for op in made.program.main.ops if op.type == "exp")
    assert casts(made)[-1] == (exp.output("Out")[0], "y") and "exp" in made.floats
    emulated = halve(program, params, PADDLE_2_3, Form(dtype, io="half", emulate=True))
    assert [(p.name, p.dtype) for p in emulated.program.fetches] == [("y", DType.FP32)]
    (exp,) = (op for op in emulated.program.main.ops if op.type == "exp")
    assert exp.output("Out") != ["y"] and "y" in emulated.rounded
    plain = halve(program, params, PADDLE_2_3, Form(dtype))
    assert [p.dtype for p in plain.program.fetches] == [DType.FP32] and "y" not in plain.rounded


def masked(value: float) -> Model:
    """softmax(x + (1 - m) * value): how BERT hides words."""
    nodes = [
        helper.make_node("Sub", ["one", "m"], ["hidden"]),
        helper.make_node("Mul", ["hidden", "value"], ["mask"]),
        helper.make_node("Add", ["x", "mask"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["y"], axis=-1),
    ]
    weights = {"one": np.ones((), np.float32), "value": np.full((), value, np.float32)}
    return from_onnx(nodes, {"x": ["n", 4], "m": ["n", 4]}, {"y": ["n", 4]}, weights)


@pytest.mark.parametrize("value", [-1e9, np.finfo(np.float32).min, -1e4])
@pytest.mark.parametrize("dtype", [DType.FP16, DType.BF16])
def test_masks_do_not_become_infinite(value: float, dtype: DType) -> None:
    program, params = masked(value)
    made = halve(program, params, PADDLE_2_3, Form(dtype))
    beyond = abs(value) > LARGEST[dtype]
    assert bool(made.saturated) == beyond
    for name, source in made.params.items():
        if source.dtype is DType.FP16:
            assert np.isfinite(source.array()).all() and np.abs(source.array()).max(initial=0) <= LARGEST[dtype], name


def test_numbers_are_rounded_to_the_nearest() -> None:
    values = np.array([0.1, 1 / 3, -7e4, 65504, 1e-8, np.inf, -np.inf, np.nan, 3.4e38], np.float32)
    node = helper.make_node("Mul", ["x", "w"], ["y"])
    program, params = from_onnx([node], {"x": ["n", 9]}, {"y": ["n", 9]}, {"w": values})
    (name,) = params
    for dtype, emulate in ((DType.FP16, False), (DType.FP16, True), (DType.BF16, False), (DType.BF16, True)):
        got = halve(program, params, PADDLE_2_3, Form(dtype, emulate=emulate)).params[name].array()
        if dtype is DType.BF16:
            got = got if emulate else (got.astype(np.uint32) << 16).view(np.float32)
            assert np.isnan(got[7]) and np.isposinf(got[5])
            np.testing.assert_allclose(got[:5], values[:5], rtol=2**-8)
            assert got[8] == pytest.approx(SATURATED[dtype])
        else:
            want = values[[0, 1, 3, 4, 5, 6, 7]].astype(np.float16).astype(np.float32)
            np.testing.assert_array_equal(got.astype(np.float32)[[0, 1, 3, 4, 5, 6, 7]], want)
            assert list(got[[2, 8]]) == [-32752, 32752]


def branching() -> tuple[Program, dict[str, TensorSource]]:
    """A branch reads a tensor that half operators make, and a weight that they read."""

    def graph(name: str, *nodes: Any) -> Any:
        return helper.make_graph(
            list(nodes), name, [], [helper.make_tensor_value_info(f"{name}_y", TensorProto.FLOAT, ["n", 4])]
        )

    one = [helper.make_node("MatMul", ["a", "w"], ["one_a"]), helper.make_node("MatMul", ["one_a", "v"], ["one_y"])]
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("ReduceMax", ["x"], ["most"], keepdims=0),
        helper.make_node("Greater", ["most", "zero"], ["positive"]),
        helper.make_node(
            "If",
            ["positive"],
            ["b"],
            then_branch=graph("one", *one),
            else_branch=graph("other", helper.make_node("Neg", ["a"], ["other_y"])),
        ),
        helper.make_node("Relu", ["b"], ["y"]),
    ]
    weights = {"w": np.eye(4, dtype=np.float32), "v": np.eye(4, dtype=np.float32), "zero": np.zeros((), np.float32)}
    return from_onnx(nodes, {"x": ["n", 4]}, {"y": ["n", 4]}, weights)


@pytest.mark.parametrize("keep", [(), ("v",), ("one_a",)])
def test_branches_compute_in_half(keep: Sequence[str]) -> None:
    """What goes in and out of a branch is float32; each weight is stored once, unless one operator is asked to keep it."""
    program, params = branching()
    made = halve(program, params, PADDLE_2_3, Form(keep=keep))
    assert made.floats["conditional_block"] == {"control flow": 2}
    inside = [op for block in made.program.blocks[1:] for op in block.ops if op.type == "matmul_v2"]
    inner = [op for op in inside if op.input("Y") == ["v"]]
    assert made.program.main.vars["a"].dtype is DType.FP32 and len(inside) == 2 and len(inner) == 1
    stored = {n: s.dtype for n, s in made.params.items() if n[:1] in "wv"}
    twice = {n for n in stored if n not in ("w", "v")}
    assert {n: stored[n] for n in ("w", "v")} == {
        "w": DType.FP32 if "one_a" in keep else DType.FP16,
        "v": DType.FP32 if keep else DType.FP16,
    }
    assert len(twice) == ("one_a" in keep)  # the same weight for the operator outside
    (branch,) = (op for op in made.program.main.ops if op.blocks and "w" in op.input("Input"))
    read = {n for block in made.program.blocks[1:] for op in block.ops for n in op.input_names}
    assert {n for n in read if n in made.params} <= {n for op in made.program.main.ops for n in op.input_names}
    assert branch.input("Input")


def counting(target: str) -> tuple[Program, dict[str, TensorSource]]:
    """A loop with a float counter beside what it computes: x, and x @ w as often as the counter is below 2,100."""
    body = helper.make_graph(
        [
            helper.make_node("Add", ["count_in", "unit"], ["count_out"]),
            helper.make_node("MatMul", ["row_in", "w"], ["row_out"]),
            helper.make_node("Less", ["count_out", "last"], ["again"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("count_in", TensorProto.FLOAT, [1]),
            helper.make_tensor_value_info("row_in", TensorProto.FLOAT, ["n", 4]),
        ],
        [
            helper.make_tensor_value_info("again", TensorProto.BOOL, [1]),
            helper.make_tensor_value_info("count_out", TensorProto.FLOAT, [1]),
            helper.make_tensor_value_info("row_out", TensorProto.FLOAT, ["n", 4]),
        ],
    )
    nodes = [
        helper.make_node("Greater", ["last", "start"], ["begin"]),
        helper.make_node("Loop", ["", "begin", "start", "x"], ["count", "y"], body=body),
    ]
    weights = {
        "w": np.eye(4, dtype=np.float32),
        "unit": np.ones(1, np.float32),
        "last": np.full(1, 2100, np.float32),
        "start": np.full(1, 2040, np.float32),
    }
    return from_onnx(nodes, {"x": ["n", 4]}, {"y": ["n", 4], "count": [1]}, weights)


def test_what_counts_the_turns_of_a_loop_stays_float32() -> None:
    """Half knows no 2,049: the loop would never end."""
    program, params = counting("2.3")
    made = halve(program, params, PADDLE_2_3)
    assert made.half.get("matmul_v2") == 1 and made.params["w"].dtype is DType.FP16
    assert {why for kinds in made.floats.values() for why in kinds} >= {"control flow", "it counts the turns of a loop"}


def test_a_mask_ends_where_its_size_does() -> None:
    """What follows a softmax in float32 is no larger for a mask of -1e9 before it."""
    nodes = [
        helper.make_node("Mul", ["m", "value"], ["mask"]),
        helper.make_node("Add", ["x", "mask"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["shares"], axis=-1),
        helper.make_node("MatMul", ["shares", "w"], ["y"]),
    ]
    weights = {"value": np.full((), -1e9, np.float32), "w": np.eye(4, dtype=np.float32)}
    program, params = from_onnx(nodes, {"x": ["n", 4], "m": ["n", 4]}, {"y": ["n", 4]}, weights)
    made = halve(program, params, PADDLE_2_3, Form(keep=["elementwise_add", "softmax"]))
    assert made.half == {"matmul_v2": 1} and made.params["w"].dtype is DType.FP16
    assert "clip" not in {op.type for op in made.program.main.ops} and "shares" not in made.saturated


def test_what_is_kept_is_said() -> None:
    program, params = masked(-1e4)
    assert "softmax" not in halve(program, params, PADDLE_2_3, Form(keep=["softmax"])).half
    kept = halve(program, params, PADDLE_2_3, Form(keep=["scores"]))
    assert kept.floats["elementwise_add"] == kept.floats["softmax"] == {"asked for": 1}
    with pytest.raises(UsageError, match="--keep softmaks: the program has no such"):
        halve(program, params, PADDLE_2_3, Form(keep=["softmaks"]))


def test_weights_that_are_kept_are_stored_as_they_are(tmp_path: Path) -> None:
    program, params = MODELS["mlp"](tmp_path)
    name, other = sorted(params)[:2]
    made = weights_only(program, params, keep=[name])
    assert made.params[name].dtype is DType.FP32 and f"{other}.float16" in made.params
    with pytest.raises(UnsupportedError, match="but those that are kept"):
        weights_only(program, params, keep=[op.type for op in program.main.ops])
    with pytest.raises(UsageError, match="--keep nowhere"):
        weights_only(program, params, keep=["nowhere"])


def test_a_shape_needs_no_cast() -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["a"]), helper.make_node("Shape", ["a"], ["sizes"])]
    nodes += [helper.make_node("Expand", ["one", "sizes"], ["ones"]), helper.make_node("Add", ["a", "ones"], ["y"])]
    weights = {"w": np.eye(4, dtype=np.float32), "one": np.ones((1, 1), np.float32)}
    program, params = from_onnx(nodes, {"x": ["n", 4]}, {"y": ["n", 4]}, weights)
    made = halve(program, params, PADDLE_2_3)
    assert not {"shape", "size"} & {*made.half, *made.floats}
    read = {n for op in made.program.main.ops if op.type == "shape" for n in op.input_names}
    assert read <= set(program.main.vars)  # none of a cast


def test_nothing_to_do() -> None:
    program, params = from_onnx([helper.make_node("Erf", ["x"], ["y"])], {"x": [2]}, {"y": [2]})
    with pytest.raises(UnsupportedError, match="nothing in the program can compute in float16"):
        halve(
            program,
            params,
            PADDLE_2_3,
            Form(keep=[op.type for op in program.main.ops if op.type not in ("feed", "fetch")]),
        )
    with pytest.raises(UnsupportedError, match="no float32 weights"):
        weights_only(program, {})


def test_the_source_is_not_changed(tmp_path: Path) -> None:
    program, params = MODELS["mlp"](tmp_path)
    before = program.to_bytes()
    halve(program, params, PADDLE_2_3), weights_only(program, params)
    assert program.to_bytes() == before
