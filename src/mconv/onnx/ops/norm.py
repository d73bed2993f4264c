"""Normalisations."""

from __future__ import annotations

from typing import Any, Optional

from mconv.emit import norm
from mconv.emit.expr import Expr
from mconv.onnx.context import Context, Result
from mconv.onnx.registry import onnx_op
from mconv.program.schemas import attributes_of
from mconv.program.value import Value


@onnx_op("BatchNormalization", since=14)
def batch_norm(
    ctx: Context,
    x: Value,
    scale: Value,
    bias: Value,
    mean: Value,
    variance: Value,
    *,
    epsilon: float = 1e-5,
    momentum: float = 0.9,
    training_mode: int = 0,
) -> Result:
    if not training_mode:
        return norm.batch_norm(ctx, x, scale, bias, mean, variance, epsilon)
    return _by_batch(ctx, x, scale, bias, mean, variance, epsilon, momentum)


def _by_batch(
    ctx: Context, x: Value, scale: Value, bias: Value, mean: Value, variance: Value, epsilon: float, momentum: float
) -> Result:
    """With the statistics of the batch, and the running statistics that follow."""
    made, own = norm.batch_norm_by_batch(ctx, x, scale, bias, epsilon)
    running = []
    for old, new in zip((mean, variance), own):
        channels = Expr(ctx, new.value).reshape(*(old.shape or ())).cast(old.dtype)
        running.append((Expr(ctx, old) * momentum + channels * (1.0 - momentum)).value)
    return (made, *running)


@onnx_op("BatchNormalization", since=9)
def batch_norm_9(
    ctx: Context, x: Value, scale: Value, bias: Value, mean: Value, variance: Value, *, epsilon: float = 1e-5
) -> Value:
    if any(ctx.wants(i) for i in range(1, 5)):
        raise ctx.refuse("it is in training mode: its saved statistics are read")
    return norm.batch_norm(ctx, x, scale, bias, mean, variance, epsilon)


@onnx_op("BatchNormalization", since=7)
def batch_norm_7(
    ctx: Context,
    x: Value,
    scale: Value,
    bias: Value,
    mean: Value,
    variance: Value,
    *,
    epsilon: float = 1e-5,
    spatial: int = 1,
) -> Value:
    if spatial:
        return batch_norm_9(ctx, x, scale, bias, mean, variance, epsilon=epsilon)
    if any(ctx.wants(i) for i in range(1, 5)):
        raise ctx.refuse("it is in training mode: its saved statistics are read")
    # of [C, …], one for every position
    s, o, m, v = (Expr(ctx, value) for value in (scale, bias, mean, variance))
    return norm.batch_norm_by_formula(ctx, x, s, o, m, v, epsilon)


@onnx_op("BatchNormalization", since=1)
@attributes_of(batch_norm_7)
def batch_norm_1(
    ctx: Context, x: Value, scale: Value, bias: Value, mean: Value, variance: Value, *, is_test: int = 0, **said: Any
) -> Value:
    if not is_test:
        raise ctx.refuse("it is in training mode: is_test is not set; export the model for inference")
    return batch_norm_7(ctx, x, scale, bias, mean, variance, **said)


@onnx_op("InstanceNormalization", since=1)
def instance_norm(ctx: Context, x: Value, scale: Value, bias: Value, *, epsilon: float = 1e-5) -> Value:
    return norm.instance_norm(ctx, x, scale, bias, epsilon)


@onnx_op("LayerNormalization", since=1)
def layer_norm(
    ctx: Context, x: Value, scale: Value, bias: Optional[Value] = None, *, axis: int = -1, epsilon: float = 1e-5
) -> Result:
    made = norm.layer_norm(ctx, x, scale, bias, axis, epsilon)
    if not (ctx.wants(1) or ctx.wants(2)):
        return made
    return (made, *norm.moments(ctx, ctx.cast(x, norm.kernel_dtype(x)), axis, epsilon))


@onnx_op("GroupNormalization", since=21)
def group_norm(ctx: Context, x: Value, scale: Value, bias: Value, *, num_groups: int, epsilon: float = 1e-5) -> Value:
    return norm.group_norm(ctx, x, scale, bias, num_groups, epsilon)


@onnx_op("GroupNormalization", since=18)
def group_norm_18(
    ctx: Context, x: Value, scale: Value, bias: Value, *, num_groups: int, epsilon: float = 1e-5
) -> Value:
    channels = (x.shape or (0, None))[1]
    if not isinstance(channels, int):
        raise ctx.refuse("the number of channels is known only at run time")
    weight, offset = (norm.repeated(ctx, v, channels // num_groups) for v in (scale, bias))
    return norm.group_norm(ctx, x, weight, offset, num_groups, epsilon)


@onnx_op("RMSNormalization", since=23)
def rms_norm(ctx: Context, x: Value, scale: Value, *, axis: int = -1, epsilon: float = 1e-5) -> Value:
    return norm.rms_norm(ctx, x, scale, axis, epsilon)[0]


@onnx_op("LRN", since=1)
def lrn(ctx: Context, x: Value, *, size: int, alpha: float = 1e-4, beta: float = 0.75, bias: float = 1.0) -> Value:
    return norm.local_response_norm(ctx, x, size, alpha, beta, bias)


@onnx_op("LpNormalization", since=1)
def lp_norm(ctx: Context, x: Value, *, axis: int = -1, p: int = 2) -> Value:
    if p not in (1, 2):
        raise ctx.refuse(f"p is {p}; ONNX knows 1 and 2")
    return norm.lp_norm(ctx, x, axis, p)


@onnx_op("MeanVarianceNormalization", since=9)
def mean_variance(ctx: Context, x: Value, *, axes: Optional[list[int]] = None) -> Value:
    return norm.mean_variance(ctx, x, [0, 2, 3] if axes is None else axes)
