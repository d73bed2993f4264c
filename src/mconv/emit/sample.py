"""Taking elements between the positions of an image: grids, regions of interest, and columns put back together."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from typing import Any, Optional, Union

import numpy as np

from mconv import budget
from mconv.emit.expr import Expr, arange, concat, size, where
from mconv.emit.known import need_rank
from mconv.emit.shape import fill, reshape
from mconv.emit.sizes import shape_tensor
from mconv.errors import UnsupportedError
from mconv.program import dims as D
from mconv.program.builder import Builder
from mconv.program.dtypes import DType
from mconv.program.value import Value

CUBIC = -0.75  # the coefficient of GridSample's cubic kernel


def grid_sample(b: Builder, x: Value, grid: Value, mode: str, padding: str, align_corners: bool) -> Value:
    """*x* ([N, C, …k sizes]) at the positions *grid* ([N, …, k], in [-1, 1], the last dimension first).

    Args:
        mode: ``linear``, ``nearest`` (halves to the even position) or ``cubic``.
        padding: what lies outside: ``zeros``, ``border`` or ``reflection``.
    """
    shape, positions = need_rank(x, "GridSample"), need_rank(grid, "GridSample")
    k = len(shape) - 2
    if len(positions) != len(shape) or k < 1:
        raise UnsupportedError(f"GridSample: a grid of rank {len(positions)} for an input of rank {len(shape)}")
    if mode not in ("linear", "nearest", "cubic") or padding not in ("zeros", "border", "reflection"):
        raise UnsupportedError(f"GridSample: mode {mode!r} with padding {padding!r}")
    out = (*shape[:2], *positions[1:-1])
    if k == 2 and mode == "linear" and x.dtype in (DType.FP32, DType.FP64) and grid.dtype is x.dtype:
        return b.op(
            "grid_sampler",
            X=x,
            Grid=grid,
            mode="bilinear",
            padding_mode=padding,
            align_corners=align_corners,
            result=(x.dtype, out),
        )
    return _grid_sample(b, x, grid, mode, padding, align_corners, out)


def _grid_sample(
    b: Builder, x: Value, grid: Value, mode: str, padding: str, align: bool, out: tuple[D.Dim, ...]
) -> Value:
    shape = need_rank(x, "GridSample")
    sizes = shape[2:]
    dtype = DType.FP64 if x.dtype is DType.FP64 else DType.FP32
    points = D.product(out[2:])
    flat = Expr(b, grid).cast(dtype).reshape(shape[0], points, len(sizes))
    positions, picks = [], []
    for axis, n in enumerate(sizes):
        last = len(sizes) - 1 - axis
        at = flat.slice(2, last, last + 1).reshape(shape[0], points)
        length = size(b, n, dtype)
        position = (at + 1.0) * 0.5 * (length - 1.0) if align else ((at + 1.0) * length - 1.0) * 0.5
        position = position.rint() if mode == "nearest" else position
        # PyTorch's and onnxruntime's cubic kernel moves each element inside, not the position
        positions.append(position if mode == "cubic" else _inside(position, length, padding, align))
    for position, n in zip(positions, sizes):
        length = size(b, n, dtype)
        low = position if mode == "nearest" else position.floor()
        near = [(low, None)] if mode == "nearest" else _taps(low, position - low, mode)
        picks.append([(*_pixel(index, length, padding, align), weight) for index, weight in near])
    rows = _rows(b, x, dtype)
    first = (arange(b, shape[0], DType.INT64) * size(b, D.product(sizes), DType.INT64)).reshape(shape[0], 1)

    def taken(corner: tuple[Any, ...]) -> Expr:
        index, factor = first, None
        step: D.Dim = 1
        for (position, inside, weight), n in reversed(list(zip(corner, sizes))):
            index = index + position.cast(DType.INT64) * size(b, step, DType.INT64)
            step = step * n
            for part in (inside, weight):
                if part is not None:
                    factor = part if factor is None else factor * part
        term = rows.gather(index.reshape(shape[0] * points))
        return term if factor is None else term * factor.reshape(shape[0] * points, 1)

    total = functools.reduce(Expr.__add__, map(taken, itertools.product(*picks)))
    made = total.reshape(shape[0], points, shape[1]).transpose(0, 2, 1).reshape(*out)
    return made.cast(x.dtype).value


def _rows(b: Builder, x: Value, dtype: DType) -> Expr:
    """*x* ([N, C, …]) as one row of channels per position."""
    shape = need_rank(x, "sampling")
    flat = Expr(b, x).cast(dtype).reshape(*shape[:2], D.product(shape[2:])).transpose(0, 2, 1)
    return flat.reshape(shape[0] * D.product(shape[2:]), shape[1])


def _reflected(position: Expr, length: Expr, align: bool) -> Expr:
    """A position mirrored at the borders until it is inside."""
    low = 0.0 if align else -0.5
    span = length - 1.0 if align else length
    span = span.maximum(1e-6)  # one position, aligned: everything is that position
    away = position - low
    away = away - (away / (span * 2.0)).floor() * span * 2.0
    return away.minimum(span * 2.0 - away) + low


def _inside(position: Expr, length: Expr, padding: str, align: bool) -> Expr:
    if padding == "border":
        return position.clip(0.0, length - 1.0)
    return position if padding == "zeros" else _reflected(position, length, align)


def _pixel(index: Expr, length: Expr, padding: str, align: bool) -> tuple[Expr, Optional[Expr]]:
    """The element that stands for a whole *index*, and 1 or 0 for whether it counts."""
    if padding == "zeros":
        here = (index >= 0.0) & (index <= length - 1.0)
        return index.clip(0.0, length - 1.0), here.cast(index.dtype)
    if padding == "reflection":
        index = _reflected(index, length, align).rint()
    return index.clip(0.0, length - 1.0), None


def _taps(low: Expr, rest: Expr, mode: str) -> list[tuple[Expr, Expr]]:
    """The neighbours of a position and their weights; *rest* is how far it lies beyond *low*."""
    if mode == "linear":
        return [(low, 1.0 - rest), (low + 1.0, rest)]

    def near(d: Expr) -> Expr:
        return (d * (CUBIC + 2.0) - (CUBIC + 3.0)) * d * d + 1.0

    def far(d: Expr) -> Expr:
        return ((d - 5.0) * d + 8.0) * d * CUBIC - 4.0 * CUBIC

    return [
        (low - 1.0, far(rest + 1.0)),
        (low, near(rest)),
        (low + 1.0, near(1.0 - rest)),
        (low + 2.0, far(2.0 - rest)),
    ]


def affine_grid(b: Builder, theta: Value, sizes: Sequence[D.Dim], align_corners: bool) -> Value:
    """The grid [N, …sizes, k] that the affine maps *theta* ([N, k, k + 1]) make of the regular one."""
    shape = need_rank(theta, "AffineGrid")
    k = len(sizes)
    points = D.product(sizes)
    columns = []
    for axis in reversed(range(k)):  # the last dimension is x
        n = size(b, sizes[axis], theta.dtype)
        positions = arange(b, sizes[axis], theta.dtype)
        line = positions * 2.0 / (n - 1.0).maximum(1e-6) - 1.0 if align_corners else (positions * 2.0 + 1.0) / n - 1.0
        line = line.reshape(*[sizes[axis] if i == axis else 1 for i in range(k)])
        columns.append(line.expand(*sizes).reshape(points, 1))
    columns.append(columns[0] * 0.0 + 1.0)
    made = concat(columns, 1).unsqueeze(0) @ Expr(b, theta).transpose(0, 2, 1)
    return made.reshape(shape[0], *sizes, k).value


# regions of interest -----------------------------------------------------------------------------------------------


def _regions(b: Builder, x: Value, rois: Value, batch: Optional[Value]) -> tuple[Value, Value]:
    """An image per region, and how many regions each image has: Paddle wants regions sorted by image."""
    images, count = need_rank(x, "regions")[0], need_rank(rois, "regions")[0]
    if images == 1:
        return x, b.cast(shape_tensor(b, [count], DType.INT32), DType.INT32)
    assert batch is not None
    own = Expr(b, x).gather(Expr(b, batch).cast(DType.INT64).reshape(count))
    return own.value, fill(b, [count], 1, DType.INT32)


def roi_align(
    b: Builder,
    x: Value,
    rois: Value,
    batch: Value,
    output: tuple[int, int],
    sampling_ratio: int,
    spatial_scale: float,
    aligned: bool,
) -> Value:
    """Means over regions of *x* ([N, C, H, W]), [R, C, *output*].

    Args:
        rois: [R, 4] of x1, y1, x2, y2.
        batch: [R], the image of each region.
        aligned: whether coordinates mean the middles of elements.
    """
    images, counts = _regions(b, x, rois, batch)
    return b.op(
        "roi_align",
        X=images,
        ROIs=rois,
        RoisNum=counts,
        pooled_height=output[0],
        pooled_width=output[1],
        spatial_scale=spatial_scale,
        sampling_ratio=sampling_ratio if sampling_ratio > 0 else -1,
        aligned=aligned,
        result=(x.dtype, (need_rank(rois, "RoiAlign")[0], need_rank(x, "RoiAlign")[1], *output)),
    )


def roi_align_max(
    b: Builder,
    x: Value,
    rois: Value,
    batch: Value,
    output: tuple[int, int],
    sampling_ratio: int,
    spatial_scale: float,
    aligned: bool,
) -> Value:
    """ONNX's mode ``max``: the largest weighted neighbour of all samples of a bin."""
    if sampling_ratio <= 0:
        raise UnsupportedError("RoiAlign of mode max whose number of samples depends on the regions")
    shape, regions = need_rank(x, "RoiAlign"), need_rank(rois, "RoiAlign")[0]
    whole = Expr(b, rois) * spatial_scale - (0.5 if aligned else 0.0)
    sides = [whole.slice(1, i, i + 1) for i in range(4)]
    axes = []
    for low, high, bins, n in ((sides[1], sides[3], output[0], shape[2]), (sides[0], sides[2], output[1], shape[3])):
        extent = high - low if aligned else (high - low).maximum(1.0)
        budget.memory(32 * bins * sampling_ratio, "the samples of a bin")
        steps = (np.arange(bins * sampling_ratio) + 0.5) / (bins * sampling_ratio)
        axes.append(_bilinear(low + extent * Expr(b, steps[None], x.dtype), size(b, n, x.dtype)))
    rows = _rows(b, x, x.dtype)
    first = Expr(b, batch).cast(DType.INT64) * size(b, shape[2] * shape[3], DType.INT64)
    valid = axes[0][2].unsqueeze(2) * axes[1][2].unsqueeze(1)
    grid = (regions, output[0] * sampling_ratio, output[1] * sampling_ratio)
    best: Optional[Expr] = None
    for i, j in itertools.product((0, 1), (0, 1)):
        down, share_y = axes[0][i]  # type: ignore[misc]
        right, share_x = axes[1][j]  # type: ignore[misc]
        index = down.unsqueeze(2) * size(b, shape[3], DType.INT64) + right.unsqueeze(1) + first.reshape(regions, 1, 1)
        weight = share_y.unsqueeze(2) * share_x.unsqueeze(1) * valid
        value: Expr = rows.gather(index.reshape(D.product(grid))) * weight.reshape(D.product(grid), 1)
        best = value if best is None else best.maximum(value)
    assert best is not None
    cells = best.reshape(regions, output[0], sampling_ratio, output[1], sampling_ratio, shape[1])
    return cells.reduce("max", [2, 4], keep=False).transpose(0, 3, 1, 2).value


def _bilinear(position: Expr, n: Expr) -> tuple[tuple[Expr, Expr], tuple[Expr, Expr], Expr]:
    """The neighbours of a position with their weights, and 1 or 0 for whether it is near the image at all."""
    valid = ((position >= -1.0) & (position <= n)).cast(position.dtype)
    inside = position.clip(0.0, n - 1.0)
    low = inside.floor()
    rest = inside - low
    high = (low + 1.0).minimum(n - 1.0)
    return (low.cast(DType.INT64), 1.0 - rest), (high.cast(DType.INT64), rest), valid


def roi_pool(b: Builder, x: Value, rois: Value, output: tuple[int, int], spatial_scale: float) -> Value:
    """The largest elements of regions of *x* ([N, C, H, W]); *rois* [R, 5]: the image, x1, y1, x2, y2."""
    count = need_rank(rois, "MaxRoiPool")[0]
    whole = Expr(b, rois)
    images, counts = _regions(b, x, rois, whole.slice(1, 0, 1).value)
    result = (count, need_rank(x, "MaxRoiPool")[1], *output)
    made, _ = b.op_outputs(
        "roi_pool",
        X=images,
        ROIs=whole.slice(1, 1, 5).value,
        RoisNum=counts,
        pooled_height=output[0],
        pooled_width=output[1],
        spatial_scale=spatial_scale,
        results={"Out": (x.dtype, result), "Argmax": (DType.INT64, result)},
    )
    return made


# columns -----------------------------------------------------------------------------------------------------------


def col2im(
    b: Builder,
    x: Value,
    image: Sequence[D.Dim],
    block: Union[Sequence[int], Sequence[Expr]],
    channels: D.Dim,
    strides: Sequence[int],
    dilations: Sequence[int],
    pads: Sequence[int],
) -> Value:
    """The sum of blocks at their positions in an image: *x* [N, C · block, L] → [N, C, …image].

    Args:
        block: its sizes, numbers or tensors of one int64.
        pads: all begins, then all ends.
    """
    shape = need_rank(x, "Col2Im")
    k = len(image)
    cells = D.exact_div(shape[1], channels)
    if cells is None:
        raise UnsupportedError("Col2Im: the channels do not divide into blocks")
    sizes = [s if isinstance(s, Expr) else Expr(b, np.array([s]), DType.INT64) for s in block]
    cell, position = (
        arange(b, cells, DType.INT64).reshape(cells, 1),
        arange(b, shape[2], DType.INT64).reshape(1, shape[2]),
    )
    total: Optional[Expr] = None
    inside: Optional[Expr] = None
    step: D.Dim = 1
    for i in reversed(range(k)):
        n = size(b, image[i], DType.INT64)
        fits = n + (pads[i] + pads[k + i] - 1) - (sizes[i] - 1) * dilations[i]
        steps = fits // strides[i] + 1
        row_of_cell, row_of_position = cell // sizes[i], position // steps
        at = (
            (cell - row_of_cell * sizes[i]) * dilations[i] + (position - row_of_position * steps) * strides[i] - pads[i]
        )
        cell, position = row_of_cell, row_of_position
        here = (at >= 0) & (at < n)
        inside = here if inside is None else inside & here
        index = at * size(b, step, DType.INT64)
        total = index if total is None else total + index
        step = step * image[i]
    assert total is not None and inside is not None
    index = where(inside, total, size(b, step, DType.INT64))  # what falls into the padding goes to a row of its own
    split = Expr(b, x).reshape(shape[0], channels, cells * shape[2]).transpose(2, 0, 1)
    rows = split.reshape(cells * shape[2], shape[0] * channels)
    zeros = fill(b, (step + 1, shape[0] * channels), 0, x.dtype)
    made = b.op(
        "scatter_nd_add",
        X=zeros,
        Index=index.reshape(cells * shape[2], 1).value,
        Updates=rows.value,
        result=(x.dtype, (step + 1, shape[0] * channels)),
    )
    columns = Expr(b, made).slice(0, 0, step).transpose(1, 0).value
    return reshape(b, columns, (shape[0], channels, *image))
