"""Comparison, logic, bits, selection."""

from __future__ import annotations

from typing import Callable, Optional

from mconv.emit import arithmetic, compare, elementwise, logical, where
from mconv.onnx.context import Context
from mconv.onnx.ops.arithmetic import aligned
from mconv.onnx.ops.cast import UINT16, UINT32, UINT64
from mconv.onnx.registry import onnx_op
from mconv.program.value import Value

Emit = Callable[[Context, str, Value, Value], Value]


def _binary(name: str, emit: Emit, op: str, old: Optional[int], new: int) -> None:
    if old is not None:

        @onnx_op(name, since=old)
        def before(ctx: Context, a: Value, b: Value, *, broadcast: int = 0, axis: Optional[int] = None) -> Value:
            return emit(ctx, op, a, aligned(ctx, a, b, broadcast, axis))

    @onnx_op(name, since=new)
    def convert(ctx: Context, a: Value, b: Value) -> Value:
        return emit(ctx, op, a, b)


_binary("Equal", compare, "equal", 1, 7)
_binary("Less", compare, "less_than", 1, 7)
_binary("Greater", compare, "greater_than", 1, 7)
_binary("LessOrEqual", compare, "less_equal", None, 12)
_binary("GreaterOrEqual", compare, "greater_equal", None, 12)
for _name in ("And", "Or", "Xor"):
    _binary(_name, logical, f"logical_{_name.lower()}", 1, 7)
    _binary(f"Bitwise{_name}", elementwise.bitwise, f"bitwise_{_name.lower()}", None, 18)


@onnx_op("Not", since=1)
def not_(ctx: Context, x: Value) -> Value:
    return logical(ctx, "logical_not", x)


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
