"""Numbers rounded and wrapped to what types of 8 bits and fewer hold; wider types of Paddle's carry them."""

from __future__ import annotations

import numpy as np

from mconv.emit.activation import round_half_even
from mconv.emit.bits import power_below
from mconv.emit.elementwise import arithmetic, bitwise, compare, is_nan, number, scale, unary, where
from mconv.program.builder import Builder
from mconv.program.dtypes import DType
from mconv.program.small_types import SmallFloat, SmallInteger, carrier
from mconv.program.value import Value


def as_small_float(b: Builder, x: Value, kind: SmallFloat, *, saturate: bool = True) -> Value:
    """*x* rounded to the nearest number of *kind*, halves to the even one; float32.

    Args:
        saturate: what is too large becomes the largest number; else infinite, or NaN where there is no infinity.
    """
    x = x if x.dtype is DType.FP64 else b.cast(x, DType.FP32)
    size = unary(b, "abs", x)
    step = scale(b, power_below(b, size, 2.0**kind.least, kind.largest), 2.0**-kind.mantissa)
    made = arithmetic(b, "mul", round_half_even(b, arithmetic(b, "div", size, step)), step)
    top = number(b, kind.largest, x.dtype)
    instead = top if saturate or not kind.nan else number(b, np.inf if kind.infinite else np.nan, x.dtype)
    made = where(b, compare(b, "greater_than", made, top), instead, made)
    made = where(b, compare(b, "less_than", x, number(b, 0, x.dtype)), scale(b, made, -1.0), made)
    none = x if kind.nan else number(b, -0.0, x.dtype)
    return b.cast(where(b, is_nan(b, x), none, made), DType.FP32)


def as_power_of_two(b: Builder, x: Value, kind: SmallFloat, how: str = "up", *, saturate: bool = True) -> Value:
    """The size of *x* as a power of two of *kind*, which has no others; what is no finite number becomes NaN.

    Args:
        how: ``down``, ``up`` or ``nearest`` (a half up).
        saturate: what is too large becomes the largest one, else NaN.
    """
    x = b.cast(x, DType.FP32)
    size = unary(b, "abs", x)
    below = power_below(b, size, 2.0 ** (kind.least + 1), kind.largest)
    limit = {"down": None, "up": below, "nearest": scale(b, below, 1.5)}[how]
    made = below
    if limit is not None:
        up = compare(b, "greater_than" if how == "up" else "greater_equal", size, limit)
        made = where(b, up, scale(b, below, 2.0), below)
    least = number(b, 2.0**kind.least, x.dtype)  # too small for a processor that takes such numbers for 0
    made = where(b, compare(b, "less_than", size, number(b, 2.0 ** (kind.least + 1), x.dtype)), least, made)
    top = number(b, kind.largest, x.dtype)
    nan = number(b, np.nan, x.dtype)
    made = where(b, compare(b, "greater_than", made, top), top if saturate else nan, made)
    return where(b, b.op("isfinite_v2", X=x, result=(DType.BOOL, x.shape)), made, nan)


def as_small_integer(b: Builder, x: Value, kind: SmallInteger) -> Value:
    """The lowest bits of the integers (or of the floats, cut towards zero) *x*, as *kind* reads them."""
    low, _ = kind.range
    whole = x if x.dtype in (DType.INT32, DType.INT64) else b.cast(x, DType.INT32)
    moved = arithmetic(b, "sub", whole, number(b, low, whole.dtype)) if low else whole
    cut = bitwise(b, "bitwise_and", moved, number(b, (1 << kind.bits) - 1, whole.dtype))
    return b.cast(arithmetic(b, "add", cut, number(b, low, whole.dtype)) if low else cut, carrier(kind))
