"""Reductions, softmax, order and running sums."""

from __future__ import annotations

import numpy as np
import pytest

from mconv.emit.order import top_k
from mconv.program.builder import Builder
from mconv.program.dtypes import DType
from mconv.program.targets import PADDLE_2_3
from tests.onnx.checks import (
    CURRENT,
    ONEDNN,
    PADDLE_23,
    RUNTIMES,
    Runtime,
    check_op,
    check_refused,
    everywhere,
    in_runtimes,
    ints,
    rand,
)

KINDS = ["Sum", "Mean", "Max", "Min", "Prod", "L1", "L2", "LogSum", "LogSumExp", "SumSquare"]
AXES = [[0], [1], [-1], [0, 2], [0, 1, 2], None]


@everywhere
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("axes", AXES, ids=str)
@pytest.mark.parametrize("keep", [0, 1])
def test_axes_as_attribute(runtime: Runtime, kind: str, axes: list, keep: int) -> None:
    low = 0.1 if kind == "LogSum" else -2
    given = {} if axes is None else {"axes": axes}
    check_op(
        runtime, f"Reduce{kind}", [rand(2, 3, 4, low=low)], [rand(5, 3, 2, low=low)], opset=12, keepdims=keep, **given
    )


@everywhere
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("axes", [[1], [-3, 2], [2, 0, 1]], ids=str)
@pytest.mark.parametrize("keep", [0, 1])
@pytest.mark.parametrize("const", [True, False], ids=["const", "run time"])
def test_axes_as_input(runtime: Runtime, kind: str, axes: list, keep: int, const: bool) -> None:
    low = 0.1 if kind == "LogSum" else -2
    a = np.array(axes, np.int64)
    first, second = rand(2, 3, 4, low=low), rand(5, 3, 2, low=low)
    check_op(runtime, f"Reduce{kind}", [first, a], [second, a], const=[1] if const else [], keepdims=keep)


@everywhere
@pytest.mark.parametrize("axes", [[1], [0], [-1]], ids=str)
def test_other_axes_at_run_time_than_once_before(runtime: Runtime, axes: list) -> None:
    x = rand(3, 3, 3)
    check_op(runtime, "ReduceSum", [x, np.array([2])], [x, np.array(axes)], keepdims=0)


@everywhere
def test_no_axes(runtime: Runtime) -> None:
    x = rand(2, 3)
    check_op(runtime, "ReduceSum", [x], [rand(4, 3)], noop_with_empty_axes=1)
    check_op(runtime, "ReduceSum", [x], [rand(4, 3)])
    none = np.zeros(0, np.int64)
    check_op(runtime, "ReduceMax", [x, none], [rand(4, 3), none], const=[1])


@everywhere
@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.float16, np.float64])
@pytest.mark.parametrize("kind", ["Sum", "Max", "Min", "Prod", "Mean", "SumSquare", "L1"])
def test_types(runtime: Runtime, kind: str, dtype: type) -> None:
    x = rand(3, 4, dtype=dtype, low=-5, high=5)
    how = {"Sum": np.sum, "Max": np.max, "Min": np.min, "Prod": np.prod, "Mean": np.mean}
    how.update(SumSquare=lambda a, axis: np.sum(a * a, axis), L1=lambda a, axis: np.sum(np.abs(a), axis))
    wide = x.astype(np.float64) if dtype is np.float16 or kind == "Mean" else x
    expected = how[kind](wide, axis=1)
    check_op(runtime, f"Reduce{kind}", [x, np.array([1])], const=[1], keepdims=0, expected=[[expected.astype(dtype)]])


@everywhere
@pytest.mark.parametrize("dtype", [np.int8, np.uint8, bool])
@pytest.mark.parametrize("kind", ["Max", "Min"])
def test_small_types(runtime: Runtime, kind: str, dtype: type) -> None:
    x = rand(3, 4, dtype=dtype, low=0, high=99)
    how = np.max if kind == "Max" else np.min
    check_op(runtime, f"Reduce{kind}", [x, np.array([1])], const=[1], keepdims=0, expected=[[how(x, axis=1)]])


@everywhere
def test_sums_of_half_precision_are_not_cut(runtime: Runtime) -> None:
    x = np.ones((2, 4000), np.float16)
    check_op(runtime, "ReduceSum", [x, np.array([1])], const=[1], expected=[[np.full((2, 1), 4000, np.float16)]])


@everywhere
def test_int32_sums_stay_int32(runtime: Runtime) -> None:
    x = np.array([[2**31 - 1, 1, 1]], np.int32)
    check_op(runtime, "ReduceSum", [x, np.array([1])], const=[1], expected=[[x.sum(1, keepdims=True, dtype=np.int32)]])


@everywhere
@pytest.mark.parametrize(
    "kind, neutral", [("Sum", 0), ("Prod", 1), ("Max", -np.inf), ("Min", np.inf), ("L2", 0), ("LogSumExp", -np.inf)]
)
@pytest.mark.parametrize("const", [True, False], ids=["const", "run time"])
def test_over_nothing(runtime: Runtime, kind: str, neutral: float, const: bool) -> None:
    x = np.zeros((2, 0, 3), np.float32)
    expected = np.full((2, 1, 3), neutral, np.float32)
    check_op(runtime, f"Reduce{kind}", [x, np.array([1])], const=[1] if const else [], expected=[[expected]])


@everywhere
def test_log_sum_exp_of_large_numbers_and_infinities(runtime: Runtime) -> None:
    inf = np.inf
    x = np.array([[1000, 1001, -inf], [-1000, -1000, -1000], [-inf, -inf, -inf], [inf, 1, 2]], np.float32)
    expected = np.array([1001.3132617, -998.9013877, -inf, inf], np.float32)
    check_op(runtime, "ReduceLogSumExp", [x, np.array([1])], const=[1], keepdims=0, expected=[[expected]])


# softmax -------------------------------------------------------------------------------------------------------------


@everywhere
@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax", "Hardmax"])
@pytest.mark.parametrize("axis", [0, 1, 2, -1, None])
@pytest.mark.parametrize("opset", [11, 13])
def test_softmax(runtime: Runtime, op: str, axis: int, opset: int) -> None:
    given = {} if axis is None else {"axis": axis}
    check_op(runtime, op, [rand(2, 3, 4)], [rand(5, 3, 4)], opset=opset, **given)
    check_op(runtime, op, [rand(2, 3, 4)], [rand(2, 3, 7)], opset=opset, **given)


@everywhere
@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_softmax_of_other_floats(runtime: Runtime, op: str, dtype: type) -> None:
    check_op(runtime, op, [rand(2, 5).astype(dtype)], [rand(4, 5).astype(dtype)])


@everywhere
def test_log_softmax_of_unlikely_classes(runtime: Runtime) -> None:
    check_op(runtime, "LogSoftmax", [np.array([[0, 100, 200], [-np.inf, 0, 1]], np.float32)])


@everywhere
def test_hardmax_takes_the_first_of_equals(runtime: Runtime) -> None:
    check_op(runtime, "Hardmax", [np.array([[1, 3, 3, 0], [2, 2, 2, 2]], np.float32)])


# order ---------------------------------------------------------------------------------------------------------------


@everywhere
@pytest.mark.parametrize("op", ["ArgMax", "ArgMin"])
@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("keep", [0, 1])
@pytest.mark.parametrize("last", [0, 1])
def test_arg_extremes(runtime: Runtime, op: str, axis: int, keep: int, last: int) -> None:
    first, second = ints(4, 9, high=3, low=0), ints(4, 6, high=3, low=0)
    sets = [[first.astype(np.float32)], [second.astype(np.float32)]]
    check_op(runtime, op, *sets, axis=axis, keepdims=keep, select_last_index=last)


@everywhere
@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.int64, np.float16, np.float64])
def test_arg_max_of_types(runtime: Runtime, dtype: type) -> None:
    x = ints(3, 7, low=0, high=5).astype(dtype)
    check_op(runtime, "ArgMax", [x], expected=[[x.argmax(1)[:, None]]], axis=1)


@everywhere
@pytest.mark.parametrize("largest", [0, 1])
@pytest.mark.parametrize("width", [5, 300])
@pytest.mark.parametrize("const", [True, False], ids=["const", "run time"])
def test_top_k_with_ties(runtime: Runtime, largest: int, width: int, const: bool) -> None:
    k = np.array([4])
    first, second = (ints(n, width, low=0, high=3).astype(np.float32) for n in (2, 5))
    order = [np.argsort(-s if largest else s, axis=1, kind="stable")[:, :4] for s in (first, second)]
    expected = [[np.take_along_axis(s, o, 1), o] for s, o in zip((first, second), order)]
    how = {"largest": largest, "outputs": 2, "const": [1] if const else []}
    check_op(runtime, "TopK", [first, k], [second, k], expected=expected, **how)


@everywhere
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("dtype", [np.int64, np.float32])
def test_top_k_along_an_axis(runtime: Runtime, axis: int, dtype: type) -> None:
    first, second = rand(20, 21, 22, dtype=dtype, high=99), rand(20, 23, 24, dtype=dtype, high=99)
    order = [np.argsort(-s, axis=axis, kind="stable").take(range(3), axis) for s in (first, second)]
    expected = [[np.take_along_axis(s, o, axis), o] for s, o in zip((first, second), order)]
    check_op(
        runtime,
        "TopK",
        [first, np.array([3])],
        [second, np.array([3])],
        axis=axis,
        outputs=2,
        const=[1],
        expected=expected,
    )


def test_top_k_whose_indices_nobody_reads_sorts_nothing() -> None:
    b = Builder(PADDLE_2_3)
    values, indices = top_k(b, b.feed("x", DType.FP32, (3, 30)), 7, -1, indices=False)
    assert values.shape == (3, 7) and indices is None
    assert [op.type for op in b.block.ops][-1] == "top_k_v2"


@everywhere
@pytest.mark.parametrize("how", [{}, {"exclusive": 1}, {"reverse": 1}, {"exclusive": 1, "reverse": 1}], ids=str)
@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("const", [True, False], ids=["const", "run time"])
def test_running_sums(runtime: Runtime, how: dict, axis: int, const: bool) -> None:
    a = np.array(axis)
    check_op(runtime, "CumSum", [rand(3, 4), a], [rand(5, 4), a], const=[1] if const else [], **how)
    if const:  # of one element, whatever its sizes are declared as
        check_op(runtime, "CumSum", [rand(1, 1), a], const=[1], **how)
        check_op(runtime, "CumSum", [rand(1, 1), a], [rand(3, 2), a], [rand(2, 1), a], const=[1], **how)


@everywhere
@pytest.mark.parametrize("how", [{}, {"exclusive": 1}, {"reverse": 1}, {"exclusive": 1, "reverse": 1}], ids=str)
@pytest.mark.parametrize("const", [True, False], ids=["const", "run time"])
def test_running_products(runtime: Runtime, how: dict, const: bool) -> None:
    for axis in (0, -1):
        a, sets = np.array(axis), [rand(3, 4), rand(5, 4)]
        expected = []
        for x in sets:
            x = np.flip(x, axis) if "reverse" in how else x
            if "exclusive" in how:
                x = np.concatenate([np.ones_like(x.take([0], axis)), x.take(range(x.shape[axis] - 1), axis)], axis)
            made = x.cumprod(axis)
            expected.append([np.flip(made, axis) if "reverse" in how else made])
        how_ = {**how, "const": [1] if const else [], "opset": 26}
        check_op(runtime, "CumProd", *[[x, a] for x in sets], expected=expected, **how_)


@pytest.mark.parametrize(("op", "opset"), [("CumSum", 14), ("CumProd", 26)])
def test_running_along_two_axes_is_refused(op: str, opset: int) -> None:
    check_refused(CURRENT, op, [rand(3, 4), np.array([0, 1])], opset=opset, match=r"shape \[2\], where ONNX takes one")


@in_runtimes(CURRENT, PADDLE_23)
@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.float64])
def test_running_sums_of_types(runtime: Runtime, dtype: type) -> None:
    x = rand(3, 4, dtype=dtype, high=9)
    check_op(runtime, "CumSum", [x, np.array(1)], const=[1], expected=[[x.cumsum(1, dtype=dtype)]])


@everywhere
def test_determinants(runtime: Runtime) -> None:
    check_op(runtime, "Det", [rand(2, 3, 3)], [rand(5, 3, 3)])
    check_op(runtime, "Det", [rand(4, 4)])


@in_runtimes(*RUNTIMES, *ONEDNN[:2])
@pytest.mark.parametrize(("op", "sign"), [("ReduceMax", -1), ("ReduceMin", 1)])
@pytest.mark.parametrize("keep", [0, 1])
@pytest.mark.parametrize("axes", [[1], [0, 1]], ids=str)
def test_rows_that_are_all_infinite(runtime: Runtime, op: str, sign: int, keep: int, axes: list[int]) -> None:
    """As masked rows of attention are."""
    sets = []
    for rows in (3, 4):
        x = np.full((rows, 5), sign * np.inf, np.float32)
        if axes == [1]:
            x[0, 1] = 2
            x[1] = -x[1]
        sets.append([x])
    check_op(runtime, op, *sets, opset=13, axes=axes, keepdims=keep)
