"""Numbers rounded and wrapped to what types of 8 bits and fewer hold; wider types of Paddle's carry them."""

from __future__ import annotations

import numpy as np

from mconv.emit.bits import power_below
from mconv.emit.elementwise import bitwise, number, unary
from mconv.emit.expr import Expr, where
from mconv.program.builder import Builder
from mconv.program.dtypes import DType
from mconv.program.small_types import SmallFloat, SmallInteger, carrier
from mconv.program.value import Value


def as_small_float(b: Builder, x: Value, kind: SmallFloat, *, saturate: bool = True) -> Value:
    """*x* rounded to the nearest number of *kind*, halves to the even one; float32.

    Args:
        saturate: what is too large becomes the largest number; else infinite, or NaN where there is no infinity.
    """
    given = Expr(b, x if x.dtype is DType.FP64 else b.cast(x, DType.FP32))
    size = Expr(b, unary(b, "abs", given.value))
    step = power_below(size, 2.0**kind.least, kind.largest).scaled(2.0**-kind.mantissa)
    made = (size / step).rint() * step
    top = Expr(b, kind.largest, given.dtype)
    instead = top if saturate or not kind.nan else Expr(b, np.inf if kind.infinite else np.nan, given.dtype)
    made = where(made > top, instead, made)
    made = where(given < 0, made.scaled(-1.0), made)
    none = given if kind.nan else Expr(b, -0.0, given.dtype)
    return where(given.is_nan(), none, made).cast(DType.FP32).value


def as_power_of_two(b: Builder, x: Value, kind: SmallFloat, how: str = "up", *, saturate: bool = True) -> Value:
    """The size of *x* as a power of two of *kind*, which has no others; what is no finite number becomes NaN.

    Args:
        how: ``down``, ``up`` or ``nearest`` (a half up).
        saturate: what is too large becomes the largest one, else NaN.
    """
    x = b.cast(x, DType.FP32)
    size = Expr(b, unary(b, "abs", x))
    normal = 2.0 ** (kind.least + 1)
    made = below = power_below(size, normal, kind.largest)
    if how != "down":
        up = size > below if how == "up" else size >= below.scaled(1.5)
        made = where(up, below.scaled(2.0), below)
    least = Expr(b, 2.0**kind.least, x.dtype)  # too small for a processor that takes such numbers for 0
    made = where(size < normal, least, made)
    top, nan = Expr(b, kind.largest, x.dtype), Expr(b, np.nan, x.dtype)
    made = where(made > top, top if saturate else nan, made)
    return where(Expr(b, b.op("isfinite_v2", X=x, result=(DType.BOOL, x.shape))), made, nan).value


def as_small_integer(b: Builder, x: Value, kind: SmallInteger) -> Value:
    """The lowest bits of the integers (or of the floats, cut towards zero) *x*, as *kind* reads them."""
    low, _ = kind.range
    whole = x if x.dtype in (DType.INT32, DType.INT64) else b.cast(x, DType.INT32)
    moved = (Expr(b, whole) - low).value if low else whole
    cut = Expr(b, bitwise(b, "bitwise_and", moved, number(b, (1 << kind.bits) - 1, whole.dtype)))
    return (cut + low if low else cut).cast(carrier(kind)).value
