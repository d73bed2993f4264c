"""Numbers that a module computes of open sizes, such as ``1 / (height - 1)``: torch's expression, said in operators."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from mconv.emit import arithmetic, maximum, minimum, unary
from mconv.emit.shape import reshape
from mconv.emit.sizes import as_numbers
from mconv.errors import UnsupportedError
from mconv.program.dtypes import DType
from mconv.program.value import Value
from mconv.torch.context import AtenContext

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


def is_number(x: Any) -> bool:
    """Whether it is a number with a fraction that torch knows as an expression of sizes."""
    return type(x).__name__ == "SymFloat"


def computed(ctx: AtenContext, x: Any, dtype: DType) -> Value:
    """Such a number as a tensor without dimensions, computed in double precision as Python does.

    Raises:
        UnsupportedError: it holds a function without an operator.
    """
    expression = x.node.expr
    return ctx.cast(ctx.once(("number", expression), lambda: _value(ctx, expression)), dtype)


def _value(ctx: AtenContext, e: Any) -> Value:
    def constant(number: float) -> Value:
        return ctx.constant(np.array(number, np.float64))

    name = type(e).__name__
    if e.is_number:
        return constant(float(e))
    if e.is_integer and not e.is_Function:  # a size, or a sum of sizes
        return _size(ctx, e)
    if name == "ToFloat":
        return _size(ctx, e.args[0])
    if e.is_Add or e.is_Mul or name in _JOINED:
        joined = _JOINED.get(name) or functools.partial(_arithmetic, "add" if e.is_Add else "mul")
        return functools.reduce(lambda a, b: joined(ctx, a, b), [_value(ctx, a) for a in e.args])
    if name in _DIVIDED:
        return arithmetic(ctx, "div", *(_value(ctx, a) for a in e.args))
    if e.is_Pow or name in _POWER:
        base, power = e.args
        if power == -1:
            return arithmetic(ctx, "div", constant(1.0), _value(ctx, base))
        if float(power) == 0.5:
            return unary(ctx, "sqrt", _value(ctx, base))
        return arithmetic(ctx, "pow", _value(ctx, base), _value(ctx, power))
    if name in _UNARY:
        return unary(ctx, _UNARY[name], _value(ctx, e.args[0]))
    return _size(ctx, e)


def _arithmetic(op: str, ctx: AtenContext, a: Value, b: Value) -> Value:
    return arithmetic(ctx, op, a, b)


def _size(ctx: AtenContext, e: Any) -> Value:
    dim = ctx.dim_of(e)
    if ctx.opaque(dim):
        raise UnsupportedError(f"an operand is computed of sizes by {type(e).__name__}, which has no operator")
    return ctx.cast(reshape(ctx, as_numbers(ctx, [dim]), ()), DType.FP64)


__all__ = ["computed", "is_number"]
