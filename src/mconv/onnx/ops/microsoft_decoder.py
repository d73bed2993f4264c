"""com.microsoft's operators of decoders of language models: attention of grouped queries behind a cache, the bias of
relative positions, quantised embeddings."""

from __future__ import annotations

from typing import Optional

import numpy as np

from mconv.emit import attention, scatter
from mconv.emit.elementwise import logical
from mconv.emit.expr import Expr, arange, concat, size, where
from mconv.emit.gather import gather
from mconv.emit.reduction import softmax
from mconv.emit.shape import fill
from mconv.emit.weights import computed
from mconv.onnx.context import Context, Result
from mconv.onnx.ops.microsoft_quantized import unpacked
from mconv.onnx.registry import onnx_op
from mconv.program import dims as D
from mconv.program.dtypes import DType
from mconv.program.value import Value

DOMAIN = "com.microsoft"


@onnx_op("GroupQueryAttention", domain=DOMAIN)
def group_query_attention(
    ctx: Context,
    query: Value,
    key: Optional[Value],
    value: Optional[Value],
    past_key: Optional[Value],
    past_value: Optional[Value],
    seqlens_k: Value,
    total_sequence_length: Value,
    cos_cache: Optional[Value] = None,
    sin_cache: Optional[Value] = None,
    position_ids: Optional[Value] = None,
    attention_bias: Optional[Value] = None,
    head_sink: Optional[Value] = None,
    *,
    num_heads: int,
    kv_num_heads: int,
    do_rotary: int = 0,
    kv_cache_bit_width: int = 0,
    k_quant_type: str = "NONE",
    v_quant_type: str = "NONE",
    local_window_size: int = -1,
    qk_output: int = 0,
    rotary_interleaved: int = 0,
    scale: float = 0.0,
    smooth_softmax: int = 0,
    softcap: float = 0.0,
) -> Result:
    """Of each row of the batch, seqlens_k + 1 keys count; the new ones are the last of these.

    The present cache is the past one and the new tokens, as exports for ONNX Runtime's CPU have it; the shared buffer of
    a fixed length that GPUs write into is another graph.
    """
    if head_sink is not None or smooth_softmax > 0 or qk_output or kv_cache_bit_width:
        raise ctx.refuse("a softmax with a sink, the scores as an output, or a quantised cache")
    if not kv_num_heads or num_heads % kv_num_heads:
        raise ctx.refuse(f"{num_heads} heads of queries for {kv_num_heads} of keys")
    ctx.notes.append(
        "GroupQueryAttention: the present cache is taken to be as long as the past and the new tokens together"
    )
    q, k, v = _parts(ctx, query, key, value, num_heads, kv_num_heads)
    batch, _, length, width = q.shape
    past: D.Dim = 0
    first = Expr(ctx, fill(ctx, [batch], 0, DType.INT64))  # where the new tokens of each row go
    if past_key is not None:
        past = Expr(ctx, past_key).shape[2]
        valid = Expr(ctx, seqlens_k).cast(DType.INT64).reshape(batch)
        behind = valid + 1 - size(ctx, length, DType.INT64)
        first = where(size(ctx, past, DType.INT64).equals(0), first, behind.maximum(0))
    positions = first.unsqueeze(1) + arange(ctx, length, DType.INT64).unsqueeze(0)  # [B, S]
    if do_rotary:
        if cos_cache is None or sin_cache is None:
            raise ctx.refuse("rotary embedding without its tables")
        ids = positions if position_ids is None else Expr(ctx, position_ids).cast(DType.INT64)
        rows = ids.reshape(D.product(ids.shape))
        half = Expr(ctx, cos_cache).shape[1]
        if not isinstance(half, int):
            raise ctx.refuse("the size of the cosine cache is known only at run time")
        cos, sin = (Expr(ctx, t).gather(rows).reshape(batch, 1, length, half) for t in (cos_cache, sin_cache))
        q, k = (attention.rotate(x, cos, sin, 2 * half, bool(rotary_interleaved)) for x in (q, k))
    if past_key is not None and past_value is not None:
        room = [batch, kv_num_heads, length, width]
        k, v = (
            Expr(ctx, scatter.scatter_rows(ctx, _with_room(ctx, old, room), new.value, first.value, 2, circular=False))
            for old, new in ((past_key, k), (past_value, v))
        )
    keys = k.shape[2]
    column = arange(ctx, keys, DType.INT64).reshape(1, 1, 1, keys)
    row = positions.reshape(batch, 1, length, 1)
    shown = (column <= row).value
    if local_window_size > 0:
        shown = logical(ctx, "logical_and", shown, (column > row - local_window_size).value)
    bias = Expr(ctx, attention.mask_bias(ctx, shown, query.dtype))
    times = num_heads // kv_num_heads
    whole = [attention.repeated_heads(ctx, x.value, times, 1) if times > 1 else x.value for x in (k, v)]
    more = None if attention_bias is None else Expr(ctx, attention_bias)
    made = _attended(ctx, q, whole[0], whole[1], scale or 1.0 / float(np.sqrt(D.number(width))), softcap, bias, more)
    return (attention.joined(made).value, k.value, v.value)[: max(ctx.n_outputs, 1)]


def _parts(
    ctx: Context, query: Value, key: Optional[Value], value: Optional[Value], heads: int, kv_heads: int
) -> tuple[Expr, Expr, Expr]:
    """Queries, keys and values in their heads; they may come in one tensor."""
    if key is not None and value is not None:
        return (
            attention.heads(ctx, query, heads), attention.heads(ctx, key, kv_heads), attention.heads(ctx, value, kv_heads),
        )  # fmt: skip
    whole = attention.heads(ctx, query, heads + 2 * kv_heads)
    ends = (0, heads, heads + kv_heads, heads + 2 * kv_heads)
    q, k, v = (whole.slice(1, start, end) for start, end in zip(ends, ends[1:]))
    return q, k, v


def _with_room(ctx: Context, past: Value, room: list[D.Dim]) -> Value:
    return concat([Expr(ctx, past), Expr(ctx, fill(ctx, room, 0, past.dtype))], 2).value


def _attended(
    ctx: Context, q: Expr, k: Value, v: Value, scale: float, softcap: float, bias: Expr, more: Optional[Expr]
) -> Expr:
    if not softcap:
        total = bias if more is None else bias + more
        return Expr(ctx, attention.attend(ctx, q.value, k, v, scale, total.value))
    scores = (q * scale) @ Expr(ctx, k).transpose(0, 1, 3, 2)
    scores = (scores / softcap).tanh() * softcap + bias
    return Expr(ctx, softmax(ctx, (scores if more is None else scores + more).value, -1)) @ Expr(ctx, v)


@onnx_op("RelativePositionBias", domain=DOMAIN)
def relative_position_bias(
    ctx: Context, table: Value, query_length: Value, key_length: Value, *, max_distance: int, is_bidirectional: int = 0
) -> Value:
    """T5's: [1, H, S, T] out of a table [buckets, H] by the distance, near ones each, far ones in logarithmic steps."""
    buckets = Expr(ctx, table).shape[0]
    if not isinstance(buckets, int):
        raise ctx.refuse("the number of buckets is known only at run time")
    sizes = []
    for length in (query_length, key_length):
        known = ctx.known_dims(length)
        sizes.append(known[0] if known is not None else length)
    ends = [arange(ctx, n, DType.INT64) for n in sizes]
    distance = ends[1].unsqueeze(0) - ends[0].unsqueeze(1)
    if is_bidirectional:
        buckets //= 2
        offset = (distance > 0).cast(DType.INT64) * buckets
        away = distance.maximum(-distance)
    else:
        offset, away = distance * 0, (-distance).maximum(0)
    near = buckets // 2
    steps = (away.cast(DType.FP32).maximum(1.0) / float(near)).log() / float(np.log(max_distance / near))
    far = ((steps * float(buckets - near)).cast(DType.INT64) + near).minimum(buckets - 1)
    positions = where(away < near, away, far) + offset
    return Expr(ctx, gather(ctx, table, positions.value, 0)).transpose(2, 0, 1).unsqueeze(0).value


@onnx_op("GatherBlockQuantized", domain=DOMAIN)
def gather_block_quantized(
    ctx: Context,
    data: Value,
    indices: Value,
    scales: Value,
    zero_points: Optional[Value] = None,
    *,
    bits: int = 4,
    block_size: int = 128,
    gather_axis: int = 0,
    quantize_axis: int = 1,
) -> Value:
    """Rows of a table in blocks of few bits: unpacked into a parameter while it is written."""
    given = [v for v in (data, scales, zero_points) if v is not None]
    if not all(v.is_const for v in given) or data.shape is None or scales.shape is None:
        raise ctx.refuse("its table must be constant: it comes in at run time")
    kind = ctx.type_in(0)
    packed = kind == 2 and bits < 8  # uint8 with several numbers in each; else the type itself says it
    rank = len(data.shape)
    axis = quantize_axis % rank
    shape = [D.number(d) for d in data.shape]
    if packed:
        shape[-1] *= 8 // bits
    if (
        block_size < 1
        or bits not in (2, 4, 8)
        or tuple(scales.shape) != tuple(-(-d // block_size) if i == axis else d for i, d in enumerate(shape))
    ):
        raise ctx.refuse(f"scales {list(scales.shape)} for a table {shape} in blocks of {block_size}")
    middle = 1 << (bits - 1) if kind == 2 else 0

    def table(held: np.ndarray, scale: np.ndarray, zero: Optional[np.ndarray] = None) -> np.ndarray:
        numbers = (unpacked(held, bits) if packed else held).astype(np.float32)
        if zero is not None and packed:
            zero = unpacked(zero, bits)[..., : scale.shape[-1]]
        wide = [np.repeat(a, block_size, axis).take(range(shape[axis]), axis) for a in (scale, zero) if a is not None]
        point: np.ndarray | np.float32 = wide[1].astype(np.float32) if len(wide) > 1 else np.float32(middle)
        return np.ascontiguousarray((numbers - point) * wide[0].astype(np.float32))

    rows = computed(ctx, given, tuple(shape), table, DType.FP32)
    return ctx.cast(gather(ctx, rows, indices, gather_axis), scales.dtype)
