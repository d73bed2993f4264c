"""Quantised tensors: in and out of them, and products and convolutions of them."""

from __future__ import annotations

from typing import Any, Optional

from mconv.emit import arithmetic, small_types
from mconv.emit import conv as convolution
from mconv.emit import quantize as q
from mconv.emit.known import need_rank
from mconv.emit.shape import reshape, unsqueeze
from mconv.emit.window import Window, auto_padded
from mconv.onnx.context import Context
from mconv.onnx.ops.cast import UINT16
from mconv.onnx.registry import onnx_op
from mconv.onnx.types import paddle_dtype, type_name
from mconv.program import dims as D
from mconv.program.dtypes import DType
from mconv.program.schemas import attributes_of
from mconv.program.small_types import E8M0, SMALL, SmallFloat
from mconv.program.value import Value

_UINT8 = 2


def _store(
    ctx: Context, x: Value, scale: Value, zero: Optional[Value], axis: int, block: int, to: int, saturate: bool
) -> Value:
    dtype, _ = paddle_dtype(to, "QuantizeLinear")
    scale, zero = q.aligned(ctx, scale, x, axis, block) or scale, q.aligned(ctx, zero, x, axis, block)
    kind = SMALL.get(to)
    if kind is E8M0 or not (dtype.is_int or kind):
        raise ctx.refuse(f"it quantises to {type_name(to)}, which ONNX does not know of it")
    if isinstance(kind, SmallFloat):  # whose zero point is 0
        made = arithmetic(ctx, "div", ctx.cast(x, DType.FP32), ctx.cast(scale, DType.FP32))
        return small_types.as_small_float(ctx, made, kind, saturate=saturate)
    limits = kind.range if kind else (0, 0xFFFF) if to == UINT16 else None
    return q.quantize(ctx, x, scale, zero, dtype, limits)


@onnx_op("QuantizeLinear", since=10)
@onnx_op("QuantizeLinear", domain="com.microsoft")
def quantize_linear(
    ctx: Context,
    x: Value,
    y_scale: Value,
    y_zero_point: Optional[Value] = None,
    *,
    axis: int = 1,
    saturate: int = 1,
    block_size: int = 0,
    output_dtype: int = 0,
    precision: int = 0,
) -> Value:
    to = ctx.type_in(2) if y_zero_point is not None else None
    to = to or output_dtype or ctx.type_out() or _UINT8
    return _store(ctx, x, y_scale, y_zero_point, axis, block_size, to, bool(saturate))


@onnx_op("DequantizeLinear", since=10)
@onnx_op("DequantizeLinear", domain="com.microsoft")
def dequantize_linear(
    ctx: Context,
    x: Value,
    x_scale: Value,
    x_zero_point: Optional[Value] = None,
    *,
    axis: int = 1,
    block_size: int = 0,
    output_dtype: int = 0,
) -> Value:
    scale = q.aligned(ctx, x_scale, x, axis, block_size) or x_scale
    dtype = paddle_dtype(output_dtype, "DequantizeLinear")[0] if output_dtype else None
    return q.dequantize(ctx, x, scale, q.aligned(ctx, x_zero_point, x, axis, block_size), dtype)


@onnx_op("DynamicQuantizeLinear", since=11)
def dynamic_quantize_linear(ctx: Context, x: Value) -> tuple[Value, ...]:
    return q.dynamic(ctx, x)


# products -------------------------------------------------------------------------------------------------------------


@onnx_op("MatMulInteger", since=10)
def matmul_integer(
    ctx: Context, a: Value, b: Value, a_zero_point: Optional[Value] = None, b_zero_point: Optional[Value] = None
) -> Value:
    return ctx.cast(q.product(ctx, a, a_zero_point, b, b_zero_point), DType.INT32)


@onnx_op("QLinearMatMul", since=10)
def qlinear_matmul(
    ctx: Context,
    a: Value,
    a_scale: Value,
    a_zero_point: Value,
    b: Value,
    b_scale: Value,
    b_zero_point: Value,
    y_scale: Value,
    y_zero_point: Value,
) -> Value:
    exact = q.product(ctx, a, a_zero_point, b, b_zero_point)
    factor = q.factor(
        ctx, q.by_row(ctx, a_scale) or a_scale, q.by_column(ctx, b_scale) or b_scale, q.by_row(ctx, y_scale) or y_scale
    )
    return q.requantize(ctx, exact, factor, q.by_row(ctx, y_zero_point), y_zero_point.dtype)


@onnx_op("MatMulIntegerToFloat", domain="com.microsoft")
def matmul_integer_to_float(
    ctx: Context,
    a: Value,
    b: Value,
    a_scale: Value,
    b_scale: Value,
    a_zero_point: Optional[Value] = None,
    b_zero_point: Optional[Value] = None,
    bias: Optional[Value] = None,
) -> Value:
    exact = ctx.cast(q.product(ctx, a, a_zero_point, b, b_zero_point), DType.FP32)
    scale = arithmetic(ctx, "mul", q.by_row(ctx, a_scale), q.by_column(ctx, b_scale))  # type: ignore[arg-type]
    made = ctx.cast(arithmetic(ctx, "mul", exact, scale), a_scale.dtype)
    return made if bias is None else arithmetic(ctx, "add", made, bias)


@onnx_op("DynamicQuantizeMatMul", domain="com.microsoft")
def dynamic_quantize_matmul(
    ctx: Context,
    a: Value,
    b: Value,
    b_scale: Value,
    b_zero_point: Optional[Value] = None,
    bias: Optional[Value] = None,
) -> Value:
    small, scale, zero = q.dynamic(ctx, a)
    return matmul_integer_to_float(ctx, small, b, scale, b_scale, zero, b_zero_point, bias)


# convolutions ---------------------------------------------------------------------------------------------------------


def _convolved(
    ctx: Context,
    x: Value,
    x_zero: Optional[Value],
    w: Value,
    w_zero: Optional[Value],
    bias: Optional[Value],
    *,
    auto_pad: str = "NOTSET",
    dilations: Optional[list[int]] = None,
    group: int = 1,
    kernel_shape: Optional[list[int]] = None,
    pads: Optional[list[int]] = None,
    strides: Optional[list[int]] = None,
) -> Value:
    """The convolution of exact integers; what is padded counts as the zero point."""
    filters = need_rank(w, "a convolution")
    kind = q.exact_type(x, x_zero, w, w_zero, D.product(filters[1:]))
    if w_zero is not None and w_zero.rank == 1 and w_zero.size != 1:
        w_zero = unsqueeze(ctx, w_zero, range(1, len(filters)))
    else:
        w_zero = None if w_zero is None else reshape(ctx, w_zero, ())
    x_zero = None if x_zero is None else reshape(ctx, x_zero, ())
    made = Window.make(kernel_shape or filters[2:], strides, dilations, pads)
    if made.kernel != tuple(filters[2:]):
        raise ctx.refuse(f"kernel_shape {kernel_shape} is not that of the weights, {list(filters[2:])}")
    made = auto_padded(made, auto_pad, need_rank(x, "a convolution")[2:])
    bias = None if bias is None else ctx.cast(bias, kind)
    return convolution.conv(ctx, q.shifted(ctx, x, x_zero, kind), q.shifted(ctx, w, w_zero, kind), bias, made, group)


@onnx_op("ConvInteger", since=10)
@attributes_of(_convolved)
def conv_integer(
    ctx: Context,
    x: Value,
    w: Value,
    x_zero_point: Optional[Value] = None,
    w_zero_point: Optional[Value] = None,
    **window: Any,
) -> Value:
    made = _convolved(ctx, x, x_zero_point, w, w_zero_point, None, **window)
    return ctx.cast(made, DType.INT32)


@onnx_op("QLinearConv", since=10)
@attributes_of(_convolved)
def qlinear_conv(
    ctx: Context,
    x: Value,
    x_scale: Value,
    x_zero_point: Value,
    w: Value,
    w_scale: Value,
    w_zero_point: Value,
    y_scale: Value,
    y_zero_point: Value,
    bias: Optional[Value] = None,
    **window: Any,
) -> Value:
    exact = _convolved(ctx, x, x_zero_point, w, w_zero_point, bias, **window)
    per_channel = q.aligned(ctx, w_scale, exact, 1)
    scalars = [reshape(ctx, s, ()) for s in (x_scale, y_scale)]
    factor = q.factor(ctx, scalars[0], per_channel or w_scale, scalars[1])
    return q.requantize(ctx, exact, factor, reshape(ctx, y_zero_point, ()), y_zero_point.dtype)
