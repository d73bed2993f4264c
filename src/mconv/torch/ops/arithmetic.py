"""Arithmetic of two and more operands, any of which may be a number."""

from __future__ import annotations

from typing import Callable, Optional, Union

import numpy as np

from mconv.emit import arithmetic, divisors, scale, unary, where
from mconv.emit import integer as whole
from mconv.emit.elementwise import copysign as with_sign_of
from mconv.emit.elementwise import is_nan
from mconv.emit.known import single
from mconv.emit.shape import expand_to
from mconv.program.dtypes import DType
from mconv.program.value import Value
from mconv.torch.context import AtenContext, Number
from mconv.torch.registry import aten_op

Operand = Union[Value, Number]


def operands(ctx: AtenContext, a: Operand, b: Operand) -> tuple[Value, Value]:
    """Both in the type of the node's result."""
    return ctx.tensor(a, ctx.out_dtype), ctx.tensor(b, ctx.out_dtype)


def times(ctx: AtenContext, x: Value, factor: Operand) -> Value:
    """*x* by a factor in its type; itself by the number 1."""
    if isinstance(factor, (int, float)) and factor == 1:
        return x
    return arithmetic(ctx, "mul", x, ctx.tensor(factor, x.dtype))


def _sum(kind: str) -> None:
    @aten_op(f"{kind}.Tensor", f"{kind}.Scalar")
    def convert(ctx: AtenContext, self: Operand, other: Operand, alpha: Number = 1) -> Value:
        x, y = operands(ctx, self, other)
        return arithmetic(ctx, kind, x, times(ctx, y, alpha))


_sum("add")
_sum("sub")


@aten_op("rsub.Tensor", "rsub.Scalar")
def rsub(ctx: AtenContext, self: Operand, other: Operand, alpha: Number = 1) -> Value:
    x, y = operands(ctx, self, other)
    x = times(ctx, x, alpha)
    if y.is_const and y.size == 1 and x.dtype is DType.FP32 and np.isfinite(np.asarray(y.const)).all():
        return scale(ctx, x, -1.0, float(single(y)))
    return arithmetic(ctx, "sub", y, x)


def of_one(emit: Callable[[AtenContext, Value], Value], *overloads: str) -> None:
    """Register what is computed of one operand, in the type of the result: integers become floats where torch makes them."""

    @aten_op(*overloads)
    def convert(ctx: AtenContext, self: Value) -> Value:
        return emit(ctx, ctx.cast(self, ctx.out_dtype))


def _binary(emit: Callable[[AtenContext, Value, Value], Value], *overloads: str) -> None:
    @aten_op(*overloads)
    def convert(ctx: AtenContext, self: Operand, other: Operand) -> Value:
        return emit(ctx, *operands(ctx, self, other))


def _arithmetic(kind: str) -> Callable[[AtenContext, Value, Value], Value]:
    return lambda ctx, x, y: arithmetic(ctx, kind, x, y)


_binary(_arithmetic("mul"), "mul.Tensor", "mul.Scalar")
_binary(_arithmetic("div"), "div.Tensor", "div.Scalar")
_binary(_arithmetic("max"), "maximum.default", "max.other")
_binary(_arithmetic("min"), "minimum.default", "min.other")
_binary(whole.floor_divide, "floor_divide.default", "floor_divide.Scalar")
_binary(whole.modulo, "remainder.Tensor", "remainder.Scalar", "remainder.Scalar_Tensor")
_binary(whole.remainder, "fmod.Tensor", "fmod.Scalar")
_binary(with_sign_of, "copysign.Tensor", "copysign.Scalar")
_binary(divisors.gcd, "gcd.default")
_binary(divisors.lcm, "lcm.default")


_DIVISIONS = {None: _arithmetic("div"), "floor": whole.floor_divide, "trunc": whole.trunc_divide}


@aten_op("div.Tensor_mode", "div.Scalar_mode")
def div_mode(ctx: AtenContext, self: Operand, other: Operand, rounding_mode: Optional[str]) -> Value:
    return _DIVISIONS[rounding_mode](ctx, *operands(ctx, self, other))


def _ignoring_nan(name: str, kind: str) -> None:
    @aten_op(f"{name}.default")
    def convert(ctx: AtenContext, self: Value, other: Value) -> Value:
        x, y = operands(ctx, self, other)
        made = arithmetic(ctx, kind, x, y)
        if not made.dtype.is_float:
            return made
        return where(ctx, is_nan(ctx, x), y, where(ctx, is_nan(ctx, y), x, made))


_ignoring_nan("fmax", "max")
_ignoring_nan("fmin", "min")


def alike(ctx: AtenContext, number: Number, y: Value) -> Value:
    """A number as a tensor of as many dimensions as *y*, and of its type."""
    return ctx.constant(np.full([1] * (y.rank or 0), number), y.dtype)


@aten_op("ldexp.Tensor")
def ldexp(ctx: AtenContext, self: Value, other: Value) -> Value:
    x, y = operands(ctx, self, other)
    return arithmetic(ctx, "mul", x, whole.power(ctx, alike(ctx, 2, y), y))


@aten_op("atan2.default")
def atan2(ctx: AtenContext, self: Value, other: Value) -> Value:
    x, y = operands(ctx, self, other)
    if x.shape != y.shape:
        x, y = (expand_to(ctx, v, ctx.out_shape) for v in (x, y))
    return ctx.op("atan2", X1=x, X2=y)


@aten_op("hypot.default")
def hypot(ctx: AtenContext, self: Value, other: Value) -> Value:
    x, y = operands(ctx, self, other)
    return unary(ctx, "sqrt", arithmetic(ctx, "add", unary(ctx, "square", x), unary(ctx, "square", y)))


# powers --------------------------------------------------------------------------------------------------------------

# exponent → what computes it
_POWERS: dict[float, Callable[[AtenContext, Value], Value]] = {
    0.5: lambda ctx, x: unary(ctx, "sqrt", x),
    -0.5: lambda ctx, x: unary(ctx, "rsqrt", x),
    -1: lambda ctx, x: unary(ctx, "reciprocal", x),
    1: lambda ctx, x: x,
    2: lambda ctx, x: unary(ctx, "square", x),
}


@aten_op("pow.Tensor_Scalar")
def pow_scalar(ctx: AtenContext, self: Value, exponent: Number) -> Value:
    x = ctx.cast(self, ctx.out_dtype)
    if x.dtype.is_float and exponent in _POWERS:
        return _POWERS[exponent](ctx, x)
    return whole.power(ctx, x, ctx.tensor(exponent, x.dtype))


@aten_op("pow.Tensor_Tensor")
def pow_tensor(ctx: AtenContext, self: Value, exponent: Value) -> Value:
    return whole.power(ctx, *operands(ctx, self, exponent))


@aten_op("pow.Scalar")
def pow_of_number(ctx: AtenContext, self: Number, exponent: Value) -> Value:
    y = ctx.cast(exponent, ctx.out_dtype)
    return whole.power(ctx, alike(ctx, self, y), y)


# shifts --------------------------------------------------------------------------------------------------------------


def _shift(direction: str, emit: Callable[[AtenContext, Value, Value], Value]) -> None:
    dunder = f"__{direction[0]}shift__"
    name = f"bitwise_{direction}_shift"
    _binary(emit, f"{name}.Tensor", f"{name}.Tensor_Scalar", f"{dunder}.Scalar", f"{dunder}.Tensor")


_shift("left", lambda ctx, x, y: whole.shift(ctx, x, y, left=True))
_shift("right", whole.shift_right)  # of signed numbers: rounded down


# several operands ----------------------------------------------------------------------------------------------------


def _added(name: str, kind: str) -> None:
    @aten_op(f"{name}.default")
    def convert(ctx: AtenContext, self: Value, tensor1: Value, tensor2: Value, value: Number = 1) -> Value:
        x, y = operands(ctx, tensor1, tensor2)
        return arithmetic(ctx, "add", ctx.cast(self, ctx.out_dtype), times(ctx, arithmetic(ctx, kind, x, y), value))


_added("addcmul", "mul")
_added("addcdiv", "div")


@aten_op("lerp.Scalar", "lerp.Tensor")
def lerp(ctx: AtenContext, self: Value, end: Value, weight: Operand) -> Value:
    x, y = operands(ctx, self, end)
    return arithmetic(ctx, "add", x, arithmetic(ctx, "mul", arithmetic(ctx, "sub", y, x), ctx.tensor(weight, x.dtype)))
