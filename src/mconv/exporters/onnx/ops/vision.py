"""Resizing, sampling, regions and windows."""

from __future__ import annotations

from typing import Any, Optional, Union

import numpy as np

from mconv.exporters.onnx.context import Context
from mconv.exporters.onnx.errors import Unsupported
from mconv.exporters.onnx.ops.conv import channels_back, channels_first
from mconv.exporters.onnx.registry import paddle_op
from mconv.program.dtypes import DType
from mconv.program.value import Value

_MODES = {"nearest": "nearest", "linear": "linear", "bilinear": "linear", "trilinear": "linear", "bicubic": "cubic"}


def _interpolation(name: str) -> None:
    @paddle_op(f"{name}_interp_v2", f"{name}_interp")
    def convert(
        ctx: Context,
        X: Value,
        OutSize: Optional[Value] = None,
        SizeTensor: list[Value] = [],  # noqa: B006
        Scale: Optional[Value] = None,
        *,
        data_layout: str = "NCHW",
        out_d: int = 0,
        out_h: int = 0,
        out_w: int = 0,
        scale: Any = (),
        interp_method: str = name,
        align_corners: bool = True,
        align_mode: int = 1,
    ) -> Value:
        x, last = channels_first(ctx, X, data_layout)
        spatial = ctx.rank(x) - 2
        scales = list(scale) if isinstance(scale, (list, tuple)) else ([scale] if scale and scale > 0 else [])
        if len(scales) == 1:
            scales = scales * spatial
        sizes: Optional[list[Any]] = [out_d, out_h, out_w][-spatial:]
        if OutSize is not None:
            sizes, scales = [ctx.vector(OutSize)], []
        elif SizeTensor:
            sizes, scales = list(SizeTensor), []
        elif Scale is not None:
            known = np.asarray(Scale.const).reshape(-1).tolist() if Scale.is_const else None
            if known is None:
                raise Unsupported("a scale computed at run time")
            scales = known * (spatial if len(known) == 1 else 1)
        elif scales and all(s > 0 for s in scales):
            pass
        elif not all(isinstance(s, int) and s > 0 for s in sizes or []):
            raise Unsupported("neither a size nor a scale")
        else:
            scales = []
        return channels_back(ctx, _resized(ctx, x, name, sizes, scales, align_corners, align_mode), last)


def _resized(
    ctx: Context, x: Value, name: str, sizes: Any, scales: list[float], align_corners: bool, align_mode: int
) -> Value:
    if align_corners:
        mode = "align_corners"
    elif name == "nearest" or (align_mode == 1 and name != "bicubic"):
        mode = "asymmetric"
    elif name in ("linear", "trilinear") and ctx.exporter.program.version >= 3_000_000:
        mode = "half_pixel"
    else:
        mode = "pytorch_half_pixel"  # to a size of 1 Paddle takes the first element, 3 of images alone
    attributes: dict[str, Any] = {"mode": _MODES[name], "coordinate_transformation_mode": mode}
    if name == "nearest":
        attributes["nearest_mode"] = "round_prefer_ceil" if align_corners else "floor"
    if name == "bicubic":
        attributes["cubic_coeff_a"] = -0.75
        if not align_corners:
            for i, size in enumerate(_sizes(x, sizes, scales), start=2):
                if size == 1:
                    x = _first_by_cubic(ctx, x, i)
                    scales = [1.0 if i == j else s for j, s in enumerate(scales, start=2)]
    roi = None if ctx.opset >= 13 else ctx.const(np.zeros(0, np.float32))
    if not scales:
        target = ctx.vector([ctx.dim(x, 0), ctx.dim(x, 1), *sizes])
        none = None if ctx.opset >= 13 else ctx.const(np.zeros(0, np.float32))
        return ctx.op("Resize", x, roi, none, target, **attributes)
    return ctx.op("Resize", x, roi, np.asarray([1.0, 1.0, *scales], np.float32), **attributes)


def _sizes(x: Value, sizes: Any, scales: list[float]) -> list[Any]:
    """The sizes that a resize gives, None where they are not known."""
    if not scales:
        return [s if isinstance(s, int) else None for s in sizes]
    return [int(n * s) if isinstance(n, int) else None for n, s in zip((x.shape or ())[2:], scales)]


def _first_by_cubic(ctx: Context, x: Value, axis: int) -> Value:
    """An axis to one element as Paddle does it, whose ratio is 0 then: half an element before the first."""
    two = ctx.slice(x, [0], [2], [axis])
    first, second = ctx.slice(two, [0], [1], [axis]), ctx.slice(two, [-1], [1 << 62], [axis])
    return ctx.op("Sub", ctx.op("Mul", first, 1.09375), ctx.op("Mul", second, 0.09375))


for _name in ("nearest", "linear", "bilinear", "trilinear", "bicubic"):
    _interpolation(_name)


@paddle_op("grid_sampler", outputs=["Output"])
def grid_sampler(
    ctx: Context,
    X: Value,
    Grid: Value,
    *,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool = True,
) -> Value:
    if ctx.rank(X) != 4:
        ctx.needs(20, "GridSample of volumes")
    called = {"bilinear": "linear", "nearest": "nearest"}[mode] if ctx.opset >= 20 else mode
    return ctx.op("GridSample", X, Grid, mode=called, padding_mode=padding_mode, align_corners=int(align_corners))


@paddle_op("affine_grid", outputs=["Output"])
def affine_grid(
    ctx: Context,
    Theta: Value,
    OutputShape: Optional[Value] = None,
    *,
    align_corners: bool = True,
    output_shape: list[int] = [],  # noqa: B006
) -> Value:
    """The positions of all pixels times the matrices."""
    sizes = ctx.const(output_shape, DType.INT64) if OutputShape is None else ctx.vector(OutputShape)
    spatial = 2 if (Theta.shape or ())[-2:] != (3, 4) else 3  # 2 or 3
    lines = []
    for i in range(spatial):
        n = ctx.op("Gather", sizes, ctx.const(2 + i, DType.INT64), axis=0)
        steps = ctx.cast(ctx.arange(n), Theta.dtype)
        count = ctx.cast(n, Theta.dtype)
        if align_corners:
            step = ctx.op("Div", ctx.const(2.0, Theta.dtype), ctx.op("Max", ctx.op("Sub", count, 1.0), 1.0))
            lines.append(ctx.op("Sub", ctx.op("Mul", steps, step), 1.0))
        else:
            position = ctx.op("Div", ctx.op("Add", ctx.op("Mul", steps, 2.0), 1.0), count)
            lines.append(ctx.op("Sub", position, 1.0))
    grid_shape = ctx.slice(sizes, [2], [1 << 62], [0])
    planes = []
    for i in reversed(range(spatial)):  # x first
        shape = [1] * spatial
        shape[i] = -1
        planes.append(ctx.unsqueeze(ctx.expand(ctx.reshape(lines[i], shape), grid_shape), [spatial]))
    planes.append(ctx.unsqueeze(ctx.full(grid_shape, 1, Theta.dtype), [spatial]))
    base = ctx.op("Reshape", ctx.concat(planes, spatial), [1, -1, spatial + 1])
    made = ctx.op("MatMul", base, ctx.transpose(Theta, [0, 2, 1]))
    return ctx.op("Reshape", made, ctx.vector([ctx.dim(Theta, 0), grid_shape, spatial]))


@paddle_op("roi_align")
def roi_align(
    ctx: Context,
    X: Value,
    ROIs: Value,
    RoisNum: Optional[Value] = None,
    *,
    pooled_height: int = 1,
    pooled_width: int = 1,
    spatial_scale: float = 1.0,
    sampling_ratio: int = -1,
    aligned: bool = False,
) -> Value:
    _has_kernel(ctx, "RoiAlign")
    if not aligned:
        mode = None if ctx.opset < 16 else "output_half_pixel"
    else:
        ctx.needs(16, "RoiAlign with aligned pixels")
        mode = "half_pixel"
    return ctx.op(
        "RoiAlign",
        X,
        ROIs,
        image_of_each(ctx, ROIs, RoisNum),
        output_height=pooled_height,
        output_width=pooled_width,
        spatial_scale=spatial_scale,
        sampling_ratio=max(sampling_ratio, 0),
        coordinate_transformation_mode=mode,
    )


def _has_kernel(ctx: Context, op: str) -> None:
    """Opset 22 only added bfloat16, and ONNX Runtime (1.32) has not got that version."""
    if ctx.opset >= 22:
        raise Unsupported(f"ONNX Runtime has no {op} of opset 22: --opset 21 or lower")


def image_of_each(ctx: Context, rois: Value, counts: Optional[Value]) -> Value:
    """Which image each region is of, int64: how many images have ended before it."""
    steps = ctx.arange(ctx.dim(rois, 0))
    if counts is None:
        raise Unsupported("regions of images told apart by levels (LoD)")
    ends = ctx.op("CumSum", ctx.cast(counts, DType.INT64), ctx.const(0, DType.INT64))
    before = ctx.op("Greater", ctx.unsqueeze(ends, [0]), ctx.unsqueeze(steps, [1]))
    passed = ctx.op("Not", before)
    return ctx.reduce("ReduceSum", ctx.cast(passed, DType.INT64), [1])


@paddle_op("roi_pool", outputs=["Out", "Argmax"])
def roi_pool(
    ctx: Context,
    X: Value,
    ROIs: Value,
    RoisNum: Optional[Value] = None,
    *,
    pooled_height: int = 1,
    pooled_width: int = 1,
    spatial_scale: float = 1.0,
) -> tuple[Value, Optional[Value]]:
    """``MaxRoiPool``: the image's number stands before each region."""
    _has_kernel(ctx, "MaxRoiPool")
    image = ctx.unsqueeze(ctx.cast(image_of_each(ctx, ROIs, RoisNum), X.dtype), [1])
    made = ctx.op(
        "MaxRoiPool",
        X,
        ctx.concat([image, ROIs], 1),
        pooled_shape=[pooled_height, pooled_width],
        spatial_scale=spatial_scale,
    )
    return made, None


@paddle_op("unfold", outputs=["Y"])
def unfold(
    ctx: Context, X: Value, *, kernel_sizes: list[int], strides: list[int], paddings_: list[int], dilations: list[int]
) -> Value:
    """Windows as columns: a convolution whose filters have a single 1 each."""
    channels = ctx.size(X, 1)
    h, w = kernel_sizes
    eye = np.eye(h * w, dtype=X.dtype.numpy).reshape(h * w, 1, h, w)
    filters = np.tile(eye, (channels, 1, 1, 1))
    top, left, bottom, right = paddings_ if len(paddings_) == 4 else [*paddings_, *paddings_]
    made = ctx.op(
        "Conv",
        X,
        filters,
        group=channels,
        kernel_shape=[h, w],
        strides=strides,
        dilations=dilations,
        pads=[top, left, bottom, right],
    )
    return ctx.op("Reshape", made, [0, channels * h * w, -1])


@paddle_op("fold", outputs=["Y"])
def fold(
    ctx: Context,
    X: Value,
    *,
    output_sizes: list[int],
    kernel_sizes: list[int],
    strides: list[int],
    paddings_: list[int],
    dilations: list[int],
) -> Value:
    """Columns summed up into windows: the transposed convolution with the same filters."""
    h, w = kernel_sizes
    columns = ctx.size(X, 1)
    channels = columns // (h * w)
    top, left, bottom, right = paddings_ if len(paddings_) == 4 else [*paddings_, *paddings_]
    out_h, out_w = output_sizes
    rows = (out_h + top + bottom - dilations[0] * (h - 1) - 1) // strides[0] + 1
    cols = (out_w + left + right - dilations[1] * (w - 1) - 1) // strides[1] + 1
    x = ctx.op("Reshape", X, [0, columns, rows, cols])
    filters = np.tile(np.eye(h * w, dtype=X.dtype.numpy).reshape(h * w, 1, h, w), (channels, 1, 1, 1))
    extra = [
        out_h + top + bottom - ((rows - 1) * strides[0] + dilations[0] * (h - 1) + 1),
        out_w + left + right - ((cols - 1) * strides[1] + dilations[1] * (w - 1) + 1),
    ]
    return ctx.op(
        "ConvTranspose",
        x,
        filters,
        group=channels,
        kernel_shape=[h, w],
        strides=strides,
        dilations=dilations,
        pads=[top, left, bottom, right],
        output_padding=extra if any(extra) else None,
    )


@paddle_op("psroi_pool")
def psroi_pool(
    ctx: Context,
    X: Value,
    ROIs: Value,
    RoisNum: Optional[Value] = None,
    *,
    pooled_height: int = 1,
    pooled_width: int = 1,
    output_channels: int,
    spatial_scale: float = 1.0,
) -> Value:
    """Every bin has a plane of its own; the mean of its pixels by products with what is 1 inside of it."""
    images = ctx.op("Gather", X, image_of_each(ctx, ROIs, RoisNum), axis=0)
    dims: list[Union[int, Value]] = [
        ctx.dim(ROIs, 0),
        output_channels,
        pooled_height,
        pooled_width,
        ctx.dim(X, 2),
        ctx.dim(X, 3),
    ]
    planes = ctx.op("Reshape", images, ctx.vector(dims))
    # C's round: halves away from zero
    rounded = ctx.op("Mul", ctx.op("Sign", ROIs), ctx.op("Floor", ctx.op("Add", ctx.op("Abs", ROIs), 0.5)))
    start = ctx.op("Mul", ctx.slice(rounded, [0], [2], [1]), spatial_scale)
    end = ctx.op("Mul", ctx.op("Add", ctx.slice(rounded, [2], [4], [1]), 1.0), spatial_scale)
    extent = ctx.op("Max", ctx.op("Sub", end, start), ctx.const(0.1, X.dtype))
    sums, area = planes, None
    for axis, count, size in ((1, pooled_height, ctx.dim(X, 2)), (0, pooled_width, ctx.dim(X, 3))):
        at, step = (ctx.slice(v, [axis], [axis + 1], [1]) for v in (start, ctx.op("Div", extent, float(count))))
        inside = _bins(ctx, at, step, count, size)  # [region, bin, pixel]
        if axis:
            sums = ctx.op("MatMul", ctx.unsqueeze(inside, [1, 3, 4]), sums)
        else:
            sums = ctx.op("MatMul", sums, ctx.unsqueeze(inside, [1, 2, 5]))
        pixels = ctx.unsqueeze(ctx.reduce("ReduceSum", inside, [2]), [1, 3 if axis else 2])
        area = pixels if area is None else ctx.op("Mul", area, pixels)
    return ctx.op("Div", ctx.squeeze(sums, [4, 5]), ctx.op("Max", area, ctx.const(1.0, X.dtype)))


def _bins(ctx: Context, start: Value, step: Value, count: int, size: Value) -> Value:
    """1 for the pixels of each bin along an axis, [region, bin, pixel]; *start* and *step* are [region, 1]."""
    edges = [ctx.const(np.arange(count) + more, start.dtype) for more in (0, 1)]
    low, high = (ctx.op("Add", ctx.op("Mul", step, edge), start) for edge in edges)
    pixels = ctx.arange(size)
    pixels = ctx.cast(pixels, start.dtype)
    below = ctx.op("Less", pixels, ctx.unsqueeze(ctx.op("Floor", low), [2]))
    before = ctx.op("Less", pixels, ctx.unsqueeze(ctx.op("Ceil", high), [2]))
    return ctx.cast(ctx.op("And", ctx.op("Not", below), before), start.dtype)
