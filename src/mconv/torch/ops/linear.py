"""Matrix products and the linear layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional

from mconv import emit
from mconv.emit import arithmetic
from mconv.emit.einsum import einsum as emit_einsum
from mconv.program.value import Value
from mconv.torch.context import AtenContext, Number
from mconv.torch.ops.arithmetic import times
from mconv.torch.registry import aten_op


@aten_op("linear.default")
def linear(ctx: AtenContext, input: Value, weight: Value, bias: Optional[Value] = None) -> Value:
    if weight.rank == 1:
        made = emit.matmul(ctx, input, weight)
        return made if bias is None else arithmetic(ctx, "add", made, bias)
    return emit.linear(ctx, input, weight, bias, trans_y=True)


@aten_op("matmul.default", "linalg_matmul.default", "mm.default", "bmm.default", "mv.default")
@aten_op("dot.default", "vdot.default")
def product(
    ctx: AtenContext,
    self: Value,
    other: Optional[Value] = None,
    mat2: Optional[Value] = None,
    vec: Optional[Value] = None,
    tensor: Optional[Value] = None,
) -> Value:
    (operand,) = [v for v in (other, mat2, vec, tensor) if v is not None]
    return emit.matmul(ctx, self, operand)


@aten_op("addmm.default")
def addmm(ctx: AtenContext, self: Value, mat1: Value, mat2: Value, beta: Number = 1, alpha: Number = 1) -> Value:
    return emit.linear(ctx, mat1, mat2, self, alpha=float(alpha), beta=float(beta))


@aten_op("baddbmm.default")
def baddbmm(ctx: AtenContext, self: Value, batch1: Value, batch2: Value, beta: Number = 1, alpha: Number = 1) -> Value:
    made = times(ctx, emit.matmul(ctx, batch1, batch2), alpha)
    return made if beta == 0 else arithmetic(ctx, "add", made, times(ctx, self, beta))


@aten_op("bilinear.default")
def bilinear(ctx: AtenContext, input1: Value, input2: Value, weight: Value, bias: Optional[Value] = None) -> Value:
    made = emit_einsum(ctx, "...i,oij,...j->...o", [input1, weight, input2])
    return made if bias is None else arithmetic(ctx, "add", made, bias)


@aten_op("einsum.default")
def einsum(ctx: AtenContext, equation: str, tensors: Sequence[Value], path: Optional[Any] = None) -> Value:
    """The order of the products is ours: *path* is about speed alone."""
    return emit_einsum(ctx, equation, tensors)
