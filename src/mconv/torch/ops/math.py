"""Functions of one number, element by element."""

from __future__ import annotations

import math
from typing import Callable

import numpy as np

from mconv.emit import activation, arithmetic, elementwise, scale, unary, where
from mconv.emit.complex import angle as complex_angle
from mconv.emit.elementwise import compare, number
from mconv.program.dtypes import DType
from mconv.program.value import Value
from mconv.torch.context import AtenContext, Number
from mconv.torch.ops.arithmetic import alike, of_one
from mconv.torch.registry import aten_op


def _function(name: str) -> Callable[[AtenContext, Value], Value]:
    return lambda ctx, x: unary(ctx, name, x)


def _rounded(emit: Callable[[AtenContext, Value], Value]) -> Callable[[AtenContext, Value], Value]:
    """Integers are whole already."""
    return lambda ctx, x: emit(ctx, x) if x.dtype.is_float else x


# ATen's name is Paddle's
for _name in (
    "abs", "acos", "acosh", "asin", "asinh", "atan", "atanh", "cos", "cosh", "digamma", "erf", "erfinv", "exp", "expm1",
    "lgamma", "log", "log10", "log1p", "log2", "reciprocal", "rsqrt", "sign", "sin", "sinh", "sqrt", "square", "tan",
):  # fmt: skip
    of_one(_function(_name), f"{_name}.default")
for _name in ("ceil", "floor", "trunc"):
    of_one(_rounded(_function(_name)), f"{_name}.default")
of_one(_rounded(activation.round_half_even), "round.default")
of_one(complex_angle, "angle.default")
of_one(elementwise.negative, "neg.default")


@aten_op("round.decimals")
def round_decimals(ctx: AtenContext, self: Value, decimals: int = 0) -> Value:
    if not self.dtype.is_float:
        return self
    factor = number(ctx, 10.0 ** abs(decimals), self.dtype)
    there, back = ("mul", "div") if decimals >= 0 else ("div", "mul")
    return arithmetic(ctx, back, activation.round_half_even(ctx, arithmetic(ctx, there, self, factor)), factor)


@aten_op("exp2.default")
def exp2(ctx: AtenContext, self: Value) -> Value:
    x = ctx.cast(self, ctx.out_dtype)
    return elementwise.binary(ctx, "elementwise_pow", alike(ctx, 2.0, x), x)


@aten_op("erfc.default")
def erfc(ctx: AtenContext, self: Value) -> Value:
    """In double precision: 1 - erf would lose the digits of its tail in float32."""
    x = ctx.cast(self, ctx.out_dtype)
    wide = unary(ctx, "erf", ctx.cast(x, DType.FP64))
    return ctx.cast(scale(ctx, wide, -1.0, 1.0), x.dtype)


def _as_float(ctx: AtenContext, x: Value) -> Value:
    return x if x.dtype.is_float else ctx.cast(x, DType.FP32)


@aten_op("isnan.default")
def isnan(ctx: AtenContext, self: Value) -> Value:
    return elementwise.is_nan(ctx, _as_float(ctx, self))


@aten_op("isinf.default")
def isinf(ctx: AtenContext, self: Value) -> Value:
    return ctx.op("isinf_v2", X=_as_float(ctx, self), result=(DType.BOOL, self.shape))


@aten_op("nan_to_num.default")
def nan_to_num(
    ctx: AtenContext,
    self: Value,
    nan: float | None = None,
    posinf: float | None = None,
    neginf: float | None = None,
) -> Value:
    if not self.dtype.is_float:
        return self
    limits = np.finfo(self.dtype.numpy)
    x = where(ctx, elementwise.is_nan(ctx, self), number(ctx, nan or 0.0, self.dtype), self)
    for infinity, value in ((math.inf, posinf), (-math.inf, neginf)):
        given = float(limits.max if infinity > 0 else limits.min) if value is None else value
        x = where(ctx, compare(ctx, "equal", x, number(ctx, infinity, x.dtype)), number(ctx, given, x.dtype), x)
    return x


@aten_op("logit.default")
def logit(ctx: AtenContext, self: Value, eps: float | None = None) -> Value:
    x = ctx.cast(self, ctx.out_dtype)
    if eps is not None:
        x = activation.clip(ctx, x, number(ctx, eps, x.dtype), number(ctx, 1 - eps, x.dtype))
    rest = scale(ctx, x, -1.0, 1.0)
    return unary(ctx, "log", arithmetic(ctx, "div", x, rest))


@aten_op("clamp.default", "clip.default", "clamp.Tensor", "clip.Tensor")
@aten_op("clamp_min.default", "clamp_min.Tensor", "clamp_max.default", "clamp_max.Tensor")
def clamp(ctx: AtenContext, self: Value, min: Number | Value | None = None, max: Number | Value | None = None) -> Value:
    x = ctx.cast(self, ctx.out_dtype)
    low, high = (None if v is None else ctx.tensor(v, x.dtype) for v in (min, max))
    return activation.clip(ctx, x, low, high)


@aten_op("signbit.default")
def signbit(ctx: AtenContext, self: Value) -> Value:
    return elementwise.signbit(ctx, self)
