"""Detection."""

from __future__ import annotations

from typing import Any, Optional

import numpy as np

from mconv import emit
from mconv.emit.padding import or_else, padded
from mconv.emit.selection import selected
from mconv.emit.zero_size import counted, one_if_any, register
from mconv.paddle.context import Context, table_op
from mconv.paddle.registry import paddle_op
from mconv.program import dims as D
from mconv.program.dtypes import DType
from mconv.program.value import Value


@paddle_op("nms")
def nms(ctx: Context, boxes: Value, *, threshold: float) -> Any:
    """The boxes that are kept, of boxes by falling score: int64 [their number], which is 0 only where there is none."""
    b = ctx.b
    if ctx.has_0d:
        (kept,) = ctx.generic()
        _found(ctx, boxes, kept)
        return kept
    # as many as there are boxes: the positions of those kept, rising from 0, and 0 for the others
    size = (boxes.shape or (0,))[0]
    positions = ctx.op("nms", Boxes=boxes, iou_threshold=threshold, result=(DType.INT64, (size,)))
    first = emit.compare(b, "equal", emit.iota(b, size), b.constant(np.zeros(1, np.int64)))
    later = emit.compare(b, "greater_than", positions, b.constant(np.zeros(1, np.int64)))
    found_at = selected(b, emit.logical(b, "logical_or", first, later))
    return emit.gather_nd(b, positions, found_at)


def _found(ctx: Context, given: Value, *made: Optional[Value]) -> None:
    """Boxes, at least one where *given* has an element, of which its padding makes one, too."""
    sizes = counted(ctx.b, given.shape or ())
    first, *others = [v for v in made if v is not None]
    size = (first.shape or (0,))[0]
    if not sizes or not isinstance(size, D.Sym):
        return
    found = D.Sym.fresh("boxes")
    ctx.b.origins[found] = (first, 0)
    register(ctx.b, size, found * one_if_any(ctx.b, sizes))
    for other in others:
        other.shape = (size, *(other.shape or ())[1:])


@paddle_op("generate_proposals")
def generate_proposals(ctx: Context, scores: Value, *operands: Any, **attributes: Any) -> Any:
    """Boxes and their scores, at least one of each image, and how many of each."""
    del operands, attributes
    boxes, chances, numbers = ctx.generic()
    _found(ctx, scores, boxes, chances)
    if numbers is not None:
        numbers.shape = (scores.shape or (0,))[:1]
    return boxes, chances, numbers


@paddle_op("multiclass_nms3")
def multiclass_nms3(ctx: Context, *operands: Any, **attributes: Any) -> Any:
    """What is found, [number, 6], and where, [number, 1]: maybe nothing."""
    del operands, attributes
    found, positions, numbers = ctx.generic()
    first = padded(ctx.b, found)
    second = padded(ctx.b, positions) if positions is not None else None
    sizes = [(v.shape or (0,))[0] for v in (first, second) if v is not None]
    if len(sizes) == 2 and isinstance(sizes[1], D.Sym) and sizes[0] != sizes[1]:  # one number, by one name
        assert second is not None
        second.shape = (sizes[0], *(second.shape or ())[1:])
    return first, second, numbers


@paddle_op("roi_align", "roi_pool", "psroi_pool")
def roi(ctx: Context, x: Value, boxes: Value, numbers: Any = None, **attributes: Any) -> Any:
    """Boxes of which there may be none; the padding that is there then is a box of the first image."""
    del attributes
    b, name = ctx.b, ctx.name
    if not isinstance(numbers, Value):
        return ctx.generic()
    numbers = b.cast(numbers, DType.INT32)  # Paddle 2 reads no other
    if not counted(b, boxes.shape or ()):
        return table_op(ctx, name, [x, boxes, numbers])
    size = (numbers.shape or (0,))[0]
    first = emit.compare(b, "equal", emit.iota(b, size), b.constant(np.zeros(1, np.int64)))
    numbers = or_else(b, counted(b, boxes.shape or ()), numbers, b.cast(first, numbers.dtype))
    return table_op(ctx, name, [x, boxes, numbers])
