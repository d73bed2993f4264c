"""Choosing among overlapping boxes."""

from __future__ import annotations

from typing import Optional

import numpy as np

from mconv.emit.control import loop
from mconv.emit.elementwise import arithmetic, compare, logical, number, where
from mconv.emit.gather import gather, take_along_axis
from mconv.emit.known import need_rank
from mconv.emit.ranges import iota, spread
from mconv.emit.selection import present, selected
from mconv.emit.shape import expand_to, fill, reshape, squeeze, transpose, unsqueeze
from mconv.emit.slicing import concat, slice_
from mconv.emit.zero_size import counted
from mconv.errors import UnsupportedError
from mconv.program import dims as D
from mconv.program.builder import Builder
from mconv.program.dtypes import DType
from mconv.program.value import Value


def non_max_suppression(
    b: Builder,
    boxes: Value,
    scores: Value,
    limit: Value,
    overlap: Optional[Value],
    least: Optional[Value],
    *,
    centered: bool,
) -> Value:
    """ONNX NonMaxSuppression: int64 [selected, 3] of (batch, class, box), by falling score within each class.

    Args:
        boxes: [batch, boxes, 4], two opposite corners (y, x, y, x), or with *centered* (x, y, width, height).
        scores: [batch, classes, boxes].
        limit: most boxes of a class, one int64.
        overlap: boxes that share more than this part of their union with a chosen one fall away; 0 when None.
        least: boxes that do not score more than this are not chosen; all can be when None.
    """
    shape = need_rank(scores, "NonMaxSuppression")
    if len(shape) != 3 or len(need_rank(boxes, "NonMaxSuppression")) != 3:
        raise UnsupportedError(
            "NonMaxSuppression: boxes [batch, boxes, 4] and scores [batch, classes, boxes] are needed"
        )
    lowest = fill(b, (1, 1, 1), -np.inf, scores.dtype)
    open_ = scores
    if least is not None:
        floor = reshape(b, least, (1, 1, 1))
        open_ = where(b, compare(b, "greater_than", scores, floor), scores, lowest)
    for axis, dim in enumerate(shape):
        if counted(b, [dim]):
            open_ = where(b, present(b, dim, axis, 3), open_, lowest)
    sides = [unsqueeze(b, v, [1]) for v in _corners(b, boxes, centered)]  # each [batch, 1, boxes]
    area = _area(b, sides)
    threshold = number(b, 0.0, scores.dtype) if overlap is None else overlap
    threshold = reshape(b, threshold, (1, 1, 1))
    positions = spread(b, iota(b, shape[2]), 2, 3)

    def turn(_: Value, state: list[Value]) -> tuple[Optional[Value], list[Value], list[Value]]:
        (left,) = state
        best, at = _best(b, left)
        valid = compare(b, "greater_than", best, lowest)
        chosen = [take_along_axis(b, expand_to(b, s, shape), at, 2) for s in sides]
        shared = _shared(b, chosen, sides)
        union = arithmetic(b, "sub", arithmetic(b, "add", _area(b, chosen), area), shared)
        # more than the threshold of the union, without a division by an empty union
        near = compare(b, "greater_than", shared, arithmetic(b, "mul", union, threshold))
        gone = logical(b, "logical_or", near, compare(b, "equal", at, positions))
        after = where(b, gone, lowest, left)
        some = compare(b, "greater_than", _maximum(b, reshape(b, after, (D.product(shape),))), reshape(b, lowest, (1,)))
        return some, [after], [squeeze(b, at, [2]), squeeze(b, valid, [2])]

    _, (index, valid) = loop(b, turn, [open_], reshape(b, limit, (1,)))
    # [turns, batch, classes] → [batch, classes, turns]
    index, valid = transpose(b, index, [1, 2, 0]), transpose(b, valid, [1, 2, 0])
    order = selected(b, valid, D.Sym.fresh("boxes"))
    assert index.shape is not None and order.shape is not None
    picked = b.op("gather_nd", X=index, Index=order, result=(DType.INT64, order.shape[:1]))
    return concat(b, [slice_(b, order, [1], [0], [2]), reshape(b, picked, (order.shape[0], 1))], 1)


def _corners(b: Builder, boxes: Value, centered: bool) -> list[Value]:
    """Top, left, bottom and right, each [batch, boxes]."""
    parts = [gather(b, boxes, b.constant(np.array(i, np.int64)), 2) for i in range(4)]
    if centered:
        half = number(b, 0.5, boxes.dtype)
        (x, y), extent = parts[:2], [arithmetic(b, "mul", v, half) for v in parts[2:]]
        low = [arithmetic(b, "sub", v, e) for v, e in zip((y, x), extent[::-1])]
        high = [arithmetic(b, "add", v, e) for v, e in zip((y, x), extent[::-1])]
        return [*low, *high]
    low = [arithmetic(b, "min", parts[i], parts[i + 2]) for i in (0, 1)]
    high = [arithmetic(b, "max", parts[i], parts[i + 2]) for i in (0, 1)]
    return [*low, *high]


def _area(b: Builder, sides: list[Value]) -> Value:
    top, left, bottom, right = sides
    return arithmetic(b, "mul", arithmetic(b, "sub", bottom, top), arithmetic(b, "sub", right, left))


def _shared(b: Builder, one: list[Value], other: list[Value]) -> Value:
    """The area that boxes have in common."""
    nothing = number(b, 0.0, one[0].dtype)
    spans = []
    for i in (0, 1):
        low = arithmetic(b, "max", one[i], other[i])
        high = arithmetic(b, "min", one[i + 2], other[i + 2])
        spans.append(arithmetic(b, "max", arithmetic(b, "sub", high, low), nothing))
    return arithmetic(b, "mul", spans[0], spans[1])


def _best(b: Builder, x: Value) -> tuple[Value, Value]:
    """The largest element along the last dimension, which stays with size 1, and its position."""
    shape = (*(x.shape or ())[:-1], 1)
    position = b.op(
        "arg_max", X=x, axis=-1, keepdims=True, flatten=False, dtype=int(DType.INT64), result=(DType.INT64, shape)
    )
    return take_along_axis(b, x, position, (x.rank or 1) - 1), position


def _maximum(b: Builder, x: Value) -> Value:
    return b.op("reduce_max", X=x, dim=[0], keep_dim=True, reduce_all=False, result=(x.dtype, (1,)))
