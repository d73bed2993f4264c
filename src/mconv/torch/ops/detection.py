"""Torchvision's operators: choosing among boxes, regions of interest, deformable convolution."""

from __future__ import annotations

from typing import Optional

from mconv.emit import conv as convolution
from mconv.emit import sample
from mconv.emit.detection import non_max_suppression
from mconv.emit.elementwise import number
from mconv.emit.known import need_rank
from mconv.emit.shape import reshape, unsqueeze
from mconv.emit.sizes import dim_tensor
from mconv.emit.slicing import slice_
from mconv.emit.window import Window
from mconv.program.dtypes import DType
from mconv.program.value import Value
from mconv.torch.context import AtenContext
from mconv.torch.registry import aten_op


@aten_op("torchvision.nms.default")
def nms(ctx: AtenContext, dets: Value, scores: Value, iou_threshold: float) -> Value:
    (count,) = need_rank(scores, "nms")
    overlap = number(ctx, iou_threshold, scores.dtype)
    made = non_max_suppression(
        ctx,
        unsqueeze(ctx, dets, [0]),
        unsqueeze(ctx, scores, [0, 1]),
        dim_tensor(ctx, count),
        overlap,
        None,
        centered=False,
    )
    chosen = need_rank(made, "nms")[0]
    return reshape(ctx, slice_(ctx, made, [1], [2], [3]), (chosen,))


def _split(ctx: AtenContext, rois: Value) -> tuple[Value, Value]:
    """The image of each region, and its corners."""
    count = need_rank(rois, "regions")[0]
    image = reshape(ctx, slice_(ctx, rois, [1], [0], [1]), (count,))
    return ctx.cast(image, DType.INT64), slice_(ctx, rois, [1], [1], [5])


@aten_op("torchvision.roi_align.default")
def roi_align(
    ctx: AtenContext,
    input: Value,
    rois: Value,
    spatial_scale: float,
    pooled_height: int,
    pooled_width: int,
    sampling_ratio: int,
    aligned: bool,
) -> Value:
    image, corners = _split(ctx, rois)
    size = (int(pooled_height), int(pooled_width))
    return sample.roi_align(ctx, input, corners, image, size, sampling_ratio, spatial_scale, aligned)


@aten_op("torchvision.roi_pool.default")
def roi_pool(
    ctx: AtenContext, input: Value, rois: Value, spatial_scale: float, pooled_height: int, pooled_width: int
) -> tuple[Value, None]:
    if ctx.wants(1):
        raise ctx.refuse("something reads the positions of the largest elements")
    return sample.roi_pool(ctx, input, rois, (int(pooled_height), int(pooled_width)), spatial_scale), None


@aten_op("torchvision.deform_conv2d.default")
def deform_conv2d(
    ctx: AtenContext,
    input: Value,
    weight: Value,
    offset: Value,
    mask: Value,
    bias: Value,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    groups: int,
    offset_groups: int,
    use_mask: bool,
) -> Value:
    kernel = need_rank(weight, "deform_conv2d")[2:]
    pads = [pad_h, pad_w, pad_h, pad_w]
    window = Window.make(kernel, [stride_h, stride_w], [dilation_h, dilation_w], pads)
    given: Optional[Value] = mask if use_mask else None
    return convolution.deform_conv(ctx, input, weight, offset, bias, given, window, groups, offset_groups)
