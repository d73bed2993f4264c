"""Comparison, logic, bits, selection."""

from __future__ import annotations

from typing import Union

from mconv.emit import compare, elementwise, logical, where
from mconv.program.dtypes import DType
from mconv.program.value import Value
from mconv.torch.context import AtenContext, Number
from mconv.torch.registry import aten_op

Operand = Union[Value, Number]

_COMPARISONS = {
    "eq": "equal",
    "ne": "not_equal",
    "lt": "less_than",
    "le": "less_equal",
    "gt": "greater_than",
    "ge": "greater_equal",
}


def _comparison(name: str, op: str) -> None:
    @aten_op(f"{name}.Tensor", f"{name}.Scalar")
    def convert(ctx: AtenContext, self: Operand, other: Operand) -> Value:
        x, y = ctx.promoted(self, other)
        return compare(ctx, op, x, y)


def _bits(op: str) -> None:
    name, dunder = f"bitwise_{op}", f"__{op}__"

    @aten_op(f"{name}.Tensor", f"{name}.Scalar", f"{name}.Scalar_Tensor", f"{dunder}.Tensor", f"{dunder}.Scalar")
    def convert(ctx: AtenContext, self: Operand, other: Operand) -> Value:
        x, y = ctx.tensor(self, ctx.out_dtype), ctx.tensor(other, ctx.out_dtype)
        if ctx.out_dtype is DType.BOOL:
            return logical(ctx, f"logical_{op}", x, y)
        return elementwise.bitwise(ctx, name, x, y)


def _logic(op: str) -> None:
    @aten_op(f"logical_{op}.default")
    def convert(ctx: AtenContext, self: Value, other: Value) -> Value:
        return logical(ctx, f"logical_{op}", ctx.cast(self, DType.BOOL), ctx.cast(other, DType.BOOL))


for _name, _op in _COMPARISONS.items():
    _comparison(_name, _op)
for _op in ("and", "or", "xor"):
    _bits(_op)
    _logic(_op)


@aten_op("logical_not.default")
def logical_not(ctx: AtenContext, self: Value) -> Value:
    return logical(ctx, "logical_not", ctx.cast(self, DType.BOOL))


@aten_op("bitwise_not.default")
def bitwise_not(ctx: AtenContext, self: Value) -> Value:
    if self.dtype is DType.BOOL:
        return logical(ctx, "logical_not", self)
    return elementwise.bitwise(ctx, "bitwise_not", self)


@aten_op("where.self", "where.ScalarSelf", "where.ScalarOther", "where.Scalar")
def where_(ctx: AtenContext, condition: Value, self: Operand, other: Operand) -> Value:
    x, y = (ctx.tensor(v, ctx.out_dtype) for v in (self, other))
    return where(ctx, ctx.cast(condition, DType.BOOL), x, y)


@aten_op("masked_fill.Scalar", "masked_fill.Tensor")
def masked_fill(ctx: AtenContext, self: Value, mask: Value, value: Operand) -> Value:
    return where(ctx, ctx.cast(mask, DType.BOOL), ctx.tensor(value, self.dtype), self)
