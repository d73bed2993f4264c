"""Sorting, the largest elements, running sums."""

from __future__ import annotations

from typing import Any, Optional

import numpy as np

from mconv.emit import arithmetic, compare, concat, order, reduction, reshape, running, slice_, unary, where
from mconv.emit.elementwise import is_nan, logical, number
from mconv.emit.gather import take_along_axis
from mconv.emit.integer import trunc_divide
from mconv.emit.known import need_rank, replaced
from mconv.program import dims as D
from mconv.program.dtypes import DType
from mconv.program.value import Value
from mconv.torch.context import AtenContext
from mconv.torch.registry import aten_op


@aten_op("sort.default", "sort.stable")
def sort(ctx: AtenContext, self: Value, dim: int = -1, descending: bool = False) -> tuple[Value, Value]:
    if self.rank == 0:
        return self, number(ctx, 0, DType.INT64)
    return order.sort(ctx, self, dim, descending=descending)


@aten_op("argsort.default", "argsort.stable")
def argsort(ctx: AtenContext, self: Value, dim: int = -1, descending: bool = False) -> Value:
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
def cumsum(ctx: AtenContext, self: Value, dim: int) -> Value:
    x = ctx.cast(self, ctx.out_dtype)
    return reduction.cumulative_sum(ctx, x, dim) if self.rank else x


@aten_op("cumprod.default")
def cumprod(ctx: AtenContext, self: Value, dim: int) -> Value:
    x = ctx.cast(self, ctx.out_dtype)
    return unary(ctx, "cumprod", x, dim=dim) if self.rank else x


def _running(kind: str) -> None:
    @aten_op(f"cum{kind}.default")
    def convert(ctx: AtenContext, self: Value, dim: int) -> tuple[Value, Optional[Value]]:
        if self.rank == 0:
            return self, number(ctx, 0, DType.INT64)
        return running.running_extreme(ctx, self, dim, largest=kind == "max", indices=ctx.wants(1))


_running("max")
_running("min")


@aten_op("logcumsumexp.default")
def logcumsumexp(ctx: AtenContext, self: Value, dim: int) -> Value:
    return self if self.rank == 0 else reduction.log_cumulative_sum_exp(ctx, ctx.cast(self, ctx.out_dtype), dim)


@aten_op("kthvalue.default")
def kthvalue(ctx: AtenContext, self: Value, k: Any, dim: int = -1, keepdim: bool = False) -> tuple[Value, Value]:
    return _at(ctx, self, dim, ctx.static_int(k, "which element is asked for") - 1, keepdim)


@aten_op("median.dim")
def median_dim(ctx: AtenContext, self: Value, dim: int, keepdim: bool = False) -> tuple[Value, Value]:
    """The lower of two in the middle."""
    size = (self.shape or (1,))[dim]
    return _at(ctx, self, dim, D.floordiv(size - 1, 2), keepdim)


@aten_op("median.default")
def median(ctx: AtenContext, self: Value) -> Value:
    flat = reshape(ctx, self, (D.product(self.shape or ()),))
    return median_dim(ctx, flat, 0)[0]


@aten_op("nanmedian.dim")
def nanmedian_dim(ctx: AtenContext, self: Value, dim: int, keepdim: bool = False) -> tuple[Value, Optional[Value]]:
    """The lower of two in the middle of what is a number; NaN where nothing is."""
    if not self.dtype.is_float or not self.rank:
        return median_dim(ctx, self, dim, keepdim)
    axis, zero = dim % self.rank, number(ctx, 0, DType.INT64)
    missing = is_nan(ctx, self)
    values = where(ctx, missing, number(ctx, np.inf, self.dtype), self)
    count = reduction.reduce(ctx, "sum", ctx.cast(logical(ctx, "logical_not", missing), DType.INT64), [axis], keep=True)
    last = arithmetic(ctx, "max", arithmetic(ctx, "sub", count, number(ctx, 1, DType.INT64)), zero)
    half = trunc_divide(ctx, last, number(ctx, 2, DType.INT64))
    made = take_along_axis(ctx, order.sort(ctx, values, axis, descending=False)[0], half, axis)
    nothing = compare(ctx, "equal", count, zero)
    made = where(ctx, nothing, number(ctx, np.nan, self.dtype), made)
    there = logical(ctx, "logical_or", compare(ctx, "equal", self, made), nothing)
    index = order.arg_extreme(ctx, ctx.cast(there, DType.INT64), axis, largest=True, keep=True)
    return made if keepdim else _without(ctx, made, axis), index if keepdim else _without(ctx, index, axis)


@aten_op("nanmedian.default")
def nanmedian(ctx: AtenContext, self: Value) -> Value:
    count = D.product(self.shape or ())
    flat = reshape(ctx, self, (count,))
    if self.dtype.is_float and not isinstance(count, int):
        flat = concat(ctx, [flat, ctx.constant(np.full(1, np.nan, self.dtype.numpy), self.dtype)], 0)  # of nothing, NaN
    elif self.dtype.is_float and not count:
        return number(ctx, np.nan, self.dtype)
    return nanmedian_dim(ctx, flat, 0)[0]


@aten_op("mode.default")
def mode(ctx: AtenContext, self: Value, dim: int = -1, keepdim: bool = False) -> tuple[Value, Value]:
    """The most frequent value, of equally frequent ones the smallest, and where it stands last."""
    if not self.rank:
        return self, number(ctx, 0, DType.INT64)
    axis = dim % self.rank
    made = running.mode(ctx, ctx.cast(self, DType.INT32) if self.dtype is DType.BOOL else self, axis)
    value, index = made if keepdim else [_without(ctx, v, axis) for v in made]
    return ctx.cast(value, self.dtype), index


def _without(ctx: AtenContext, x: Value, axis: int) -> Value:
    """*x* without a dimension of one."""
    return reshape(ctx, x, replaced(need_rank(x, "an order"), axis))


def _at(ctx: AtenContext, x: Value, dim: int, index: D.Dim, keepdim: bool) -> tuple[Value, Value]:
    """The element at a position of the order along *dim*, and its index."""
    if x.rank == 0:
        return x, number(ctx, 0, DType.INT64)
    axis = dim % (x.rank or 1)
    parts = [slice_(ctx, v, [axis], [index], [index + 1]) for v in order.sort(ctx, x, axis, descending=False)]
    shape = need_rank(x, "an order")
    for part in parts:
        if not part.is_const:
            part.shape = replaced(shape, axis, 1)
    first, second = parts if keepdim else [_without(ctx, p, axis) for p in parts]
    return first, second
