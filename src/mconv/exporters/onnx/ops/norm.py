"""Normalizations, softmax and what is like it."""

from __future__ import annotations

from typing import Optional

import numpy as np

from mconv.exporters.onnx.context import Context
from mconv.exporters.onnx.errors import Unsupported
from mconv.exporters.onnx.ops.conv import channels_back, channels_first
from mconv.exporters.onnx.registry import paddle_op
from mconv.program import dims as D
from mconv.program.value import Value


@paddle_op("batch_norm", "sync_batch_norm", outputs=["Y"])
def batch_norm(
    ctx: Context,
    X: Value,
    Scale: Optional[Value] = None,
    Bias: Optional[Value] = None,
    Mean: Optional[Value] = None,
    Variance: Optional[Value] = None,
    MomentumTensor: Optional[Value] = None,
    *,
    epsilon: float = 1e-5,
    momentum: float = 0.9,
    data_layout: str = "NCHW",
    use_global_stats: bool = False,
    trainable_statistics: bool = False,
) -> Value:
    if Mean is None or Variance is None:
        raise Unsupported("its statistics are missing")
    channels = _channels(ctx, X, data_layout, Mean)
    scale = Scale if Scale is not None else ctx.const(np.ones(channels), Mean.dtype)
    bias = Bias if Bias is not None else ctx.const(np.zeros(channels), Mean.dtype)
    x, last = channels_first(ctx, X, "NHWC" if data_layout[-1] == "C" and ctx.rank(X) > 2 else "NCHW")
    if trainable_statistics and not use_global_stats:
        return channels_back(ctx, _by_batch(ctx, x, scale, bias, epsilon), last)
    return channels_back(ctx, ctx.op("BatchNormalization", x, scale, bias, Mean, Variance, epsilon=epsilon), last)


def _by_batch(ctx: Context, x: Value, scale: Value, bias: Value, epsilon: float) -> Value:
    """With the statistics of the batch: runtimes have no ``training_mode``."""
    rank = ctx.rank(x)
    axes, each = [0, *range(2, rank)], [-1, *[1] * (rank - 2)]
    centred = ctx.op("Sub", x, ctx.reduce("ReduceMean", x, axes, keep=True))
    variance = ctx.reduce("ReduceMean", ctx.op("Mul", centred, centred), axes, keep=True)
    made = ctx.op("Div", centred, ctx.op("Sqrt", ctx.op("Add", variance, epsilon)))
    return ctx.op("Add", ctx.op("Mul", made, ctx.reshape(scale, each)), ctx.reshape(bias, each))


@paddle_op("layer_norm", outputs=["Y"])
def layer_norm(
    ctx: Context,
    X: Value,
    Scale: Optional[Value] = None,
    Bias: Optional[Value] = None,
    *,
    epsilon: float = 1e-5,
    begin_norm_axis: int = 1,
) -> Value:
    """``LayerNormalization`` from opset 17 on; before, the parts that runtimes recognise."""
    rank = ctx.rank(X)
    first = ctx.axis(begin_norm_axis, rank)
    sizes = (X.shape or ())[first:]

    def shaped(v: Optional[Value]) -> Optional[Value]:
        if v is None or len(sizes) == 1:
            return v
        if not all(isinstance(d, int) for d in sizes):
            raise Unsupported("the size that it normalizes over is known only at run time")
        return ctx.reshape(v, sizes)

    if ctx.opset >= 17:
        if Scale is None:
            if not all(isinstance(d, int) for d in sizes):
                return _layer_parts(ctx, X, None, shaped(Bias), first, epsilon)
            Scale = ctx.const(np.ones(D.numbers(sizes)), X.dtype)
        return ctx.op("LayerNormalization", X, shaped(Scale), shaped(Bias), axis=first, epsilon=epsilon)
    return _layer_parts(ctx, X, shaped(Scale), shaped(Bias), first, epsilon)


def _layer_parts(
    ctx: Context, x: Value, scale: Optional[Value], bias: Optional[Value], first: int, epsilon: float
) -> Value:
    axes = list(range(first, ctx.rank(x)))
    away = ctx.op("Sub", x, ctx.reduce("ReduceMean", x, axes, True))
    variance = ctx.reduce("ReduceMean", ctx.op("Pow", away, ctx.const(2.0, x.dtype)), axes, True)
    made = ctx.op("Div", away, ctx.op("Sqrt", ctx.op("Add", variance, epsilon)))
    made = made if scale is None else ctx.op("Mul", made, scale)
    return made if bias is None else ctx.op("Add", made, bias)


@paddle_op("rms_norm", outputs=["out"])
def rms_norm(
    ctx: Context,
    x: Value,
    bias: Optional[Value] = None,
    residual: Optional[Value] = None,
    norm_weight: Optional[Value] = None,
    norm_bias: Optional[Value] = None,
    *,
    epsilon: float = 1e-5,
    begin_norm_axis: int = 1,
    quant_scale: float = -1.0,
) -> Value:
    if quant_scale > 0:
        raise Unsupported("its result is quantized")
    for more in (bias, residual):
        x = x if more is None else ctx.op("Add", x, more)
    axes = list(range(ctx.axis(begin_norm_axis, ctx.rank(x)), ctx.rank(x)))
    square = ctx.reduce("ReduceMean", ctx.op("Mul", x, x), axes, True)
    made = ctx.op("Div", x, ctx.op("Sqrt", ctx.op("Add", square, epsilon)))
    made = made if norm_weight is None else ctx.op("Mul", made, norm_weight)
    return made if norm_bias is None else ctx.op("Add", made, norm_bias)


@paddle_op("instance_norm", outputs=["Y"])
def instance_norm(
    ctx: Context, X: Value, Scale: Optional[Value] = None, Bias: Optional[Value] = None, *, epsilon: float = 1e-5
) -> Value:
    channels = ctx.size(X, 1)
    scale = Scale if Scale is not None else ctx.const(np.ones(channels), X.dtype)
    bias = Bias if Bias is not None else ctx.const(np.zeros(channels), X.dtype)
    return ctx.op("InstanceNormalization", X, scale, bias, epsilon=epsilon)


@paddle_op("group_norm", outputs=["Y"])
def group_norm(
    ctx: Context,
    X: Value,
    Scale: Optional[Value] = None,
    Bias: Optional[Value] = None,
    *,
    epsilon: float = 1e-5,
    groups: int,
    data_layout: str = "NCHW",
) -> Value:
    """By ``InstanceNormalization`` of groups, which every opset has (``GroupNormalization`` 18 was withdrawn)."""
    x, last = channels_first(ctx, X, "NHWC" if data_layout[-1] == "C" else "NCHW")
    channels = ctx.size(x, 1)
    rank = ctx.rank(x)
    if ctx.opset >= 21 and rank > 2:
        scale = Scale if Scale is not None else ctx.const(np.ones(channels), X.dtype)
        bias = Bias if Bias is not None else ctx.const(np.zeros(channels), X.dtype)
        made = ctx.op("GroupNormalization", x, scale, bias, num_groups=groups, epsilon=epsilon)
        return channels_back(ctx, made, last)
    rows = ctx.op("Reshape", x, [0, groups, -1])
    ones, zeros = ctx.const(np.ones(groups), X.dtype), ctx.const(np.zeros(groups), X.dtype)
    made = ctx.op("InstanceNormalization", rows, ones, zeros, epsilon=epsilon)
    made = ctx.reshape(made, ctx.shape(x))
    made.shape = x.shape
    shape = [channels] + [1] * (rank - 2)
    made = made if Scale is None else ctx.op("Mul", made, ctx.reshape(Scale, shape))
    made = made if Bias is None else ctx.op("Add", made, ctx.reshape(Bias, shape))
    return channels_back(ctx, made, last)


@paddle_op("softmax")
def softmax(ctx: Context, X: Value, *, axis: int = -1, data_format: str = "AnyLayout") -> Value:
    return _softmax(ctx, "Softmax", X, axis)


@paddle_op("log_softmax")
def log_softmax(ctx: Context, X: Value, *, axis: int = -1) -> Value:
    return _softmax(ctx, "LogSoftmax", X, axis)


def _softmax(ctx: Context, op: str, x: Value, axis: int) -> Value:
    """Before opset 13 it is taken over all axes from *axis* on."""
    rank = ctx.rank(x)
    if rank == 0:
        return ctx.op("Sub", x, x) if op == "LogSoftmax" else ctx.op("Exp", ctx.op("Sub", x, x))
    axis = ctx.axis(axis, rank)
    if ctx.opset >= 13 or axis == rank - 1:
        return ctx.op(op, x, axis=axis)
    turned, back = ctx.moved_last(x, axis)
    return ctx.transpose(ctx.op(op, turned, axis=rank - 1), back)


@paddle_op("lrn")
def lrn(
    ctx: Context,
    X: Value,
    *,
    n: int = 5,
    k: float = 2.0,
    alpha: float = 1e-4,
    beta: float = 0.75,
    data_format: str = "NCHW",
) -> Value:
    """Paddle does not divide alpha by the window's size, ONNX does."""
    x, last = channels_first(ctx, X, data_format)
    return channels_back(ctx, ctx.op("LRN", x, size=n, alpha=alpha * n, beta=beta, bias=k), last)


@paddle_op("affine_channel")
def affine_channel(ctx: Context, X: Value, Scale: Value, Bias: Value, *, data_layout: str = "NCHW") -> Value:
    shape = [1] * ctx.rank(X)
    shape[-1 if data_layout == "NHWC" else 1] = -1
    return ctx.op("Add", ctx.op("Mul", X, ctx.reshape(Scale, shape)), ctx.reshape(Bias, shape))


@paddle_op("renorm")
def renorm(ctx: Context, X: Value, *, p: float, axis: int, max_norm: float) -> Value:
    rank = ctx.rank(X)
    axes = [i for i in range(rank) if i != ctx.axis(axis, rank)]
    size = ctx.op("Pow", ctx.reduce("ReduceSum", ctx.op("Pow", ctx.op("Abs", X), p), axes, True), 1 / p)
    factor = ctx.op("Div", ctx.const(max_norm, X.dtype), ctx.op("Add", size, 1e-7))
    factor = ctx.op("Where", ctx.op("Greater", size, max_norm), factor, ctx.const(1.0, X.dtype))
    return ctx.op("Mul", X, factor)


@paddle_op("clip_by_norm")
def clip_by_norm(ctx: Context, X: Value, *, max_norm: float) -> Value:
    size = ctx.reduce("ReduceL2", X, None)
    factor = ctx.op("Div", ctx.const(max_norm, X.dtype), ctx.op("Max", size, max_norm))
    return ctx.op("Mul", X, factor)


@paddle_op("spectral_norm")
def spectral_norm(
    ctx: Context, Weight: Value, U: Value, V: Value, *, dim: int = 0, power_iters: int = 1, eps: float = 1e-12
) -> Value:
    rank = ctx.rank(Weight)
    order = [dim, *[i for i in range(rank) if i != dim]]
    w = ctx.op("Flatten", ctx.transpose(Weight, order), axis=1)
    u, v = ctx.reshape(U, [-1, 1]), ctx.reshape(V, [-1, 1])

    def unit(x: Value) -> Value:
        return ctx.op("Div", x, ctx.op("Add", ctx.reduce("ReduceL2", x, None), eps))

    for _ in range(power_iters):
        v = unit(ctx.op("MatMul", ctx.transpose(w, [1, 0]), u))
        u = unit(ctx.op("MatMul", w, v))
    sigma = ctx.op("MatMul", ctx.transpose(u, [1, 0]), ctx.op("MatMul", w, v))
    return ctx.op("Div", Weight, ctx.reshape(sigma, []))


def _channels(ctx: Context, x: Value, data_layout: str, *stored: Optional[Value]) -> int:
    """How many channels there are, by the input or by what is stored for each.

    Raises:
        Unsupported: neither says it before the run.
    """
    last = data_layout[-1] == "C"
    sizes = [(x.shape or (None,) * 2)[-1 if last else 1], *[v.shape[0] for v in stored if v is not None and v.shape]]
    found = next((d for d in sizes if isinstance(d, int)), None)
    if found is None:
        raise Unsupported("channels are known only at run time")
    return found
