"""Detection."""

from __future__ import annotations

from typing import Any

import numpy as np

from mconv import emit
from mconv.emit.zero_size import counted, one_if_any, or_else, padded, register, selected
from mconv.pir.context import Context, table_op
from mconv.pir.registry import pir_op
from mconv.program import dims as D
from mconv.program.dtypes import DType
from mconv.program.value import Value


@pir_op("nms")
def nms(ctx: Context, boxes: Value, *, threshold: float) -> Any:
    """The boxes that are kept, of boxes by falling score: int64 [their number], which is 0 only where there is none."""
    b = ctx.b
    if ctx.has_0d:
        kept = ctx.generic()[0]
        given, size = counted(b, boxes.shape or ()), (kept.shape or (0,))[0]
        if given and isinstance(size, D.Sym):  # padding is a box that is kept
            found = D.Sym.fresh("nms")
            b.origins[found] = (kept, 0)
            register(b, size, found * one_if_any(b, given))
        return kept
    # as many as there are boxes: the places of those kept, rising from 0, and 0 for the others
    size = (boxes.shape or (0,))[0]
    places: Value = ctx.op("nms", Boxes=boxes, iou_threshold=threshold, result=(DType.INT64, (size,)))
    first = emit.compare(b, "equal", emit.iota(b, size), b.constant(np.zeros(1, np.int64)))
    later = emit.compare(b, "greater_than", places, b.constant(np.zeros(1, np.int64)))
    found_at = selected(b, emit.logical(b, "logical_or", first, later))
    return emit.gather_nd(b, places, found_at)


@pir_op("multiclass_nms3")
def multiclass_nms3(ctx: Context, *operands: Any, **attributes: Any) -> Any:
    """What is found, [number, 6], and where, [number, 1]: maybe nothing."""
    del operands, attributes
    found, places, numbers = ctx.generic()
    first = padded(ctx.b, found)
    second = padded(ctx.b, places) if places is not None else None
    sizes = [(v.shape or (0,))[0] for v in (first, second) if v is not None]
    if len(sizes) == 2 and isinstance(sizes[1], D.Sym) and sizes[0] != sizes[1]:  # one number, by one name
        assert second is not None
        second.shape = (sizes[0], *(second.shape or ())[1:])
    return first, second, numbers


@pir_op("roi_align", "roi_pool", "psroi_pool")
def roi(ctx: Context, x: Value, boxes: Value, numbers: Any = None, **attributes: Any) -> Any:
    """Boxes of which there may be none; the padding that is there then is a box of the first image."""
    del attributes
    b, name = ctx.b, ctx.pir.name.partition(".")[2]
    if not isinstance(numbers, Value) or not counted(b, boxes.shape or ()):
        return ctx.generic()
    size = (numbers.shape or (0,))[0]
    first = emit.compare(b, "equal", emit.iota(b, size), b.constant(np.zeros(1, np.int64)))
    numbers = or_else(b, counted(b, boxes.shape or ()), numbers, b.cast(first, numbers.dtype))
    return table_op(ctx, name, [x, boxes, numbers])
