"""Arithmetic of two and more tensors."""

from __future__ import annotations

from typing import Callable, Optional

from mconv.emit import arithmetic, integer, scale, unsqueeze
from mconv.emit.elementwise import number
from mconv.onnx.context import Context
from mconv.onnx.ops.cast import wrapped
from mconv.onnx.registry import onnx_op
from mconv.onnx.types import UNSIGNED
from mconv.program.dtypes import DType
from mconv.program.value import Value


def aligned(ctx: Context, a: Value, b: Value, broadcast: int, axis: Optional[int]) -> Value:
    """*b* of an operator before opset 7, with dimensions of 1 put behind so that it broadcasts as it did there.

    There *b* is as large as *a* unless *broadcast* is set; then its dimensions are those of *a* from *axis* on (by
    default the last ones).
    """
    if not broadcast or axis is None:
        return b
    behind = ctx.rank(a) - axis % max(ctx.rank(a), 1) - ctx.rank(b)
    if behind < 0:
        raise ctx.refuse(f"axis {axis} leaves no room for the second input's {ctx.rank(b)} dimensions")
    return unsqueeze(ctx, b, [ctx.rank(b) + i for i in range(behind)]) if behind else b


def _binary(name: str, kind: str) -> None:
    @onnx_op(name, since=1)
    def old(ctx: Context, a: Value, b: Value, *, broadcast: int = 0, axis: Optional[int] = None) -> Value:
        return new(ctx, a, aligned(ctx, a, b, broadcast, axis))

    @onnx_op(name, since=7)
    def new(ctx: Context, a: Value, b: Value) -> Value:
        return wrapped(ctx, arithmetic(ctx, kind, a, b), ctx.type_out())


for _name in ("Add", "Sub", "Mul", "Div"):
    _binary(_name, _name.lower())


@onnx_op("Pow", since=1)
def pow_before_opset_7(ctx: Context, x: Value, y: Value, *, broadcast: int = 0, axis: Optional[int] = None) -> Value:
    return integer.power(ctx, x, aligned(ctx, x, y, broadcast, axis))


@onnx_op("Pow", since=7)
def pow_(ctx: Context, x: Value, y: Value) -> Value:
    return wrapped(ctx, integer.power(ctx, x, y), ctx.type_out())


@onnx_op("Mod", since=10)
def mod(ctx: Context, a: Value, b: Value, *, fmod: int = 0) -> Value:
    return integer.remainder(ctx, a, b) if fmod else integer.modulo(ctx, a, b)


@onnx_op("BitShift", since=11)
def bit_shift(ctx: Context, x: Value, bits: Value, *, direction: str) -> Value:
    if direction not in ("LEFT", "RIGHT"):
        raise ctx.refuse(f"the direction is {direction!r}")
    if x.dtype.is_int and x.dtype is not DType.UINT8 and ctx.type_in(0) not in UNSIGNED:  # from opset 28 on
        return integer.signed_shift(ctx, x, bits, left=direction == "LEFT")
    return wrapped(ctx, integer.shift(ctx, x, bits, left=direction == "LEFT"), ctx.type_out())


# any number of operands ----------------------------------------------------------------------------------------------


def _variadic(name: str, combine: Callable[[Context, list[Value]], Value]) -> None:
    @onnx_op(name, since=1)
    def convert(ctx: Context, *values: Value) -> Value:
        if not values:
            raise ctx.refuse("it has no input")
        return combine(ctx, list(values))


def _chain(kind: str) -> Callable[[Context, list[Value]], Value]:
    def combine(ctx: Context, values: list[Value]) -> Value:
        made = values[0]
        for value in values[1:]:
            made = arithmetic(ctx, kind, made, value)
        return made

    return combine


def _mean(ctx: Context, values: list[Value]) -> Value:
    total = _chain("add")(ctx, values)
    return (
        scale(ctx, total, 1.0 / len(values))
        if total.dtype is DType.FP32 and len(values) & (len(values) - 1) == 0
        else arithmetic(ctx, "div", total, number(ctx, len(values), total.dtype))
    )


for _name, _combine in (("Sum", _chain("add")), ("Max", _chain("max")), ("Min", _chain("min")), ("Mean", _mean)):
    _variadic(_name, _combine)
