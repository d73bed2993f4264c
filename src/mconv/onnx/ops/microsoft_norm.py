"""com.microsoft's normalisations and convolutions, as onnxruntime's optimizer and exporters write them."""

from __future__ import annotations

from typing import Any, Optional

from mconv.emit import norm, shape
from mconv.emit.activation import swish
from mconv.emit.expr import Expr, arange
from mconv.emit.gather import gather
from mconv.onnx.context import Context, Result
from mconv.onnx.ops.conv import conv
from mconv.onnx.ops.microsoft import activated
from mconv.onnx.ops.norm import layer_norm
from mconv.onnx.registry import onnx_op
from mconv.program.dtypes import DType
from mconv.program.schemas import attributes_of
from mconv.program.value import Value

DOMAIN = "com.microsoft"

onnx_op("LayerNormalization", domain=DOMAIN)(layer_norm)


@onnx_op("SimplifiedLayerNormalization", domain=DOMAIN)
@onnx_op("SimplifiedLayerNormalization")
def simplified_layer_norm(ctx: Context, x: Value, scale: Value, *, axis: int = -1, epsilon: float = 1e-5) -> Result:
    return norm.rms_norm(ctx, x, scale, axis, epsilon)


def _skipped(ctx: Context, x: Value, skip: Value, bias: Optional[Value]) -> Value:
    made = Expr(ctx, x) + Expr(ctx, skip)
    return (made if bias is None else made + bias).value


@onnx_op("SkipLayerNormalization", domain=DOMAIN)
def skip_layer_norm(
    ctx: Context,
    x: Value,
    skip: Value,
    gamma: Value,
    beta: Optional[Value] = None,
    bias: Optional[Value] = None,
    *,
    epsilon: float = 1e-12,
) -> Result:
    total = _skipped(ctx, x, skip, bias)
    made = norm.layer_norm(ctx, total, gamma, beta, -1, epsilon)
    stats = norm.moments(ctx, total, -1, epsilon) if ctx.wants(1) or ctx.wants(2) else (None, None)
    return (made, *stats, total)


@onnx_op("SkipSimplifiedLayerNormalization", domain=DOMAIN)
def skip_simplified_layer_norm(
    ctx: Context, x: Value, skip: Value, gamma: Value, bias: Optional[Value] = None, *, epsilon: float = 1e-12
) -> Result:
    total = _skipped(ctx, x, skip, bias)
    made, inverse = norm.rms_norm(ctx, total, gamma, -1, epsilon)
    return made, None, inverse, total


@onnx_op("EmbedLayerNormalization", domain=DOMAIN)
def embed_layer_norm(
    ctx: Context,
    input_ids: Value,
    segment_ids: Optional[Value],
    word: Value,
    position: Value,
    segment: Optional[Value],
    gamma: Value,
    beta: Value,
    mask: Optional[Value] = None,
    position_ids: Optional[Value] = None,
    *,
    epsilon: float = 1e-12,
    mask_index_type: int = 0,
) -> Result:
    length = (input_ids.shape or (None, None))[1]
    if length is None:
        raise ctx.refuse("the rank of an input is unknown")
    if position_ids is None:
        positions = Expr(ctx, gather(ctx, position, arange(ctx, length, DType.INT64).value)).unsqueeze(0)
    else:
        positions = Expr(ctx, gather(ctx, position, position_ids))
    total = Expr(ctx, gather(ctx, word, input_ids)) + positions
    if segment is not None and segment_ids is not None:
        total = total + Expr(ctx, gather(ctx, segment, segment_ids))
    made = norm.layer_norm(ctx, total.value, gamma, beta, -1, epsilon)
    if not ctx.wants(1):
        return made, None, total.value
    shown = Expr(ctx, input_ids if mask is None else mask).cast(DType.INT32)
    if mask is None:
        shown = shown * 0
    return made, shown.sum(1, keep=False).value, total.value


@onnx_op("GroupNorm", domain=DOMAIN)
def group_norm(
    ctx: Context,
    x: Value,
    gamma: Value,
    beta: Value,
    *,
    activation: int,
    channels_last: int = 1,
    epsilon: float = 1e-5,
    groups: int,
) -> Value:
    ctx.rank(x)
    first = shape.channels_first(ctx, x) if channels_last else x
    made = norm.group_norm(ctx, first, gamma, beta, groups, epsilon)
    made = swish(ctx, made) if activation else made
    return shape.channels_last(ctx, made) if channels_last else made


# convolutions ------------------------------------------------------------------------------------------------------


@onnx_op("FusedConv", domain=DOMAIN)
@attributes_of(conv)
def fused_conv(
    ctx: Context,
    x: Value,
    w: Value,
    bias: Optional[Value] = None,
    added: Optional[Value] = None,
    *,
    activation: str = "",
    activation_params: Optional[list[float]] = None,
    **window: Any,
) -> Value:
    made = conv(ctx, x, w, bias, **window)
    if added is not None:
        made = (Expr(ctx, made) + Expr(ctx, added)).value
    return activated(ctx, made, activation, activation_params or [])


@onnx_op("NhwcConv", domain=DOMAIN)
@onnx_op("NhwcFusedConv", domain=DOMAIN)
@attributes_of(fused_conv)
def channels_last_conv(
    ctx: Context, x: Value, w: Value, bias: Optional[Value] = None, added: Optional[Value] = None, **attributes: Any
) -> Value:
    ctx.rank(x)
    added = None if added is None else shape.channels_first(ctx, added)
    return shape.channels_last(ctx, fused_conv(ctx, shape.channels_first(ctx, x), w, bias, added, **attributes))
