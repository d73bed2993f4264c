"""Matrix products and the linear layer."""

from __future__ import annotations

from typing import Optional

from mconv import emit
from mconv.program.builder import Value
from mconv.torch.context import AtenContext
from mconv.torch.registry import aten_op


@aten_op("linear.default")
def linear(ctx: AtenContext, input: Value, weight: Value, bias: Optional[Value] = None) -> Value:
    return emit.linear(ctx, input, weight, bias, trans_y=True)


@aten_op("mm.default", "bmm.default", "matmul.default")
def matmul(ctx: AtenContext, self: Value, mat2: Optional[Value] = None, other: Optional[Value] = None) -> Value:
    operand = other if mat2 is None else mat2
    assert operand is not None
    return emit.matmul(ctx, self, operand)


@aten_op("addmm.default")
def addmm(ctx: AtenContext, self: Value, mat1: Value, mat2: Value, beta: float = 1, alpha: float = 1) -> Value:
    return emit.linear(ctx, mat1, mat2, self, alpha=float(alpha), beta=float(beta))
