"""Arithmetic of two operands, either of which may be a number."""

from __future__ import annotations

from typing import Union

from mconv import emit
from mconv.program.builder import Value
from mconv.torch.context import AtenContext, Number
from mconv.torch.registry import aten_op

Operand = Union[Value, Number]


def _binary(ctx: AtenContext, kind: str, a: Operand, b: Operand, alpha: Number = 1) -> Value:
    x, y = ctx.promoted(a, b)
    if alpha != 1:
        y = emit.arithmetic(ctx, "mul", y, ctx.tensor(alpha, y.dtype))
    return emit.arithmetic(ctx, kind, x, y)


@aten_op("add.Tensor", "add.Scalar")
def add(ctx: AtenContext, self: Operand, other: Operand, alpha: Number = 1) -> Value:
    return _binary(ctx, "add", self, other, alpha)


@aten_op("sub.Tensor", "sub.Scalar")
def sub(ctx: AtenContext, self: Operand, other: Operand, alpha: Number = 1) -> Value:
    return _binary(ctx, "sub", self, other, alpha)


@aten_op("mul.Tensor", "mul.Scalar")
def mul(ctx: AtenContext, self: Operand, other: Operand) -> Value:
    return _binary(ctx, "mul", self, other)
