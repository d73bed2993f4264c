"""Tensors to compute with by Python's operators: formulas that Paddle has no operator for, written as they are read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Callable, Optional, Union

import numpy as np

from mconv import budget
from mconv.emit import elementwise, ranges, reduction
from mconv.emit.activation import round_half_even
from mconv.emit.gather import gather
from mconv.emit.known import foldable, need_rank, replaced
from mconv.emit.linear import matmul
from mconv.emit.shape import expand_to, reshape, transpose, unsqueeze
from mconv.emit.sizes import dim_tensor
from mconv.emit.slicing import slice_
from mconv.program import dims as D
from mconv.program.builder import Builder
from mconv.program.dtypes import DType
from mconv.program.value import Value

Operand = Union["Expr", Value, int, float]


class Expr:
    """A Value with operators; what is constant is computed now.

    Operands of one formula have one element type; numbers take it over. Broadcasting is numpy's.
    """

    __slots__ = ("b", "value")
    __array_ufunc__ = None  # numpy scalars on the left leave the operator to us

    def __init__(self, b: Builder, value: Any, dtype: Optional[DType] = None):
        self.b = b
        self.value: Value = value if isinstance(value, Value) else b.constant(value, dtype)

    @property
    def shape(self) -> tuple[D.Dim, ...]:
        return need_rank(self.value, "a formula")

    @property
    def dtype(self) -> DType:
        return self.value.dtype

    def _of(self, other: Operand) -> Expr:
        if isinstance(other, Expr):
            return other
        return Expr(self.b, other, None if isinstance(other, Value) else self.dtype)

    def _binary(self, op: str, fn: Callable[..., Any], x: Operand, y: Operand) -> Expr:
        x, y = self._of(x), self._of(y)
        if foldable(x.value, y.value):
            with np.errstate(all="ignore"):
                made = fn(x.value.const, y.value.const)
            return Expr(self.b, np.asarray(made), self.dtype)
        return Expr(self.b, elementwise.arithmetic(self.b, op, x.value, y.value))

    def _unary(self, op: str, fn: Callable[..., Any], **attrs: Any) -> Expr:
        if foldable(self.value):
            with np.errstate(all="ignore"):
                return Expr(self.b, np.asarray(fn(self.value.const)), self.dtype)
        return Expr(self.b, elementwise.unary(self.b, op, self.value, **attrs))

    def _compare(self, op: str, other: Operand) -> Expr:
        return Expr(self.b, elementwise.compare(self.b, op, self.value, self._of(other).value))

    def __add__(self, other: Operand) -> Expr:
        return self._binary("add", np.add, self, other)

    __radd__ = __add__

    def __sub__(self, other: Operand) -> Expr:
        return self._binary("sub", np.subtract, self, other)

    def __rsub__(self, other: Operand) -> Expr:
        return self._binary("sub", np.subtract, other, self)

    def __mul__(self, other: Operand) -> Expr:
        return self._binary("mul", np.multiply, self, other)

    __rmul__ = __mul__

    def __truediv__(self, other: Operand) -> Expr:
        return self._binary("div", np.divide, self, other)

    def __rtruediv__(self, other: Operand) -> Expr:
        return self._binary("div", np.divide, other, self)

    def __floordiv__(self, other: Operand) -> Expr:
        """Of non-negative integers."""
        x, y = self, self._of(other)
        if foldable(x.value, y.value):
            return Expr(self.b, np.asarray(x.value.const) // np.asarray(y.value.const), self.dtype)
        return Expr(self.b, elementwise.binary(self.b, "elementwise_floordiv", x.value, y.value))

    def __neg__(self) -> Expr:
        return self * -1

    def __lt__(self, other: Operand) -> Expr:
        return self._compare("less_than", other)

    def __le__(self, other: Operand) -> Expr:
        return self._compare("less_equal", other)

    def __gt__(self, other: Operand) -> Expr:
        return self._compare("greater_than", other)

    def __ge__(self, other: Operand) -> Expr:
        return self._compare("greater_equal", other)

    def equals(self, other: Operand) -> Expr:
        return self._compare("equal", other)

    def __and__(self, other: Expr) -> Expr:
        return Expr(self.b, elementwise.logical(self.b, "logical_and", self.value, other.value))

    def __or__(self, other: Expr) -> Expr:
        return Expr(self.b, elementwise.logical(self.b, "logical_or", self.value, other.value))

    def is_nan(self) -> Expr:
        return Expr(self.b, elementwise.is_nan(self.b, self.value))

    def scaled(self, factor: float, bias: float = 0.0) -> Expr:
        """``factor * self + bias`` by one operator, whose attributes are float32 in every type."""
        return Expr(self.b, elementwise.scale(self.b, self.value, factor, bias))

    def abs(self) -> Expr:
        if self.dtype is DType.FP64:
            # oneDNN's passes fuse an activation into any elementwise operator, then find that float64 is not theirs
            return self.maximum(-self)
        return self._unary("abs", np.abs)

    def floor(self) -> Expr:
        return self._unary("floor", np.floor)

    def ceil(self) -> Expr:
        return self._unary("ceil", np.ceil)

    def sqrt(self) -> Expr:
        return self._unary("sqrt", np.sqrt)

    def square(self) -> Expr:
        return self._unary("square", np.square)

    def exp(self) -> Expr:
        return self._unary("exp", np.exp)

    def log(self) -> Expr:
        return self._unary("log", np.log)

    def cos(self) -> Expr:
        return self._unary("cos", np.cos)

    def sin(self) -> Expr:
        return self._unary("sin", np.sin)

    def tanh(self) -> Expr:
        return self._unary("tanh", np.tanh)

    def sigmoid(self) -> Expr:
        return self._unary("sigmoid", lambda x: 1 / (1 + np.exp(-x)))

    def pow(self, exponent: float) -> Expr:
        return self._unary("pow", lambda x: np.power(x, np.asarray(exponent, x.dtype)), factor=float(exponent))

    def rint(self) -> Expr:
        """The nearest whole number, the even one in the middle."""
        return Expr(self.b, round_half_even(self.b, self.value))

    def maximum(self, other: Operand) -> Expr:
        return self._binary("max", np.maximum, self, other)

    def minimum(self, other: Operand) -> Expr:
        return self._binary("min", np.minimum, self, other)

    def clip(self, low: Operand, high: Operand) -> Expr:
        return self.maximum(low).minimum(high)

    def cast(self, dtype: DType) -> Expr:
        return Expr(self.b, self.b.cast(self.value, dtype))

    def reduce(self, op: str, axes: Sequence[int], keep: bool = True) -> Expr:
        """``sum``, ``mean``, ``max`` or ``min`` over *axes* (none: itself)."""
        if not axes:
            return self
        rank = len(self.shape)
        axes = sorted(a % rank for a in axes)
        if foldable(self.value):
            fn = {"sum": np.sum, "mean": np.mean, "max": np.max, "min": np.min}[op]
            return Expr(self.b, np.asarray(fn(self.value.const, axis=tuple(axes), keepdims=keep)), self.dtype)  # type: ignore[operator]
        return Expr(self.b, reduction.reduce(self.b, op, self.value, axes, keep=keep))

    def sum(self, *axes: int, keep: bool = True) -> Expr:
        return self.reduce("sum", axes, keep)

    def mean(self, *axes: int, keep: bool = True) -> Expr:
        return self.reduce("mean", axes, keep)

    def reshape(self, *dims: D.Dim) -> Expr:
        return Expr(self.b, reshape(self.b, self.value, dims))

    def transpose(self, *perm: int) -> Expr:
        return Expr(self.b, transpose(self.b, self.value, perm))

    def unsqueeze(self, *axes: int) -> Expr:
        return Expr(self.b, unsqueeze(self.b, self.value, axes))

    def expand(self, *dims: D.Dim) -> Expr:
        return Expr(self.b, expand_to(self.b, self.value, dims))

    def slice(self, axis: int, start: D.Dim, end: D.Dim, step: int = 1) -> Expr:
        return Expr(self.b, slice_(self.b, self.value, [axis], [start], [end], [step]))

    def gather(self, index: Expr, axis: int = 0) -> Expr:
        """Rows of *axis* by non-negative indices of one dimension."""
        out = replaced(self.shape, axis, *index.shape)
        if foldable(self.value, index.value):
            return Expr(self.b, gather(self.b, self.value, index.value, axis))
        made = self.b.op("gather", X=self.value, Index=index.value, axis=axis, result=(self.dtype, out))
        return Expr(self.b, made)

    def __matmul__(self, other: Expr) -> Expr:
        return Expr(self.b, matmul(self.b, self.value, other.value))


def where(condition: Expr, x: Expr, y: Operand) -> Expr:
    """Elements of *x* where *condition* holds, of *y* elsewhere."""
    return Expr(x.b, elementwise.where(x.b, condition.value, x.value, x._of(y).value))


def concat(parts: Sequence[Expr], axis: int) -> Expr:
    from mconv.emit.slicing import concat as join

    return Expr(parts[0].b, join(parts[0].b, [p.value for p in parts], axis))


def size(b: Builder, dim: D.Dim, dtype: DType = DType.FP32) -> Expr:
    """A size as a tensor of shape [1]."""
    if isinstance(dim, int):
        return Expr(b, np.array([dim]), dtype)
    return Expr(b, b.cast(dim_tensor(b, dim), dtype))


def arange(b: Builder, count: Union[D.Dim, Value], dtype: DType = DType.FP32) -> Expr:
    """0, 1, … *count* - 1; *count* may be a tensor of one integer."""
    if isinstance(count, int):
        budget.memory(16 * count, f"a row of {count} numbers")
        return Expr(b, np.arange(count), dtype)
    if isinstance(count, Value):
        zero, one = (b.constant(np.array(v, np.int64)) for v in (0, 1))
        made = ranges.arange(b, zero, reshape(b, b.cast(count, DType.INT64), ()), one)
    else:
        made = ranges.iota(b, count)
    return Expr(b, b.cast(made, dtype))
