"""Gather, Scatter and their families, NonZero, Compress, Unique, ReverseSequence."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

from tests.onnx.checks import (
    CURRENT,
    PADDLE_26,
    PLAIN,
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

TYPES = [np.float32, np.float64, np.float16, np.int8, np.uint8, np.int32, np.int64, np.bool_]


@everywhere
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("const", [[1], []], ids=["constant", "input"])
def test_gather(runtime: Runtime, dtype: type, const: list) -> None:
    index = np.array([[0, -1], [2, 1]])
    check_op(runtime, "Gather", [rand(4, 3, dtype=dtype), index], [rand(4, 6, dtype=dtype), index], const=const)
    check_op(runtime, "Gather", [rand(4, 3, dtype=dtype), index], [rand(5, 3, dtype=dtype), index], axis=1, const=const)


@everywhere
@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("index", [0, 2, -1], ids=str)
@pytest.mark.parametrize("const", [[1], []], ids=["constant", "input"])
def test_gather_one(runtime: Runtime, axis: int, index: int, const: list) -> None:
    one = np.array(index)
    check_op(runtime, "Gather", [rand(3, 4, 5), one], [rand(4, 3, 6), one], axis=axis, const=const)


@everywhere
def test_gather_with_an_index_of_changing_shape(runtime: Runtime) -> None:
    check_op(runtime, "Gather", [rand(7, 3), ints(2, 5, low=-7, high=6)], [rand(7, 3), ints(4, 3, low=-7, high=6)])
    check_op(
        runtime, "Gather", [rand(7, 3), ints(2, 5, low=-3, high=2)], [rand(8, 3), ints(4, 3, low=-3, high=2)], axis=1
    )
    check_op(
        runtime, "Gather", [rand(7, 4), ints(2, 5, low=0, high=6)], [rand(7, 4), ints(4, 3, low=0, high=6)], const=[0]
    )


@everywhere
@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.bool_, np.float16])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_gather_elements(runtime: Runtime, axis: int, dtype: type) -> None:
    x, y = rand(3, 4, dtype=dtype), rand(5, 4, dtype=dtype)
    check_op(runtime, "GatherElements", [x, ints(2, 3, low=-3, high=2)], [y, ints(4, 3, low=-3, high=2)], axis=axis)


@everywhere
@pytest.mark.parametrize("const", [[1], []], ids=["constant", "input"])
def test_gather_nd(runtime: Runtime, const: list) -> None:
    pairs = np.array([[[0, -1]], [[2, 1]]])
    check_op(runtime, "GatherND", [rand(3, 4, 5), pairs], [rand(3, 6, 5), pairs], const=const)
    rows = np.array([[1], [-2]])
    check_op(runtime, "GatherND", [rand(3, 4), rows], [rand(5, 4), rows], const=const)
    one = np.array([1, 2])
    check_op(runtime, "GatherND", [rand(3, 4), one], const=const)


@everywhere
@pytest.mark.parametrize("batch", [1, 2])
def test_gather_nd_batches(runtime: Runtime, batch: int) -> None:
    lead = (2, 3)[:batch]
    index = ints(*lead, 4, 1, low=-3, high=2)
    other = ints(5, *lead[1:], 4, 1, low=-3, high=2)
    x, y = rand(2, 3, 3, 2), rand(5, 3, 3, 2)
    check_op(runtime, "GatherND", [x, index], [y, other], batch_dims=batch)


@everywhere
@pytest.mark.parametrize("reduction", ["none", "add", "mul", "min", "max"])
@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.int32])
def test_scatter_elements(runtime: Runtime, reduction: str, dtype: type) -> None:
    """Twice the same position, except where ONNX leaves open who wins."""
    index = np.array([[0, 2, -1], [1, 0, 2]]) if reduction == "none" else np.array([[0, 2, -1], [0, 2, 2]])
    updates = rand(2, 3, dtype=dtype, seed=5)
    check_op(runtime, "ScatterElements", [rand(3, 4, dtype=dtype), index, updates], axis=0, reduction=reduction)
    index = np.array([[0, 2, -1], [1, 0, 2]]) if reduction == "none" else np.array([[0, 0, -1], [1, 1, 2]])
    sets = [[rand(n, 4, dtype=dtype), index, updates] for n in ((3, 3) if reduction in ("min", "max") else (3, 5))]
    check_op(runtime, "ScatterElements", *sets, axis=1, reduction=reduction)


@everywhere
@pytest.mark.parametrize("reduction", ["none", "add", "mul", "min", "max"])
def test_scatter_nd(runtime: Runtime, reduction: str) -> None:
    index = np.array([[0], [-1], [1]] if reduction == "none" else [[0], [-1], [0]])
    check_op(runtime, "ScatterND", [rand(4, 3), index, rand(3, 3, seed=5)], reduction=reduction)
    index = np.array([[0, 1], [2, -1], [1, 1]] if reduction == "none" else [[0, 1], [2, -1], [0, 1]])
    check_op(runtime, "ScatterND", [rand(4, 3, 2), index, rand(3, 2, seed=5)], reduction=reduction)


@everywhere
def test_scatter_at_changing_sizes(runtime: Runtime) -> None:
    first = [rand(4, 3), ints(2, 3, low=-3, high=2) * 0 + np.array([[0], [-1]]), rand(2, 3, seed=5)]
    second = [rand(6, 3), ints(3, 3, low=-3, high=2) * 0 + np.array([[0], [-1], [2]]), rand(3, 3, seed=5)]
    check_op(runtime, "ScatterElements", first, second)
    check_op(runtime, "ScatterND", [rand(4, 3), np.array([[0], [-1]]), rand(2, 3, seed=5)],
             [rand(5, 3), np.array([[0], [-1], [2]]), rand(3, 3, seed=5)])  # fmt: skip


@everywhere
@pytest.mark.parametrize("dtype", [np.bool_, np.float16, np.int8, np.uint8, np.float64])
def test_scatter_types(runtime: Runtime, dtype: type) -> None:
    index, updates = np.array([[1, 0, 2]]), rand(1, 3, dtype=dtype, seed=5)
    check_op(runtime, "ScatterElements", [rand(3, 3, dtype=dtype), index, updates])


def test_scatter_reduction_unknown() -> None:
    sets = [rand(3, 3), np.array([[1, 0, 2]]), rand(1, 3)]
    check_refused(CURRENT, "ScatterElements", sets, reduction="median", match="median")


@everywhere
@pytest.mark.parametrize("dtype", [np.float32, np.bool_, np.int64, np.float16])
def test_nonzero(runtime: Runtime, dtype: type) -> None:
    check_op(runtime, "NonZero", [rand(3, 4, dtype=dtype) > 0.5], [rand(5, 2, dtype=dtype) > 0.5], types=[7])
    check_op(runtime, "NonZero", [rand(3, 4, dtype=dtype)], types=[7])


@in_runtimes(CURRENT, PLAIN, PADDLE_26)  # 2.3.2 loses the shape of a result without elements
def test_nonzero_of_nothing(runtime: Runtime) -> None:
    check_op(runtime, "NonZero", [np.zeros((3, 4), np.float32)], types=[7])


@everywhere
@pytest.mark.parametrize("axis", [None, 0, -1])
def test_compress(runtime: Runtime, axis: int) -> None:
    condition = np.array([True, False, True])
    attrs = {} if axis is None else {"axis": axis}
    check_op(runtime, "Compress", [rand(3, 4), condition], [rand(5, 6), ~condition], **attrs)


@everywhere
@pytest.mark.parametrize("axis", [None, 0, 1])
@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_unique(runtime: Runtime, axis: int, order: int, dtype: type) -> None:
    x = np.array([[3, 1, 1], [2, 1, 1], [3, 1, 1], [1, 1, 1]], dtype)
    attrs = {} if axis is None else {"axis": axis}
    check_op(runtime, "Unique", [x], [x[:2]], outputs=4, sorted=order, types=[1 if dtype is np.float32 else 7, 7, 7, 7],
             **attrs)  # fmt: skip


@everywhere
@pytest.mark.parametrize("axes", [(0, 1), (1, 0)], ids=str)
def test_reverse_sequence(runtime: Runtime, axes: tuple) -> None:
    time, batch = axes
    shapes = [(4, 3, 2), (6, 5, 2)]
    sets = [[rand(*s), ints(s[batch], low=1, high=s[time])] for s in shapes]
    check_op(runtime, "ReverseSequence", *sets, time_axis=time, batch_axis=batch)


@everywhere
def test_last_token(runtime: Runtime) -> None:
    """Rows chosen by what ArgMax finds, as a text model takes the state of its last token."""
    nodes = [
        helper.make_node("ArgMax", ["ids"], ["at"], axis=1, keepdims=1),
        helper.make_node("GatherND", ["x", "at"], ["y"], batch_dims=1),
    ]
    sets = [{"x": rand(2, 5, 3), "ids": ints(2, 5, low=0)}, {"x": rand(4, 7, 3), "ids": ints(4, 7, low=0)}]
    check_model(runtime, graph_model(nodes, {k: [s[k] for s in sets] for k in ("x", "ids")}, ["y"]), sets)


# caches -----------------------------------------------------------------------------------------------------------------


@everywhere
@pytest.mark.parametrize("mode", ["linear", "circular"])
@pytest.mark.parametrize("axis", [-2, 1, 3])
def test_tensor_scatter(runtime: Runtime, mode: str, axis: int) -> None:
    sets, expected = [], []
    for batch, length, start in ((2, 6, [1, 3]), (3, 7, [0, 2, 4])):
        sizes = [batch, 4, 5, 4]
        sizes[axis] = length
        cache = rand(*sizes)
        update = rand(*[3 if i == axis % 4 else d for i, d in enumerate(sizes)], seed=1)
        at = np.array(start) + (4 if mode == "circular" else 0)
        made = cache.copy()
        for i, first in enumerate(at):
            rows = (first + np.arange(3)) % length
            np.moveaxis(made[i], axis % 4 - 1, 0)[rows] = np.moveaxis(update[i], axis % 4 - 1, 0)
        sets.append([cache, update, at])
        expected.append([made])
    check_op(runtime, "TensorScatter", *sets, opset=24, axis=axis, mode=mode, expected=expected)


@everywhere
def test_tensor_scatter_from_the_beginning(runtime: Runtime) -> None:
    sets = [[rand(n, 6, 4), rand(n, 2, 4, seed=1)] for n in (2, 3)]
    expected = [[np.concatenate([u, c[:, 2:]], 1)] for c, u in sets]
    check_op(runtime, "TensorScatter", *sets, opset=24, expected=expected)
