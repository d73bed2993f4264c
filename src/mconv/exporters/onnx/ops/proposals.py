"""Regions that the first stage of a detector proposes, and the levels of a pyramid that they go to."""

from __future__ import annotations

import math
from typing import Optional

import numpy as np

from mconv.exporters.onnx.context import Context
from mconv.exporters.onnx.errors import Unsupported
from mconv.exporters.onnx.ops.boxes import column
from mconv.exporters.onnx.ops.detection import ALL, counts, positions_of
from mconv.exporters.onnx.registry import paddle_op
from mconv.program.dtypes import DType
from mconv.program.value import Value

_LOWEST = -3e38  # of a box that is taken where there is no other
_WIDEST = math.log(1000.0 / 16.0)  # how much a side may grow (kBBoxClipDefault)


@paddle_op("generate_proposals_v2", outputs=["RpnRois", "RpnRoiProbs", "RpnRoisNum"])
def generate_proposals(
    ctx: Context,
    Scores: Value,
    BboxDeltas: Value,
    ImShape: Value,
    Anchors: Value,
    Variances: Value,
    *,
    pre_nms_topN: int,
    post_nms_topN: int,
    nms_thresh: float,
    min_size: float,
    eta: float = 1.0,
    pixel_offset: bool = True,
) -> tuple[Value, Value, Value]:
    """Of an image without any box that is large enough, one of zeros."""
    if eta != 1.0:
        raise Unsupported(f"a threshold that changes (eta={eta:g})")
    dtype = Scores.dtype
    extra, zero = ctx.const(1.0 if pixel_offset else 0.0, dtype), ctx.const(0.0, dtype)
    count = ctx.dim(Scores, 0)
    flat_scores = ctx.op("Reshape", ctx.transpose(Scores, [0, 2, 3, 1]), [0, -1])
    deltas = ctx.op("Reshape", ctx.transpose(BboxDeltas, [0, 2, 3, 1]), [-1, 4])
    whole = ctx.dim(flat_scores, 1)
    limit = ctx.op("Min", ctx.const([pre_nms_topN], DType.INT64), whole) if pre_nms_topN > 0 else whole
    best, at = ctx.op("TopK", flat_scores, limit, axis=1, largest=1, sorted=1, outputs=2)
    flat = ctx.op("Add", at, ctx.op("Mul", ctx.unsqueeze(ctx.arange(count), [1]), ctx.scalar(whole)))
    anchors, spread = (ctx.op("Gather", ctx.op("Reshape", v, [-1, 4]), at, axis=0) for v in (Anchors, Variances))
    moved = ctx.op("Mul", ctx.op("Gather", deltas, flat, axis=0), spread)
    x1, y1, x2, y2 = (column(ctx, anchors, i, 2) for i in range(4))
    dx, dy, dw, dh = (column(ctx, moved, i, 2) for i in range(4))
    high, wide = (ctx.cast(column(ctx, ImShape, i, 1, keep=True), dtype) for i in range(2))
    ends: list[tuple[Value, Value]] = []
    for low, top, d, s, size in ((x1, x2, dx, dw, wide), (y1, y2, dy, dh, high)):
        side = ctx.op("Add", ctx.op("Sub", top, low), extra)
        middle = ctx.op("Add", ctx.op("Mul", d, side), ctx.op("Add", low, ctx.op("Mul", side, 0.5)))
        half = ctx.op("Mul", ctx.op("Mul", ctx.op("Exp", ctx.op("Min", s, _WIDEST)), side), 0.5)
        most = ctx.op("Sub", size, extra)
        pair = (ctx.op("Sub", middle, half), ctx.op("Sub", ctx.op("Add", middle, half), extra))
        ends.append(tuple(ctx.op("Max", ctx.op("Min", v, most), zero) for v in pair))
    (x1, x2), (y1, y2) = ends
    fits = []
    for low, top, size in ((x1, x2, wide), (y1, y2, high)):
        side = ctx.op("Add", ctx.op("Sub", top, low), extra)
        fits.append(ctx.op("Not", ctx.op("Less", side, max(min_size, 1.0))))
        if pixel_offset:
            middle = ctx.op("Add", low, ctx.op("Div", side, 2.0))
            fits.append(ctx.op("Not", ctx.op("Greater", middle, size)))
    good = fits[0]
    for other in fits[1:]:
        good = ctx.op("And", good, other)
    some = ctx.op(
        "Greater", ctx.reduce("ReduceMax", ctx.cast(good, DType.INT32), [1], keep=True), ctx.const(0, DType.INT32)
    )
    nothing = ctx.const(-math.inf, dtype)
    alone = ctx.op("Where", some, nothing, ctx.const(_LOWEST, dtype))
    boxes = ctx.op("Concat", *(ctx.unsqueeze(v, [2]) for v in (x1, y1, x2, y2)), axis=2)
    boxes = ctx.op("Concat", boxes, ctx.full(ctx.vector([count, 1, 4]), 0, dtype), axis=1)
    chances = ctx.op("Concat", ctx.op("Where", good, best, nothing), alone, axis=1)
    told = ctx.op("Concat", best, ctx.full(ctx.vector([count, 1]), 0, dtype), axis=1)
    looked = boxes
    if pixel_offset:
        looked = ctx.op("Add", boxes, np.array([0, 0, 1, 1], dtype.numpy))
    chosen = ctx.op(
        "NonMaxSuppression",
        looked,
        ctx.unsqueeze(chances, [1]),
        ctx.const([post_nms_topN if post_nms_topN > 0 else ALL], DType.INT64),
        ctx.const([nms_thresh], DType.FP32),
        ctx.const([_LOWEST * 1.1], DType.FP32),
    )
    images, positions = column(ctx, chosen, 0, 1), column(ctx, chosen, 2, 1)
    pairs = ctx.op("Concat", ctx.unsqueeze(images, [1]), ctx.unsqueeze(positions, [1]), axis=1)
    probabilities = ctx.unsqueeze(ctx.op("GatherND", told, pairs), [1])
    return ctx.op("GatherND", boxes, pairs), probabilities, counts(ctx, images, ctx.scalar(count))


@paddle_op("distribute_fpn_proposals", outputs=["MultiFpnRois", "RestoreIndex", "MultiLevelRoIsNum"])
def distribute_fpn_proposals(
    ctx: Context,
    FpnRois: Value,
    RoisNum: Optional[Value] = None,
    *,
    min_level: int,
    max_level: int,
    refer_level: int,
    refer_scale: int,
    pixel_offset: bool = True,
) -> tuple[list[Value], Value, Optional[list[Value]]]:
    """By the square root of its area each box goes to a level, within a level in the order in which they come."""
    x1, y1, x2, y2 = (column(ctx, FpnRois, i, 1) for i in range(4))
    extra = 1.0 if pixel_offset else 0.0
    w, h = (ctx.op("Sub", b, a) for a, b in ((x1, x2), (y1, y2)))
    area = ctx.op("Mul", ctx.op("Add", w, extra), ctx.op("Add", h, extra))
    nothing = ctx.op("Or", ctx.op("Less", w, 0.0), ctx.op("Less", h, 0.0))
    scale = ctx.op("Sqrt", ctx.op("Where", nothing, ctx.const(0.0, area.dtype), area))
    steps = ctx.op("Div", ctx.op("Log", ctx.op("Add", ctx.op("Div", scale, float(refer_scale)), 1e-6)), math.log(2.0))
    level = ctx.op("Add", ctx.op("Floor", steps), float(refer_level))
    level = ctx.clip(level, float(min_level), float(max_level))
    per_image = None
    if RoisNum is not None and len(ctx.paddle.output("MultiLevelRoIsNum")):
        ends = ctx.op("CumSum", ctx.cast(RoisNum, DType.INT64), ctx.const(0, DType.INT64))
        every = ctx.arange(ctx.dim(FpnRois, 0))
        starts = ctx.op("Sub", ends, ctx.cast(RoisNum, DType.INT64))
        rows = ctx.unsqueeze(every, [1])
        per_image = ctx.op(
            "And",
            ctx.op("Not", ctx.op("Less", rows, ctx.unsqueeze(starts, [0]))),
            ctx.op("Less", rows, ctx.unsqueeze(ends, [0])),
        )
    rois, orders, numbers = [], [], []
    for number in range(min_level, max_level + 1):
        own = ctx.op("Equal", level, float(number))
        positions = positions_of(ctx, own)
        rois.append(ctx.op("Gather", FpnRois, positions, axis=0))
        orders.append(positions)
        if per_image is not None:
            both = ctx.cast(ctx.op("And", per_image, ctx.unsqueeze(own, [1])), DType.INT64)
            numbers.append(ctx.cast(ctx.reduce("ReduceSum", both, [0]), DType.INT32))
    order = ctx.op("Concat", *orders, axis=0)
    # where each box went: the order, the other way round
    _, back = ctx.op("TopK", order, ctx.shape(order), largest=0, sorted=1, axis=0, outputs=2)
    return rois, ctx.cast(ctx.unsqueeze(back, [1]), DType.INT32), numbers or None
