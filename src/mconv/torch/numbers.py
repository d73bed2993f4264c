"""Numbers that a module computes of open sizes, such as ``1 / (height - 1)``: torch's expression, said in operators."""

from __future__ import annotations

import functools
from typing import Any, Protocol

import numpy as np

from mconv.emit import arithmetic, maximum, minimum, unary
from mconv.emit.shape import reshape
from mconv.emit.sizes import as_numbers
from mconv.errors import UnsupportedError
from mconv.program import dims as D
from mconv.program.builder import Builder
from mconv.program.dtypes import DType
from mconv.program.value import Value

_UNARY = {
    "OpaqueUnaryFn_sqrt": "sqrt",
    "OpaqueUnaryFn_exp": "exp",
    "OpaqueUnaryFn_log": "log",
    "OpaqueUnaryFn_sin": "sin",
    "OpaqueUnaryFn_cos": "cos",
    "OpaqueUnaryFn_tanh": "tanh",
    "Abs": "abs",
}
_JOINED = {"Max": maximum, "Min": minimum}
_DIVIDED = ("IntTrueDiv", "FloatTrueDiv")
_POWER = ("FloatPow", "PowByNatural")


class Sizes(Protocol):
    """What torch's expressions of open sizes are to the importer; see :class:`~mconv.torch.context.AtenContext`."""

    def dim_of(self, expr: Any) -> D.Dim: ...

    def opaque(self, dim: D.Dim) -> bool: ...


def is_number(x: Any) -> bool:
    """Whether it is a number with a fraction that torch knows as an expression of sizes."""
    return type(x).__name__ == "SymFloat"


def computed(b: Builder, sizes: Sizes, x: Any, dtype: DType) -> Value:
    """Such a number as a tensor without dimensions, computed in double precision as Python does.

    Raises:
        UnsupportedError: it holds a function without an operator.
    """
    expression = x.node.expr
    return b.cast(b.once(("number", expression), lambda: _value(b, sizes, expression)), dtype)


def _value(b: Builder, sizes: Sizes, e: Any) -> Value:
    def constant(number: float) -> Value:
        return b.constant(np.array(number, np.float64))

    name = type(e).__name__
    if e.is_number:
        return constant(float(e))
    if e.is_integer and not e.is_Function:  # a size, or a sum of sizes
        return _size(b, sizes, e)
    if name == "ToFloat":
        return _size(b, sizes, e.args[0])
    if e.is_Add or e.is_Mul or name in _JOINED:
        joined = _JOINED.get(name) or functools.partial(_arithmetic, "add" if e.is_Add else "mul")
        return functools.reduce(lambda x, y: joined(b, x, y), [_value(b, sizes, a) for a in e.args])
    if name in _DIVIDED:
        return arithmetic(b, "div", *(_value(b, sizes, a) for a in e.args))
    if e.is_Pow or name in _POWER:
        base, power = e.args
        if power == -1:
            return arithmetic(b, "div", constant(1.0), _value(b, sizes, base))
        if float(power) == 0.5:
            return unary(b, "sqrt", _value(b, sizes, base))
        return arithmetic(b, "pow", _value(b, sizes, base), _value(b, sizes, power))
    if name in _UNARY:
        return unary(b, _UNARY[name], _value(b, sizes, e.args[0]))
    return _size(b, sizes, e)


def _arithmetic(op: str, b: Builder, x: Value, y: Value) -> Value:
    return arithmetic(b, op, x, y)


def _size(b: Builder, sizes: Sizes, e: Any) -> Value:
    dim = sizes.dim_of(e)
    if sizes.opaque(dim):
        raise UnsupportedError(f"an operand is computed of sizes by {type(e).__name__}, which has no operator")
    return b.cast(reshape(b, as_numbers(b, [dim]), ()), DType.FP64)


__all__ = ["computed", "is_number"]
