"""The bits of a number read as another type, by arithmetic: Paddle before 2.6 has no operator for it.

What is lost: the digits of a NaN, and numbers too small for a full mantissa where the processor takes them for 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mconv.emit.activation import clip
from mconv.emit.elementwise import binary, bitwise, number, unary
from mconv.emit.expr import Expr, where
from mconv.emit.integer import trunc_divide
from mconv.program.builder import Builder
from mconv.program.dtypes import DType
from mconv.program.value import Value


@dataclass(frozen=True)
class Layout:
    """Of a float: a sign, an exponent, a mantissa whose leading 1 is not stored.

    Attributes:
        bits: of all.
        mantissa: of that.
        computed: a type of Paddle's that holds every value.
    """

    bits: int
    mantissa: int
    computed: DType

    @property
    def bias(self) -> int:
        return (1 << (self.bits - self.mantissa - 2)) - 1

    @property
    def top(self) -> int:
        """The stored exponent of infinities and NaNs."""
        return 2 * self.bias + 1


HALF, BFLOAT = Layout(16, 10, DType.FP32), Layout(16, 7, DType.FP32)
SINGLE, DOUBLE = Layout(32, 23, DType.FP32), Layout(64, 52, DType.FP64)


def power_below(size: Expr, least: float, largest: float) -> Expr:
    """The power of two at or below *size*, between *least* and *largest*, which are powers of two or end at one.

    A logarithm may be off by one near a power of two, which a comparison puts right.
    """
    size = _clipped(size, least, largest)
    made = _power_of_two(size.log().scaled(1 / math.log(2)).floor())
    made = where(made > size, made.scaled(0.5), made)
    double = made.scaled(2.0)
    return where(double <= size, double, made)


def _clipped(x: Expr, low: float, high: float) -> Expr:
    return Expr(x.b, clip(x.b, x.value, *(number(x.b, v, x.dtype) for v in (low, high))))


def _power_of_two(exponent: Expr) -> Expr:
    b = exponent.b
    return Expr(b, binary(b, "elementwise_pow", number(b, 2, exponent.dtype), exponent.value))


def of_float(b: Builder, x: Value, layout: Layout) -> Value:
    """The bits of *x* as a number that is not negative, int64; of 64 bits, with their sign."""
    number = Expr(b, x).cast(layout.computed)
    size = Expr(b, unary(b, "abs", number.value))
    least, unit = 2.0 ** (1 - layout.bias), 2.0**layout.mantissa
    below = power_below(size, least, 2.0**layout.bias)
    stored = ((size / below - 1) * unit).cast(DType.INT64)
    exponent = Expr(b, unary(b, "round", below.log().scaled(1 / math.log(2)).value)).scaled(1.0, float(layout.bias))
    whole = exponent.cast(DType.INT64) * (1 << layout.mantissa) + stored
    small = size / least * unit
    made = where(size < least, small.cast(DType.INT64), whole)
    infinite = layout.top << layout.mantissa
    made = where(size > _largest(layout), Expr(b, infinite, DType.INT64), made)
    made = where(number.is_nan(), Expr(b, infinite + (1 << (layout.mantissa - 1)), DType.INT64), made)
    # the sign of a zero shows in its reciprocal
    below_zero = number < 0, Expr(b, unary(b, "reciprocal", number.value)) < 0
    signed = made + (-(1 << 63) if layout.bits == 64 else 1 << (layout.bits - 1))
    return where(below_zero[0] | below_zero[1], signed, made).value


def to_float(b: Builder, bits: Value, layout: Layout) -> Value:
    """The float whose *bits* these are (int64, as :func:`of_float` gives them), in the type that computes it."""
    kind = layout.computed
    size = Expr(b, of_integer(b, bits, layout.bits - 1))
    exponent = Expr(b, trunc_divide(b, size.value, number(b, 1 << layout.mantissa, DType.INT64)))
    digits = Expr(b, of_integer(b, size.value, layout.mantissa))
    fraction = digits.cast(kind) * 2.0**-layout.mantissa
    step = _power_of_two((_clipped(exponent, 1, layout.top - 1) - layout.bias).cast(kind))
    made = ((exponent > 0).cast(kind) + fraction) * step
    special = where(digits.equals(0), Expr(b, np.inf, kind), Expr(b, np.nan, kind))
    made = where(exponent.equals(layout.top), special, made)
    return where(size.equals(bits), made, made.scaled(-1.0)).value


def of_integer(b: Builder, x: Value, bits: int) -> Value:
    """The bits of an integer, of which there are so many, as a number that is not negative, int64."""
    wide = b.cast(x, DType.INT64)
    return wide if bits == 64 else bitwise(b, "bitwise_and", wide, number(b, (1 << bits) - 1, DType.INT64))


def _largest(layout: Layout) -> float:
    return float((2.0 - 2.0**-layout.mantissa) * 2.0**layout.bias)
