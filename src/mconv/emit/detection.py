"""Choosing among overlapping boxes."""

from __future__ import annotations

from typing import Optional

import numpy as np

from mconv.emit.control import loop
from mconv.emit.elementwise import compare, number, where
from mconv.emit.expr import Expr
from mconv.emit.gather import gather, take_along_axis
from mconv.emit.known import need_rank
from mconv.emit.ranges import iota, spread
from mconv.emit.selection import present, selected
from mconv.emit.shape import fill, reshape, squeeze, transpose
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
    sides = [v.unsqueeze(1) for v in _corners(b, boxes, centered)]  # each [batch, 1, boxes]
    area = _area(sides)
    threshold = number(b, 0.0, scores.dtype) if overlap is None else overlap
    threshold = reshape(b, threshold, (1, 1, 1))
    positions = spread(b, iota(b, shape[2]), 2, 3)

    def turn(_: Value, state: list[Value]) -> tuple[Optional[Value], list[Value], list[Value]]:
        (left,) = state
        best, at = _best(b, left)
        valid = compare(b, "greater_than", best, lowest)
        chosen = [Expr(b, take_along_axis(b, s.expand(*shape).value, at, 2)) for s in sides]
        shared = _shared(chosen, sides)
        union = _area(chosen) + area - shared
        # more than the threshold of the union, without a division by an empty union
        gone = (shared > union * threshold) | Expr(b, at).equals(positions)
        after = where(b, gone.value, lowest, left)
        some = compare(b, "greater_than", _maximum(b, reshape(b, after, (D.product(shape),))), reshape(b, lowest, (1,)))
        return some, [after], [squeeze(b, at, [2]), squeeze(b, valid, [2])]

    _, (index, valid) = loop(b, turn, [open_], reshape(b, limit, (1,)))
    # [turns, batch, classes] → [batch, classes, turns]
    index, valid = transpose(b, index, [1, 2, 0]), transpose(b, valid, [1, 2, 0])
    order = selected(b, valid, D.Sym.fresh("boxes"))
    assert index.shape is not None and order.shape is not None
    picked = b.op("gather_nd", X=index, Index=order, result=(DType.INT64, order.shape[:1]))
    return concat(b, [slice_(b, order, [1], [0], [2]), reshape(b, picked, (order.shape[0], 1))], 1)


def _corners(b: Builder, boxes: Value, centered: bool) -> list[Expr]:
    """Top, left, bottom and right, each [batch, boxes]."""
    parts = [Expr(b, gather(b, boxes, b.constant(np.array(i, np.int64)), 2)) for i in range(4)]
    if centered:
        middle, half = parts[1::-1], [v * 0.5 for v in parts[2:]][::-1]
        return [*(v - e for v, e in zip(middle, half)), *(v + e for v, e in zip(middle, half))]
    return [*(parts[i].minimum(parts[i + 2]) for i in (0, 1)), *(parts[i].maximum(parts[i + 2]) for i in (0, 1))]


def _area(sides: list[Expr]) -> Expr:
    top, left, bottom, right = sides
    return (bottom - top) * (right - left)


def _shared(one: list[Expr], other: list[Expr]) -> Expr:
    """The area that boxes have in common."""

    def span(i: int) -> Expr:
        low = one[i].maximum(other[i])
        return (one[i + 2].minimum(other[i + 2]) - low).maximum(0)

    return span(0) * span(1)


def _best(b: Builder, x: Value) -> tuple[Value, Value]:
    """The largest element along the last dimension, which stays with size 1, and its position."""
    shape = (*(x.shape or ())[:-1], 1)
    position = b.op(
        "arg_max", X=x, axis=-1, keepdims=True, flatten=False, dtype=int(DType.INT64), result=(DType.INT64, shape)
    )
    return take_along_axis(b, x, position, (x.rank or 1) - 1), position


def _maximum(b: Builder, x: Value) -> Value:
    return b.op("reduce_max", X=x, dim=[0], keep_dim=True, reduce_all=False, result=(x.dtype, (1,)))
