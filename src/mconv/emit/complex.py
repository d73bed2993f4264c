"""Complex numbers as pairs of real tensors: Paddle's complex kernels are few, and none is oneDNN's."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Callable, Optional

import numpy as np

from mconv.emit.elementwise import arithmetic, compare, is_nan, logical, number, scale, unary, where
from mconv.emit.known import need_rank
from mconv.emit.shape import reshape, unsqueeze
from mconv.emit.slicing import concat, slice_
from mconv.errors import UnsupportedError
from mconv.program import dims as D
from mconv.program.builder import Builder
from mconv.program.dtypes import DType
from mconv.program.value import Value

_REAL = {DType.COMPLEX64: DType.FP32, DType.COMPLEX128: DType.FP64}
COMPLEX = tuple(_REAL)


def real_dtype(dtype: DType) -> DType:
    """The type of the parts of complex numbers; another type is itself."""
    return _REAL.get(dtype, dtype)


@dataclass(frozen=True)
class Complex:
    """Complex numbers.

    Attributes:
        re, im: their parts, real tensors of one type and shape.
    """

    re: Value
    im: Value

    @property
    def shape(self) -> Optional[tuple[D.Dim, ...]]:
        return self.re.shape

    @property
    def rank(self) -> Optional[int]:
        return self.re.rank

    @property
    def dtype(self) -> DType:
        return DType.COMPLEX128 if self.re.dtype is DType.FP64 else DType.COMPLEX64

    @property
    def is_const(self) -> bool:
        return self.re.is_const and self.im.is_const

    @property
    def const(self) -> np.ndarray:
        """The numbers, of constants."""
        return np.asarray(self.re.const) + 1j * np.asarray(self.im.const)


def of(b: Builder, x: object, dtype: DType) -> Complex:
    """A complex or real tensor or number, as complex numbers whose parts have the type *dtype*."""
    if isinstance(x, Complex):
        return Complex(b.cast(x.re, dtype), b.cast(x.im, dtype))
    if isinstance(x, Value):
        re = b.cast(x, dtype)
        return Complex(re, scale(b, re, 0.0))
    value = complex(x)  # type: ignore[call-overload]
    return Complex(number(b, value.real, dtype), number(b, value.imag, dtype))


def from_tensor(b: Builder, x: Value) -> Complex:
    """A tensor that an operator of Paddle gave as complex numbers."""
    result = (_REAL[x.dtype], x.shape)
    return Complex(b.op("real", X=x, result=result), b.op("imag", X=x, result=result))


def as_tensor(b: Builder, x: Complex) -> Value:
    """The numbers as one complex tensor, for operators that want one."""
    return b.op("as_complex", X=as_pairs(b, x), result=(x.dtype, x.shape))


def as_pairs(b: Builder, x: Complex) -> Value:
    """Real and imaginary parts beside each other in a new last dimension."""
    rank = len(need_rank(x.re, "complex numbers"))
    return concat(b, [unsqueeze(b, v, [rank]) for v in (x.re, x.im)], rank)


def from_pairs(b: Builder, x: Value) -> Complex:
    """The other way: the last dimension of *x* holds the two parts."""
    shape = need_rank(x, "complex numbers")
    axis = len(shape) - 1
    parts = [reshape(b, slice_(b, x, [axis], [i], [i + 1]), shape[:-1]) for i in (0, 1)]
    return Complex(*parts)


def product(b: Builder, multiply: Callable[[Value, Value], Value], x: object, y: object, dtype: DType) -> Complex:
    """A product that is linear in both operands (element by element, of matrices, an Einstein sum), by real ones.

    An operand that is real takes two of them instead of four.
    """
    if not isinstance(x, Complex):
        assert isinstance(x, Value) and isinstance(y, Complex)
        x, y = b.cast(x, dtype), of(b, y, dtype)
        return Complex(multiply(x, y.re), multiply(x, y.im))
    x = of(b, x, dtype)
    if not isinstance(y, Complex):
        assert isinstance(y, Value)
        y = b.cast(y, dtype)
        return Complex(multiply(x.re, y), multiply(x.im, y))
    y = of(b, y, dtype)
    re = arithmetic(b, "sub", multiply(x.re, y.re), multiply(x.im, y.im))
    return Complex(re, arithmetic(b, "add", multiply(x.re, y.im), multiply(x.im, y.re)))


def times(b: Builder, x: object, y: object, dtype: DType) -> Complex:
    """:func:`product` element by element."""
    return product(b, lambda u, v: arithmetic(b, "mul", u, v), x, y, dtype)


def conjugate(b: Builder, x: Complex) -> Complex:
    return Complex(x.re, scale(b, x.im, -1.0))


def squared_size(b: Builder, x: Complex) -> Value:
    return arithmetic(b, "add", unary(b, "square", x.re), unary(b, "square", x.im))


def size(b: Builder, x: Complex) -> Value:
    """The absolute values."""
    return unary(b, "sqrt", squared_size(b, x))


def quotient(b: Builder, x: object, y: object, dtype: DType) -> Complex:
    """Element by element, by a complex or a real divisor."""
    if not isinstance(y, Complex):
        assert isinstance(x, Complex) and isinstance(y, Value)
        y = b.cast(y, dtype)
        return Complex(*(arithmetic(b, "div", b.cast(v, dtype), y) for v in (x.re, x.im)))
    y = of(b, y, dtype)
    above = times(b, x, conjugate(b, y), dtype)
    below = squared_size(b, y)
    return Complex(*(arithmetic(b, "div", v, below) for v in (above.re, above.im)))


def exponential(b: Builder, x: Complex) -> Complex:
    return polar(b, unary(b, "exp", x.re), x.im)


def polar(b: Builder, size: Value, angle: Value) -> Complex:
    """By absolute value and angle."""
    return Complex(*(arithmetic(b, "mul", size, unary(b, f, angle)) for f in ("cos", "sin")))


def angle(b: Builder, x: object) -> Value:
    """The angle to the positive numbers, in radians; of a real number 0, π or NaN."""
    if isinstance(x, Complex):
        return b.op("atan2", X1=x.im, X2=x.re, result=(x.re.dtype, x.shape))
    assert isinstance(x, Value)
    zero, half_turn = number(b, 0, x.dtype), number(b, math.pi, x.dtype)
    turned = where(b, compare(b, "less_than", x, zero), half_turn, zero)
    return where(b, is_nan(b, x), x, turned)


def equal(b: Builder, x: Complex, y: Complex) -> Value:
    same = [compare(b, "equal", p, q) for p, q in ((x.re, y.re), (x.im, y.im))]
    return logical(b, "logical_and", *same)


def power(b: Builder, x: Complex, exponent: float) -> Complex:
    """By a whole number, as products; by another, by size and angle.

    Raises:
        UnsupportedError: a whole number so large that the products are too many.
    """
    if exponent != int(exponent) or exponent < 0:
        turned = scale(b, angle(b, x), float(exponent))
        return polar(b, unary(b, "pow", size(b, x), factor=float(exponent)), turned)
    if exponent > 64:
        raise UnsupportedError(f"the power {exponent} of complex numbers")
    made: Optional[Complex] = None
    square, left = x, int(exponent)
    while left:
        if left % 2:
            made = square if made is None else times(b, made, square, x.re.dtype)
        left //= 2
        square = times(b, square, square, x.re.dtype) if left else square
    return made or of(b, scale(b, x.re, 0.0, 1.0), x.re.dtype)
