"""The bits of a number read as another type, by arithmetic: Paddle before 2.6 has no operator for it.

What is lost: the digits of a NaN, and numbers too small for a full mantissa where the processor takes them for 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mconv.emit.activation import clip
from mconv.emit.elementwise import arithmetic, binary, bitwise, compare, is_nan, logical, number, scale, unary, where
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


def power_below(b: Builder, size: Value, least: float, largest: float) -> Value:
    """The power of two at or below *size*, between *least* and *largest*, which are powers of two or end at one.

    A logarithm may be off by one near a power of two, which a comparison puts right.
    """
    kind = size.dtype
    size = clip(b, size, number(b, least, kind), number(b, largest, kind))
    exponent = unary(b, "floor", scale(b, unary(b, "log", size), 1 / math.log(2)))
    made = binary(b, "elementwise_pow", number(b, 2, kind), exponent)
    made = where(b, compare(b, "greater_than", made, size), scale(b, made, 0.5), made)
    double = scale(b, made, 2.0)
    return where(b, compare(b, "less_equal", double, size), double, made)


def of_float(b: Builder, x: Value, layout: Layout) -> Value:
    """The bits of *x* as a number that is not negative, int64; of 64 bits, with their sign."""
    x = b.cast(x, layout.computed)
    kind, zero = x.dtype, number(b, 0, x.dtype)
    size = unary(b, "abs", x)
    least = 2.0 ** (1 - layout.bias)
    below = power_below(b, size, least, 2.0**layout.bias)
    digits = arithmetic(b, "sub", arithmetic(b, "div", size, below), number(b, 1, kind))
    stored = b.cast(arithmetic(b, "mul", digits, number(b, 2.0**layout.mantissa, kind)), DType.INT64)
    exponent = scale(b, unary(b, "log", below), 1 / math.log(2))
    exponent = scale(b, unary(b, "round", exponent), 1.0, float(layout.bias))
    whole = arithmetic(b, "add", _shifted(b, b.cast(exponent, DType.INT64), layout.mantissa), stored)
    small = arithmetic(
        b, "mul", arithmetic(b, "div", size, number(b, least, kind)), number(b, 2.0**layout.mantissa, kind)
    )
    made = where(b, compare(b, "less_than", size, number(b, least, kind)), b.cast(small, DType.INT64), whole)
    infinite = number(b, layout.top << layout.mantissa, DType.INT64)
    made = where(b, compare(b, "greater_than", size, number(b, _largest(layout), kind)), infinite, made)
    none = number(b, (layout.top << layout.mantissa) + (1 << (layout.mantissa - 1)), DType.INT64)
    made = where(b, is_nan(b, x), none, made)
    # the sign of a zero shows in its reciprocal
    below_zero = compare(b, "less_than", x, zero), compare(b, "less_than", unary(b, "reciprocal", x), zero)
    sign = -(1 << 63) if layout.bits == 64 else 1 << (layout.bits - 1)
    signed = arithmetic(b, "add", made, number(b, sign, DType.INT64))
    return where(b, logical(b, "logical_or", *below_zero), signed, made)


def to_float(b: Builder, bits: Value, layout: Layout) -> Value:
    """The float whose *bits* these are (int64, as :func:`of_float` gives them), in the type that computes it."""
    kind = layout.computed
    size = bitwise(b, "bitwise_and", bits, number(b, (1 << (layout.bits - 1)) - 1, DType.INT64))
    exponent = trunc_divide(b, size, number(b, 1 << layout.mantissa, DType.INT64))
    digits = bitwise(b, "bitwise_and", size, number(b, (1 << layout.mantissa) - 1, DType.INT64))
    fraction = arithmetic(b, "mul", b.cast(digits, kind), number(b, 2.0**-layout.mantissa, kind))
    power = clip(b, exponent, number(b, 1, DType.INT64), number(b, layout.top - 1, DType.INT64))
    power = b.cast(arithmetic(b, "sub", power, number(b, layout.bias, DType.INT64)), kind)
    step = binary(b, "elementwise_pow", number(b, 2, kind), power)
    first = b.cast(compare(b, "greater_than", exponent, number(b, 0, DType.INT64)), kind)
    made = arithmetic(b, "mul", arithmetic(b, "add", first, fraction), step)
    special = where(
        b, compare(b, "equal", digits, number(b, 0, DType.INT64)), number(b, np.inf, kind), number(b, np.nan, kind)
    )
    made = where(b, compare(b, "equal", exponent, number(b, layout.top, DType.INT64)), special, made)
    return where(b, compare(b, "equal", size, bits), made, scale(b, made, -1.0))


def of_integer(b: Builder, x: Value, bits: int) -> Value:
    """The bits of an integer, of which there are so many, as a number that is not negative, int64."""
    wide = b.cast(x, DType.INT64)
    return wide if bits == 64 else bitwise(b, "bitwise_and", wide, number(b, (1 << bits) - 1, DType.INT64))


def _largest(layout: Layout) -> float:
    return float((2.0 - 2.0**-layout.mantissa) * 2.0**layout.bias)


def _shifted(b: Builder, x: Value, bits: int) -> Value:
    return arithmetic(b, "mul", x, number(b, 1 << bits, DType.INT64))
