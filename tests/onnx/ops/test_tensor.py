"""Constants, sizes and what is made from them: Range, OneHot, EyeLike, Trilu, ConstantOfShape, Shape, Size."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mconv.errors import UnsupportedError
from mconv.onnx.convert import convert
from mconv.onnx.reader import OnnxModel
from mconv.program.targets import PADDLE_3
from tests.onnx.checks import (
    CURRENT,
    ONEDNN,
    PADDLE_23,
    PADDLE_26,
    PLAIN,
    RUNTIMES,
    Runtime,
    check_model,
    check_op,
    check_refused,
    everywhere,
    graph_model,
    in_runtimes,
    ints,
    rand,
)


def constant_model(array: np.ndarray, *, with_input: bool) -> onnx.ModelProto:
    """A model that gives *array* whatever comes in."""
    node = helper.make_node("Constant", [], ["y"], value=numpy_helper.from_array(array))
    return graph_model([node], {"x": [rand(2, 3)]} if with_input else {}, ["y"])


@everywhere
@pytest.mark.parametrize("with_input", [True, False], ids=["with an input", "alone"])
@pytest.mark.parametrize(
    "array", [rand(2, 3), rand(3, dtype=np.int64), rand(3, dtype=np.bool_), np.array(2.5), rand(2, dtype=np.float16)]
)
def test_constant_output(runtime: Runtime, array: np.ndarray, with_input: bool) -> None:
    model = constant_model(array, with_input=with_input)
    check_model(runtime, model, [{"x": rand(2, 3)} if with_input else {}])


@everywhere
@pytest.mark.parametrize("with_input", [True, False], ids=["with an input", "alone"])
@pytest.mark.parametrize(
    "array",
    [np.zeros((0, 3), np.float32), np.zeros((2, 0), np.int64), np.zeros(0, np.bool_)],
    ids=["rows", "columns", "list"],
)
def test_empty_constant_output(runtime: Runtime, array: np.ndarray, with_input: bool) -> None:
    model = constant_model(array, with_input=with_input)
    check_model(runtime, model, [{"x": rand(2, 3)} if with_input else {}])


@in_runtimes(CURRENT)
@pytest.mark.parametrize(
    ("attribute", "value", "expected"),
    [
        ("value_float", 2.5, np.array(2.5, np.float32)),
        ("value_floats", [2.5, 1.0], np.array([2.5, 1.0], np.float32)),
        ("value_int", 3, np.array(3)),
        ("value_ints", [3, -4], np.array([3, -4])),
    ],
)
def test_constant_forms(runtime: Runtime, attribute: str, value: Any, expected: np.ndarray) -> None:
    node = helper.make_node("Constant", [], ["c"], **{attribute: value})
    cast = helper.make_node("Cast", ["x"], ["d"], to=helper.np_dtype_to_tensor_dtype(expected.dtype))
    add = helper.make_node("Add", ["d", "c"], ["y"])
    check_model(runtime, graph_model([node, cast, add], {"x": [rand(3, 1)]}, ["y"]), [{"x": rand(3, 1)}])


@in_runtimes(CURRENT)
@pytest.mark.parametrize("indices", [np.array([1, 5]), np.array([[0, 1], [1, 2]])], ids=["positions", "coordinates"])
def test_sparse_constant(runtime: Runtime, indices: np.ndarray) -> None:
    values = numpy_helper.from_array(np.array([2.0, 3.0], np.float32), "values")
    sparse = helper.make_sparse_tensor(values, numpy_helper.from_array(indices, "indices"), [2, 3])
    nodes = [helper.make_node("Constant", [], ["c"], sparse_value=sparse), helper.make_node("Add", ["x", "c"], ["y"])]
    dense = np.array([[0, 2, 0], [0, 0, 3]], np.float32)
    model = graph_model(nodes, {"x": [rand(2, 3)]}, ["y"])
    check_model(runtime, model, [{"x": rand(2, 3)}], expected=[[rand(2, 3) + dense]])


def test_constant_of_strings() -> None:
    node = helper.make_node("Constant", [], ["y"], value_string=b"text")
    graph = helper.make_graph([node], "g", [], [helper.make_tensor_value_info("y", TensorProto.STRING, [])])
    with pytest.raises(UnsupportedError, match="string"):
        convert(OnnxModel(helper.make_model(graph)), PADDLE_3)


@everywhere
@pytest.mark.parametrize(
    "part", [{}, {"start": 1}, {"end": -1}, {"start": -2, "end": 5}, {"start": 2, "end": 1}], ids=str
)
def test_shape(runtime: Runtime, part: dict) -> None:
    if part == {"start": 2, "end": 1}:
        if runtime in (CURRENT, PLAIN):
            check_op(runtime, "Shape", [rand(2, 3, 4)], [rand(5, 3, 6)], types=[7], **part)
        return
    check_op(runtime, "Shape", [rand(2, 3, 4)], [rand(5, 3, 6)], types=[7], **part)


@everywhere
def test_size(runtime: Runtime) -> None:
    check_op(runtime, "Size", [rand(2, 3, 4)], [rand(5, 3, 6)], types=[7])


@everywhere
@pytest.mark.parametrize(
    ("dtype", "sets"),
    [
        (np.int64, [(0, 5, 1), (2, 9, 3)]),
        (np.int32, [(10, 4, -2), (10, 5, -2)]),
        (np.float32, [(0, 2, 0.3), (1, 3, 0.5)]),
        (np.int16, [(0, 5, 1), (2, 9, 3)]),
        (np.float64, [(0, 2, 0.3), (1, 3, 0.5)]),
    ],
)
def test_range(runtime: Runtime, dtype: type, sets: list) -> None:
    check_op(runtime, "Range", *[[np.array(v, dtype) for v in s] for s in sets])


@in_runtimes(*RUNTIMES, *ONEDNN[:2])
@pytest.mark.parametrize("const", [[], [2], [0, 2], [0, 1, 2]], ids=str)
@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.float32, np.int16, np.float64])
@pytest.mark.parametrize("bounds", [[(3, -2, 2), (3, 6, 2)], [(-3, 2, -1), (-3, -5, -1)]], ids=str)
def test_range_to_the_other_side(runtime: Runtime, bounds: list, dtype: type, const: list) -> None:
    for each in bounds if len(const) == 3 else [bounds]:
        sets = [each] if len(const) == 3 else each
        check_op(runtime, "Range", *[[np.array(v, dtype) for v in s] for s in sets], const=const)


@pytest.mark.parametrize(("numbers", "match"), [((0, 5, 0), "a step of 0"), ((0, np.inf, 1), "no finite numbers")])
def test_range_without_an_end(numbers: tuple, match: str) -> None:
    check_refused(CURRENT, "Range", [np.array(v, np.float32) for v in numbers], const=[0, 1, 2], match=match)


@everywhere
def test_positions(runtime: Runtime) -> None:
    """Position ids as exporters write them: a range up to a size, and an embedding of it."""
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "one"], ["n"]),
        helper.make_node("Range", ["zero", "n", "one"], ["p"]),
        helper.make_node("Gather", ["table", "p"], ["e"]),
        helper.make_node("Add", ["x", "e"], ["y"]),
    ]
    constants = {"zero": np.array(0), "one": np.array(1), "table": rand(16, 4)}
    sets = [{"x": rand(2, 5, 4)}, {"x": rand(3, 9, 4)}]
    check_model(runtime, graph_model(nodes, {"x": [s["x"] for s in sets]}, ["y"], constants=constants), sets)


@everywhere
@pytest.mark.parametrize("upper", [0, 1])
@pytest.mark.parametrize("const", [[1], []], ids=["constant", "input"])
@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.bool_, np.int8])
def test_trilu(runtime: Runtime, upper: int, const: list, dtype: type) -> None:
    x, y = rand(2, 4, 5, dtype=dtype), rand(2, 6, 3, dtype=dtype)
    for k in (0, 2, -1):
        check_op(runtime, "Trilu", [x, np.array(k)], [y, np.array(k)], upper=upper, const=const)


@everywhere
@pytest.mark.parametrize("axis", [-1, 0, 1])
@pytest.mark.parametrize("const", [[1, 2], [2], [1], []], ids=["constants", "values", "depth", "inputs"])
def test_one_hot(runtime: Runtime, axis: int, const: list) -> None:
    values = np.array([1.5, 4.0], np.float32)
    sets = [[ints(n, 3, low=-6, high=6), np.array(5), values] for n in (2, 4)]
    check_op(runtime, "OneHot", *sets, axis=axis, const=const, types=[1])


@everywhere
@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.bool_, np.float16])
def test_one_hot_types(runtime: Runtime, dtype: type) -> None:
    sets = [[ints(n, low=0, high=4, dtype=np.int64), np.array(5), np.array([0, 1], dtype)] for n in (2, 4)]
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    expected = [[np.eye(5, dtype=dtype)[s[0]]] for s in sets]
    check_op(runtime, "OneHot", *sets, const=[1, 2], types=[kind], expected=expected)


@everywhere
@pytest.mark.parametrize("k", [0, 1, -2])
def test_eye_like(runtime: Runtime, k: int) -> None:
    check_op(runtime, "EyeLike", [rand(3, 4)], [rand(5, 4)], k=k)
    check_op(runtime, "EyeLike", [rand(3, 4)], [rand(5, 2)], k=k, dtype=TensorProto.INT64, types=[7])


@everywhere
@pytest.mark.parametrize("value", [np.array([1.5], np.float32), np.array([2**53 + 1]), np.array([True])], ids=str)
def test_constant_of_shape(runtime: Runtime, value: np.ndarray) -> None:
    tensor, kind = numpy_helper.from_array(value), helper.np_dtype_to_tensor_dtype(value.dtype)
    check_op(runtime, "ConstantOfShape", [np.array([2, 3])], [np.array([4, 1])], value=tensor, types=[kind])


@pytest.mark.parametrize("op", ["RandomNormalLike", "RandomUniformLike", "Bernoulli"])
def test_random(op: str) -> None:
    check_refused(CURRENT, op, [rand(2, 3)], match="other numbers at every run")


@in_runtimes(CURRENT, PADDLE_26, PADDLE_23)
def test_where_on_sizes(runtime: Runtime) -> None:
    """Expand as torch writes it: -1 of the wanted shape is replaced through ConstantOfShape, Equal and Where."""
    nodes = [
        helper.make_node("Shape", ["other"], ["s"]),
        helper.make_node("Gather", ["s", "zero"], ["n"]),
        helper.make_node("Unsqueeze", ["n", "first"], ["n1"]),
        helper.make_node("Concat", ["n1", "minus"], ["wanted"], axis=0),
        helper.make_node("ConstantOfShape", ["two"], ["ones"], value=numpy_helper.from_array(np.array([1]))),
        helper.make_node("Mul", ["ones", "minus"], ["negative"]),
        helper.make_node("Equal", ["wanted", "negative"], ["is"]),
        helper.make_node("Where", ["is", "ones", "wanted"], ["t"]),
        helper.make_node("Expand", ["x", "t"], ["y"]),
    ]
    constants = {"zero": np.array(0), "first": np.array([0]), "minus": np.array([-1]), "two": np.array([2])}
    sets = [{"x": rand(1, 5), "other": rand(2, 3)}, {"x": rand(1, 7), "other": rand(4, 3)}]
    inputs = {k: [s[k] for s in sets] for k in ("x", "other")}
    made = check_model(runtime, graph_model(nodes, inputs, ["y"], constants=constants), sets)
    assert "where" not in {op.type for _, op in made.program.ops()}
