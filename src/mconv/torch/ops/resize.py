"""Resizing of images and volumes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Optional

from mconv.emit.interpolate import Axis, Method, resize, scaled
from mconv.emit.known import need_rank
from mconv.emit.sample import grid_sample
from mconv.program import dims as D
from mconv.program.value import Value
from mconv.torch.context import AtenContext
from mconv.torch.registry import aten_op

NEAREST = Method("nearest", "asymmetric", "floor")
NEAREST_EXACT = Method("nearest", "half_pixel", "round_prefer_ceil")


def _resized(ctx: AtenContext, x: Value, scales: Sequence[Optional[float]], method: Method) -> Value:
    """To the node's shape; *scales* are what the coordinates are computed with where they are given."""
    shape, out = need_rank(x, "upsample"), list(ctx.out_shape)
    axes = []
    for i, scale in enumerate(scales, start=2):
        size = out[i]
        if scale is not None and not isinstance(size, int):
            size = scaled(shape[i], scale)
        axes.append(Axis(i, shape[i], size, scale))
    return resize(ctx, x, axes, method)


def _numbers(ctx: AtenContext, scale_factors: Optional[Sequence[Any]], k: int) -> list[Optional[float]]:
    if scale_factors is None:
        return [None] * k
    if not all(isinstance(s, (int, float)) for s in scale_factors):
        raise ctx.refuse("scale factors that are known only at run time")
    return [float(s) for s in scale_factors]


def _upsampling(name: str, k: int, method: Method) -> None:
    @aten_op(f"{name}.vec")
    def by_factors(
        ctx: AtenContext,
        input: Value,
        output_size: Optional[Sequence[D.Dim]],
        scale_factors: Optional[Sequence[float]],
        align_corners: bool = False,
    ) -> Value:
        return _resized(ctx, input, _numbers(ctx, scale_factors, k), _aligned(method, align_corners))

    @aten_op(f"{name}.default")
    def by_sizes(
        ctx: AtenContext,
        self: Value,
        output_size: Sequence[D.Dim],
        align_corners: bool = False,
        scales: Optional[float] = None,
        scales_d: Optional[float] = None,
        scales_h: Optional[float] = None,
        scales_w: Optional[float] = None,
    ) -> Value:
        given = [scales] if k == 1 else [scales_d, scales_h, scales_w][3 - k :]
        return _resized(ctx, self, given, _aligned(method, align_corners))


def _aligned(method: Method, align_corners: bool) -> Method:
    if not align_corners:
        return method
    return replace(method, between_corners=True) if method.antialias else replace(method, coordinates="align_corners")


for _k in (1, 2, 3):
    _upsampling(f"upsample_nearest{_k}d", _k, NEAREST)
    _upsampling(f"_upsample_nearest_exact{_k}d", _k, NEAREST_EXACT)
_upsampling("upsample_linear1d", 1, Method("linear"))
_upsampling("upsample_bilinear2d", 2, Method("linear"))
_upsampling("upsample_trilinear3d", 3, Method("linear"))
_upsampling("upsample_bicubic2d", 2, Method("cubic"))
_upsampling("_upsample_bilinear2d_aa", 2, Method("linear", antialias=True, exclude_outside=True))
_upsampling("_upsample_bicubic2d_aa", 2, Method("cubic", cubic=-0.5, antialias=True, exclude_outside=True))


@aten_op("grid_sampler_2d.default", "grid_sampler_3d.default")
def grid_sampler(
    ctx: AtenContext, input: Value, grid: Value, interpolation_mode: int, padding_mode: int, align_corners: bool
) -> Value:
    mode = ("linear", "nearest", "cubic")[interpolation_mode]
    padding = ("zeros", "border", "reflection")[padding_mode]
    return grid_sample(ctx, input, ctx.cast(grid, input.dtype), mode, padding, align_corners)
