"""Powers, quotients, remainders and shifts, with the meaning they have on integers."""

from __future__ import annotations

import numpy as np

from mconv.emit.activation import round_half_even
from mconv.emit.elementwise import arithmetic, binary, compare, logical, number, scale, unary, where
from mconv.emit.expr import Expr
from mconv.emit.expr import where as choose
from mconv.emit.known import dims_of, foldable, single
from mconv.program.builder import Builder
from mconv.program.dtypes import DType
from mconv.program.value import Value

_MULTIPLIED = 8  # exponents up to which an integer power is a chain of products, exact and wrapping around


def power(b: Builder, x: Value, exponent: Value) -> Value:
    """*x* to the power of *exponent*, in the type of *x*; the two may have different types.

    Integer powers with an exponent known only at run time go through double precision, in Paddle as in ONNX Runtime:
    exact up to 2^53.
    """
    scalar = exponent.is_const and exponent.size == 1 and (exponent.rank or 0) <= (x.rank or 0)
    value = single(exponent) if scalar else None
    if x.dtype.is_float:
        if value is not None and x.dtype is not DType.FP64 and float(np.float32(value)) == value:
            return unary(b, "pow", x, factor=float(value))
        return binary(b, "elementwise_pow", x, b.cast(exponent, x.dtype))
    if value is not None and value == int(value) and 0 <= value <= _MULTIPLIED:
        return _product(b, x, int(value))
    if exponent.dtype.is_float:
        return b.cast(binary(b, "elementwise_pow", b.cast(x, DType.FP64), b.cast(exponent, DType.FP64)), x.dtype)
    b.notes.append("integer powers are computed in double precision: exact up to 2^53")
    return binary(b, "elementwise_pow", x, b.cast(exponent, x.dtype))


def _product(b: Builder, x: Value, exponent: int) -> Value:
    if exponent == 0:
        return arithmetic(b, "add", scale(b, x, 0.0), number(b, 1, x.dtype))
    out = x
    for digit in bin(exponent)[3:]:
        out = arithmetic(b, "mul", out, out)
        if digit == "1":
            out = arithmetic(b, "mul", out, x)
    return out


def modulo(b: Builder, x: Value, y: Value) -> Value:
    """The remainder with the sign of *y*, as Python's ``%``."""
    if foldable(x, y) and (np.asarray(y.const) != 0).all():
        return b.constant(np.mod(x.const, y.const), x.dtype)  # type: ignore[arg-type]
    made = binary(b, "elementwise_mod", x, y)
    if b.target.version or x.dtype is DType.UINT8:
        return made
    # 1.8 gives the sign of x, as C does
    zero = number(b, 0, x.dtype)
    below = [compare(b, "less_than", v, zero) for v in (made, y)]
    other = logical(b, "logical_and", compare(b, "not_equal", made, zero), logical(b, "logical_xor", *below))
    return arithmetic(b, "add", made, arithmetic(b, "mul", b.cast(other, x.dtype), y))


def floor_divide(b: Builder, x: Value, y: Value, *, of_quotient: bool = False) -> Value:
    """``x / y`` rounded down. ``elementwise_floordiv`` rounds towards zero before Paddle 2.5, and there knows no floats.

    Args:
        of_quotient: of floats, the floor of their quotient, as Paddle has it; else what the remainder leaves, as PyTorch
            and Python have it.
    """
    if x.dtype.is_float and of_quotient:
        return unary(b, "floor", arithmetic(b, "div", x, y))
    if foldable(x, y) and x.dtype.is_int and (np.asarray(y.const) != 0).all():
        return b.constant(np.floor_divide(np.asarray(x.const), np.asarray(y.const)), x.dtype)
    if x.dtype is DType.UINT8 or x.dtype.is_int and dims_of(x) is not None and dims_of(y) is not None:
        return arithmetic(b, "div", x, y)  # never negative: sizes, or what has no sign
    # what is left divides evenly, up to the rounding that floats do
    even = arithmetic(b, "div", arithmetic(b, "sub", x, modulo(b, x, y)), y)
    if not x.dtype.is_float:
        return even
    made = round_half_even(b, even)
    if y.is_const and (np.asarray(y.const) != 0).all():
        return made
    nothing = compare(b, "equal", y, number(b, 0, y.dtype))
    return where(b, nothing, arithmetic(b, "div", x, y), made)


def trunc_divide(b: Builder, x: Value, y: Value) -> Value:
    """``x / y`` rounded towards zero."""
    made = arithmetic(b, "div", x, y)  # integers are cut off by it
    return unary(b, "trunc", made) if x.dtype.is_float else made


def remainder(b: Builder, x: Value, y: Value) -> Value:
    """The remainder with the sign of *x*, as C's ``fmod`` and ``%``."""
    if foldable(x, y) and (np.asarray(y.const) != 0).all():
        return b.constant(np.fmod(x.const, y.const), x.dtype)  # type: ignore[arg-type]
    if x.dtype is DType.UINT8:
        return binary(b, "elementwise_mod", x, y)
    size = binary(b, "elementwise_mod", unary(b, "abs", x), unary(b, "abs", y))
    negative = compare(b, "less_than", x, number(b, 0, x.dtype))
    return where(b, negative, scale(b, size, -1.0), size)


def shift(b: Builder, x: Value, bits: Value, *, left: bool) -> Value:
    """*x*, never negative, shifted by *bits*: a product or a quotient of a power of two.

    What a left shift moves out of the type of *x* is lost.
    """
    small = x.dtype in (DType.UINT8, DType.INT8, DType.INT16)
    kind = DType.INT32 if small else x.dtype
    wide = b.cast(x, kind)
    if foldable(bits):
        width = 8 * kind.itemsize - 2  # beyond, the power does not fit; the shift then empties the number
        shifts = np.asarray(bits.const).astype(np.int64)
        factor = b.constant(np.int64(1) << np.minimum(shifts, width), kind)
        if (shifts > width).any():
            most = shift(b, x, b.constant(np.minimum(shifts, width)), left=left)
            return shift(b, most, b.constant(np.maximum(shifts - width, 0)), left=left)
    else:
        two = number(b, 2, DType.INT64)
        factor = b.cast(binary(b, "elementwise_pow", two, b.cast(bits, DType.INT64)), kind)
    return b.cast(arithmetic(b, "mul" if left else "div", wide, factor), x.dtype)


def shift_right(b: Builder, x: Value, bits: Value) -> Value:
    """*x* shifted by *bits* to the right, which of signed numbers rounds down."""
    return floor_divide(b, x, shift(b, number(b, 1, bits.dtype), bits, left=True))


def signed_shift(b: Builder, x: Value, bits: Value, *, left: bool) -> Value:
    """*x* shifted by *bits*; to the right it keeps its sign. Negative numbers of bits, and those that *x* does not have,
    empty it: only the sign is left."""
    number, count = Expr(b, x), Expr(b, bits).cast(DType.INT64)
    outside = (count < 0) | (count >= 8 * x.dtype.itemsize)
    count = choose(outside, Expr(b, 0, DType.INT64), count)
    if left:
        return choose(outside, Expr(b, 0, x.dtype), _moved(number, count, left=True)).value
    negative = number < 0
    inverted = -1 - number  # all bits turned over: never negative
    moved = _moved(choose(negative, inverted, number), count, left=False)
    moved = choose(outside, Expr(b, 0, x.dtype), moved)
    return choose(negative, -1 - moved, moved).value


def _moved(x: Expr, count: Expr, *, left: bool) -> Expr:
    """:func:`shift` in two steps: the highest power of two does not fit the type of *x*."""
    first = count.minimum(8 * x.dtype.itemsize - 2)
    moved = shift(x.b, x.value, first.value, left=left)
    return Expr(x.b, shift(x.b, moved, (count - first).value, left=left))
