"""Scaled dot-product attention."""

from __future__ import annotations

import math
from typing import Optional

import numpy as np

from mconv.emit import arithmetic, compare, logical, reduction
from mconv.emit.attention import attend, lowest, mask_bias, repeated_heads
from mconv.emit.elementwise import number
from mconv.emit.known import need_rank
from mconv.emit.ranges import iota, spread
from mconv.program import dims as D
from mconv.program.dtypes import DType
from mconv.program.value import Value
from mconv.torch.context import AtenContext
from mconv.torch.registry import aten_op


@aten_op("scaled_dot_product_attention.default")
def attention(
    ctx: AtenContext,
    query: Value,
    key: Value,
    value: Value,
    attn_mask: Optional[Value] = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: Optional[float] = None,
    enable_gqa: bool = False,
) -> Value:
    """``softmax(scale · q·kᵀ + mask) · v``; where a row's mask lets nothing through, zeros, as in PyTorch."""
    if dropout_p:
        raise ctx.refuse("it is in training mode (dropout_p is not 0), where it gives other numbers each time")
    q, k = need_rank(query, "attention"), need_rank(key, "attention")
    if enable_gqa:
        key, value = (_repeated(ctx, x, q[-3]) for x in (key, value))
    if is_causal:
        attn_mask = _causal(ctx, q[-2], k[-2])
    bias: Optional[Value] = None
    through: Optional[Value] = None
    if attn_mask is not None:
        bias, through = _bias(ctx, attn_mask, query.dtype, is_causal)
    made = attend(ctx, query, key, value, scale, bias)
    return made if through is None else arithmetic(ctx, "mul", made, through)


def _repeated(ctx: AtenContext, x: Value, heads: D.Dim) -> Value:
    """[…, few heads, L, E] with each head as often as makes *heads* of them."""
    shape = need_rank(x, "attention")
    few, total = ctx.static_int(shape[-3], "the number of heads"), ctx.static_int(heads, "the number of heads")
    return x if few == total else repeated_heads(ctx, x, total // few, -3)


def _causal(ctx: AtenContext, rows: D.Dim, columns: D.Dim) -> Value:
    """True at and below the diagonal."""
    i, j = spread(ctx, iota(ctx, rows), 0, 2), spread(ctx, iota(ctx, columns), 1, 2)
    return compare(ctx, "greater_equal", i, j)


def _bias(ctx: AtenContext, mask: Value, dtype: DType, causal: bool) -> tuple[Value, Optional[Value]]:
    """A mask as what is added to the scores, and 0 where a whole row is masked (None: no row can be)."""
    if mask.dtype is DType.BOOL:
        if causal:
            return mask_bias(ctx, mask, dtype), None
        return mask_bias(ctx, mask, dtype), ctx.cast(reduction.reduce(ctx, "max", mask, [-1], keep=True), dtype)
    mask = ctx.cast(mask, dtype)
    if mask.is_const:
        array = np.asarray(mask.const)
        if not np.isneginf(array).all(-1).any():
            return mask, None
    # minus infinity in a whole row would make it NaN
    bias = arithmetic(ctx, "max", mask, number(ctx, lowest(dtype), dtype))
    best = reduction.reduce(ctx, "max", mask, [-1], keep=True)
    seen = logical(ctx, "logical_not", compare(ctx, "equal", best, number(ctx, -math.inf, dtype)))
    return bias, ctx.cast(seen, dtype)
