"""Comparisons, logic, and bits."""

from __future__ import annotations

from typing import Any, Callable, Optional

from mconv.exporters.onnx.context import Context
from mconv.exporters.onnx.errors import Unsupported
from mconv.exporters.onnx.ops.math import aligned
from mconv.exporters.onnx.registry import paddle_op
from mconv.program.dtypes import DType
from mconv.program.schemas import attributes_of
from mconv.program.value import Value


def _compared(ctx: Context, op: str, x: Value, y: Value) -> Value:
    if op != "Equal" or x.dtype is not DType.BOOL:
        x, y = ctx.wide(x, y)
    return ctx.op(op, x, y)


def _comparison(name: str, op: str, negated: bool = False, strict: str = "") -> None:
    """Args: strict: what is said beside ``Equal`` before opset 12, which *op* is of."""

    @paddle_op(name)
    def convert(ctx: Context, X: Value, Y: Value, *, axis: int = -1) -> Value:
        x, y = aligned(ctx, X, Y, axis)
        if strict and ctx.opset < 12:
            return ctx.op("Or", _compared(ctx, strict, x, y), _compared(ctx, "Equal", x, y))
        made = _compared(ctx, op, x, y)
        return ctx.op("Not", made) if negated else made


_comparison("equal", "Equal")
_comparison("not_equal", "Equal", negated=True)
_comparison("less_than", "Less")
_comparison("greater_than", "Greater")
_comparison("less_equal", "LessOrEqual", strict="Less")
_comparison("greater_equal", "GreaterOrEqual", strict="Greater")


@paddle_op("equal_all")
def equal_all(ctx: Context, X: Value, Y: Value, *, axis: int = -1) -> Value:
    same = ctx.cast(_compared(ctx, "Equal", X, Y), DType.INT32)
    return ctx.op("Equal", ctx.reduce("ReduceSum", ctx.op("Sub", ctx.const(1, DType.INT32), same), None), 0)


def _bits(name: str) -> None:
    kind = name.capitalize()

    @paddle_op(f"logical_{name}")
    def of_truth(ctx: Context, X: Value, Y: Value, *, axis: int = -1) -> Value:
        x, y = aligned(ctx, X, Y, axis)
        return ctx.op(kind, ctx.cast(x, DType.BOOL), ctx.cast(y, DType.BOOL))

    @paddle_op(f"bitwise_{name}")
    def of_numbers(ctx: Context, X: Value, Y: Value, *, axis: int = -1) -> Value:
        x, y = aligned(ctx, X, Y, axis)
        return ctx.op(kind if X.dtype is DType.BOOL else f"Bitwise{kind}", x, y)


for _name in ("and", "or", "xor"):
    _bits(_name)


@paddle_op("logical_not")
def logical_not(ctx: Context, X: Value) -> Value:
    return ctx.op("Not", ctx.cast(X, DType.BOOL))


@paddle_op("bitwise_not")
def bitwise_not(ctx: Context, X: Value) -> Value:
    if X.dtype is DType.BOOL:
        return ctx.op("Not", X)
    if X.dtype is DType.UINT8:
        return ctx.op("BitwiseNot", X)
    return ctx.cast(ctx.op("Sub", ctx.op("Neg", ctx.wide(X)[0]), 1), X.dtype)  # two's complement


def _test(name: str, of_integers: bool, test: Callable[[Context, Value], Value]) -> None:
    @paddle_op(f"{name}_v2", name)
    def convert(ctx: Context, X: Value) -> Value:
        return test(ctx, X) if X.dtype.is_float else ctx.full_like(X, of_integers, DType.BOOL)


_test("isnan", False, lambda ctx, x: ctx.op("IsNaN", x))
_test("isinf", False, lambda ctx, x: ctx.op("IsInf", x))
_test("isfinite", True, lambda ctx, x: ctx.op("Not", ctx.op("Or", ctx.op("IsNaN", x), ctx.op("IsInf", x))))


def _close(ctx: Context, x: Value, y: Value, rtol: float, atol: float, equal_nan: bool) -> Value:
    limit = ctx.op("Add", ctx.op("Mul", ctx.op("Abs", y), rtol), atol)
    far = ctx.op("Greater", ctx.op("Abs", ctx.op("Sub", x, y)), limit)
    nan = ctx.op("Or", ctx.op("IsNaN", x), ctx.op("IsNaN", y))
    close = ctx.op("And", ctx.op("Not", far), ctx.op("Not", nan))
    infinite = ctx.op("Or", ctx.op("IsInf", x), ctx.op("IsInf", y))
    close = ctx.op("And", close, ctx.op("Not", infinite))
    close = ctx.op("Or", close, ctx.op("Equal", x, y))
    if equal_nan:
        close = ctx.op("Or", close, ctx.op("And", ctx.op("IsNaN", x), ctx.op("IsNaN", y)))
    return close


@paddle_op("isclose")
def isclose(
    ctx: Context,
    Input: Value,
    Other: Value,
    Rtol: Optional[Value] = None,
    Atol: Optional[Value] = None,
    *,
    rtol: str = "1e-05",
    atol: str = "1e-08",
    equal_nan: bool = False,
) -> Value:
    r = float(rtol) if Rtol is None else ctx.number(Rtol, "rtol")
    a = float(atol) if Atol is None else ctx.number(Atol, "atol")
    return _close(ctx, Input, Other, r, a, equal_nan)


@paddle_op("allclose")
@attributes_of(isclose)
def allclose(
    ctx: Context, Input: Value, Other: Value, Rtol: Optional[Value] = None, Atol: Optional[Value] = None, **limits: Any
) -> Value:
    close = isclose(ctx, Input, Other, Rtol, Atol, **limits)
    missed = ctx.cast(ctx.op("Not", close), DType.INT32)
    return ctx.op("Equal", ctx.reduce("ReduceSum", missed, None), 0)


@paddle_op("is_empty")
def is_empty(ctx: Context, X: Value) -> Value:
    return ctx.op("Equal", ctx.op("Size", X), 0)


def _shift(name: str, direction: str) -> None:
    @paddle_op(name, outputs=["out"])
    def convert(ctx: Context, x: Value, y: Value, *, is_arithmetic: bool = True) -> Value:
        """By powers of two: ``BitShift`` is of unsigned integers only."""
        if not is_arithmetic:
            raise Unsupported("a logical shift")
        a, b = ctx.wide(x, y)
        factor = ctx.op("Pow", ctx.const(2, a.dtype), b)
        if direction == "LEFT":
            return ctx.cast(ctx.op("Mul", a, factor), x.dtype)
        rest = ctx.op("Mod", a, factor)
        return ctx.cast(ctx.op("Div", ctx.op("Sub", a, rest), factor), x.dtype)


_shift("bitwise_left_shift", "LEFT")
_shift("bitwise_right_shift", "RIGHT")
