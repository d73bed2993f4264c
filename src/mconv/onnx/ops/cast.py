"""Conversion between element types, and what keeps types that Paddle lacks within their range."""

from __future__ import annotations

from typing import Optional

from mconv.emit import activation, elementwise
from mconv.onnx.context import Context
from mconv.onnx.reader import paddle_dtype
from mconv.onnx.registry import onnx_op
from mconv.program.dtypes import DType
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
    bits = None if onnx_type is None else _BITS.get(onnx_type)
    return x if bits is None else elementwise.bitwise(ctx, "bitwise_and", x, elementwise.number(ctx, bits, x.dtype))


def convert(ctx: Context, x: Value, to: int, source: Optional[int]) -> Value:
    """*x* as ``TensorProto.DataType`` *to*: floats are cut towards zero, integers wrap, everything but 0 is true.

    What a float beyond an integer's range becomes is left open by ONNX; here it is what C gives, as elsewhere.
    """
    dtype, _ = paddle_dtype(to, "Cast")
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
    return convert(ctx, x, to, ctx.type_in())


@onnx_op("CastLike", since=15)
def cast_like(ctx: Context, x: Value, like: Value, *, saturate: int = 1, round_mode: str = "up") -> Value:
    to = ctx.type_in(1)
    if to is None:  # inside of a function, where ONNX does not say: the type that carries it
        return ctx.cast(x, like.dtype)
    return convert(ctx, x, to, ctx.type_in())
