"""Mixtures of experts: products of groups of rows with a matrix of their own."""

from __future__ import annotations

from typing import Optional

from mconv.emit import matmul
from mconv.emit.experts import grouped_matmul
from mconv.program.dtypes import DType
from mconv.program.value import Value
from mconv.torch.context import AtenContext
from mconv.torch.registry import aten_op


@aten_op("_grouped_mm.default")
def grouped_mm(
    ctx: AtenContext,
    self: Value,
    mat2: Value,
    offs: Optional[Value] = None,
    bias: Optional[Value] = None,
    out_dtype: Optional[DType] = None,
) -> Value:
    if bias is not None:
        raise ctx.refuse("a bias, which PyTorch does not support either")
    if offs is None:
        return ctx.cast(matmul(ctx, self, mat2), ctx.out_dtype)
    if (self.rank, mat2.rank) != (2, 3):
        raise ctx.refuse(f"groups in an operand of {self.rank} dimensions by one of {mat2.rank}")
    return ctx.cast(grouped_matmul(ctx, self, mat2, offs), ctx.out_dtype)


@aten_op("transformers.grouped_mm_fallback.default")
def grouped_mm_fallback(ctx: AtenContext, input: Value, weight: Value, offs: Value) -> Value:
    return grouped_matmul(ctx, input, weight, offs)
