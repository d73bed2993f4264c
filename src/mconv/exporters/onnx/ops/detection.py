"""Choosing among boxes that overlap."""

from __future__ import annotations

import math
from typing import Any, Optional

import numpy as np

from mconv.exporters.onnx.context import Context
from mconv.exporters.onnx.errors import Unsupported
from mconv.exporters.onnx.ops.boxes import column
from mconv.exporters.onnx.ops.branch import if_
from mconv.exporters.onnx.registry import paddle_op
from mconv.program import dims as D
from mconv.program.dtypes import DType
from mconv.program.schemas import attributes_of
from mconv.program.value import Value

ALL = 1 << 31  # more boxes than there are


def _sorted(ctx: Context, x: Value) -> Value:
    """Whole numbers in rising order."""
    values, _ = ctx.op("TopK", x, ctx.shape(x), largest=0, sorted=1, axis=0, outputs=2)
    return values


def positions_of(ctx: Context, mask: Value) -> Value:
    """Where a vector of truth values holds: int64."""
    return ctx.reshape(ctx.op("NonZero", mask), [-1])


# choosing ------------------------------------------------------------------------------------------------------------


def _suppressed(
    ctx: Context,
    boxes: Value,
    scores: Value,
    background: int,
    least: float,
    first: int,
    overlap: float,
    normalized: bool,
) -> Value:
    """int64 [chosen, 3] of (image, class, box), images and classes rising, scores falling within a class.

    Args:
        boxes: [images, boxes, 4]; scores: [images, classes, boxes].
        first: so many of each class, by their scores, are looked at.
    """
    lowest = -math.inf
    size = (scores.shape or (None,) * 3)[2]
    if first > 0 and not (isinstance(size, int) and size <= first):
        limit = ctx.op("Min", ctx.const([first], DType.INT64), ctx.dim(scores, 2))
        best, at = ctx.op("TopK", scores, limit, axis=2, largest=1, sorted=1, outputs=2)
        scores = ctx.op("ScatterElements", ctx.full_like(scores, lowest), at, best, axis=2)
    if background >= 0:
        classes = ctx.arange(ctx.dim(scores, 1))
        own = ctx.op("Equal", ctx.reshape(classes, [1, -1, 1]), ctx.const(background, DType.INT64))
        scores = ctx.op("Where", own, ctx.const(lowest, scores.dtype), scores)
    if not normalized:  # pixels: the last ones belong to the box
        boxes = ctx.op("Add", boxes, np.array([0, 0, 1, 1], boxes.dtype.numpy))
    chosen: Value = ctx.op(
        "NonMaxSuppression",
        ctx.cast(boxes, DType.FP32),
        ctx.cast(scores, DType.FP32),
        ctx.const([ALL], DType.INT64),
        ctx.const([overlap], DType.FP32),
        ctx.const([least], DType.FP32),
    )
    return chosen


def _kept(ctx: Context, images: Value, values: Value, one_image: bool, most: int, count: Value) -> Value:
    """The positions of the *most* best of each image, in the order in which they are.

    Args:
        images: int64 [chosen]: of which image each is.
        values: [chosen]: by what they are compared; of equal ones the first.
        count: int64 scalar: how many images there are.
    """
    number = ctx.shape(values)
    if one_image:
        limit = ctx.op("Min", ctx.const([most], DType.INT64), number)
        _, positions = ctx.op("TopK", values, limit, axis=0, largest=1, sorted=1, outputs=2)
        return _sorted(ctx, positions)
    _, order = ctx.op("TopK", values, number, axis=0, largest=1, sorted=1, outputs=2)
    sorted_images = ctx.op("Gather", images, order, axis=0)
    every = ctx.arange(count)
    of_image = ctx.cast(ctx.op("Equal", ctx.unsqueeze(sorted_images, [1]), ctx.unsqueeze(every, [0])), DType.INT32)
    ranks = ctx.op("Mul", ctx.op("CumSum", of_image, ctx.const(0, DType.INT64)), of_image)
    rank = ctx.reduce("ReduceMax", ctx.cast(ranks, DType.INT64), [1])
    fits = ctx.op("Not", ctx.op("Greater", rank, ctx.const(most, DType.INT64)))
    return _sorted(ctx, ctx.op("Gather", order, positions_of(ctx, fits), axis=0))


def counts(ctx: Context, images: Value, count: Value) -> Value:
    """How many of each image: int32 [images]."""
    every = ctx.arange(count)
    of_image = ctx.cast(ctx.op("Equal", ctx.unsqueeze(images, [1]), ctx.unsqueeze(every, [0])), DType.INT64)
    return ctx.cast(ctx.reduce("ReduceSum", of_image, [0]), DType.INT32)


@paddle_op("multiclass_nms2", "multiclass_nms3", outputs=["Out", "Index", "NmsRoisNum"])
def multiclass_nms(
    ctx: Context,
    BBoxes: Value,
    Scores: Value,
    RoisNum: Optional[Value] = None,
    *,
    background_label: int = 0,
    score_threshold: float,
    nms_top_k: int,
    nms_threshold: float = 0.3,
    nms_eta: float = 1.0,
    keep_top_k: int,
    normalized: bool = True,
) -> tuple[Value, Value, Value]:
    if RoisNum is not None or ctx.rank(Scores) != 3 or ctx.rank(BBoxes) != 3:
        raise Unsupported("boxes of each class, [boxes, classes, 4]")
    if (BBoxes.shape or ())[2] != 4:
        raise Unsupported("boxes with more than two corners")
    if nms_eta != 1.0:
        raise Unsupported(f"a threshold that changes (nms_eta={nms_eta:g})")
    chosen = _suppressed(ctx, BBoxes, Scores, background_label, score_threshold, nms_top_k, nms_threshold, normalized)
    one_image = (Scores.shape or (None,))[0] == 1
    count = ctx.scalar(ctx.dim(Scores, 0))
    values = ctx.op("GatherND", Scores, chosen)
    if keep_top_k >= 0:
        positions = _kept(ctx, column(ctx, chosen, 0, 1), values, one_image, keep_top_k, count)
        chosen, values = (ctx.op("Gather", v, positions, axis=0) for v in (chosen, values))
    images, labels, boxes = (column(ctx, chosen, i, 1) for i in range(3))
    pairs = ctx.op("Concat", ctx.unsqueeze(images, [1]), ctx.unsqueeze(boxes, [1]), axis=1)
    found = ctx.op("GatherND", BBoxes, pairs)
    label = ctx.cast(ctx.unsqueeze(labels, [1]), BBoxes.dtype)
    out = ctx.op("Concat", label, ctx.unsqueeze(values, [1]), found, axis=1)
    flat = ctx.op("Add", ctx.op("Mul", images, ctx.scalar(ctx.dim(BBoxes, 1))), boxes)
    index = ctx.cast(ctx.unsqueeze(flat, [1]), DType.INT32)
    return out, index, counts(ctx, images, count)


@paddle_op("multiclass_nms")
@attributes_of(multiclass_nms)
def first_multiclass_nms(ctx: Context, BBoxes: Value, Scores: Value, **attributes: Any) -> Value:
    """As its successors, but for [[-1]] where nothing is found."""
    out, _, _ = multiclass_nms(ctx, BBoxes, Scores, **attributes)
    some = ctx.op("Greater", ctx.scalar(ctx.dim(out, 0)), ctx.const(0, DType.INT64))
    nothing = ctx.const([[-1.0]], out.dtype)
    (made,) = if_(ctx, some, lambda: [out], lambda: [nothing])
    assert isinstance(made, Value)
    made.shape = (D.Sym.fresh("boxes"), D.Sym.fresh("fields"))
    return made


@paddle_op("matrix_nms", outputs=["Out", "Index", "RoisNum"])
def matrix_nms(
    ctx: Context,
    BBoxes: Value,
    Scores: Value,
    *,
    background_label: int = 0,
    score_threshold: float,
    post_threshold: float = 0.0,
    nms_top_k: int,
    keep_top_k: int,
    normalized: bool = True,
    use_gaussian: bool = False,
    gaussian_sigma: float = 2.0,
) -> tuple[Value, Value, Value]:
    """Each box is worth less the more it overlaps with better ones of its class; per image the best come first."""
    dtype = Scores.dtype
    count, classes, boxes = (ctx.dim(Scores, i) for i in range(3))
    limit = boxes if nms_top_k < 0 else ctx.op("Min", ctx.const([nms_top_k], DType.INT64), boxes)
    best, at = ctx.op("TopK", Scores, limit, axis=2, largest=1, sorted=1, outputs=2)  # [images, classes, k]
    rows = ctx.arange(count)
    flat = ctx.op("Add", at, ctx.op("Mul", ctx.reshape(rows, [-1, 1, 1]), ctx.scalar(boxes)))
    corners = ctx.op("Gather", ctx.op("Reshape", BBoxes, [-1, 4]), flat, axis=0)
    x1, y1, x2, y2 = (column(ctx, corners, i, 3) for i in range(4))
    extra, zero = ctx.const(0.0 if normalized else 1.0, dtype), ctx.const(0.0, dtype)

    def span(low: Value, high: Value) -> Value:
        inner = ctx.op("Min", ctx.unsqueeze(high, [3]), ctx.unsqueeze(high, [2]))
        outer = ctx.op("Max", ctx.unsqueeze(low, [3]), ctx.unsqueeze(low, [2]))
        return ctx.op("Max", ctx.op("Add", ctx.op("Sub", inner, outer), extra), zero)

    area = ctx.op("Mul", *(ctx.op("Add", ctx.op("Sub", b, a), extra) for a, b in ((x1, x2), (y1, y2))))
    shared = ctx.op("Mul", span(x1, x2), span(y1, y2))  # [images, classes, k, k]
    union = ctx.op("Sub", ctx.op("Add", ctx.unsqueeze(area, [3]), ctx.unsqueeze(area, [2])), shared)
    positions = ctx.arange(limit)
    before = ctx.op(
        "Less", ctx.unsqueeze(positions, [0]), ctx.unsqueeze(positions, [1])
    )  # column before row: a better box
    some = ctx.op("And", before, ctx.op("Greater", shared, zero))
    overlap = ctx.op("Where", some, ctx.op("Div", shared, union), zero)
    worst = ctx.unsqueeze(ctx.reduce("ReduceMax", overlap, [3]), [2])  # of each better box with those before it
    one = ctx.const(1.0, dtype)
    if use_gaussian:
        squares = ctx.op("Sub", ctx.op("Mul", worst, worst), ctx.op("Mul", overlap, overlap))
        decay = ctx.op("Exp", ctx.op("Mul", squares, ctx.const(gaussian_sigma, dtype)))
    else:
        decay = ctx.op("Div", ctx.op("Sub", one, overlap), ctx.op("Sub", one, worst))
    least = ctx.reduce("ReduceMin", ctx.op("Where", before, decay, one), [3])
    worth = ctx.op("Mul", best, ctx.op("Min", least, one))
    good = ctx.op("And", ctx.op("Greater", best, score_threshold), ctx.op("Greater", worth, post_threshold))
    labels = ctx.arange(classes)
    labels = ctx.reshape(labels, [1, -1, 1])
    if background_label >= 0:
        good = ctx.op("And", good, ctx.op("Not", ctx.op("Equal", labels, ctx.const(background_label, DType.INT64))))
    lowest = ctx.const(-math.inf, dtype)
    everything = [ctx.op("Where", good, worth, lowest), flat, ctx.op("Add", labels, ctx.op("Mul", flat, 0))]
    values, indices, kinds = (ctx.op("Reshape", v, ctx.vector([count, -1])) for v in everything)
    whole = ctx.op("Mul", classes, limit)
    most = whole if keep_top_k < 0 else ctx.op("Min", ctx.const([keep_top_k], DType.INT64), whole)
    values, order = ctx.op("TopK", values, most, axis=1, largest=1, sorted=1, outputs=2)
    indices, kinds = (ctx.op("GatherElements", v, order, axis=1) for v in (indices, kinds))
    there = ctx.op("Greater", values, lowest)
    kept = positions_of(ctx, ctx.reshape(there, [-1]))
    values, indices, kinds = (ctx.op("Gather", ctx.reshape(v, [-1]), kept, axis=0) for v in (values, indices, kinds))
    found = ctx.op("Gather", ctx.op("Reshape", BBoxes, [-1, 4]), indices, axis=0)
    columns = [ctx.unsqueeze(v, [1]) for v in (ctx.cast(kinds, dtype), values)]
    number = ctx.cast(ctx.reduce("ReduceSum", ctx.cast(there, DType.INT64), [1]), DType.INT32)
    return ctx.op("Concat", *columns, found, axis=1), ctx.cast(ctx.unsqueeze(indices, [1]), DType.INT32), number


@paddle_op("nms", outputs=["KeepBoxesIdxs"])
def nms(ctx: Context, Boxes: Value, *, iou_threshold: float = 1.0) -> Value:
    """The boxes come with falling scores."""
    positions = ctx.arange(ctx.dim(Boxes, 0))
    scores = ctx.op("Neg", ctx.cast(positions, DType.FP32))
    chosen = ctx.op(
        "NonMaxSuppression",
        ctx.unsqueeze(ctx.cast(Boxes, DType.FP32), [0]),
        ctx.reshape(scores, [1, 1, -1]),
        ctx.const([ALL], DType.INT64),
        ctx.const([iou_threshold], DType.FP32),
    )
    return column(ctx, chosen, 2, 1)
