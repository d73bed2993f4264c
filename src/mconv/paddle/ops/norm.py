"""Normalisation."""

from __future__ import annotations

from typing import Any, Optional, TypedDict

import numpy as np

from mconv.emit import norm
from mconv.emit.shape import channels_first, channels_last
from mconv.paddle.context import Context
from mconv.paddle.registry import Unsupported, paddle_op
from mconv.program.schemas import attributes_of
from mconv.program.value import Value


class Statistics(TypedDict):
    """What is passed on of batch normalisation."""

    momentum: float
    epsilon: float
    data_format: str
    trainable_statistics: bool


@paddle_op("batch_norm_", "batch_norm", "sync_batch_norm_")
@attributes_of(Statistics)
def batch_norm(
    ctx: Context,
    x: Value,
    mean: Value,
    variance: Value,
    scale: Optional[Value],
    bias: Optional[Value],
    *,
    is_test: bool,
    use_global_stats: bool,
    **attributes: Any,
) -> tuple:
    """With the running statistics; with those of the batch where ``use_global_stats=False`` says so in inference, too."""
    b = ctx.b
    if not (is_test or use_global_stats):
        raise Unsupported("batch normalisation in training mode (call layer.eval() before saving)")
    channels = mean.shape or (1,)
    scale = scale if scale is not None else b.constant(np.ones(channels, mean.dtype.numpy), mean.dtype)
    bias = bias if bias is not None else b.constant(np.zeros(channels, mean.dtype.numpy), mean.dtype)
    if attributes["trainable_statistics"] and not use_global_stats:
        turned = attributes["data_format"][-1] == "C" and len(x.shape or ()) > 2
        whole = channels_first(b, x) if turned else x
        made = norm.batch_norm_by_batch(b, whole, scale, bias, attributes["epsilon"])[0]
        return channels_last(b, made) if turned else made, mean, variance, None, None, None
    y = b.variable("batch_norm.tmp", x.dtype, x.shape)
    saved = [b.variable("batch_norm.saved", mean.dtype, mean.shape) for _ in range(2)]
    # the running statistics are written back where they came from, as Paddle's own programs have it and as its
    # fusion passes look for it
    b.raw_op(
        "batch_norm",
        {"X": [x], "Scale": [scale], "Bias": [bias], "Mean": [mean], "Variance": [variance]},
        {"Y": [y], "MeanOut": [mean], "VarianceOut": [variance], "SavedMean": [saved[0]], "SavedVariance": [saved[1]]},
        is_test=True,
        data_layout=attributes.pop("data_format"),
        use_global_stats=use_global_stats,
        **{**attributes, "trainable_statistics": False},
    )
    return y, mean, variance, None, None, None


@paddle_op("layer_norm")
def layer_norm(
    ctx: Context, x: Value, scale: Optional[Value], bias: Optional[Value], *, epsilon: float, begin_norm_axis: int
) -> tuple:
    return norm.layer_norm(ctx.b, x, scale, bias, begin_norm_axis, float(epsilon)), None, None


@paddle_op("rms_norm")
def rms_norm(ctx: Context, x: Value, scale: Optional[Value], *, normalized_shape: list[int], epsilon: float) -> tuple:
    """x / sqrt(mean(x²) + epsilon) · scale, over the last dimensions."""
    return norm.rms_norm(ctx.b, x, scale, -len(normalized_shape), float(epsilon))[0], None
