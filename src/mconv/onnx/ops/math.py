"""Functions of one number, element by element."""

from __future__ import annotations

from typing import Callable, Optional

from mconv.emit import activation, compare, elementwise, logical, scale, unary
from mconv.onnx.context import Context
from mconv.onnx.registry import onnx_op
from mconv.program.dtypes import DType
from mconv.program.value import Value

# ONNX's name → (first opset, Paddle's name)
_SAME = {
    "Abs": (1, "abs"),
    "Acos": (7, "acos"),
    "Acosh": (9, "acosh"),
    "Asin": (7, "asin"),
    "Asinh": (9, "asinh"),
    "Atan": (7, "atan"),
    "Atanh": (9, "atanh"),
    "Ceil": (1, "ceil"),
    "Cos": (7, "cos"),
    "Cosh": (9, "cosh"),
    "Erf": (9, "erf"),
    "Exp": (1, "exp"),
    "Floor": (1, "floor"),
    "Log": (1, "log"),
    "Reciprocal": (1, "reciprocal"),
    "Sign": (9, "sign"),
    "Sin": (7, "sin"),
    "Sinh": (9, "sinh"),
    "Sqrt": (1, "sqrt"),
    "Tan": (7, "tan"),
}


def _same(op: str) -> Callable[..., Value]:
    def convert(ctx: Context, x: Value, *, consumed_inputs: Optional[list[int]] = None) -> Value:
        return unary(ctx, op, x)

    convert.__qualname__ = op
    return convert


for _name, (_since, _op) in _SAME.items():
    onnx_op(_name, since=_since)(_same(_op))


@onnx_op("Neg", since=1)
def neg(ctx: Context, x: Value, *, consumed_inputs: Optional[list[int]] = None) -> Value:
    if x.dtype is DType.INT8:  # oneDNN would let -(-128) saturate
        return ctx.cast(scale(ctx, ctx.cast(x, DType.INT32), -1.0), x.dtype)
    return scale(ctx, x, -1.0)


@onnx_op("Round", since=11)
def round_(ctx: Context, x: Value) -> Value:
    return activation.round_half_even(ctx, x)


@onnx_op("IsNaN", since=9)
def is_nan(ctx: Context, x: Value) -> Value:
    return elementwise.is_nan(ctx, x)


@onnx_op("IsInf", since=10)
def is_inf(ctx: Context, x: Value, *, detect_negative: int = 1, detect_positive: int = 1) -> Value:
    infinite = ctx.op("isinf_v2", X=x, result=(DType.BOOL, x.shape))
    if detect_negative and detect_positive:
        return infinite
    if not detect_negative and not detect_positive:
        return logical(ctx, "logical_and", infinite, elementwise.number(ctx, False, DType.BOOL))
    side = compare(ctx, "less_than" if detect_negative else "greater_than", x, elementwise.number(ctx, 0, x.dtype))
    return logical(ctx, "logical_and", infinite, side)
