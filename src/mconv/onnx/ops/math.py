"""Functions of one number, element by element."""

from __future__ import annotations

from mconv.emit import compare, elementwise, logical, unary
from mconv.onnx.context import Context
from mconv.onnx.registry import onnx_op
from mconv.program.dtypes import DType
from mconv.program.value import Value

# first opset → what Paddle has under the same name in small letters
_SAME = {
    1: "Abs Ceil Exp Floor Log Reciprocal Sigmoid Softsign Sqrt Tanh",
    7: "Acos Asin Atan Cos Sin Tan",
    9: "Acosh Asinh Atanh Cosh Erf Sign Sinh",
}


def _same(name: str, since: int) -> None:
    @onnx_op(name, since=since)
    def convert(ctx: Context, x: Value) -> Value:
        return unary(ctx, name.lower(), x)


for _since, _names in _SAME.items():
    for _name in _names.split():
        _same(_name, _since)


@onnx_op("Neg", since=1)
def neg(ctx: Context, x: Value) -> Value:
    return elementwise.negative(ctx, x)


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
