"""Elementwise arithmetic."""

from __future__ import annotations

import math
from typing import Any, Optional

import numpy as np

from mconv.exporters.onnx.context import Context
from mconv.exporters.onnx.errors import Unsupported
from mconv.exporters.onnx.registry import paddle_op
from mconv.program.dtypes import DType
from mconv.program.value import Value

# Paddle's name in capitals is ONNX's
_SAME = "acos acosh asin asinh atan atanh ceil cos cosh erf exp floor log reciprocal sigmoid sin sinh softsign sqrt tan tanh"
# ONNX Runtime computes these in float32 only
_SINGLE = frozenset({"Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Cosh", "Sinh", "Tan", "Erf", "Softsign"})


def _unary(name: str) -> None:
    op = name.capitalize()

    @paddle_op(name)
    def convert(ctx: Context, X: Value) -> Value:
        if X.dtype.is_int:
            return X if op in ("Ceil", "Floor") else ctx.op(op, ctx.floating(X))
        if X.dtype is DType.FP64 and op in _SINGLE:
            return ctx.cast(ctx.op(op, ctx.cast(X, DType.FP32)), DType.FP64)
        return ctx.op(op, X)


for _name in _SAME.split():
    _unary(_name)


@paddle_op("abs")
def absolute(ctx: Context, X: Value) -> Value:
    return ctx.op("Abs", X)


@paddle_op("sign")
def sign(ctx: Context, X: Value) -> Value:
    return ctx.op("Sign", X)


@paddle_op("square")
def square(ctx: Context, X: Value) -> Value:
    return ctx.op("Mul", X, X)


@paddle_op("rsqrt")
def rsqrt(ctx: Context, X: Value) -> Value:
    return ctx.op("Reciprocal", ctx.op("Sqrt", X))


def _logarithm(base: int) -> None:
    @paddle_op(f"log{base}")
    def convert(ctx: Context, X: Value) -> Value:
        return ctx.op("Div", ctx.op("Log", ctx.floating(X)), math.log(base))


_logarithm(2)
_logarithm(10)


@paddle_op("log1p")
def log1p(ctx: Context, X: Value) -> Value:
    return ctx.op("Log", ctx.op("Add", ctx.floating(X), 1.0))


@paddle_op("expm1")
def expm1(ctx: Context, X: Value) -> Value:
    return ctx.op("Sub", ctx.op("Exp", ctx.floating(X)), 1.0)


@paddle_op("round")
def rounded(ctx: Context, X: Value, *, decimals: int = 0) -> Value:
    """Paddle rounds a half away from 0, from 3.0 on to the even number, as ONNX does."""
    if X.dtype.is_int:
        return X
    x = ctx.op("Mul", X, 10.0**decimals) if decimals else X
    if ctx.exporter.program.version >= 3000000:
        whole = ctx.op("Round", x)
    else:
        whole = ctx.op("Mul", ctx.op("Sign", x), ctx.op("Floor", ctx.op("Add", ctx.op("Abs", x), 0.5)))
    return ctx.op("Div", whole, 10.0**decimals) if decimals else whole


@paddle_op("trunc")
def trunc(ctx: Context, X: Value) -> Value:
    if X.dtype.is_int:
        return X
    return ctx.op("Mul", ctx.op("Sign", X), ctx.op("Floor", ctx.op("Abs", X)))


@paddle_op("scale")
def scale(
    ctx: Context,
    X: Value,
    ScaleTensor: Optional[Value] = None,
    *,
    scale: float = 1.0,
    bias: float = 0.0,
    bias_after_scale: bool = True,
) -> Value:
    (x,) = ctx.wide(X)
    factor: Any = scale if ScaleTensor is None else ctx.cast(ctx.reshape(ScaleTensor, []), x.dtype)
    if x.dtype.is_int and ScaleTensor is None and (scale != int(scale) or bias != int(bias)):
        x = ctx.cast(x, DType.FP32)  # Paddle computes it in the integer's type after a cast of both numbers
        factor, bias = float(int(scale)), float(int(bias))
    if bias and not bias_after_scale:
        x = ctx.op("Add", x, bias)
    if ScaleTensor is not None or scale != 1.0:
        x = ctx.op("Neg", x) if ScaleTensor is None and scale == -1.0 else ctx.op("Mul", x, factor)
    if bias and bias_after_scale:
        x = ctx.op("Add", x, bias)
    return ctx.cast(x, X.dtype)


@paddle_op("increment")
def increment(ctx: Context, X: Value, *, step: float = 1.0) -> Value:
    return ctx.op("Add", X, step)


@paddle_op("pow")
def power(ctx: Context, X: Value, FactorTensor: Optional[Value] = None, *, factor: float = 1.0) -> Value:
    if FactorTensor is not None:
        return ctx.op("Pow", X, ctx.cast(FactorTensor, X.dtype))
    if factor == 2:
        return ctx.op("Mul", X, X)
    if factor == 0.5 and X.dtype.is_float:
        return ctx.op("Sqrt", X)
    if X.dtype.is_int and factor != int(factor):
        return ctx.cast(ctx.op("Pow", ctx.cast(X, DType.FP32), factor), X.dtype)
    return ctx.op("Pow", X, factor)


def aligned(ctx: Context, X: Value, Y: Value, axis: int) -> tuple[Value, Value]:
    """Both operands so that ONNX's broadcasting means what Paddle's does with *axis*."""
    rx, ry = ctx.rank(X), ctx.rank(Y)
    if axis == -1 or rx == ry:
        return X, Y
    small, large = (Y, rx) if rx > ry else (X, ry)
    behind = large - ctx.axis(axis, large) - ctx.rank(small)
    if behind < 0:  # Paddle 1.x: dimensions of 1 at the end do not count
        ones = -behind
        if small.shape is None or any(d != 1 for d in small.shape[-ones:]):
            raise Unsupported(f"axis {axis} of {large} dimensions for {ctx.rank(small)}")
        small = ctx.squeeze(small, list(range(ctx.rank(small) - ones, ctx.rank(small))))
        behind = 0
    first = ctx.rank(small)
    small = ctx.unsqueeze(small, list(range(first, first + behind)))
    return (X, small) if rx > ry else (small, Y)


def _with_bias(ctx: Context, X: Value, Y: Value, y: Value) -> Optional[Value]:
    """The convolution just made, with *y* as its bias, where nothing else reads its result."""
    node = ctx.graph.scope.nodes[-1] if ctx.graph.scope.nodes else None
    if node is None or node.op_type not in ("Conv", "ConvTranspose") or list(node.output) != [X.name]:
        return None
    if len(node.input) != 2 or ctx.uses(X) != 1 or not y.is_const or X.shape is None or y.dtype != X.dtype:
        return None
    channels = X.shape[1]
    if y.shape is None or y.size != channels or y.shape[-len(X.shape) + 1 :] != (channels, *[1] * (len(X.shape) - 2)):
        return None
    bias = Y if Y.rank == 1 else ctx.const(np.asarray(y.const).reshape(-1))
    node.input.append(ctx.graph.name_of(bias))
    return X


@paddle_op("elementwise_add", "grad_add")
def add(ctx: Context, X: Value, Y: Value, *, axis: int = -1) -> Value:
    x, y = aligned(ctx, X, Y, axis)
    if X.dtype is DType.BOOL:
        return ctx.op("Or", x, y)
    return _with_bias(ctx, x, Y, y) or _computed(ctx, "Add", x, y)


def _computed(ctx: Context, op: str, x: Value, y: Value) -> Value:
    a, b = ctx.wide(x, y)
    return ctx.cast(ctx.op(op, a, b), x.dtype)


def _binary(op: str, *names: str) -> None:
    @paddle_op(*names)
    def convert(ctx: Context, X: Value, Y: Value, *, axis: int = -1) -> Value:
        if X.dtype is DType.BOOL and op == "Mul":
            return ctx.op("And", *aligned(ctx, X, Y, axis))
        return _computed(ctx, op, *aligned(ctx, X, Y, axis))


for _op, _names in {
    "Sub": ("elementwise_sub", "minus"),
    "Mul": ("elementwise_mul",),
    "Max": ("elementwise_max",),
    "Min": ("elementwise_min",),
}.items():
    _binary(_op, *_names)


@paddle_op("elementwise_div")
def divide(ctx: Context, X: Value, Y: Value, *, axis: int = -1) -> Value:
    x, y = aligned(ctx, X, Y, axis)
    declared = ctx.declared()
    if X.dtype.is_int and declared is not None and declared.dtype is not None and declared.dtype.is_float:
        return ctx.op("Div", ctx.cast(x, declared.dtype), ctx.cast(y, declared.dtype))
    return _computed(ctx, "Div", x, y)


@paddle_op("elementwise_pow")
def elementwise_pow(ctx: Context, X: Value, Y: Value, *, axis: int = -1) -> Value:
    return _computed(ctx, "Pow", *aligned(ctx, X, Y, axis))


@paddle_op("elementwise_mod")
def mod(ctx: Context, X: Value, Y: Value, *, axis: int = -1) -> Value:
    """The remainder that has the sign of the divisor."""
    x, y = aligned(ctx, X, Y, axis)
    return _modulo(ctx, x, y)


def _modulo(ctx: Context, x: Value, y: Value) -> Value:
    if x.dtype.is_int:
        return _computed(ctx, "Mod", x, y)
    rest = ctx.op("Mod", x, y, fmod=1)
    other = ctx.op("Less", ctx.op("Mul", rest, y), 0.0)
    return ctx.op("Where", other, ctx.op("Add", rest, y), rest)


@paddle_op("elementwise_floordiv")
def floordiv(ctx: Context, X: Value, Y: Value, *, axis: int = -1) -> Value:
    """Paddle rounds down from 2.5 on, towards 0 before."""
    x, y = aligned(ctx, X, Y, axis)
    if not x.dtype.is_int:
        return ctx.op("Floor", ctx.op("Div", x, y))
    if not ctx.exporter.has_0d:
        return _computed(ctx, "Div", x, y)
    a, b = ctx.wide(x, y)
    return ctx.cast(ctx.op("Div", ctx.op("Sub", a, ctx.op("Mod", a, b)), b), x.dtype)


@paddle_op("trunc_divide")
def trunc_divide(ctx: Context, X: Value, Y: Value) -> Value:
    return _computed(ctx, "Div", X, Y)


def _of_numbers(name: str, op: str) -> None:
    @paddle_op(f"elementwise_{name}")
    def convert(ctx: Context, X: Value, Y: Value, *, axis: int = -1) -> Value:
        """What is no number gives way to the other operand."""
        x, y = aligned(ctx, X, Y, axis)
        if not x.dtype.is_float:
            return _computed(ctx, op, x, y)
        x, y = (
            ctx.op("Where", ctx.op("IsNaN", x), y, x),
            ctx.op("Where", ctx.op("IsNaN", y), x, y),
        )
        return ctx.op(op, x, y)


_of_numbers("fmax", "Max")
_of_numbers("fmin", "Min")


@paddle_op("elementwise_heaviside")
def heaviside(ctx: Context, X: Value, Y: Value, *, axis: int = -1) -> Value:
    x, y = aligned(ctx, X, Y, axis)
    step = ctx.cast(ctx.op("Greater", x, 0), x.dtype)
    made = ctx.op("Where", ctx.op("Equal", x, 0), y, step)
    return ctx.op("Where", ctx.op("IsNaN", x), x, made) if x.dtype.is_float else made


@paddle_op("clip")
def clip(
    ctx: Context,
    X: Value,
    Min: Optional[Value] = None,
    Max: Optional[Value] = None,
    *,
    min: float = 0.0,
    max: float = 0.0,
) -> Value:
    def limit(tensor: Optional[Value], number: float) -> Value:
        if tensor is not None:
            return ctx.cast(ctx.scalar(tensor), X.dtype)
        return ctx.const(_in_range(number, X.dtype), X.dtype)

    return ctx.op("Clip", X, limit(Min, min), limit(Max, max))


def _in_range(number: float, dtype: DType) -> Any:
    if dtype.is_float:
        return number
    info = np.iinfo(dtype.numpy)
    return int(np.clip(number, info.min, info.max)) if abs(number) < 9e18 else (info.max if number > 0 else info.min)


@paddle_op("sum")
def total(ctx: Context, X: list[Value]) -> Value:
    if len(X) == 1:
        return X[0]
    if X[0].dtype.is_float:
        return ctx.op("Sum", *X)
    out = X[0]
    for x in X[1:]:
        out = _computed(ctx, "Add", out, x)
    return out


@paddle_op("atan2")
def atan2(ctx: Context, X1: Value, X2: Value) -> Value:
    y, x = ctx.floating(X1), ctx.floating(X2)
    base = ctx.op("Atan", ctx.op("Div", y, x))
    pi = ctx.const(math.pi, x.dtype)
    turn = ctx.op("Where", ctx.op("Less", y, 0.0), ctx.op("Neg", pi), pi)
    left = ctx.op("Where", ctx.op("Less", x, 0.0), ctx.op("Add", base, turn), base)
    on_axis = ctx.op("Mul", ctx.op("Sign", y), math.pi / 2)
    return ctx.op("Where", ctx.op("Equal", x, 0.0), on_axis, left)


@paddle_op("lerp")
def lerp(ctx: Context, X: Value, Y: Value, Weight: Value) -> Value:
    return ctx.op("Add", X, ctx.op("Mul", Weight, ctx.op("Sub", Y, X)))


@paddle_op("addmm")
def addmm(ctx: Context, Input: Value, X: Value, Y: Value, *, Alpha: float = 1.0, Beta: float = 1.0) -> Value:
    return ctx.op("Gemm", X, Y, Input, alpha=Alpha, beta=Beta)


@paddle_op("copysign", outputs=["out"])
def copysign(ctx: Context, x: Value, y: Value) -> Value:
    size = ctx.op("Abs", x)
    return ctx.op("Where", ctx.op("Less", y, 0), ctx.op("Neg", size), size)
