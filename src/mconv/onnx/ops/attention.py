"""com.microsoft's attention, as onnxruntime's optimizer and exporters write it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

import numpy as np

from mconv.emit import attention
from mconv.emit.expr import Expr, arange, concat, size
from mconv.onnx.context import Context, Result
from mconv.onnx.registry import onnx_op
from mconv.program import dims as D
from mconv.program.dtypes import DType
from mconv.program.value import Value

DOMAIN = "com.microsoft"
# what ONNX Runtime adds to the score of a key behind the query, whatever mask_filter_value says: no mask reaches it
_HIDDEN = float(np.finfo(np.float32).min)


def _attend(ctx: Context, q: Expr, k: Expr, v: Expr, scale: Optional[float], biases: Sequence[Optional[Expr]]) -> Value:
    """Attention in heads, joined: [B, S, H · d]; a *scale* of 0 is that of the size of a head."""
    total: Optional[Expr] = None
    for part in biases:
        if part is not None:
            total = part if total is None else total + part
    bias = None if total is None else total.value
    made = attention.attend(ctx, q.value, k.value, v.value, scale or None, bias)
    return attention.joined(Expr(ctx, made)).value


def _present(past: Optional[Value], key: Expr, value: Expr) -> Expr:
    """Keys and values as one tensor, [2, B, H, T, d], after those of *past*, which may be of length 0."""
    own = concat([key.unsqueeze(0), value.unsqueeze(0)], 0)
    return own if past is None else concat([Expr(key.b, past), own], 3)


def _masked(ctx: Context, mask: Value, x: Value, keys: D.Dim, filled: float, left: bool) -> Expr:
    """What a mask of keys adds to the scores.

    Args:
        mask: of one dimension, it has for each of the batch of *x* where its keys end. Of twice as many numbers the
            others say where they start, if *left*; what else follows are cumulated lengths, which say the same again.
    """
    if ctx.rank(mask) > 1:
        return attention.key_mask(ctx, mask, keys, x.dtype, filled)
    assert x.shape is not None and mask.shape is not None
    batch, length = x.shape[0], mask.shape[0]
    if isinstance(batch, int) and isinstance(length, int) and length not in (batch, 2 * batch, 3 * batch + 2):
        raise ctx.refuse(f"a mask of {length} numbers for a batch of {batch}")
    numbers = Expr(ctx, mask).cast(DType.INT64)
    ends = numbers.slice(0, 0, batch)
    if not left or length == batch:
        return attention.key_mask(ctx, ends.value, keys, x.dtype, filled)
    twice = size(ctx, length, DType.INT64).equals(size(ctx, batch * 2, DType.INT64)).cast(DType.INT64)
    # where there are only ends, the numbers behind them are 0: the first key
    starts = concat([numbers, ends * 0], 0).slice(0, batch, batch * 2) * twice
    return attention.key_mask(ctx, ends.value, keys, x.dtype, filled, starts.value)


@onnx_op("Attention", domain=DOMAIN)
def packed_attention(
    ctx: Context,
    x: Value,
    weights: Value,
    bias: Optional[Value] = None,
    mask: Optional[Value] = None,
    past: Optional[Value] = None,
    attention_bias: Optional[Value] = None,
    past_length: Optional[Value] = None,
    *,
    num_heads: int,
    unidirectional: int = 0,
    qkv_hidden_sizes: Optional[list[int]] = None,
    scale: Optional[float] = None,
    mask_filter_value: float = -10000.0,
    do_rotary: int = 0,
    rotary_embedding_dim: int = 0,
    past_present_share_buffer: int = 0,
) -> Result:
    if do_rotary or past_present_share_buffer or past_length is not None:
        raise ctx.refuse("rotary embedding inside of it, or a shared buffer for the past")
    total = weights.shape[1] if weights.shape is not None else None
    if not isinstance(total, int):
        raise ctx.refuse("the size of its weights is known only at run time")
    widths = qkv_hidden_sizes or [total // 3] * 3
    packed = Expr(ctx, x) @ Expr(ctx, weights)
    packed = packed if bias is None else packed + bias
    parts, start = [], 0
    for width in widths:
        parts.append(attention.heads(ctx, packed.slice(2, start, start + width).value, num_heads))
        start += width
    query, key, value = parts
    present = _present(past, key, value) if past is not None or ctx.wants(1) else None
    if past is not None and present is not None:
        dims: list[D.Dim] = list(present.shape[1:])
        key, value = (present.slice(0, i, i + 1).reshape(*dims) for i in range(2))
    queries, keys = query.shape[2], key.shape[2]
    masked = None if mask is None else _masked(ctx, mask, x, keys, mask_filter_value, left=True)
    causal = attention.causal(ctx, queries, keys, x.dtype, _HIDDEN) if unidirectional else None
    added = [masked, causal, None if attention_bias is None else Expr(ctx, attention_bias)]
    made = _attend(ctx, query, key, value, scale, added)
    return made if present is None else (made, present.value)


@onnx_op("MultiHeadAttention", domain=DOMAIN)
def multi_head_attention(
    ctx: Context,
    query: Value,
    key: Optional[Value] = None,
    value: Optional[Value] = None,
    bias: Optional[Value] = None,
    mask: Optional[Value] = None,
    attention_bias: Optional[Value] = None,
    past_key: Optional[Value] = None,
    past_value: Optional[Value] = None,
    *,
    num_heads: int,
    mask_filter_value: float = -10000.0,
    scale: Optional[float] = None,
    unidirectional: int = 0,
) -> Result:
    if key is None or value is None or ctx.rank(query) != 3:
        raise ctx.refuse("query, key and value packed into one tensor")
    parts: list[Expr] = []
    start = 0
    for part in (query, key, value):
        if ctx.rank(part) == 4:  # [B, H, S, d] already
            parts.append(Expr(ctx, part))
            continue
        assert part.shape is not None
        width = part.shape[2]
        if bias is not None:
            if not isinstance(width, int):
                raise ctx.refuse("the number of features is known only at run time")
            part = (Expr(ctx, part) + Expr(ctx, bias).slice(0, start, start + width)).value
            start += width
        parts.append(attention.heads(ctx, part, num_heads))
    if bias is not None and ctx.rank(key) == 4:
        raise ctx.refuse("a bias for keys that are in heads already")
    q, k, v = parts
    if past_key is not None and past_value is not None:
        k, v = concat([Expr(ctx, past_key), k], 2), concat([Expr(ctx, past_value), v], 2)
    queries, keys = q.shape[2], k.shape[2]
    masked = None if mask is None else _masked(ctx, mask, query, keys, mask_filter_value, left=False)
    causal = attention.causal(ctx, queries, keys, query.dtype, _HIDDEN) if unidirectional else None
    added = [masked, causal, None if attention_bias is None else Expr(ctx, attention_bias)]
    made = _attend(ctx, q, k, v, scale, added)
    return (made, k.value, v.value)[: max(ctx.n_outputs, 1)]


@onnx_op("RotaryEmbedding", domain=DOMAIN)
def rotary_embedding(
    ctx: Context,
    x: Value,
    position_ids: Value,
    cos_cache: Value,
    sin_cache: Value,
    *,
    interleaved: int = 0,
    is_packed_batching: int = 0,
    num_heads: int = 0,
    rotary_embedding_dim: int = 0,
    scale: float = 1.0,
) -> Value:
    if is_packed_batching or scale != 1.0:
        raise ctx.refuse("packed batches, or a scale")
    half = cos_cache.shape[1] if cos_cache.shape is not None else None
    if not isinstance(half, int):
        raise ctx.refuse("the size of the cosine cache is known only at run time")
    width = rotary_embedding_dim or 2 * half
    flat = ctx.rank(x) == 3
    assert x.shape is not None
    if flat and not num_heads:
        features = x.shape[2]
        if rotary_embedding_dim or not isinstance(features, int):
            raise ctx.refuse("num_heads is needed for a part of the features")
        num_heads = features // width
    whole = attention.heads(ctx, x, num_heads) if flat else Expr(ctx, x)
    length = whole.shape[2]
    ids = Expr(ctx, position_ids).cast(DType.INT64)
    if ctx.rank(position_ids) == 1:  # where the first one stands
        ids = (arange(ctx, length, DType.INT64) + ids).reshape(1, length)
    tables = []
    for cache in (cos_cache, sin_cache):
        rows = Expr(ctx, cache).gather(ids.reshape(D.product(ids.shape)))
        tables.append(rows.reshape(ids.shape[0], 1, length, half))
    made = attention.rotate(whole, tables[0], tables[1], width, bool(interleaved))
    return (attention.joined(made) if flat else made).value
