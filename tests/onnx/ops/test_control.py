"""If, Loop and Scan: folded, written out, or as Paddle's conditional_block and while."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Optional

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mconv.errors import UnsupportedError
from mconv.onnx.convert import convert
from mconv.onnx.reader import OnnxModel
from mconv.program.targets import PADDLE_3
from tests.onnx.checks import Runtime, check_model, everywhere, rand

F, L, B = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
Info = Sequence[tuple[str, int, Optional[list]]]


def _infos(infos: Info) -> list:
    return [helper.make_tensor_value_info(*i) for i in infos]


def graph(nodes: list, inputs: Info, outputs: Info, constants: Optional[Mapping[str, np.ndarray]] = None) -> Any:
    tensors = [numpy_helper.from_array(v, n) for n, v in (constants or {}).items()]
    return helper.make_graph(nodes, "g", _infos(inputs), _infos(outputs), tensors)


def model(*args: Any) -> onnx.ModelProto:
    return helper.make_model(graph(*args), opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def operators(made: Any) -> list[str]:
    return [op.type for _, op in made.program.ops()]


node = helper.make_node
ROW = [None, 3]


def choice(condition: Info, constants: Optional[dict] = None) -> onnx.ModelProto:
    """``x @ w`` or ``relu(x)``, both read from around the branches."""
    then = graph([node("MatMul", ["x", "w"], ["a"])], [], [("a", F, ROW)])
    other = graph([node("Relu", ["x"], ["b"])], [], [("b", F, ROW)], {"unused": rand(2)})
    nodes = [node("If", ["c"], ["r"], then_branch=then, else_branch=other), node("Neg", ["r"], ["y"])]
    return model(nodes, [("x", F, ["n", 3]), *condition], [("y", F, ["n", 3])], {"w": rand(3, 3), **(constants or {})})


@everywhere
def test_if(runtime: Runtime) -> None:
    feeds = [{"x": rand(n, 3), "c": np.array(c)} for n, c in ((2, True), (4, False), (3, True))]
    if runtime.target == "2.3":  # which has no 0-d tensors to feed
        expected = [[-(f["x"] @ rand(3, 3))] if f["c"] else [-np.maximum(f["x"], 0)] for f in feeds]
        feeds = [{**f, "c": f["c"].reshape(1)} for f in feeds]
        made = check_model(runtime, choice([("c", B, [])]), feeds, expected)
    else:
        made = check_model(runtime, choice([("c", B, [])]), feeds)
    assert operators(made).count("conditional_block") == 2


@everywhere
@pytest.mark.parametrize("value", [True, False])
def test_if_constant(runtime: Runtime, value: bool) -> None:
    made = check_model(runtime, choice([], {"c": np.array(value)}), [{"x": rand(2, 3)}, {"x": rand(4, 3)}])
    assert "conditional_block" not in operators(made)


@everywhere
def test_if_inside_if(runtime: Runtime) -> None:
    inner_then = graph([node("Neg", ["x"], ["p"])], [], [("p", F, ROW)])
    inner_else = graph([node("Add", ["x", "w"], ["q"])], [], [("q", F, ROW)])
    then = graph([node("If", ["d"], ["a"], then_branch=inner_then, else_branch=inner_else)], [], [("a", F, ROW)])
    other = graph([node("Identity", ["x"], ["b"])], [], [("b", F, ROW)])
    nodes = [
        node("ReduceMax", ["x"], ["m"], keepdims=0),
        node("Greater", ["m", "one"], ["c"]),
        node("ReduceMin", ["x"], ["l"], keepdims=0),
        node("Greater", ["l", "one"], ["d"]),
        node("If", ["c"], ["y"], then_branch=then, else_branch=other),
    ]
    made = model(nodes, [("x", F, ["n", 3])], [("y", F, ["n", 3])], {"one": np.array(1, np.float32), "w": rand(3)})
    sets = [rand(2, 3, low=2, high=3), rand(4, 3, low=0, high=3), rand(3, 3, low=-1, high=0)]
    check_model(runtime, made, [{"x": v} for v in sets])


def test_if_of_two_ranks() -> None:
    then = graph([node("Squeeze", ["x", "axis"], ["a"])], [], [("a", F, None)])
    other = graph([node("Identity", ["x"], ["b"])], [], [("b", F, None)])
    nodes = [node("If", ["c"], ["y"], then_branch=then, else_branch=other)]
    made = model(nodes, [("x", F, [1, 3]), ("c", B, [1])], [("y", F, None)], {"axis": np.array([0])})
    with pytest.raises(UnsupportedError, match="of rank 1 on one way and float32 of rank 2"):
        convert(OnnxModel(made), PADDLE_3)


def counting(trips: Optional[np.ndarray], *, stop: bool = False, grow: bool = False) -> onnx.ModelProto:
    """``x = x + w·i`` for every turn i, every x collected; with *stop*, until the sum of x is above 50."""
    nodes = [
        node("Cast", ["i"], ["f"], to=F),
        node("Mul", ["w", "f"], ["s"]),
        node("Add", ["a", "s"], ["grown"]),
        node("Concat", ["grown", "w"], ["next"], axis=0) if grow else node("Identity", ["grown"], ["next"]),
        node("ReduceSum", ["next"], ["total"], keepdims=0),
        node("Less", ["total", "fifty"], ["below"]) if stop else node("Identity", ["go"], ["below"]),
        node("ReduceMax", ["next"], ["seen"], keepdims=1),
    ]
    body = graph(
        nodes,
        [("i", L, []), ("go", B, []), ("a", F, [None, 3])],
        [("below", B, []), ("next", F, [None, 3]), ("seen", F, [1, 1])],
    )
    constants = {"w": np.array([[1, 2, 3]], np.float32), "fifty": np.array(50, np.float32)}
    inputs = [("x", F, ["n", 3])]
    if trips is None:
        inputs.append(("m", L, [1]))
    else:
        constants["m"] = trips
    return model(
        [node("Loop", ["m", "", "x"], ["y", "z"], body=body)], inputs, [("y", F, None), ("z", F, None)], constants
    )


@everywhere
@pytest.mark.parametrize("grow", [False, True], ids=["same shape", "growing"])
@pytest.mark.parametrize("stop", [False, True], ids=["counted", "stopped"])
def test_loop_at_run_time(runtime: Runtime, stop: bool, grow: bool) -> None:
    feeds = [{"x": rand(n, 3), "m": np.array([m])} for n, m in ((2, 3), (1, 7), (3, 1), (2, 5))]
    made = check_model(runtime, counting(None, stop=stop, grow=grow), feeds)
    assert "while" in operators(made)


@everywhere
@pytest.mark.parametrize("stop", [False, True], ids=["counted", "stopped"])
def test_loop_of_known_length(runtime: Runtime, stop: bool) -> None:
    made = check_model(runtime, counting(np.array(4), stop=stop), [{"x": rand(2, 3)}, {"x": rand(1, 3)}])
    assert ("while" in operators(made)) == stop


def test_long_loops_stay_loops() -> None:
    made = convert(OnnxModel(counting(np.array(1000))), PADDLE_3)
    assert "while" in operators(made)
    assert sum(made.operators.values()) == 8  # a body is counted once


@everywhere
def test_loop_exchanges_values(runtime: Runtime) -> None:
    """Fibonacci: what one slot holds moves to the other while that is read."""
    body = graph(
        [node("Add", ["a", "b"], ["c"]), node("Identity", ["go"], ["on"]), node("Identity", ["b"], ["b1"])],
        [("i", L, []), ("go", B, []), ("a", L, [1]), ("b", L, [1])],
        [("on", B, []), ("b1", L, [1]), ("c", L, [1]), ("a", L, [1])],
    )
    loop = node("Loop", ["m", "", "p", "q"], ["y", "z", "seen"], body=body)
    inputs = [("m", L, [1]), ("p", L, [1]), ("q", L, [1])]
    made = model([loop], inputs, [("y", L, [1]), ("z", L, [1]), ("seen", L, None)])
    feeds = [{"m": np.array([n]), "p": np.array([0]), "q": np.array([1])} for n in (1, 2, 10)]
    check_model(runtime, made, feeds)


@everywhere
@pytest.mark.parametrize("kind", [np.bool_, np.int8, np.float16, np.float64], ids=lambda k: np.dtype(k).name)
def test_loop_collects_every_type(runtime: Runtime, kind: type) -> None:
    dtype = helper.np_dtype_to_tensor_dtype(np.dtype(kind))
    body = graph(
        [node("Cast", ["i"], ["v"], to=dtype), node("Identity", ["go"], ["on"])],
        [("i", L, []), ("go", B, [])],
        [("on", B, []), ("v", dtype, [])],
    )
    made = model([node("Loop", ["m", ""], ["y"], body=body)], [("m", L, [1])], [("y", dtype, None)])
    feeds = [{"m": np.array([n])} for n in (3, 5)]
    check_model(runtime, made, feeds, expected=[[np.arange(n).astype(kind)] for n in (3, 5)])


def test_loop_without_end() -> None:
    body = graph(
        [node("Identity", ["go"], ["on"]), node("Neg", ["a"], ["b"])],
        [("i", L, []), ("go", B, []), ("a", F, [1])],
        [("on", B, []), ("b", F, [1])],
    )
    made = model([node("Loop", ["", "", "x"], ["y"], body=body)], [("x", F, [1])], [("y", F, [1])])
    with pytest.raises(UnsupportedError, match="without end"):
        convert(OnnxModel(made), PADDLE_3)


def scanning(length: Any, **attrs: Any) -> onnx.ModelProto:
    """A running sum, and twice every element."""
    body = graph(
        [node("Add", ["s", "e"], ["t"]), node("Add", ["e", "e"], ["d"]), node("Identity", ["t"], ["u"])],
        [("s", F, [None]), ("e", F, [None])],
        [("t", F, [None]), ("d", F, [None]), ("u", F, [None])],
    )
    axis = attrs.get("scan_input_axes", [0])[0]
    dims = ["n", "n"]
    dims[axis] = length
    scan = node("Scan", ["s0", "x"], ["y", "z", "w"], body=body, num_scan_inputs=1, **attrs)
    return model([scan], [("s0", F, ["n"]), ("x", F, dims)], [("y", F, None), ("z", F, None), ("w", F, None)])


@everywhere
@pytest.mark.parametrize("length", [4, "l"], ids=["known", "symbolic"])
@pytest.mark.parametrize(
    "attrs",
    [
        {},
        {"scan_input_directions": [1]},
        {"scan_output_directions": [1, 0]},
        {"scan_input_axes": [1], "scan_output_axes": [0, 1]},
    ],
    ids=str,
)
def test_scan(runtime: Runtime, length: Any, attrs: dict) -> None:
    axis = attrs.get("scan_input_axes", [0])[0]
    feeds = []
    for n, size in ((3, 4), (2, 4 if length == 4 else 6)):
        x = rand(size, n)
        feeds.append({"s0": rand(n), "x": x if axis == 0 else np.ascontiguousarray(x.T)})
    made = check_model(runtime, scanning(length, **attrs), feeds)
    assert ("while" in operators(made)) == (length != 4)


@everywhere
def test_squeeze_where_a_size_is_one(runtime: Runtime) -> None:
    """``x.squeeze(1)`` of a scripted module, whose size only the run knows: the graph behind wants it squeezed."""
    then = graph([node("Squeeze", ["cut", "axis"], ["a"])], [], [("a", F, None)])
    other = graph([node("Identity", ["cut"], ["b"])], [], [("b", F, None)])
    nodes = [
        node("Slice", ["x", "zero", "n", "axis"], ["cut"]),
        node("Shape", ["cut"], ["shape"]),
        node("Gather", ["shape", "axis"], ["size"]),
        node("Equal", ["size", "axis"], ["one"]),
        node("If", ["one"], ["r"], then_branch=then, else_branch=other, name="squeeze"),
        node("MatMul", ["r", "w"], ["y"]),
    ]
    constants = {"axis": np.array([1]), "zero": np.array([0]), "w": rand(3, 2)}
    made = model(nodes, [("x", F, ["b", "t", 3]), ("n", L, [1])], [("y", F, None)], constants)
    feeds = [{"x": rand(b, t, 3), "n": np.array([1])} for b, t in ((2, 5), (4, 3))]
    imported = check_model(runtime, made, feeds)
    assert any("'cut'" in note and "is taken to be 1" in note for note in imported.notes)


def test_unsupported_inside_a_body_is_named() -> None:
    then = graph([node("RandomNormalLike", ["x"], ["a"])], [], [("a", F, [2])])
    other = graph([node("Identity", ["x"], ["b"])], [], [("b", F, [2])])
    nodes = [node("If", ["c"], ["r"], then_branch=then, else_branch=other), node("Neg", ["r"], ["y"])]
    made = model(nodes, [("x", F, [2]), ("c", B, [1])], [("y", F, [2])])
    with pytest.raises(UnsupportedError) as caught:
        convert(OnnxModel(made), PADDLE_3)
    assert [row["operator"] for row in caught.value.rows] == ["RandomNormalLike"]
