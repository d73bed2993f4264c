"""Resizing: Paddle's interpolation operators where they say exactly what is asked for, else weights or indices.

The formulas are written once, for numpy arrays (sizes known now) and for tensors (known at run time): ``_floor`` and
its like take either.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Optional, Union

import numpy as np

from mconv import budget
from mconv.emit import expr
from mconv.emit.expr import Expr, arange, size
from mconv.emit.known import bind_shape, need_rank
from mconv.emit.linear import matmul
from mconv.emit.shape import transpose
from mconv.emit.sizes import shape_tensor
from mconv.emit.zero_size import counted
from mconv.errors import UnsupportedError
from mconv.program import dims as D
from mconv.program.builder import Builder
from mconv.program.dtypes import DType
from mconv.program.value import Value

Number = Union[float, np.ndarray, Expr]
COORDINATES = (
    "half_pixel",
    "half_pixel_symmetric",
    "pytorch_half_pixel",
    "align_corners",
    "asymmetric",
    "tf_half_pixel_for_nn",
    "tf_crop_and_resize",
)
NEAREST = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")


@dataclass(frozen=True)
class Axis:
    """One dimension to resize.

    Attributes:
        index: which.
        n, out: its size before and after; *out* is a tensor of one integer where it comes in at run time.
        scale: result size by input size, as it enters the coordinates: a number, or a tensor of shape [1]; None:
            *out* / *n*.
        roi: start and end of the region for ``tf_crop_and_resize``: numbers or tensors of shape [1].
    """

    index: int
    n: D.Dim
    out: Union[D.Dim, Value]
    scale: Optional[Union[float, Expr]] = None
    roi: tuple[Number, Number] = (0.0, 1.0)

    @property
    def static(self) -> bool:
        plain = not isinstance(self.scale, Expr) and not any(isinstance(r, Expr) for r in self.roi)
        return plain and isinstance(self.n, int) and isinstance(self.out, int)

    @property
    def factor(self) -> Optional[Union[int, float]]:
        """The scale where it is known now."""
        if isinstance(self.scale, Expr):
            return None
        if self.scale is not None:
            return self.scale
        if isinstance(self.out, Value):
            return None
        exact = D.exact_div(self.out, self.n)
        if isinstance(exact, int):
            return exact
        return self.out / self.n if isinstance(self.out, int) and isinstance(self.n, int) else None


def scaled(n: D.Dim, scale: float) -> D.Dim:
    """floor(n · scale)."""
    simple = Fraction(scale).limit_denominator(64)
    ratio = simple if np.float32(float(simple)) == np.float32(scale) else Fraction(scale)
    return D.floordiv(n * ratio.numerator, ratio.denominator)


@dataclass(frozen=True)
class Method:
    """How to resize; the names and defaults are those of ONNX's Resize.

    Attributes:
        between_corners: the scale is (*out* - 1) / (*n* - 1), whatever an axis has, and 1 / 0 where there is one element:
            PyTorch's antialiasing with ``align_corners`` counts half pixels by it.
    """

    mode: str = "nearest"
    coordinates: str = "half_pixel"
    nearest: str = "round_prefer_floor"
    cubic: float = -0.75
    exclude_outside: bool = False
    antialias: bool = False
    extrapolation: float = 0.0
    between_corners: bool = False


def resize(b: Builder, x: Value, axes: Sequence[Axis], method: Method) -> Value:
    """*x* resized along *axes*, the others as they are."""
    if method.mode not in ("nearest", "linear", "cubic"):
        raise UnsupportedError(f"Resize: the mode {method.mode!r} is unknown")
    if method.coordinates not in COORDINATES:
        raise UnsupportedError(f"Resize: the coordinate transformation {method.coordinates!r} is unknown")
    if method.mode == "nearest" and method.nearest not in NEAREST:
        raise UnsupportedError(f"Resize: the rounding {method.nearest!r} is unknown")
    if method.mode != "nearest" and not x.dtype.is_float:
        raise UnsupportedError(f"Resize: {method.mode} interpolation of {x.dtype.label}")
    axes = [a for a in axes if not _identity(a, method)]
    if not axes:
        return x
    made = _by_operator(b, x, axes, method)
    if made is not None:
        return made
    made = x
    outside: Optional[Expr] = None
    rank = len(need_rank(x, "Resize"))
    for axis in axes:
        source = _coordinates(b, axis, method)
        if method.mode == "nearest":
            made = _gathered(b, made, axis, _nearest(source, axis, b, method.nearest))
        else:
            made = _weighted(b, made, axis, _weights(b, axis, source, method))
        if method.coordinates == "tf_crop_and_resize":
            here = _outside(b, axis, source, rank).cast(x.dtype)  # of sizes known and not known
            outside = here if outside is None else outside.maximum(here)
        bind_shape(b, made)
    if outside is not None:
        made = (Expr(b, made) * (1.0 - outside) + outside * method.extrapolation).value
    return made


def _identity(axis: Axis, method: Method) -> bool:
    return method.coordinates != "tf_crop_and_resize" and axis.factor == 1 and axis.n == axis.out


# Paddle's operators ------------------------------------------------------------------------------------------------


def _by_operator(b: Builder, x: Value, axes: Sequence[Axis], method: Method) -> Optional[Value]:
    """One of the interpolation operators when it computes exactly this, else None."""
    shape = need_rank(x, "Resize")
    name = {"nearest": "nearest", "linear": "bilinear", "cubic": "bicubic"}[method.mode] + "_interp_v2"
    if len(shape) != 4 or x.dtype is not DType.FP32 or any(a.index < 2 for a in axes) or name not in b.operators:
        return None
    whole = {a.index: a for a in axes}
    pair = [whole.get(i, Axis(i, shape[i], shape[i], 1.0)) for i in (2, 3)]
    if any(isinstance(a.out, Value) or isinstance(a.scale, Expr) for a in pair):
        return None
    flags = _flags(pair, method)
    if flags is None:
        return None
    out = tuple(a.out for a in pair)
    sizes: dict[str, Any] = {"out_h": -1, "out_w": -1, "scale": []}
    if D.is_static(out):  # type: ignore[arg-type]
        sizes.update(out_h=out[0], out_w=out[1])
    else:
        if all(a.scale is not None for a in pair):  # what the coordinates are computed of
            sizes.update(scale=[float(a.scale) for a in pair])  # type: ignore[arg-type]
        if not sizes["scale"] or not all(_rounds_alike(b, a) for a in pair):
            sizes.update(OutSize=shape_tensor(b, out, DType.INT32))  # type: ignore[arg-type]
    if sizes.get("out_h") == -1 or flags["align_corners"] or all(_honest(a) for a in pair):
        made = b.op(
            name,
            X=x,
            interp_method=name.split("_")[0],
            data_layout="NCHW",
            out_d=-1,
            result=(x.dtype, (*shape[:2], *out)),  # type: ignore[arg-type]
            **flags,
            **sizes,
        )
        return bind_shape(b, made)
    return None


def _rounds_alike(b: Builder, axis: Axis) -> bool:
    """Whether the operator computes the size by the scale as it is computed here: nothing is lost, or carried for it."""
    return float(axis.scale or 0) * 64 % 1 == 0 and not counted(b, [axis.out])  # type: ignore[arg-type,list-item]


def _honest(axis: Axis) -> bool:
    """Whether the scale of the coordinates is that of the sizes, which is the one the operator takes."""
    return axis.scale is None or axis.scale * axis.n == axis.out  # type: ignore[operator]


def _flags(pair: Sequence[Axis], method: Method) -> Optional[dict[str, Any]]:
    way = method.coordinates
    if method.antialias and (method.between_corners or any(a.factor is None or a.factor < 1 for a in pair)):
        return None
    if method.mode == "nearest":
        # each element n times; anything else oneDNN rounds in a way of its own
        grown = all(a.factor is not None and a.factor >= 1 and a.factor == int(a.factor) for a in pair)
        usual = (way == "asymmetric" and method.nearest == "floor") or (
            way in ("half_pixel", "pytorch_half_pixel") and method.nearest.startswith("round")
        )
        return {"align_corners": False, "align_mode": 1} if grown and usual else None
    if method.mode == "cubic" and (method.cubic != -0.75 or method.exclude_outside):
        return None
    if way == "align_corners":
        return {"align_corners": True, "align_mode": 1}
    if way in ("half_pixel", "pytorch_half_pixel"):
        if not all(_agrees_on_one(a, way, method.mode) for a in pair):
            return None
        return {"align_corners": False, "align_mode": 0}
    if way == "asymmetric" and method.mode == "linear":
        return {"align_corners": False, "align_mode": 1}
    return None


def _agrees_on_one(axis: Axis, way: str, mode: str) -> bool:
    """Whether a result of a single row comes out right (or cannot be): Paddle takes position -½ for it, that is, 0."""
    factor = axis.factor
    if isinstance(axis.out, int):
        return axis.out > 1 or (mode == "linear" and (way == "pytorch_half_pixel" or axis.n == 1))
    if factor is not None and factor >= 2:
        return True
    return mode == "linear" and (way == "pytorch_half_pixel" or (factor is not None and factor >= 1))


# where each element comes from ---------------------------------------------------------------------------------------


def _floor(x: Any) -> Any:
    return x.floor() if isinstance(x, Expr) else np.floor(x)


def _abs(x: Any) -> Any:
    return x.abs() if isinstance(x, Expr) else np.abs(x)


def _max(x: Any, y: Any) -> Any:
    if isinstance(x, Expr):
        return x.maximum(y)
    return y.maximum(x) if isinstance(y, Expr) else np.maximum(x, y)


def _min(x: Any, y: Any) -> Any:
    return -_max(-x, -y)


def _where(condition: Any, x: Any, y: Any) -> Any:
    if isinstance(condition, Expr):
        b, kind = condition.b, next((v.dtype for v in (x, y) if isinstance(v, Expr)), DType.FP64)
        x, y = (v if isinstance(v, Expr) else Expr(b, np.asarray(v), kind) for v in (x, y))
        return expr.where(condition, x, y)
    if np.ndim(condition) == 0:
        return x if condition else y
    return np.where(condition, x, y)


def _sum(x: Any) -> Any:
    """Over the last dimension, which stays."""
    return x.sum(-1) if isinstance(x, Expr) else x.sum(-1, keepdims=True)


def _column(x: Any) -> Any:
    return x.unsqueeze(1) if isinstance(x, Expr) else np.asarray(x)[:, None]


def _row(x: Any) -> Any:
    return x.unsqueeze(0) if isinstance(x, Expr) else np.asarray(x)[None]


def _length(b: Builder, which: Union[D.Dim, Value], kind: DType = DType.FP64) -> Number:
    """A size to compute with: a number, or a tensor of shape [1]."""
    if isinstance(which, Value):
        return Expr(b, which).reshape(1).cast(kind)
    return float(which) if isinstance(which, int) else size(b, which, kind)


def _count(b: Builder, axis: Axis, n: Union[D.Dim, Value], kind: DType = DType.FP64) -> Any:
    """0, 1, … n - 1."""
    if axis.static and isinstance(n, int):
        budget.memory(64 * n, f"the positions of {n} samples")
        return np.arange(n, dtype=kind.numpy)
    return arange(b, n, kind)


def _scale(b: Builder, axis: Axis, method: Method, kind: DType = DType.FP64) -> Any:
    if method.between_corners:
        out, n = _length(b, axis.out, kind), _length(b, axis.n, kind)
        one, ratio = _max(2.0 - _min(out, n), 0.0), (out - 1.0) / _max(n - 1.0, 1.0)
        return ratio + one * 1e9
    if axis.scale is not None:
        return axis.scale.cast(kind) if isinstance(axis.scale, Expr) else axis.scale
    return _length(b, axis.out, kind) / _length(b, axis.n, kind)


def _width(b: Builder, axis: Axis, kind: DType) -> Any:
    """The size of the result before it is made whole; in float32, where 5 · 0.6 is 3."""
    if axis.scale is None:
        return _length(b, axis.out, kind)
    if isinstance(axis.n, int) and not isinstance(axis.scale, Expr):
        return float(np.float32(axis.n) * np.float32(axis.scale))
    scale = axis.scale.cast(DType.FP32) if isinstance(axis.scale, Expr) else axis.scale
    return (size(b, axis.n, DType.FP32) * scale).cast(kind)


def _coordinates(b: Builder, axis: Axis, method: Method) -> Any:
    """For each element of the result, the position in the input, [out], float64; float32 where a row is taken by the last
    bit of it, which is ONNX Runtime's.

    What is left of a broken scale when the size is made whole does not move the corners, as in ONNX's text, in ONNX
    Runtime and PyTorch; only ONNX's evaluator sees it otherwise.
    """
    kind = DType.FP32 if method.mode == "nearest" else DType.FP64
    o = _count(b, axis, axis.out, kind)
    n, scale, length = _length(b, axis.n, kind), _scale(b, axis, method, kind), _length(b, axis.out, kind)
    way = method.coordinates
    if way == "align_corners":
        # of a single row the first: 0 / anything
        return o * (n - 1.0) / _max(length - 1.0, 1e-6)
    if way == "asymmetric":
        return o / scale
    if way == "tf_half_pixel_for_nn":
        return (o + 0.5) / scale
    if way == "tf_crop_and_resize":
        first, last = (r.cast(kind) if isinstance(r, Expr) else r for r in axis.roi)
        many = o * (last - first) * (n - 1.0) / _max(length - 1.0, 1e-6)
        one = (last - first) * (n - 1.0) / 2.0 + o * 0.0  # type: ignore[operator]
        return _where(length > 1.0, many, one) + first * (n - 1.0)  # type: ignore[operator]
    half = (o + 0.5) / scale - 0.5
    if way == "pytorch_half_pixel":
        return _where(length > 1.0, half, o * 0.0)
    if way == "half_pixel_symmetric":
        return half + n / 2.0 * (1.0 - length / _width(b, axis, kind))
    return half


def _nearest(source: Any, axis: Axis, b: Builder, rounding: str) -> Any:
    """The index of the element to take."""
    if rounding == "round_prefer_floor":
        index = -_floor(-(source - 0.5))
    elif rounding == "round_prefer_ceil":
        index = _floor(source + 0.5)
    else:
        index = _floor(source) if rounding == "floor" else -_floor(-source)
    return _max(_min(index, _length(b, axis.n, DType.FP32) - 1.0), 0.0)


def _weights(b: Builder, axis: Axis, source: Any, method: Method) -> Any:
    """What each element of the input contributes to each of the result, [out, n]."""
    n = _length(b, axis.n)
    stretch = _min(_scale(b, axis, method), 1.0) if method.antialias else 1.0
    radius = 1.0 if method.mode == "linear" else 2.0

    def kernel(distance: Any) -> Any:
        d = _abs(distance) * stretch
        if method.mode == "linear":
            return _max(1.0 - d, 0.0)
        a = method.cubic
        near = ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0
        far = ((d - 5.0) * d + 8.0) * d * a - 4.0 * a
        return _where(d <= 1.0, near, _where(d < 2.0, far, d * 0.0))

    inside = _row(_count(b, axis, axis.n))
    at = _column(source)
    weights = kernel(at - inside)
    if not method.exclude_outside:
        # the edges stand for what would be taken from outside
        reach = _reach(b, stretch, radius)
        before = _sum(kernel(at + _row(reach)))
        after = _sum(kernel(_row(reach) + (n - 1.0) - at))
        first = _where(inside <= 0.0, inside * 0.0 + 1.0, inside * 0.0)
        last = _where(inside >= n - 1.0, inside * 0.0 + 1.0, inside * 0.0)
        weights = weights + before * first + after * last
    if method.exclude_outside or method.antialias:
        weights = weights / _sum(weights)
    return weights


def _reach(b: Builder, stretch: Any, radius: float) -> Any:
    """1, 2, … as far beyond an edge as the kernel goes."""
    if not isinstance(stretch, Expr):
        count = radius / stretch
        budget.memory(int(min(max(count, 0.0), 1e18)) * 16, "the reach of a kernel")
        return np.arange(1.0, np.ceil(radius / stretch) + 2)
    count = (radius / stretch + 2.0).floor().cast(DType.INT64)
    return arange(b, count.value, DType.FP64) + 1.0


def _gathered(b: Builder, x: Value, axis: Axis, index: Any) -> Value:
    picked = Expr(b, index.astype(np.int64)) if isinstance(index, np.ndarray) else index.cast(DType.INT64)
    return Expr(b, x).gather(picked, axis.index).value


def _weighted(b: Builder, x: Value, axis: Axis, weights: Any) -> Value:
    """The matrix product along a dimension."""
    rank = len(need_rank(x, "Resize"))
    dtype = DType.FP32 if x.dtype is DType.FP16 else x.dtype
    x, narrow = b.cast(x, dtype), x.dtype
    matrix = b.constant(weights, dtype) if isinstance(weights, np.ndarray) else b.cast(weights.value, dtype)
    last = rank - 1
    perm = list(range(rank))
    perm[axis.index], perm[last] = perm[last], perm[axis.index]
    made = matmul(b, transpose(b, x, perm), matrix, trans_y=True)
    return b.cast(transpose(b, made, perm), narrow)


def _outside(b: Builder, axis: Axis, source: Any, rank: int) -> Expr:
    """1 where a result lies outside of the input, along *axis* of *rank* dimensions."""
    n = _length(b, axis.n, source.dtype if isinstance(source, Expr) else DType.FP64)
    beyond = _max(-source, source - (n - 1.0))
    flags = _where(beyond > 0.0, source * 0.0 + 1.0, source * 0.0)
    made = flags if isinstance(flags, Expr) else Expr(b, flags, DType.FP64)
    return made.unsqueeze(*[i for i in range(rank) if i != axis.index])
