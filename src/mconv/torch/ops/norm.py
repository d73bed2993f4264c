"""Normalisations, in their inference form."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, Optional

import numpy as np

from mconv.emit import norm
from mconv.emit.known import need_rank
from mconv.program import dims as D
from mconv.program.value import Value
from mconv.torch.context import AtenContext
from mconv.torch.registry import aten_op


@aten_op("layer_norm.default")
def layer_norm(
    ctx: AtenContext,
    input: Value,
    normalized_shape: Sequence[D.Dim],
    weight: Optional[Value] = None,
    bias: Optional[Value] = None,
    eps: float = 1e-5,
) -> Value:
    axis = len(need_rank(input, "layer_norm")) - len(normalized_shape)
    return norm.layer_norm(ctx, input, weight, bias, axis, eps)


@aten_op("native_layer_norm.default")
def native_layer_norm(
    ctx: AtenContext,
    input: Value,
    normalized_shape: Sequence[D.Dim],
    weight: Optional[Value],
    bias: Optional[Value],
    eps: float,
) -> tuple[Value, Optional[Value], Optional[Value]]:
    made = layer_norm(ctx, input, normalized_shape, weight, bias, eps)
    if not ctx.wants(1) and not ctx.wants(2):
        return made, None, None
    axis = len(need_rank(input, "layer_norm")) - len(normalized_shape)
    return (made, *norm.moments(ctx, input, axis, eps))


@aten_op("_fused_rms_norm.default")
def fused_rms_norm(
    ctx: AtenContext,
    input: Value,
    normalized_shape: Sequence[D.Dim],
    weight: Optional[Value] = None,
    eps: Optional[float] = None,
) -> tuple[Value, Value]:
    axis = len(need_rank(input, "rms_norm")) - len(normalized_shape)
    epsilon = float(np.finfo(input.dtype.numpy).eps) if eps is None else eps
    return norm.rms_norm(ctx, input, weight, axis, epsilon)


@aten_op("rms_norm.default")
@functools.wraps(fused_rms_norm)
def rms_norm(ctx: AtenContext, **arguments: Any) -> Value:
    return fused_rms_norm(ctx, **arguments)[0]


@aten_op("group_norm.default")
def group_norm(
    ctx: AtenContext,
    input: Value,
    num_groups: int,
    weight: Optional[Value] = None,
    bias: Optional[Value] = None,
    eps: float = 1e-5,
) -> Value:
    return norm.group_norm(ctx, input, weight, bias, num_groups, eps)


def _refuse_statistics(ctx: AtenContext) -> None:
    """Its other results are empty tensors, which nothing reads."""
    ctx.leave_unread("the statistics that are", 1, 2)


@aten_op("native_group_norm.default")
def native_group_norm(
    ctx: AtenContext,
    input: Value,
    weight: Optional[Value],
    bias: Optional[Value],
    N: D.Dim,
    C: D.Dim,
    HxW: D.Dim,
    group: int,
    eps: float,
) -> tuple[Value, None, None]:
    _refuse_statistics(ctx)
    return norm.group_norm(ctx, input, weight, bias, group, eps), None, None


def _per_channel(ctx: AtenContext, x: Value, v: Optional[Value], default: int) -> Value:
    if v is not None:
        return v
    channels = ctx.static_int(need_rank(x, "a normalisation")[1], "the number of channels")
    return ctx.constant(np.full(channels, default), norm.kernel_dtype(x))


def _normalised(
    ctx: AtenContext,
    x: Value,
    weight: Optional[Value],
    bias: Optional[Value],
    mean: Optional[Value],
    variance: Optional[Value],
    eps: float,
) -> Value:
    """With the running statistics, or where there are none with those of the batch itself."""
    scale, shift = _per_channel(ctx, x, weight, 1), _per_channel(ctx, x, bias, 0)
    if mean is not None and variance is not None:
        return norm.batch_norm(ctx, x, scale, shift, mean, variance, eps)
    rank = len(need_rank(x, "batch_norm"))
    statistics = norm.batch_statistics(ctx, x)
    factor, offset = (norm.per_channel(ctx, v, rank) for v in (scale, shift))
    return norm.batch_norm_by_formula(ctx, x, factor, offset, *statistics, eps)


@aten_op("batch_norm.default")
def batch_norm(
    ctx: AtenContext,
    input: Value,
    weight: Optional[Value],
    bias: Optional[Value],
    running_mean: Optional[Value],
    running_var: Optional[Value],
    training: bool,
    eps: float,
) -> Value:
    if training and running_mean is not None:
        raise ctx.refuse("it is in training mode: call model.eval() before the export")
    return _normalised(ctx, input, weight, bias, running_mean, running_var, eps)


@aten_op("_native_batch_norm_legit_no_training.default", "_native_batch_norm_legit.default")
@aten_op("_native_batch_norm_legit.no_stats")
def native_batch_norm(
    ctx: AtenContext,
    input: Value,
    weight: Optional[Value],
    bias: Optional[Value],
    eps: float,
    running_mean: Optional[Value] = None,
    running_var: Optional[Value] = None,
    training: bool = False,
) -> tuple[Value, None, None]:
    made = batch_norm(ctx, input, weight, bias, running_mean, running_var, training, eps)
    _refuse_statistics(ctx)
    return made, None, None


@aten_op("instance_norm.default")
def instance_norm(
    ctx: AtenContext,
    input: Value,
    weight: Optional[Value],
    bias: Optional[Value],
    running_mean: Optional[Value],
    running_var: Optional[Value],
    use_input_stats: bool,
    eps: float,
) -> Value:
    if not use_input_stats:
        return _normalised(ctx, input, weight, bias, running_mean, running_var, eps)
    scale, shift = _per_channel(ctx, input, weight, 1), _per_channel(ctx, input, bias, 0)
    return norm.instance_norm(ctx, input, scale, shift, eps)
