"""Attention in one operation, and what PaddleNLP's fused layers leave in a program."""

from __future__ import annotations

from typing import Any, Optional

from mconv import emit
from mconv.emit.attention import attend, lowest, repeated_heads, rotate_by_tables
from mconv.emit.attention import causal as causal_bias
from mconv.paddle.context import Context
from mconv.paddle.registry import Unsupported, paddle_op
from mconv.program import dims as D
from mconv.program.dtypes import DType
from mconv.program.value import Value


def attention(
    ctx: Context, q: Value, k: Value, v: Value, mask: Optional[Value], causal: bool, scale: Optional[float] = None
) -> Value:
    """softmax(q·kᵀ·scale + mask)·v on [batch, length, heads, width]; bottom-right causal, as Paddle's kernels."""
    b = ctx.b
    width = (q.shape or ())[-1]
    if not isinstance(width, int):
        raise Unsupported("attention of a width that is known only at run time")
    heads, shared = (q.shape or ())[2], (k.shape or ())[2]
    if heads != shared:  # grouped queries: each key serves several heads
        times = D.exact_div(heads, shared)
        if not isinstance(times, int):
            raise Unsupported("numbers of heads that do not divide")
        k, v = (repeated_heads(b, x, times, 2) for x in (k, v))
    bias = _causal(ctx, (q.shape or ())[1], (k.shape or ())[1], q.dtype) if causal else None
    if mask is not None:
        mask = b.cast(mask, q.dtype)
        bias = mask if bias is None else emit.binary(b, "elementwise_add", bias, mask)
    q, k, v = (emit.transpose(b, x, [0, 2, 1, 3]) for x in (q, k, v))
    return emit.transpose(b, attend(b, q, k, v, scale, bias), [0, 2, 1, 3])


def _causal(ctx: Context, rows: D.Dim, columns: D.Dim, dtype: DType) -> Value:
    """0 where a query may look, a large negative number where it may not; the last query sees the last key."""
    return causal_bias(ctx.b, rows, columns, dtype, lowest(dtype)).value


@paddle_op("flash_attn")
def flash_attn(
    ctx: Context,
    q: Value,
    k: Value,
    v: Value,
    seed: Optional[Value],
    mask: Optional[Value],
    *,
    dropout: float,
    causal: bool,
    return_softmax: bool,
    is_test: bool,
    rng_name: str = "",
) -> tuple:
    if dropout and not is_test:
        raise Unsupported("dropout in training mode (call layer.eval() before saving)")
    return attention(ctx, q, k, v, mask, causal), None, None, None


@paddle_op("memory_efficient_attention")
def memory_efficient_attention(
    ctx: Context,
    q: Value,
    k: Value,
    v: Value,
    bias: Optional[Value],
    *rest: Any,
    causal: bool,
    dropout_p: float,
    scale: float,
    is_test: bool,
) -> tuple:
    if dropout_p and not is_test:
        raise Unsupported("dropout in training mode (call layer.eval() before saving)")
    if any(r is not None for r in rest[:4]):
        raise Unsupported("attention over sequences of different lengths")
    return attention(ctx, q, k, v, bias, causal, scale if scale > 0 else None), None, None


@paddle_op("fused_softmax_mask")
def softmax_mask(ctx: Context, x: Value, mask: Value) -> Value:
    return ctx.op("softmax", X=emit.binary(ctx.b, "elementwise_add", x, mask), axis=-1)


@paddle_op("fused_softmax_mask_upper_triangle")
def softmax_triangle(ctx: Context, x: Value) -> Value:
    rows, columns = (x.shape or ())[-2:]
    causal = _causal(ctx, rows, columns, x.dtype)
    return ctx.op("softmax", X=emit.binary(ctx.b, "elementwise_add", x, causal), axis=-1)


@paddle_op("fused_rotary_position_embedding")
def rotary(
    ctx: Context,
    q: Value,
    k: Optional[Value],
    v: Optional[Value],
    sin: Optional[Value],
    cos: Optional[Value],
    positions: Optional[Value],
    *,
    use_neox_rotary_style: bool,
    time_major: bool,
    rotary_emb_base: float,
) -> tuple:
    """q·cos + turned(q)·sin, with the halves (or the neighbours) of the last dimension turned by 90 degrees."""
    if positions is not None or time_major or sin is None or cos is None:
        raise Unsupported("rotary embedding without its tables, with positions, or time-major")
    if any(not isinstance(x.shape[-1] if x.shape else None, int) for x in (q, k, v) if x is not None):
        raise Unsupported("rotary embedding of a width that is known only at run time")
    return tuple(None if x is None else rotate_by_tables(ctx.b, x, sin, cos, use_neox_rotary_style) for x in (q, k, v))
