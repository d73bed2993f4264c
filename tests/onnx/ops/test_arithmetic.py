"""Arithmetic, comparison, logic and selection on every type, with broadcasting and dynamic sizes."""

from __future__ import annotations

import numpy as np
import pytest

from tests.onnx.checks import (
    CURRENT,
    ONEDNN,
    PADDLE_23,
    Runtime,
    check_op,
    check_refused,
    everywhere,
    in_runtimes,
    ints,
    rand,
)

NAN, INF = np.nan, np.inf
ALL = [np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.float16, np.float32, np.float64]


@everywhere
@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.float32, np.float64])
@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div", "Max", "Min"])
@pytest.mark.parametrize(
    "shapes",
    [
        ((2, 3, 4), (4,), (5, 3, 4), (4,)),
        ((4,), (2, 3, 4), (4,), (5, 3, 4)),
        ((2, 3), (), (4, 3), ()),
        ((2, 1), (1, 3), (4, 1), (1, 3)),
    ],
    ids=str,
)
def test_broadcasting(runtime: Runtime, op: str, dtype: type, shapes: tuple) -> None:
    a, b, c, d = (rand(*s, dtype=dtype, low=1, high=9, seed=i) for i, s in enumerate(shapes))
    check_op(runtime, op, [a, b], [c, d])


@in_runtimes(*ONEDNN)
@pytest.mark.parametrize("const", [(), (0,), (1,)], ids=["inputs", "first constant", "second constant"])
@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div", "Max", "Pow"])
def test_broadcasting_with_onednn(runtime: Runtime, op: str, const: tuple) -> None:
    """Where the first operand is repeated, 2.3's oneDNN takes it to lie otherwise than it does."""
    pairs = [((2, 1), (2, 3)), ((2, 1, 1), (2, 3, 4)), ((6,), (2, 3, 4, 6)), ((2, 3, 1, 5), (2, 3, 4, 5))]
    pairs += [((2, 3, 1, 1, 1), (2, 3, 2, 2, 3)), ((2, 3, 1, 5), (2, 3, 4, 1)), ((1, 1, 4, 1), (2, 1, 4, 5))]
    for small, large in pairs:
        a, b = rand(*small, low=0.5), rand(*large, low=0.5, seed=1)
        check_op(runtime, op, [a, b], const=const)
        check_op(runtime, op, [b, a], const=const)


@everywhere
@pytest.mark.parametrize("dtype", ALL)
@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div"])
def test_every_type(runtime: Runtime, op: str, dtype: type) -> None:
    a, b = (rand(2, 3, dtype=dtype, low=1, high=7, seed=i) for i in range(2))
    a = np.maximum(a, b) if op == "Sub" else a
    expected = {"Add": a + b, "Sub": a - b, "Mul": a * b, "Div": a // b if a.dtype.kind in "iu" else a / b}[op]
    check_op(runtime, op, [a, b], expected=[[expected]])


@everywhere
@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.uint16, np.int16, np.int32, np.uint32])
@pytest.mark.parametrize("op", ["Add", "Sub", "Mul"])
def test_integers_wrap_around(runtime: Runtime, op: str, dtype: type) -> None:
    limits = np.iinfo(dtype)
    a = np.array([limits.max, limits.min, limits.max, 100], dtype)
    b = np.array([limits.max, limits.max, 2, 3], dtype)
    expected = {"Add": a + b, "Sub": a - b, "Mul": a * b}[op]
    check_op(runtime, op, [a, b], expected=[[expected]])


@everywhere
@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.int64])
def test_integer_division_truncates(runtime: Runtime, dtype: type) -> None:
    a = np.array([7, -7, 7, -7, 6, -6, 0], dtype)
    b = np.array([2, 2, -2, -2, 3, 3, -5], dtype)
    expected = np.array([3, -3, -3, 3, 2, -2, 0], dtype)
    check_op(runtime, "Div", [a, b], [np.tile(a, 2), np.tile(b, 2)], expected=[[expected], [np.tile(expected, 2)]])


@everywhere
@pytest.mark.parametrize("const", [(), (0,), (1,)], ids=["inputs", "first constant", "second constant"])
@pytest.mark.parametrize("op", ["Max", "Min"])
def test_extremes_of_nan(runtime: Runtime, op: str, const: tuple) -> None:
    a = np.array([NAN, 1, NAN, INF, -1, NAN], np.float32)
    b = np.array([1, NAN, NAN, NAN, 2, -INF], np.float32)
    check_op(runtime, op, [a, b], const=const, expected=[[(np.maximum if op == "Max" else np.minimum)(a, b)]])


@everywhere
@pytest.mark.parametrize("op", ["Sum", "Max", "Min", "Mean"])
@pytest.mark.parametrize("count", [1, 3, 4])
def test_any_number_of_operands(runtime: Runtime, op: str, count: int) -> None:
    first = [rand(2, 3), rand(3, seed=1), rand(2, 1, seed=2), rand(1, seed=3)][:count]
    second = [rand(4, 3), rand(3, seed=1), rand(4, 1, seed=2), rand(1, seed=3)][:count]
    check_op(runtime, op, first, second)


@everywhere
@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0, 2.0, 3.0, -1.0, -0.5, 2.2])
@pytest.mark.parametrize("const", [True, False], ids=["const", "input"])
def test_pow(runtime: Runtime, exponent: float, const: bool) -> None:
    y = np.array(exponent, np.float32)
    check_op(runtime, "Pow", [rand(2, 3, low=0.1), y], [rand(4, 3, low=0.1), y], const=[1] if const else [])


@everywhere
@pytest.mark.parametrize(
    "types",
    [
        (np.int32, np.int32),
        (np.int64, np.int64),
        (np.int64, np.float32),
        (np.float32, np.int64),
        (np.int32, np.float32),
    ],
)
@pytest.mark.parametrize("const", [True, False], ids=["const", "input"])
def test_pow_of_integers(runtime: Runtime, types: tuple, const: bool) -> None:
    x = np.array([-5, -2, 0, 1, 3, 7]).astype(types[0])
    y = np.array(3).astype(types[1])
    check_op(runtime, "Pow", [x, y], [np.tile(x, 2), y], const=[1] if const else [])


@everywhere
def test_integer_powers_are_exact(runtime: Runtime) -> None:
    x = np.array([3037000499, -2147483647, 94906267], np.int64)
    check_op(runtime, "Pow", [x, np.array(2, np.int64)], const=[1], expected=[[x * x]])


@everywhere
@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.int64])
@pytest.mark.parametrize("fmod", [0, 1])
def test_mod_of_integers(runtime: Runtime, dtype: type, fmod: int) -> None:
    a = np.array([-4, 7, 5, 4, -7, 8, -6, 0], dtype)
    b = np.array([2, -3, 8, -2, 3, 5, 3, -3], dtype)
    check_op(runtime, "Mod", [a, b], [np.tile(a, 2), np.tile(b, 2)], fmod=fmod)


@everywhere
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_mod_of_floats(runtime: Runtime, dtype: type) -> None:
    a = np.array([-4.3, 7.2, 5.0, 4.3, -7.2, 8.0, 6.5], dtype)
    b = np.array([2.1, -3.4, 8.0, -2.1, 3.4, 5.0, INF], dtype)
    check_op(runtime, "Mod", [a, b], expected=[[np.fmod(a, b)]], fmod=1)


@everywhere
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.uint64])
@pytest.mark.parametrize("direction", ["LEFT", "RIGHT"])
@pytest.mark.parametrize("const", [True, False], ids=["const", "input"])
def test_bit_shift(runtime: Runtime, dtype: type, direction: str, const: bool) -> None:
    x = np.array([1, 200, 255, 3, 128, 77], dtype)
    bits = np.array([1, 2, 7, 0, 1, 5], dtype)
    expected = np.left_shift(x, bits) if direction == "LEFT" else np.right_shift(x, bits)
    check_op(runtime, "BitShift", [x, bits], expected=[[expected]], const=[1] if const else [], direction=direction)


@everywhere
@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.int64])
@pytest.mark.parametrize("direction", ["LEFT", "RIGHT"])
@pytest.mark.parametrize("const", [True, False], ids=["const", "input"])
def test_bit_shift_of_signed_numbers(runtime: Runtime, dtype: type, direction: str, const: bool) -> None:
    info, width = np.iinfo(dtype), 8 * np.dtype(dtype).itemsize
    x, bits = (v.reshape(-1) for v in np.meshgrid(
        np.array([0, 1, -1, 77, -77, info.max, info.min, info.max // 3], dtype),
        np.array([0, 1, 3, width - 2, width - 1, width, -1, info.max, info.min], dtype),
    ))  # fmt: skip
    inside = (bits >= 0) & (bits < width)
    moved = (np.left_shift if direction == "LEFT" else np.right_shift)(x, np.where(inside, bits, dtype(0)))
    beyond = np.where((x < 0) & (direction == "RIGHT"), dtype(-1), dtype(0))
    expected = np.where(inside, moved, beyond).astype(dtype)
    check_op(
        runtime, "BitShift", [x, bits], expected=[[expected]], const=[1] if const else [], direction=direction, opset=28
    )


@everywhere
@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.uint16, np.int32, np.uint32, np.int64])
@pytest.mark.parametrize("op", ["BitwiseAnd", "BitwiseOr", "BitwiseXor"])
def test_bits(runtime: Runtime, op: str, dtype: type) -> None:
    check_op(runtime, op, [ints(2, 3, low=0, high=99, dtype=dtype), ints(3, low=0, high=99, dtype=dtype, seed=1)])


@everywhere
@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.uint16, np.int32, np.uint32, np.int64])
def test_bits_inverted(runtime: Runtime, dtype: type) -> None:
    x = ints(2, 3, low=0, high=99, dtype=dtype)
    check_op(runtime, "BitwiseNot", [x], expected=[[~x]])


def test_inverted_uint64_is_refused() -> None:
    check_refused(CURRENT, "BitwiseNot", [np.array([1], np.uint64)], match="uint64")


@everywhere
@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.int64, np.float16, np.float32, np.float64])
@pytest.mark.parametrize("op", ["Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual"])
def test_comparison(runtime: Runtime, op: str, dtype: type) -> None:
    a, b = ints(3, 4, low=0, high=3, dtype=dtype), ints(4, low=0, high=3, dtype=dtype, seed=1)
    how = {
        "Equal": np.equal,
        "Less": np.less,
        "Greater": np.greater,
        "LessOrEqual": np.less_equal,
        "GreaterOrEqual": np.greater_equal,
    }
    c = np.tile(a, (2, 1))
    check_op(runtime, op, [a, b], [c, b], types=[9], expected=[[how[op](a, b)], [how[op](c, b)]])


@everywhere
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equality_is_exact(runtime: Runtime, dtype: type) -> None:
    a = np.array([NAN, INF, -INF, 1e-9, 0, 1 + 1e-7], dtype)
    b = np.array([NAN, INF, INF, 0, -0.0, 1], dtype)
    check_op(runtime, "Equal", [a, b], types=[9], expected=[[a == b]])


@everywhere
def test_truth_values(runtime: Runtime) -> None:
    a, b = rand(3, 4, dtype=bool), rand(4, dtype=bool, seed=1)
    for op in ("And", "Or", "Xor", "Equal"):
        check_op(runtime, op, [a, b], [np.tile(a, (2, 1)), b], types=[9])
    check_op(runtime, "Not", [a], types=[9])


@everywhere
@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.int64, np.float16, np.float32, np.float64, bool])
def test_where(runtime: Runtime, dtype: type) -> None:
    x, y = rand(2, 3, dtype=dtype, low=0, high=9), rand(1, dtype=dtype, low=0, high=9, seed=1)
    condition = rand(2, 3, dtype=bool)
    kinds = [onnx_type(x)]
    more = [np.tile(condition, (2, 1)), np.tile(x, (2, 1)), y]
    check_op(
        runtime,
        "Where",
        [condition, x, y],
        more,
        types=kinds,
        expected=[[np.where(condition, x, y)], [np.where(*more)]],
    )


def onnx_type(x: np.ndarray) -> int:
    from onnx import helper

    return helper.np_dtype_to_tensor_dtype(x.dtype)


@everywhere
def test_where_broadcasts_with_nan_left_out(runtime: Runtime) -> None:
    x, y = np.array([[NAN, 1, INF]], np.float32), np.array([[2.0], [3.0]], np.float32)
    check_op(runtime, "Where", [np.array([False, True, True]), x, y], types=[1])


# before opset 7 ------------------------------------------------------------------------------------------------------


@in_runtimes(CURRENT, PADDLE_23)
@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div", "Pow"])
@pytest.mark.parametrize("axis, shape", [(1, (3, 4)), (0, (2,)), (1, (3,)), (None, (4, 5)), (-2, (4, 5)), (None, ())])
def test_broadcast_from_an_axis(runtime: Runtime, op: str, axis: int, shape: tuple) -> None:
    a, b = rand(2, 3, 4, 5, low=1), rand(*shape, low=1, seed=1)
    where = {} if axis is None else {"axis": axis}
    start = 4 - len(shape) if axis is None else axis % 4
    aligned = b.reshape([*shape, *[1] * (4 - start - len(shape))])
    how = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide, "Pow": np.power}[op]
    check_op(runtime, op, [a, b], opset=6, expected=[[how(a, aligned)]], broadcast=1, **where)


@in_runtimes(CURRENT, PADDLE_23)
@pytest.mark.parametrize("op", ["And", "Or", "Xor"])
def test_logic_from_an_axis(runtime: Runtime, op: str) -> None:
    a, b = rand(2, 3, 4, dtype=bool), rand(3, dtype=bool, seed=1)
    how = {"And": np.logical_and, "Or": np.logical_or, "Xor": np.logical_xor}[op]
    check_op(runtime, op, [a, b], opset=1, expected=[[how(a, b[:, None])]], broadcast=1, axis=1, types=[9])
