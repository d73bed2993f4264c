"""Numbers as 8- and 16-bit integers with a scale and a zero point, computed with floats that hold them exactly."""

from __future__ import annotations

from typing import Optional

import numpy as np

from mconv.emit.activation import round_half_even
from mconv.emit.elementwise import arithmetic, unary
from mconv.emit.expr import Expr, where
from mconv.emit.known import axis_of, foldable, need_rank, replaced
from mconv.emit.linear import matmul
from mconv.emit.reduction import reduce
from mconv.emit.shape import expand_to, reshape, unsqueeze
from mconv.emit.slicing import slice_
from mconv.errors import UnsupportedError
from mconv.program import dims as D
from mconv.program.builder import Builder
from mconv.program.dtypes import DType
from mconv.program.value import Value

Range = tuple[int, int]
_EXACT = 1 << 24  # integers up to which float32 holds every one


def range_of(dtype: DType) -> Range:
    """The smallest and the largest number of an integer type."""
    limits = np.iinfo(dtype.numpy)
    return int(limits.min), int(limits.max)


def aligned(b: Builder, p: Optional[Value], x: Value, axis: int, block: int = 0) -> Optional[Value]:
    """A scale or a zero point so that it broadcasts to *x*: of the tensor, per index of *axis*, or per block of it."""
    if p is None:
        return None
    shape, own = need_rank(x, "quantisation"), need_rank(p, "quantisation")
    if block:
        if len(own) != len(shape):
            raise UnsupportedError(f"a scale per block has {len(own)} dimensions where the tensor has {len(shape)}")
        return _blocks(b, p, shape, axis_of(axis, len(shape)), block)
    if not own or (len(own) == 1 and own[0] == 1):
        return reshape(b, p, ())
    if len(own) > 1:
        return p
    behind = len(shape) - 1 - axis_of(axis, len(shape))
    return unsqueeze(b, p, range(1, 1 + behind)) if behind else p


def _blocks(b: Builder, p: Value, shape: tuple[D.Dim, ...], axis: int, block: int) -> Value:
    """Every element of *p* repeated *block* times along *axis*, cut to the size of the tensor."""
    own = need_rank(p, "quantisation")
    apart = unsqueeze(b, p, [axis + 1])
    wide = expand_to(b, apart, (*own[: axis + 1], block, *own[axis + 1 :]))
    joined = reshape(b, wide, replaced(own, axis, own[axis] * block))
    made = slice_(b, joined, [axis], [0], [shape[axis]])
    made.shape = replaced(own, axis, shape[axis])
    return made


def quantize(
    b: Builder, x: Value, scale: Value, zero: Optional[Value], dtype: DType, limits: Optional[Range] = None
) -> Value:
    """``round(x / scale) + zero`` (halves to even) within *limits*, by default those of *dtype*.

    *scale* and *zero* broadcast to *x*.
    """
    kind = DType.FP64 if x.dtype is DType.FP64 else DType.FP32
    q = round_half_even(b, arithmetic(b, "div", b.cast(x, kind), b.cast(scale, kind)))
    return _stored(b, q, zero, dtype, limits)


def _stored(b: Builder, q: Value, zero: Optional[Value], dtype: DType, limits: Optional[Range] = None) -> Value:
    if zero is not None:
        q = arithmetic(b, "add", q, b.cast(zero, q.dtype))
    low, high = (float(v) for v in (limits or range_of(dtype)))
    return b.cast(unary(b, "clip", q, min=low, max=high), dtype)


def dequantize(b: Builder, x: Value, scale: Value, zero: Optional[Value], dtype: Optional[DType] = None) -> Value:
    """``(x - zero) * scale`` in the type of *scale* (or *dtype*)."""
    dtype = dtype or scale.dtype
    kind = DType.FP64 if dtype is DType.FP64 else DType.FP32
    if zero is not None and not x.dtype.is_float:  # that of floats is 0
        x = arithmetic(b, "sub", b.cast(x, DType.INT32), b.cast(zero, DType.INT32))
    return b.cast(arithmetic(b, "mul", b.cast(x, kind), b.cast(scale, kind)), dtype)


def dynamic(b: Builder, x: Value) -> tuple[Value, Value, Value]:
    """*x* as uint8 with the scale and the zero point that its own range asks for; a scale of 1 where all is 0."""
    high = Expr(b, reduce(b, "max", x)).maximum(0)
    low = Expr(b, reduce(b, "min", x)).minimum(0)
    spread = (high - low) / 255
    scale = where(spread <= 0, Expr(b, 1, DType.FP32), spread)
    offset = (0 - low / scale).value
    point = b.cast(round_half_even(b, unary(b, "clip", offset, min=0.0, max=255.0)), DType.UINT8)
    return quantize(b, x, scale.value, point, DType.UINT8), scale.value, point


# products ---------------------------------------------------------------------------------------------------------------


def shifted(b: Builder, x: Value, zero: Optional[Value], dtype: DType) -> Value:
    """``x - zero`` in a float type."""
    x = b.cast(x, dtype)
    if zero is None or (foldable(zero) and not np.any(zero.const)):
        return x
    return arithmetic(b, "sub", x, b.cast(zero, dtype))


def exact_type(x: Value, x_zero: Optional[Value], y: Value, y_zero: Optional[Value], terms: D.Dim) -> DType:
    """The float type that holds every sum of *terms* products of the shifted numbers exactly."""

    def largest(v: Value, zero: Optional[Value]) -> int:
        low, high = range_of(v.dtype)
        plain = zero is None or (foldable(zero) and not np.any(zero.const))
        return max(-low, high) if plain else high - low

    small = isinstance(terms, int) and terms * largest(x, x_zero) * largest(y, y_zero) <= _EXACT
    return DType.FP32 if small else DType.FP64


def product(b: Builder, x: Value, x_zero: Optional[Value], y: Value, y_zero: Optional[Value]) -> Value:
    """The matrix product of ``x - x_zero`` and ``y - y_zero``: exact integers, as floats.

    A zero point of one dimension belongs to the rows of *x*, or to the columns of *y*.
    """
    kind = exact_type(x, x_zero, y, y_zero, need_rank(x, "a product")[-1])
    return matmul(b, shifted(b, x, by_row(b, x_zero), kind), shifted(b, y, by_column(b, y_zero), kind))


def by_row(b: Builder, p: Optional[Value]) -> Optional[Value]:
    """A scale or zero point per row, or of the whole."""
    if p is None or p.rank != 1:
        return p
    return reshape(b, p, ()) if p.size == 1 else unsqueeze(b, p, [1])


def by_column(b: Builder, p: Optional[Value]) -> Optional[Value]:
    """The same per column."""
    return reshape(b, p, ()) if p is not None and p.rank == 1 and p.size == 1 else p


def requantize(b: Builder, x: Value, factor: Value, zero: Optional[Value], dtype: DType) -> Value:
    """Exact sums times *factor* (the operands' scales over the result's), rounded and stored as *dtype*."""
    return _stored(b, round_half_even(b, arithmetic(b, "mul", x, b.cast(factor, x.dtype))), zero, dtype)


def factor(b: Builder, x_scale: Value, y_scale: Value, out_scale: Value) -> Value:
    """``x_scale * y_scale / out_scale`` in float32."""
    x_scale, y_scale, out_scale = (b.cast(s, DType.FP32) for s in (x_scale, y_scale, out_scale))
    return arithmetic(b, "div", arithmetic(b, "mul", x_scale, y_scale), out_scale)
