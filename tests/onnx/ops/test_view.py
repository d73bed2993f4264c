"""Reshape, Flatten, Squeeze, Unsqueeze, Transpose, Expand, Tile, DepthToSpace and SpaceToDepth, at changing sizes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import helper

from mconv.program.targets import PADDLE_3
from tests.onnx.checks import (
    CURRENT,
    PADDLE_23,
    Runtime,
    check_model,
    check_op,
    check_refused,
    everywhere,
    graph_model,
    in_runtimes,
    rand,
)

I64 = np.int64


def vec(*numbers: int) -> np.ndarray:
    return np.array(numbers, I64)


@everywhere
@pytest.mark.parametrize(
    ("target", "shapes"),
    [
        ((0, -1), [(2, 3, 4), (5, 3, 4)]),
        ((0, 0, 2, 2), [(2, 3, 4), (5, 7, 4)]),
        ((-1, 4), [(2, 3, 4), (5, 7, 4)]),
        ((1, -1, 2), [(2, 3, 4), (5, 7, 4)]),
        ((0, 4, -1), [(2, 3, 4), (5, 3, 4)]),
        ((-1,), [(2, 3), (4, 5)]),
        ((1, 1, 1), [(1,), (1,)]),
    ],
    ids=str,
)
def test_reshape_by_constant(runtime: Runtime, target: tuple, shapes: list) -> None:
    check_op(runtime, "Reshape", *[[rand(*s), vec(*target)] for s in shapes], const=[1])


@everywhere
@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.bool_, np.int8, np.float16])
def test_reshape_by_input(runtime: Runtime, dtype: type) -> None:
    x, y = rand(2, 3, 4, dtype=dtype), rand(2, 6, 4, dtype=dtype)
    check_op(runtime, "Reshape", [x, vec(4, 6)], [y, vec(-1, 8)])
    check_op(runtime, "Reshape", [x, vec(0, -1)], [y, vec(3, 16)])


def test_reshape_opset_1() -> None:
    check_op(CURRENT, "Reshape", [rand(2, 3, 4)], [rand(5, 3, 4)], opset=1, shape=[0, -1], expected=[
        [rand(2, 3, 4).reshape(2, -1)], [rand(5, 3, 4).reshape(5, -1)]
    ])  # fmt: skip


@pytest.mark.parametrize("shape", [(5, 5), (-1, 7), (-1, -1), (-2, 12)], ids=str)
def test_reshape_that_does_not_fit(shape: tuple) -> None:
    from onnx import TensorProto, numpy_helper

    from mconv.errors import MconvError
    from mconv.onnx.convert import convert
    from mconv.onnx.reader import OnnxModel

    graph = helper.make_graph(
        [helper.make_node("Reshape", ["x", "s"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(vec(*shape), "s")],
    )
    with pytest.raises(MconvError):
        convert(OnnxModel(helper.make_model(graph)), PADDLE_3)


@everywhere
def test_sizes_followed_through_arithmetic(runtime: Runtime) -> None:
    """[batch, length, 12] → heads: Shape → Gather → Concat → Reshape, as exporters write it, needs no shape tensor."""
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "zero"], ["n"]),
        helper.make_node("Gather", ["s", "one"], ["l"]),
        helper.make_node("Unsqueeze", ["n", "first"], ["n1"]),
        helper.make_node("Unsqueeze", ["l", "first"], ["l1"]),
        helper.make_node("Concat", ["n1", "l1", "heads"], ["t"], axis=0),
        helper.make_node("Reshape", ["x", "t"], ["split"]),
        helper.make_node("Transpose", ["split"], ["moved"], perm=[0, 2, 1, 3]),
        helper.make_node("MatMul", ["moved", "w"], ["y"]),
    ]
    constants = {"zero": np.array(0), "one": np.array(1), "first": vec(0), "heads": vec(3, 4), "w": rand(4, 4)}
    sets = [rand(2, 5, 12), rand(3, 7, 12)]
    made = check_model(runtime, graph_model(nodes, {"x": sets}, ["y"], constants=constants), [{"x": v} for v in sets])
    reshapes = [op for _, op in made.program.ops() if op.type == "reshape2"]
    assert reshapes and not any(op.input("Shape") for op in reshapes)


@everywhere
def test_reshape_by_tensor_before_transpose_and_product(runtime: Runtime) -> None:
    """The pattern that oneDNN fuses as if the shape attribute held."""
    nodes = [
        helper.make_node("Reshape", ["x", "t"], ["split"]),
        helper.make_node("Transpose", ["split"], ["moved"], perm=[0, 2, 1, 3]),
        helper.make_node("MatMul", ["moved", "w"], ["y"]),
    ]
    sets = [{"x": rand(2, 5, 12), "t": vec(2, 5, 3, 4)}, {"x": rand(3, 7, 12), "t": vec(3, -1, 3, 4)}]
    inputs = {k: [s[k] for s in sets] for k in ("x", "t")}
    check_model(runtime, graph_model(nodes, inputs, ["y"], constants={"w": rand(4, 4)}), sets)


@everywhere
@pytest.mark.parametrize("axis", [0, 1, 2, 3, -1])
def test_flatten(runtime: Runtime, axis: int) -> None:
    check_op(runtime, "Flatten", [rand(2, 3, 4)], [rand(5, 3, 6)], axis=axis)


@everywhere
@pytest.mark.parametrize("axes", [[1], [-3], [1, 3], None])
def test_squeeze(runtime: Runtime, axes: Any) -> None:
    sets = [[rand(2, 1, 3, 1)], [rand(2, 1, 3, 1)]] if axes is None else [[rand(2, 1, 3, 1)], [rand(4, 1, 5, 1)]]
    check_op(runtime, "Squeeze", *sets, opset=11, **({} if axes is None else {"axes": axes}))
    if axes is not None:
        check_op(runtime, "Squeeze", *[[s[0], vec(*axes)] for s in sets], const=[1])


@everywhere
@pytest.mark.parametrize("axes", [[0], [1, -1], [3, 0], [-1, -2]])
def test_unsqueeze(runtime: Runtime, axes: list) -> None:
    check_op(runtime, "Unsqueeze", [rand(2, 3), vec(*axes)], [rand(4, 5), vec(*axes)], const=[1])
    check_op(runtime, "Unsqueeze", [rand(2, 3)], [rand(4, 5)], opset=11, axes=axes)


@everywhere
def test_views_of_float16(runtime: Runtime) -> None:
    x, y = rand(2, 3, 4, dtype=np.float16), rand(3, 5, 4, dtype=np.float16)
    check_op(runtime, "Unsqueeze", [x, vec(0)], [y, vec(0)], const=[1])
    check_op(runtime, "Expand", [x, vec(2, 1, 1, 1)], [y, vec(2, 1, 1, 1)], const=[1])
    check_op(runtime, "Flatten", [x], [y], axis=-1)
    check_op(runtime, "Pad", [x, vec(0, 1, 0, 0, 1, 2)], [y, vec(0, 1, 0, 0, 1, 2)], const=[1])


def test_unsqueeze_by_input_needs_a_declared_shape() -> None:
    check_refused(CURRENT, "Unsqueeze", [rand(2, 3), vec(0)], match="axes must be constant")


@everywhere
@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.bool_, np.uint8])
def test_transpose(runtime: Runtime, dtype: type) -> None:
    check_op(runtime, "Transpose", [rand(2, 3, 4, dtype=dtype)], [rand(3, 5, 4, dtype=dtype)], perm=[2, 0, 1])
    check_op(runtime, "Transpose", [rand(2, 3, 4, dtype=dtype)], [rand(3, 5, 4, dtype=dtype)])


@everywhere
@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.bool_, np.int8])
def test_expand(runtime: Runtime, dtype: type) -> None:
    check_op(
        runtime, "Expand", [rand(3, 1, dtype=dtype), vec(2, 1, 4)], [rand(5, 1, dtype=dtype), vec(2, 1, 4)], const=[1]
    )
    check_op(runtime, "Expand", [rand(3, 1, dtype=dtype), vec(2, 1, 4)], [rand(3, 1, dtype=dtype), vec(2, 3, 2)])
    check_op(runtime, "Expand", [rand(2, 3, 1, dtype=dtype), vec(4)], [rand(2, 3, 1, dtype=dtype), vec(6)])
    check_op(runtime, "Expand", [rand(3, 1, dtype=dtype), vec(1, 4)], [rand(3, 1, dtype=dtype), vec(3, 0)])


@everywhere
def test_expand_to_the_shape_of_another(runtime: Runtime) -> None:
    nodes = [helper.make_node("Shape", ["other"], ["s"]), helper.make_node("Expand", ["x", "s"], ["y"])]
    sets = [{"x": rand(1, 3), "other": rand(4, 3)}, {"x": rand(1, 5), "other": rand(2, 5)}]
    inputs = {k: [s[k] for s in sets] for k in ("x", "other")}
    check_model(runtime, graph_model(nodes, inputs, ["y"]), sets)


@everywhere
@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.bool_, np.int8])
def test_tile(runtime: Runtime, dtype: type) -> None:
    sets = [[rand(2, 3, dtype=dtype), vec(2, 3)], [rand(4, 3, dtype=dtype), vec(2, 3)]]
    check_op(runtime, "Tile", *sets, const=[1])
    check_op(runtime, "Tile", [rand(2, 3, dtype=dtype), vec(1, 2)], [rand(2, 3, dtype=dtype), vec(3, 1)])


@everywhere
@pytest.mark.parametrize("mode", ["DCR", "CRD"])
def test_depth_to_space(runtime: Runtime, mode: str) -> None:
    check_op(runtime, "DepthToSpace", [rand(2, 8, 3, 4)], [rand(1, 8, 5, 2)], blocksize=2, mode=mode)
    check_op(runtime, "DepthToSpace", [rand(2, 8, 3, 4)], blocksize=2, mode=mode)


@everywhere
def test_space_to_depth(runtime: Runtime) -> None:
    check_op(runtime, "SpaceToDepth", [rand(2, 3, 4, 6)], [rand(1, 3, 6, 2)], blocksize=2)
    check_op(runtime, "SpaceToDepth", [rand(2, 3, 4, 6)], blocksize=2)


@in_runtimes(CURRENT, PADDLE_23)
def test_scalars(runtime: Runtime) -> None:
    check_op(runtime, "Reshape", [rand(1), np.zeros(0, I64)], const=[1])
    check_op(runtime, "Unsqueeze", [np.array(3.5, np.float32), vec(0, 1)], const=[1])
    check_op(runtime, "Expand", [np.array(2.5, np.float32), vec(2, 3)], const=[1])


@everywhere
def test_a_shape_that_copies_nothing_at_run_time(runtime: Runtime) -> None:
    check_op(runtime, "Reshape", [rand(2, 3, 4), vec(4, 6)], [rand(4, 3, 5), vec(-1, 10)], allowzero=1)


@in_runtimes(CURRENT)
def test_empty_tensors(runtime: Runtime) -> None:
    check_op(runtime, "Reshape", [np.zeros((0, 3), np.float32), vec(3, 0, 2)], const=[1], allowzero=1)
    check_op(runtime, "Transpose", [np.zeros((0, 3), np.float32)])
