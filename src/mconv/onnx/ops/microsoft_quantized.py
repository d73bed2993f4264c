"""com.microsoft's operators on packed weights and on quantised tensors."""

from __future__ import annotations

from typing import Any, Callable, Optional

import numpy as np

from mconv.emit import activation, arithmetic, concat, linear, pool, scale, shape, transpose, unary, where
from mconv.emit import quantize as q
from mconv.emit import reduction as r
from mconv.emit.elementwise import number
from mconv.emit.known import axis_of
from mconv.emit.shape import reshape
from mconv.emit.weights import computed
from mconv.emit.window import Window, auto_padded
from mconv.onnx.context import Context, Result
from mconv.onnx.ops.attention import packed_attention
from mconv.onnx.ops.microsoft_norm import embed_layer_norm
from mconv.onnx.ops.quantize import qlinear_conv
from mconv.onnx.registry import F, onnx_op
from mconv.program.dtypes import DType
from mconv.program.schemas import attributes_of
from mconv.program.value import Value

DOMAIN = "com.microsoft"


def real(ctx: Context, x: Value, scale: Value, zero: Optional[Value]) -> Value:
    """A quantised tensor as numbers, by the scale and the zero point of the whole."""
    return q.dequantize(ctx, x, reshape(ctx, scale, ()), None if zero is None else reshape(ctx, zero, ()))


def small(ctx: Context, x: Value, scale: Value, zero: Optional[Value], dtype: DType) -> Value:
    """Numbers as a tensor quantised by the scale and the zero point of the whole."""
    return q.quantize(ctx, x, reshape(ctx, scale, ()), None if zero is None else reshape(ctx, zero, ()), dtype)


def unpacked(data: np.ndarray, bits: int) -> np.ndarray:
    """Numbers of 2, 4 or 8 *bits* of the last dimension's bytes, the lowest bits first: uint8."""
    if bits == 8:
        return data
    parts = [(data >> shift) & ((1 << bits) - 1) for shift in range(0, 8, bits)]
    return np.stack(parts, -1).reshape(*data.shape[:-1], data.shape[-1] * len(parts))


@onnx_op("MatMulNBits", domain=DOMAIN)
def matmul_n_bits(
    ctx: Context,
    a: Value,
    b: Value,
    scales: Value,
    zero_points: Optional[Value] = None,
    g_idx: Optional[Value] = None,
    bias: Optional[Value] = None,
    *,
    K: int,
    N: int,
    bits: int = 4,
    block_size: int,
    accuracy_level: int = 0,
    weight_prepacked: int = 0,
) -> Value:
    """The weights of language models in blocks of 4 (2, 8) bits: unpacked into a parameter while it is written."""
    if g_idx is not None or weight_prepacked:
        raise ctx.refuse("weights in another order than that of their blocks (g_idx, weight_prepacked)")
    if bits not in (2, 4, 8) or block_size < 1 or block_size * bits % 8:
        raise ctx.refuse(f"blocks of {block_size} numbers of {bits} bits")
    given = [v for v in (b, scales, zero_points) if v is not None]
    if not all(v.is_const for v in given):
        raise ctx.refuse("its weights must be constant: they come in at run time")
    blocks = -(-K // block_size)
    bytes_of = -(-blocks * bits // 8)
    packed = zero_points is not None and zero_points.dtype is DType.UINT8
    wanted = (N * blocks * block_size * bits // 8, N * blocks, N * (bytes_of if packed else blocks))
    if any(v.size != size for v, size in zip(given, wanted)):
        raise ctx.refuse(f"weights, scales or zero points are not those of {N} x {K} numbers in blocks of {block_size}")

    def weights(data: np.ndarray, scale: np.ndarray, zero: Optional[np.ndarray] = None) -> np.ndarray:
        numbers = unpacked(data.reshape(N, blocks, -1), bits).astype(np.float32)
        if zero is None:
            point = np.float32(1 << (bits - 1))
        else:
            point = unpacked(zero.reshape(N, -1), bits)[:, :blocks] if packed else zero.reshape(N, blocks)
            point = point.astype(np.float32)[..., None]
        values = (numbers - point) * scale.reshape(N, blocks, 1).astype(np.float32)
        return np.ascontiguousarray(values.reshape(N, -1)[:, :K].T)

    matrix = computed(ctx, given, (K, N), weights, DType.FP32)
    made = linear(ctx, ctx.cast(a, DType.FP32), matrix, None if bias is None else ctx.cast(bias, DType.FP32))
    return ctx.cast(made, a.dtype)


# quantised tensors -------------------------------------------------------------------------------------------------------


def _on_numbers(name: str) -> Callable[[F], F]:
    """Register what a quantised operator of one tensor does to the numbers: ``f(ctx, numbers, **attributes)``.

    Its inputs are the tensor, its scale and zero point, and the result's, which has the tensor's type.
    """

    def register(function: F) -> F:
        @onnx_op(name, domain=DOMAIN)
        @attributes_of(function)
        def convert(
            ctx: Context,
            x: Value,
            x_scale: Value,
            x_zero: Optional[Value],
            y_scale: Value,
            y_zero: Optional[Value] = None,
            **attributes: Any,
        ) -> Value:
            return small(ctx, function(ctx, real(ctx, x, x_scale, x_zero), **attributes), y_scale, y_zero, x.dtype)

        return function

    return register


@_on_numbers("QLinearSigmoid")
def sigmoid(ctx: Context, x: Value) -> Value:
    return unary(ctx, "sigmoid", x)


@_on_numbers("QLinearLeakyRelu")
def leaky_relu(ctx: Context, x: Value, *, alpha: float = 0.01) -> Value:
    return activation.leaky_relu(ctx, x, alpha)


@_on_numbers("QLinearSoftmax")
def softmax(ctx: Context, x: Value, *, axis: int = -1, opset: int) -> Value:
    axis = axis_of(axis, ctx.rank(x))
    if opset < 13 and axis != ctx.rank(x) - 1:
        raise ctx.refuse("the softmax is over more than the last dimension")
    return r.softmax(ctx, x, axis)


@_on_numbers("QLinearReduceMean")
def reduce_mean(ctx: Context, x: Value, *, axes: list[int], keepdims: int) -> Value:
    return r.reduce(ctx, "mean", x, axes, keep=bool(keepdims))


@_on_numbers("QLinearGlobalAveragePool")
def global_average_pool(ctx: Context, x: Value, *, channels_last: int = 0) -> Value:
    rank = ctx.rank(x)
    over = range(1, rank - 1) if channels_last else range(2, rank)
    return r.reduce(ctx, "mean", x, list(over), keep=True)


@_on_numbers("QLinearAveragePool")
def average_pool(
    ctx: Context,
    x: Value,
    *,
    kernel_shape: list[int],
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    channels_last: int = 0,
    count_include_pad: int = 0,
    pads: Optional[list[int]] = None,
    strides: Optional[list[int]] = None,
) -> Value:
    ctx.rank(x)
    x = shape.channels_first(ctx, x) if channels_last else x
    assert x.shape is not None
    window = auto_padded(Window.make(kernel_shape, strides, None, pads), auto_pad, x.shape[2:])
    made = pool.average_pool(ctx, x, window, bool(ceil_mode), bool(count_include_pad))
    return shape.channels_last(ctx, made) if channels_last else made


def _of_two(name: str, kind: str) -> None:
    @onnx_op(name, domain=DOMAIN)
    def convert(
        ctx: Context,
        a: Value,
        a_scale: Value,
        a_zero: Optional[Value],
        b: Value,
        b_scale: Value,
        b_zero: Optional[Value],
        c_scale: Value,
        c_zero: Optional[Value] = None,
    ) -> Value:
        made = arithmetic(ctx, kind, real(ctx, a, a_scale, a_zero), real(ctx, b, b_scale, b_zero))
        return small(ctx, made, c_scale, c_zero, a.dtype)


_of_two("QLinearAdd", "add")
_of_two("QLinearMul", "mul")


@onnx_op("QLinearConcat", domain=DOMAIN)
def qlinear_concat(ctx: Context, y_scale: Value, y_zero: Value, *parts: Value, axis: int) -> Value:
    if len(parts) % 3 or not parts:
        raise ctx.refuse("its inputs are not tensors with their scales and zero points")
    numbers = [real(ctx, *parts[i : i + 3]) for i in range(0, len(parts), 3)]
    return small(ctx, concat(ctx, numbers, axis), y_scale, y_zero, parts[0].dtype)


@onnx_op("QGemm", domain=DOMAIN)
def qgemm(
    ctx: Context,
    a: Value,
    a_scale: Value,
    a_zero: Value,
    b: Value,
    b_scale: Value,
    b_zero: Value,
    c: Optional[Value] = None,
    y_scale: Optional[Value] = None,
    y_zero: Optional[Value] = None,
    *,
    alpha: float = 1.0,
    transA: int = 0,
    transB: int = 0,
) -> Value:
    a = transpose(ctx, a, [1, 0]) if transA else a
    b = transpose(ctx, b, [1, 0]) if transB else b
    exact = q.product(ctx, a, a_zero, b, b_zero)
    if c is not None:  # int32, in units of the product of the scales
        exact = arithmetic(ctx, "add", exact, ctx.cast(c, exact.dtype))
    one = number(ctx, 1, DType.FP32)
    scalar = reshape(ctx, a_scale, ())
    factor = q.factor(
        ctx, scalar, q.by_column(ctx, b_scale) or b_scale, one if y_scale is None else reshape(ctx, y_scale, ())
    )
    factor = factor if alpha == 1.0 else scale(ctx, factor, alpha)
    if y_scale is None:
        return arithmetic(ctx, "mul", ctx.cast(exact, DType.FP32), factor)
    return q.requantize(ctx, exact, factor, None if y_zero is None else reshape(ctx, y_zero, ()), a.dtype)


@onnx_op("QLinearWhere", domain=DOMAIN)
def qlinear_where(
    ctx: Context,
    condition: Value,
    x: Value,
    x_scale: Value,
    x_zero: Value,
    y: Value,
    y_scale: Value,
    y_zero: Value,
    z_scale: Value,
    z_zero: Value,
) -> Value:
    made = where(ctx, condition, real(ctx, x, x_scale, x_zero), real(ctx, y, y_scale, y_zero))
    return small(ctx, made, z_scale, z_zero, x.dtype)


@onnx_op("QLinearConv", domain=DOMAIN)
@attributes_of(qlinear_conv)
def microsoft_qlinear_conv(
    ctx: Context,
    x: Value,
    x_scale: Value,
    x_zero: Value,
    w: Value,
    w_scale: Value,
    w_zero: Value,
    y_scale: Value,
    y_zero: Value,
    bias: Optional[Value] = None,
    *,
    channels_last: int = 0,
    **window: Any,
) -> Value:
    ctx.rank(x)
    x = shape.channels_first(ctx, x) if channels_last else x
    made = qlinear_conv(ctx, x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero, bias, **window)
    return shape.channels_last(ctx, made) if channels_last else made


@onnx_op("QAttention", domain=DOMAIN)
@attributes_of(packed_attention, but=["qkv_hidden_sizes"])
def qattention(
    ctx: Context,
    x: Value,
    weights: Value,
    bias: Value,
    x_scale: Value,
    w_scale: Value,
    mask: Optional[Value] = None,
    x_zero: Optional[Value] = None,
    w_zero: Optional[Value] = None,
    past: Optional[Value] = None,
    **attributes: Any,
) -> Result:
    """Attention whose input and weights are quantised, the latter as a whole or per column."""
    by_column = [None if v is None else q.by_column(ctx, v) for v in (w_scale, w_zero)]
    assert by_column[0] is not None
    wide = q.dequantize(ctx, weights, by_column[0], by_column[1])
    return packed_attention(ctx, real(ctx, x, x_scale, x_zero), wide, bias, mask, past, **attributes)


@onnx_op("QEmbedLayerNormalization", domain=DOMAIN)
def qembed_layer_norm(
    ctx: Context,
    input_ids: Value,
    segment_ids: Optional[Value],
    word: Value,
    position: Value,
    segment: Optional[Value],
    gamma: Value,
    beta: Value,
    mask: Optional[Value],
    word_scale: Value,
    position_scale: Value,
    segment_scale: Optional[Value],
    gamma_scale: Value,
    beta_scale: Value,
    word_zero: Value,
    position_zero: Value,
    segment_zero: Optional[Value],
    gamma_zero: Value,
    beta_zero: Value,
    *,
    epsilon: float = 1e-12,
) -> Result:
    wide = None if segment is None or segment_scale is None else real(ctx, segment, segment_scale, segment_zero)
    made = embed_layer_norm(
        ctx, input_ids, segment_ids, real(ctx, word, word_scale, word_zero),
        real(ctx, position, position_scale, position_zero), wide, real(ctx, gamma, gamma_scale, gamma_zero),
        real(ctx, beta, beta_scale, beta_zero), mask, epsilon=epsilon,
    )  # fmt: skip
    return made[:2] if isinstance(made, tuple) else made
