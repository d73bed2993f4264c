"""Sampling of images: grids, regions of interest, columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional, Union

from mconv.emit import sample
from mconv.emit.expr import Expr
from mconv.onnx.context import Context
from mconv.onnx.registry import onnx_op
from mconv.program.dtypes import DType
from mconv.program.schemas import attributes_of
from mconv.program.value import Value


@onnx_op("GridSample", since=20)
def grid_sample(
    ctx: Context, x: Value, grid: Value, *, mode: str = "linear", padding_mode: str = "zeros", align_corners: int = 0
) -> Value:
    return sample.grid_sample(ctx, x, grid, mode, padding_mode, bool(align_corners))


@onnx_op("GridSample", since=16)
def grid_sample_16(
    ctx: Context, x: Value, grid: Value, *, mode: str = "bilinear", padding_mode: str = "zeros", align_corners: int = 0
) -> Value:
    mode = {"bilinear": "linear", "bicubic": "cubic"}.get(mode, mode)
    return sample.grid_sample(ctx, x, grid, mode, padding_mode, bool(align_corners))


@onnx_op("AffineGrid", since=20)
def affine_grid(ctx: Context, theta: Value, size: Value, *, align_corners: int = 0) -> Value:
    known, declared = ctx.known_dims(size), ctx.declared()
    if known is not None:
        sizes = known[2:]
    elif declared is not None:
        sizes = list(declared[1:-1])
    else:
        raise ctx.refuse("size must be constant: it comes in at run time")
    return sample.affine_grid(ctx, theta, sizes, bool(align_corners))


@onnx_op("RoiAlign", since=16)
def roi_align(
    ctx: Context,
    x: Value,
    rois: Value,
    batch: Value,
    *,
    coordinate_transformation_mode: str = "half_pixel",
    mode: str = "avg",
    output_height: int = 1,
    output_width: int = 1,
    sampling_ratio: int = 0,
    spatial_scale: float = 1.0,
) -> Value:
    if coordinate_transformation_mode not in ("half_pixel", "output_half_pixel") or mode not in ("avg", "max"):
        raise ctx.refuse(f"mode {mode!r} with coordinates {coordinate_transformation_mode!r}")
    emit = sample.roi_align if mode == "avg" else sample.roi_align_max
    aligned = coordinate_transformation_mode == "half_pixel"
    return emit(ctx, x, rois, batch, (output_height, output_width), sampling_ratio, spatial_scale, aligned)


@onnx_op("RoiAlign", since=10)
@attributes_of(roi_align, but=["coordinate_transformation_mode"])
def roi_align_10(ctx: Context, x: Value, rois: Value, batch: Value, **attributes: Any) -> Value:
    return roi_align(ctx, x, rois, batch, coordinate_transformation_mode="output_half_pixel", **attributes)


@onnx_op("MaxRoiPool", since=1)
def max_roi_pool(ctx: Context, x: Value, rois: Value, *, pooled_shape: list[int], spatial_scale: float = 1.0) -> Value:
    if len(pooled_shape) != 2:
        raise ctx.refuse(f"pooled_shape has {len(pooled_shape)} numbers, not 2")
    return sample.roi_pool(ctx, x, rois, (pooled_shape[0], pooled_shape[1]), spatial_scale)


@onnx_op("Col2Im", since=18)
def col2im(
    ctx: Context,
    x: Value,
    image_shape: Value,
    block_shape: Value,
    *,
    dilations: Optional[list[int]] = None,
    pads: Optional[list[int]] = None,
    strides: Optional[list[int]] = None,
) -> Value:
    declared, image, block = ctx.declared(), ctx.known_dims(image_shape), ctx.known_dims(block_shape)
    if image is None and declared is not None:
        image = list(declared[2:])
    if image is None or x.shape is None:
        raise ctx.refuse("image_shape must be constant: it comes in at run time")
    k = len(image)
    sizes: Union[Sequence[int], Sequence[Expr]]
    if block is not None and all(isinstance(s, int) for s in block):
        sizes, cells = [int(s) for s in block], 1  # type: ignore[arg-type]
        for s in sizes:
            cells *= s
        channels = x.shape[1] // cells if isinstance(x.shape[1], int) else None
    else:
        whole = Expr(ctx, block_shape).cast(DType.INT64)
        sizes = [whole.slice(0, i, i + 1) for i in range(k)]
        channels = declared[1] if declared is not None and len(declared) > 1 else None
    if channels is None:
        raise ctx.refuse("block_shape must be constant: it comes in at run time")
    return sample.col2im(ctx, x, image, sizes, channels, strides or [1] * k, dilations or [1] * k, pads or [0] * 2 * k)
