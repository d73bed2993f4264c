"""Comparison, logic, bits, selection."""

from __future__ import annotations

from typing import Optional

from mconv.emit import arithmetic, compare, elementwise, logical, where
from mconv.onnx.context import Context
from mconv.onnx.ops.arithmetic import aligned
from mconv.onnx.ops.cast import UINT16, UINT32, UINT64
from mconv.onnx.registry import onnx_op
from mconv.program.value import Value


def _comparison(name: str, op: str, old: Optional[int], new: int) -> None:
    def before(ctx: Context, a: Value, b: Value, *, broadcast: int = 0, axis: Optional[int] = None) -> Value:
        return compare(ctx, op, a, aligned(ctx, a, b, broadcast, axis))

    def convert(ctx: Context, a: Value, b: Value) -> Value:
        return compare(ctx, op, a, b)

    before.__qualname__, convert.__qualname__ = f"{op} before opset 7", op
    if old is not None:
        onnx_op(name, since=old)(before)
    onnx_op(name, since=new)(convert)


_comparison("Equal", "equal", 1, 7)
_comparison("Less", "less_than", 1, 7)
_comparison("Greater", "greater_than", 1, 7)
_comparison("LessOrEqual", "less_equal", None, 12)
_comparison("GreaterOrEqual", "greater_equal", None, 12)


def _logic(name: str, op: str) -> None:
    def before(ctx: Context, a: Value, b: Value, *, broadcast: int = 0, axis: Optional[int] = None) -> Value:
        return logical(ctx, op, a, aligned(ctx, a, b, broadcast, axis))

    def convert(ctx: Context, a: Value, b: Value) -> Value:
        return logical(ctx, op, a, b)

    before.__qualname__, convert.__qualname__ = f"{op} before opset 7", op
    onnx_op(name, since=1)(before)
    onnx_op(name, since=7)(convert)


for _name, _op in (("And", "logical_and"), ("Or", "logical_or"), ("Xor", "logical_xor")):
    _logic(_name, _op)


@onnx_op("Not", since=1)
def not_(ctx: Context, x: Value) -> Value:
    return logical(ctx, "logical_not", x)


@onnx_op("BitwiseAnd", since=18)
def bitwise_and(ctx: Context, a: Value, b: Value) -> Value:
    return elementwise.bitwise(ctx, "bitwise_and", a, b)


@onnx_op("BitwiseOr", since=18)
def bitwise_or(ctx: Context, a: Value, b: Value) -> Value:
    return elementwise.bitwise(ctx, "bitwise_or", a, b)


@onnx_op("BitwiseXor", since=18)
def bitwise_xor(ctx: Context, a: Value, b: Value) -> Value:
    return elementwise.bitwise(ctx, "bitwise_xor", a, b)


@onnx_op("BitwiseNot", since=18)
def bitwise_not(ctx: Context, x: Value) -> Value:
    kind = ctx.type_in()
    if kind == UINT64:
        raise ctx.refuse("on uint64 it gives numbers beyond the range of int64, which carries them")
    if kind in (UINT16, UINT32):
        ones = elementwise.number(ctx, 0xFFFF if kind == UINT16 else 0xFFFFFFFF, x.dtype)
        return arithmetic(ctx, "sub", ones, x)
    return elementwise.bitwise(ctx, "bitwise_not", x)


@onnx_op("Where", since=9)
def where_(ctx: Context, condition: Value, x: Value, y: Value) -> Value:
    return where(ctx, condition, x, y)
