"""com.microsoft's operators on packed weights, and quantised pooling."""

from __future__ import annotations

from typing import Optional

import numpy as np

from mconv.emit import linear, pool, transpose
from mconv.emit import quantize as q
from mconv.emit import reduction as r
from mconv.emit.shape import reshape
from mconv.emit.weights import computed
from mconv.emit.window import Window, auto_padded
from mconv.onnx.context import Context
from mconv.onnx.registry import onnx_op
from mconv.program.builder import Value
from mconv.program.dtypes import DType

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


@onnx_op("QLinearAveragePool", domain=DOMAIN)
def qlinear_average_pool(
    ctx: Context,
    x: Value,
    x_scale: Value,
    x_zero: Optional[Value],
    y_scale: Value,
    y_zero: Optional[Value] = None,
    *,
    kernel_shape: list[int],
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    channels_last: int = 0,
    count_include_pad: int = 0,
    pads: Optional[list[int]] = None,
    strides: Optional[list[int]] = None,
) -> Value:
    rank = ctx.rank(x)
    made = real(ctx, x, x_scale, x_zero)
    if channels_last:
        made = transpose(ctx, made, [0, rank - 1, *range(1, rank - 1)])
    assert made.shape is not None
    window = auto_padded(Window.make(kernel_shape, strides, None, pads), auto_pad, made.shape[2:])
    made = pool.average_pool(ctx, made, window, bool(ceil_mode), bool(count_include_pad))
    if channels_last:
        made = transpose(ctx, made, [0, *range(2, rank), 1])
    return small(ctx, made, y_scale, y_zero, x.dtype)


@onnx_op("QLinearReduceMean", domain=DOMAIN)
def qlinear_reduce_mean(
    ctx: Context,
    x: Value,
    x_scale: Value,
    x_zero: Optional[Value],
    y_scale: Value,
    y_zero: Optional[Value] = None,
    *,
    axes: list[int],
    keepdims: int,
) -> Value:
    mean = r.reduce(ctx, "mean", real(ctx, x, x_scale, x_zero), axes, keep=bool(keepdims))
    return small(ctx, mean, y_scale, y_zero, x.dtype)
