"""Sorting, the largest elements, running sums."""

from __future__ import annotations

from typing import Any, Optional

from mconv.emit import order, reduction, unary
from mconv.emit.elementwise import number
from mconv.program.dtypes import DType
from mconv.program.value import Value
from mconv.torch.context import AtenContext
from mconv.torch.registry import aten_op


@aten_op("sort.default")
def sort(ctx: AtenContext, self: Value, dim: int = -1, descending: bool = False) -> tuple[Value, Value]:
    if self.rank == 0:
        return self, number(ctx, 0, DType.INT64)
    return order.sort(ctx, self, dim, descending=descending)


@aten_op("sort.stable")
def sort_stable(
    ctx: AtenContext, self: Value, stable: Optional[bool] = None, dim: int = -1, descending: bool = False
) -> tuple[Value, Value]:
    return sort(ctx, self, dim, descending)


@aten_op("argsort.default")
def argsort(ctx: AtenContext, self: Value, dim: int = -1, descending: bool = False) -> Value:
    return sort(ctx, self, dim, descending)[1]


@aten_op("argsort.stable")
def argsort_stable(ctx: AtenContext, self: Value, stable: bool, dim: int = -1, descending: bool = False) -> Value:
    return sort(ctx, self, dim, descending)[1]


@aten_op("topk.default")
def topk(
    ctx: AtenContext, self: Value, k: Any, dim: int = -1, largest: bool = True, sorted: bool = True
) -> tuple[Value, Optional[Value]]:
    if self.rank == 0:
        return self, number(ctx, 0, DType.INT64)
    count = k if isinstance(k, int) else ctx.tensor(k)
    return order.top_k(ctx, self, count, dim, largest=largest, indices=ctx.wants(1))


@aten_op("cumsum.default")
def cumsum(ctx: AtenContext, self: Value, dim: int, dtype: Optional[DType] = None) -> Value:
    x = ctx.cast(self, ctx.out_dtype)
    return reduction.cumulative_sum(ctx, x, dim) if self.rank else x


@aten_op("cumprod.default")
def cumprod(ctx: AtenContext, self: Value, dim: int, dtype: Optional[DType] = None) -> Value:
    x = ctx.cast(self, ctx.out_dtype)
    return unary(ctx, "cumprod", x, dim=dim) if self.rank else x
