"""Selections: how much they find is known only from data, and may be nothing."""

from __future__ import annotations

from typing import Optional

from mconv import emit
from mconv.emit.selection import selected
from mconv.paddle.context import Context
from mconv.paddle.registry import Unsupported, paddle_op
from mconv.program import dims as D
from mconv.program.dtypes import DType
from mconv.program.value import Value


@paddle_op("nonzero")
def nonzero(ctx: Context, condition: Value) -> Value:
    """Coordinates of what is not zero, [number, rank]."""
    if not condition.rank:
        raise Unsupported("a single number is asked where it is not zero")
    return selected(ctx.b, ctx.b.cast(condition, DType.BOOL))


@paddle_op("masked_select")
def masked_select(ctx: Context, x: Value, mask: Value) -> Value:
    """The elements where *mask* holds, one after the other."""
    shape: Optional[tuple[D.Dim, ...]] = D.broadcast(x.shape, mask.shape)
    if not shape:
        raise Unsupported("operands whose rank is not known, or without dimensions")
    whole, where = (emit.expand_to(ctx.b, v, shape) for v in (x, ctx.b.cast(mask, DType.BOOL)))
    return emit.gather_nd(ctx.b, whole, selected(ctx.b, where))
