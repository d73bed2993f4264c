"""From what a network says of boxes to their corners, and back."""

from __future__ import annotations

import math
from typing import Optional

import numpy as np

from mconv.exporters.onnx.context import Context
from mconv.exporters.onnx.errors import Unsupported
from mconv.exporters.onnx.registry import paddle_op
from mconv.program.value import Value

_ALL = 1 << 31  # an end behind the last


def column(ctx: Context, x: Value, index: int, axis: int = -1, keep: bool = False) -> Value:
    """One index of an axis, which stays with size 1 where *keep* says so."""
    axis = ctx.axis(axis, ctx.rank(x))
    made: Value = ctx.op("Gather", x, [index] if keep else ctx.const(np.asarray(index, np.int64)), axis=axis)
    return made


def _columns(ctx: Context, x: Value, axis: int = -1) -> list[Value]:
    return [column(ctx, x, i, axis, keep=True) for i in range(4)]


@paddle_op("yolo_box", outputs=["Boxes", "Scores"])
def yolo_box(
    ctx: Context,
    X: Value,
    ImgSize: Value,
    *,
    anchors: list[int],
    class_num: int,
    conf_thresh: float,
    downsample_ratio: int = 32,
    clip_bbox: bool = True,
    scale_x_y: float = 1.0,
    iou_aware: bool = False,
    iou_aware_factor: float = 0.5,
) -> tuple[Value, Value]:
    count, dtype = len(anchors) // 2, X.dtype
    rows, columns = ctx.dim(X, 2), ctx.dim(X, 3)
    if iou_aware:
        aware = ctx.op("Sigmoid", ctx.slice(X, [0], [count], [1]))
        X = ctx.slice(X, [count], [_ALL], [1])
    # [images, anchors, 5 + classes, rows, columns]
    x = ctx.op("Reshape", X, ctx.vector([0, count, 5 + class_num, rows, columns]))
    fields = [column(ctx, x, i, 2) for i in range(5)]
    image = ctx.cast(ImgSize, dtype)
    high, wide = (ctx.reshape(column(ctx, image, i, 1), [-1, 1, 1, 1]) for i in range(2))

    def steps(size: Value, shape: list[int]) -> Value:
        whole = ctx.arange(size)
        return ctx.reshape(ctx.cast(whole, dtype), shape)

    def centre(field: Value, positions: Value, extent: Value, size: Value) -> Value:
        moved = ctx.op("Add", ctx.op("Mul", ctx.op("Sigmoid", field), scale_x_y), -0.5 * (scale_x_y - 1.0))
        wide_ = ctx.op("Mul", ctx.op("Add", positions, moved), extent)
        return ctx.op("Div", wide_, ctx.scalar(ctx.cast(size, dtype)))

    def side(field: Value, which: int, extent: Value, size: Value) -> Value:
        own = np.asarray(anchors[which::2], dtype.numpy).reshape(1, count, 1, 1)
        whole = ctx.op("Mul", ctx.scalar(ctx.cast(size, dtype)), float(downsample_ratio))
        return ctx.op("Div", ctx.op("Mul", ctx.op("Mul", ctx.op("Exp", field), own), extent), whole)

    cx = centre(fields[0], steps(columns, [1, 1, 1, -1]), wide, columns)
    cy = centre(fields[1], steps(rows, [1, 1, -1, 1]), high, rows)
    w, h = side(fields[2], 0, wide, columns), side(fields[3], 1, high, rows)
    corners = []
    for middle, extent in ((cx, w), (cy, h)):
        half = ctx.op("Div", extent, 2.0)
        corners.append((ctx.op("Sub", middle, half), ctx.op("Add", middle, half)))
    (x1, x2), (y1, y2) = corners
    if clip_bbox:
        zero = ctx.const(0.0, dtype)
        x1, y1 = ctx.op("Max", x1, zero), ctx.op("Max", y1, zero)
        x2 = ctx.op("Min", x2, ctx.op("Sub", wide, ctx.const(1.0, dtype)))
        y2 = ctx.op("Min", y2, ctx.op("Sub", high, ctx.const(1.0, dtype)))
    sure = ctx.op("Sigmoid", fields[4])
    if iou_aware:
        powers = [ctx.const(p, dtype) for p in (1.0 - iou_aware_factor, iou_aware_factor)]
        sure = ctx.op("Mul", ctx.op("Pow", sure, powers[0]), ctx.op("Pow", aware, powers[1]))
    there = ctx.cast(ctx.op("Not", ctx.op("Less", sure, conf_thresh)), dtype)
    sure = ctx.op("Mul", sure, there)
    boxes = ctx.op("Concat", *(ctx.unsqueeze(v, [4]) for v in (x1, y1, x2, y2)), axis=4)
    boxes = ctx.op("Mul", boxes, ctx.unsqueeze(there, [4]))
    classes = ctx.op("Sigmoid", ctx.slice(x, [5], [_ALL], [2]))
    scores = ctx.transpose(ctx.op("Mul", classes, ctx.unsqueeze(sure, [2])), [0, 1, 3, 4, 2])
    return ctx.op("Reshape", boxes, [0, -1, 4]), ctx.op("Reshape", scores, [0, -1, class_num])


@paddle_op("prior_box", outputs=["Boxes", "Variances"])
def prior_box(
    ctx: Context,
    Input: Value,
    Image: Value,
    *,
    min_sizes: list[float],
    max_sizes: list[float] = [],  # noqa: B006
    aspect_ratios: list[float] = [1.0],  # noqa: B006
    variances: list[float] = [0.1, 0.1, 0.2, 0.2],  # noqa: B006
    flip: bool = True,
    clip: bool = True,
    step_w: float = 0.0,
    step_h: float = 0.0,
    offset: float = 0.5,
    min_max_aspect_ratios_order: bool = False,
) -> tuple[Value, Value]:
    dtype = Input.dtype
    ratios = [1.0]
    for ratio in aspect_ratios:
        if all(abs(ratio - r) >= 1e-6 for r in ratios):
            ratios += [ratio, 1.0 / ratio] if flip else [ratio]
    halves: list[tuple[float, float]] = []
    for i, least in enumerate(min_sizes):
        shaped = [(least * math.sqrt(r) / 2, least / math.sqrt(r) / 2) for r in ratios]
        square = [(math.sqrt(least * max_sizes[i]) / 2,) * 2] if max_sizes else []
        if min_max_aspect_ratios_order:
            halves += [(least / 2, least / 2), *square, *(s for s, r in zip(shaped, ratios) if abs(r - 1.0) >= 1e-6)]
        else:
            halves += [*shaped, *square]
    count = len(halves)

    def centres(axis: int, step: float) -> tuple[Value, Value]:
        size, whole = (ctx.scalar(ctx.cast(ctx.dim(v, axis), dtype)) for v in (Input, Image))
        each = ctx.const(step, dtype) if step > 0 else ctx.op("Div", whole, size)
        positions = ctx.arange(ctx.dim(Input, axis))
        return ctx.op("Mul", ctx.op("Add", ctx.cast(positions, dtype), offset), each), whole

    both = step_w > 0 and step_h > 0  # one alone is not used
    (cy, high), (cx, wide) = centres(2, step_h if both else 0), centres(3, step_w if both else 0)
    sides = []
    for middle, whole, axis, shape in ((cx, wide, 0, [1, -1, 1]), (cy, high, 1, [-1, 1, 1])):
        half = np.asarray([h[axis] for h in halves], dtype.numpy).reshape(1, 1, count)
        at = ctx.reshape(middle, shape)
        sides.append([ctx.op("Div", ctx.op(op, at, half), whole) for op in ("Sub", "Add")])
    dims = ctx.vector([ctx.dim(Input, 2), ctx.dim(Input, 3), count])
    parts = [ctx.unsqueeze(ctx.op("Expand", sides[a][e], dims), [3]) for e in (0, 1) for a in (0, 1)]
    boxes = ctx.op("Concat", *parts, axis=3)
    if clip:
        boxes = ctx.clip(boxes, 0.0, 1.0)
    spread = np.asarray(variances, dtype.numpy).reshape(1, 1, 1, 4)
    return boxes, ctx.op("Expand", spread, ctx.vector([dims, 4]))


@paddle_op("box_coder", outputs=["OutputBox"])
def box_coder(
    ctx: Context,
    PriorBox: Value,
    TargetBox: Value,
    PriorBoxVar: Optional[Value] = None,
    *,
    code_type: str = "encode_center_size",
    box_normalized: bool = True,
    axis: int = 0,
    variance: list[float] = [],  # noqa: B006
) -> Value:
    dtype = PriorBox.dtype
    extra = 0.0 if box_normalized else 1.0

    def centred(box: Value, where: int) -> tuple[Value, Value, Value, Value]:
        x1, y1, x2, y2 = _columns(ctx, box, where)
        w, h = (ctx.op("Add", ctx.op("Sub", b, a), extra) for a, b in ((x1, x2), (y1, y2)))
        return (*(ctx.op("Add", a, ctx.op("Mul", e, 0.5)) for a, e in ((x1, w), (y1, h))), w, h)

    if code_type == "encode_center_size":  # [targets, priors, 4]
        px, py, pw, ph = (ctx.reshape(v, [1, -1, 1]) for v in centred(PriorBox, 1))
        x1, y1, x2, y2 = (ctx.reshape(v, [-1, 1, 1]) for v in _columns(ctx, TargetBox, 1))
        w, h = (ctx.op("Add", ctx.op("Sub", b, a), extra) for a, b in ((x1, x2), (y1, y2)))
        tx, ty = (ctx.op("Div", ctx.op("Add", a, b), 2.0) for a, b in ((x1, x2), (y1, y2)))
        parts = [ctx.op("Div", ctx.op("Sub", t, p), e) for t, p, e in ((tx, px, pw), (ty, py, ph))]
        parts += [ctx.op("Log", ctx.op("Abs", ctx.op("Div", t, p))) for t, p in ((w, pw), (h, ph))]
        made = ctx.op("Concat", *parts, axis=2)
        if PriorBoxVar is not None:
            made = ctx.op("Div", made, ctx.unsqueeze(PriorBoxVar, [0]))
        elif variance:
            made = ctx.op("Div", made, np.asarray(variance, dtype.numpy))
        return made
    if code_type != "decode_center_size":
        raise Unsupported(f"code_type {code_type!r}")
    prior = ctx.unsqueeze(PriorBox, [axis])
    px, py, pw, ph = centred(prior, 2)
    deltas = TargetBox
    if PriorBoxVar is not None:
        spread = ctx.reshape(PriorBoxVar, [1, 1, 4]) if PriorBoxVar.rank == 1 else ctx.unsqueeze(PriorBoxVar, [axis])
        deltas = ctx.op("Mul", deltas, spread)
    elif variance:
        deltas = ctx.op("Mul", deltas, np.asarray(variance, dtype.numpy))
    dx, dy, dw, dh = _columns(ctx, deltas, 2)
    low, high = [], []
    for d, p, e, s in ((dx, px, pw, dw), (dy, py, ph, dh)):
        middle = ctx.op("Add", ctx.op("Mul", d, e), p)
        half = ctx.op("Div", ctx.op("Mul", ctx.op("Exp", s), e), 2.0)
        low.append(ctx.op("Sub", middle, half))
        high.append(ctx.op("Sub", ctx.op("Add", middle, half), extra))
    made_: Value = ctx.op("Concat", *low, *high, axis=2)
    return made_
