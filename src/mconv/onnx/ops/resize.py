"""Resizing of images and volumes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Optional, Union

import numpy as np

from mconv.emit.expr import Expr, size
from mconv.emit.interpolate import Axis, Method, resize
from mconv.emit.vanishing import size_of_cut
from mconv.errors import CorruptModelError
from mconv.onnx.context import Context
from mconv.onnx.registry import onnx_op
from mconv.program import dims as D
from mconv.program.dtypes import DType
from mconv.program.value import Value


@onnx_op("Resize", since=11)
def resize_11(
    ctx: Context,
    x: Value,
    roi: Optional[Value] = None,
    scales: Optional[Value] = None,
    sizes: Optional[Value] = None,
    *,
    antialias: int = 0,
    axes: Optional[list[int]] = None,
    coordinate_transformation_mode: str = "half_pixel",
    cubic_coeff_a: float = -0.75,
    exclude_outside: int = 0,
    extrapolation_value: float = 0.0,
    keep_aspect_ratio_policy: str = "stretch",
    mode: str = "nearest",
    nearest_mode: str = "round_prefer_floor",
) -> Value:
    way = coordinate_transformation_mode
    method = Method(mode, way, nearest_mode, cubic_coeff_a, bool(exclude_outside), bool(antialias), extrapolation_value)
    rank = ctx.rank(x)
    if axes is not None and any(not -rank <= a < rank for a in axes):
        raise ctx.refuse(f"axes {axes} of a tensor with {rank} dimensions")
    chosen = [a % rank for a in axes] if axes is not None else list(range(rank))
    if scales is not None and scales.size == 0:  # how opset 11 says that there are none
        scales = None
    if (scales is None) == (sizes is None):
        raise ctx.refuse("either scales or sizes must be given")
    if scales is not None:
        specs = _by_scales(ctx, x, chosen, scales)
    else:
        assert sizes is not None
        specs = _by_sizes(ctx, x, chosen, sizes, keep_aspect_ratio_policy)
    if way == "tf_crop_and_resize":
        if roi is None:
            raise ctx.refuse("tf_crop_and_resize without a roi")
        specs = _with_roi(ctx, specs, roi)
    return resize(ctx, x, specs, method)


def _by_scales(ctx: Context, x: Value, axes: Sequence[int], scales: Value) -> list[Axis]:
    assert x.shape is not None
    known = np.asarray(scales.const, np.float64).reshape(-1) if scales.is_const else None
    if known is not None and not (np.isfinite(known) & (known > 0)).all():
        raise CorruptModelError(f"its scales are {known[:8].tolist()}, where numbers above 0 are taken")
    if scales.size not in (None, len(axes)):
        raise ctx.refuse(f"{scales.size} scales for {len(axes)} dimensions")
    declared = ctx.declared(rank=ctx.rank(x))
    specs = []
    for i, a in enumerate(axes):
        n = x.shape[a]
        if known is not None:
            out = size_of_cut(ctx, _scaled(n, float(known[i])), n)
            specs.append(Axis(a, n, out, float(known[i])))
            continue
        factor = Expr(ctx, scales).slice(0, i, i + 1).cast(DType.FP64)
        if declared is not None:
            specs.append(Axis(a, n, declared[a], factor))
            continue
        count = (size(ctx, n, DType.FP64) * factor).floor().cast(DType.INT64)
        specs.append(Axis(a, n, count.value, factor))
    return specs


def _scaled(n: D.Dim, scale: float) -> D.Dim:
    """floor(n · scale)."""
    if isinstance(n, int):
        return int(np.floor(np.float32(n) * np.float32(scale)))
    ratio = _ratio(scale)
    return D.floordiv(n * ratio[0], ratio[1])


def _ratio(scale: float) -> tuple[int, int]:
    """The scale as a fraction: of small numbers where it is one as a float32 holds it, else as it is stored."""
    simple = Fraction(scale).limit_denominator(64)
    exact = simple if np.float32(float(simple)) == np.float32(scale) else Fraction(scale)
    return exact.numerator, exact.denominator


def _by_sizes(ctx: Context, x: Value, axes: Sequence[int], sizes: Value, policy: str) -> list[Axis]:
    assert x.shape is not None
    wanted: Optional[Sequence[Union[D.Dim, Value]]] = ctx.known_dims(sizes)
    if policy != "stretch":
        return _in_proportion(ctx, x, axes, wanted, sizes, policy)
    declared = ctx.declared(rank=ctx.rank(x))
    if wanted is None and declared is not None:
        wanted = [declared[a] for a in axes]
    if wanted is None:
        whole = Expr(ctx, sizes)
        wanted = [whole.slice(0, i, i + 1).value for i in range(len(axes))]
    if len(wanted) != len(axes):
        raise ctx.refuse(f"{len(wanted)} sizes for {len(axes)} dimensions")
    made = []
    for a, w in zip(axes, wanted):
        n = x.shape[a]
        made.append(Axis(a, n, w if isinstance(w, Value) else size_of_cut(ctx, w, n)))
    return made


def _in_proportion(
    ctx: Context, x: Value, axes: Sequence[int], wanted: Optional[Sequence[object]], sizes: Value, policy: str
) -> list[Axis]:
    if policy not in ("not_larger", "not_smaller"):
        raise ctx.refuse(f"keep_aspect_ratio_policy {policy!r} is unknown")
    assert x.shape is not None
    have = [x.shape[a] for a in axes]
    if not D.is_static(have):
        raise ctx.refuse("keep_aspect_ratio_policy with sizes known only at run time")
    pick = min if policy == "not_larger" else max
    if wanted is not None and D.is_static(wanted):  # type: ignore[arg-type]
        scale = pick(float(w) / float(n) for w, n in zip(wanted, have))  # type: ignore[arg-type]
        return [Axis(a, n, int(scale * float(n) + 0.5), scale) for a, n in zip(axes, have)]  # type: ignore[arg-type]
    declared = ctx.declared(rank=ctx.rank(x))
    if declared is None:
        raise ctx.refuse("sizes must be constant: they come in at run time")
    ratios = Expr(ctx, sizes).cast(DType.FP64) / Expr(ctx, np.array(have, np.float64))
    factor = ratios.reduce("min" if policy == "not_larger" else "max", [0])
    return [Axis(a, n, declared[a], factor) for a, n in zip(axes, have)]


def _with_roi(ctx: Context, specs: list[Axis], roi: Value) -> list[Axis]:
    count = len(specs)
    out = []
    for i, spec in enumerate(specs):
        if roi.is_const:
            values = np.asarray(roi.const, np.float64).reshape(-1)
            out.append(replace(spec, roi=(float(values[i]), float(values[count + i]))))
        else:
            whole = Expr(ctx, roi).cast(DType.FP64)
            out.append(replace(spec, roi=(whole.slice(0, i, i + 1), whole.slice(0, count + i, count + i + 1))))
    return out


@onnx_op("Resize", since=10)
def resize_10(ctx: Context, x: Value, scales: Value, *, mode: str = "nearest") -> Value:
    """The rounding and the coordinates that opset 11 calls floor and asymmetric."""
    ctx.rank(x)
    return resize(ctx, x, _by_scales(ctx, x, range(ctx.rank(x)), scales), Method(mode, "asymmetric", "floor"))


@onnx_op("Upsample", since=9)
def upsample_9(ctx: Context, x: Value, scales: Value, *, mode: str = "nearest") -> Value:
    return resize_10(ctx, x, scales, mode=mode)


@onnx_op("Upsample", since=7)
def upsample_7(ctx: Context, x: Value, *, scales: list[float], mode: str = "nearest") -> Value:
    return resize_10(ctx, x, ctx.constant(np.array(scales, np.float32)), mode=mode)


@onnx_op("Upsample", since=1)
def upsample_1(ctx: Context, x: Value, *, height_scale: float, width_scale: float, mode: str = "nearest") -> Value:
    mode = "linear" if mode == "bilinear" else mode
    return upsample_7(ctx, x, scales=[1.0, 1.0, height_scale, width_scale], mode=mode)
