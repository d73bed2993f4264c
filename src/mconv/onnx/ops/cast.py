"""Conversion between element types, and what keeps types that Paddle lacks within their range."""

from __future__ import annotations

from typing import Optional

from mconv.emit import activation, bits, elementwise, small_types
from mconv.onnx.context import Context
from mconv.onnx.registry import onnx_op
from mconv.onnx.types import paddle_dtype, type_name
from mconv.program.dtypes import DType
from mconv.program.small_types import E8M0, SMALL, SmallFloat, SmallInteger
from mconv.program.value import Value

FLOAT, UINT16, BOOL, UINT32, UINT64, BFLOAT16 = 1, 4, 9, 12, 13, 16
# unsigned types that a wider signed one carries → the bits that they have
_BITS = {UINT16: 0xFFFF, UINT32: 0xFFFFFFFF}
_NEVER_NEGATIVE = frozenset({2, UINT16, BOOL, UINT32, UINT64})


def wrapped(ctx: Context, x: Value, onnx_type: Optional[int]) -> Value:
    """*x* modulo the range of an unsigned type that a wider one carries: what its arithmetic would have given.

    Results of uint64 arithmetic beyond 2^63 come out as negative numbers; a note says so.
    """
    if onnx_type == UINT64:
        ctx.notes.append(f"{ctx.node.op_type} on uint64 is computed in int64: exact up to 2^63")
    mask = None if onnx_type is None else _BITS.get(onnx_type)
    return x if mask is None else elementwise.bitwise(ctx, "bitwise_and", x, elementwise.number(ctx, mask, x.dtype))


def convert(
    ctx: Context, x: Value, to: int, source: Optional[int], *, saturate: bool = True, round_mode: str = "up"
) -> Value:
    """*x* as ``TensorProto.DataType`` *to*: floats are cut towards zero, integers wrap, everything but 0 is true.

    Floats of 8 bits and fewer are rounded to; *saturate* and *round_mode* are those of Cast.

    What a float beyond an integer's range becomes is left open by ONNX; here it is what C gives, as elsewhere.
    """
    dtype, _ = paddle_dtype(to, "Cast")
    small = SMALL.get(to)
    if small is not None:
        if to == source:
            return x
        if small is E8M0:
            return small_types.as_power_of_two(ctx, x, small, round_mode, saturate=saturate)
        if isinstance(small, SmallFloat):
            return small_types.as_small_float(ctx, x, small, saturate=saturate)
        return small_types.as_small_integer(ctx, x, small)
    if to == BFLOAT16:
        return x if source == BFLOAT16 else activation.as_bfloat16(ctx, ctx.cast(x, DType.FP32))
    if to in _BITS and source not in (_NEVER_NEGATIVE - {UINT64} if to == UINT32 else {2, BOOL, to}):
        wide = ctx.cast(x, DType.INT64) if x.dtype.is_float else x
        if wide.dtype is not DType.INT64:
            wide = ctx.cast(wide, DType.INT64)
        return ctx.cast(
            elementwise.bitwise(ctx, "bitwise_and", wide, elementwise.number(ctx, _BITS[to], DType.INT64)), dtype
        )
    if to == UINT64 and source not in _NEVER_NEGATIVE:
        ctx.notes.append("Cast to uint64 gives int64: negative numbers stay negative instead of wrapping around")
    return ctx.cast(x, dtype)


@onnx_op("Cast", since=1)
def cast_by_name(ctx: Context, x: Value, *, to: str) -> Value:
    import onnx

    names = onnx.TensorProto.DataType.keys()
    if to not in names:
        raise ctx.refuse(f"ONNX has no type {to!r}")
    return convert(ctx, x, onnx.TensorProto.DataType.Value(to), ctx.type_in())


@onnx_op("Cast", since=6)
def cast(ctx: Context, x: Value, *, to: int, saturate: int = 1, round_mode: str = "up") -> Value:
    return convert(ctx, x, to, ctx.type_in(), saturate=bool(saturate), round_mode=_rounding(ctx, round_mode))


def _rounding(ctx: Context, round_mode: str) -> str:
    if round_mode not in ("up", "down", "nearest"):
        raise ctx.refuse(f"round_mode is {round_mode!r}")
    return round_mode


@onnx_op("CastLike", since=15)
def cast_like(ctx: Context, x: Value, like: Value, *, saturate: int = 1, round_mode: str = "up") -> Value:
    to = ctx.type_in(1)
    if to is None:  # inside of a function, where ONNX does not say: the type that carries it
        return ctx.cast(x, like.dtype)
    return convert(ctx, x, to, ctx.type_in(), saturate=bool(saturate), round_mode=_rounding(ctx, round_mode))


_FLOATS = {FLOAT: bits.SINGLE, 10: bits.HALF, 11: bits.DOUBLE, BFLOAT16: bits.BFLOAT}
_WIDTHS = {2: 8, 3: 8, BOOL: 8, UINT16: 16, 5: 16, UINT32: 32, 6: 32, UINT64: 64, 7: 64}


@onnx_op("BitCast", since=26)
def bit_cast(ctx: Context, x: Value, *, to: int) -> Value:
    source = ctx.type_in()
    dtype, _ = paddle_dtype(to, "BitCast")
    if source is None:
        raise ctx.refuse("the type of its input is not known")
    if to == source:
        return x
    small, before = SMALL.get(to), SMALL.get(source)
    if small is not None or before is not None:
        if not (isinstance(small, SmallInteger) and isinstance(before, SmallInteger) and small.bits == before.bits):
            raise ctx.refuse(f"the bits of {type_name(source)} read as {type_name(to)}")
        return small_types.as_small_integer(ctx, x, small)
    widths = [_FLOATS[kind].bits if kind in _FLOATS else _WIDTHS.get(kind) for kind in (source, to)]
    if widths[0] is None or widths[0] != widths[1]:
        raise ctx.refuse(f"the bits of {type_name(source)} read as {type_name(to)}")
    if UINT64 in (source, to):
        ctx.notes.append("BitCast of uint64 is computed in int64: numbers from 2^63 on are negative there")
    held = bits.of_float(ctx, x, _FLOATS[source]) if source in _FLOATS else bits.of_integer(ctx, x, widths[0])
    return ctx.cast(bits.to_float(ctx, held, _FLOATS[to]) if to in _FLOATS else held, dtype)
