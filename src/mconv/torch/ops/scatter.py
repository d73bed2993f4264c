"""Putting elements by index: scatters with and without reductions, and by a mask."""

from __future__ import annotations

from typing import Optional

import numpy as np

from mconv.emit import arithmetic, gather, reshape, slice_, where
from mconv.emit.elementwise import number
from mconv.emit.known import axis_of, need_rank
from mconv.emit.ranges import spread
from mconv.emit.reduction import cumulative_sum
from mconv.emit.scatter import scatter_elements
from mconv.emit.shape import expand_to, fill
from mconv.program import dims as D
from mconv.program.dtypes import DType
from mconv.program.value import Value
from mconv.torch.context import AtenContext, Number
from mconv.torch.registry import aten_op


def _scattered(ctx: AtenContext, x: Value, dim: int, index: Value, src: Value, reduction: str) -> Value:
    """*src* may be larger than *index*."""
    have, want = need_rank(src, "scatter"), need_rank(index, "scatter")
    for axis, (a, b) in enumerate(zip(have, want)):
        if a != b:
            src = slice_(ctx, src, [axis], [0], [b])
    if not src.is_const:
        src.shape = want
    if x.rank == 0:
        made = _scattered(ctx, reshape(ctx, x, (1,)), 0, reshape(ctx, index, (1,)), reshape(ctx, src, (1,)), reduction)
        return reshape(ctx, made, ())
    return scatter_elements(ctx, x, index, src, dim, reduction)


@aten_op("scatter.src", "scatter.value", "scatter.reduce", "scatter.value_reduce")
def scatter(
    ctx: AtenContext,
    self: Value,
    dim: int,
    index: Value,
    src: Optional[Value] = None,
    value: Number = 0,
    reduce: Optional[str] = None,
) -> Value:
    src = fill(ctx, index.shape or (), value, self.dtype) if src is None else src
    return _scattered(ctx, self, dim, index, src, {None: "none", "add": "add", "multiply": "mul"}[reduce])


@aten_op("scatter_add.default")
def scatter_add(ctx: AtenContext, self: Value, dim: int, index: Value, src: Value) -> Value:
    return _scattered(ctx, self, dim, index, src, "add")


@aten_op("put.default")
def put(ctx: AtenContext, self: Value, index: Value, source: Value, accumulate: bool = False) -> Value:
    """Elements of *source* to positions of the tensor as one row."""
    count, size = D.product(need_rank(index, "put")), D.product(need_rank(self, "put"))
    flat, positions, values = reshape(ctx, self, (size,)), reshape(ctx, index, (count,)), reshape(ctx, source, (count,))
    made = scatter_elements(ctx, flat, positions, ctx.cast(values, self.dtype), 0, "add" if accumulate else "none")
    return reshape(ctx, made, self.shape or ())


_REDUCTIONS = {
    "sum": ("add", 0.0),
    "mean": ("add", 0.0),
    "prod": ("mul", 1.0),
    "amax": ("max", -np.inf),
    "amin": ("min", np.inf),
}


@aten_op("scatter_reduce.two")
def scatter_reduce(
    ctx: AtenContext, self: Value, dim: int, index: Value, src: Value, reduce: str, include_self: bool = True
) -> Value:
    kind, neutral = _REDUCTIONS[reduce]
    start = self
    if not include_self:  # what is written to starts from nothing
        if self.dtype.is_int and not np.isfinite(neutral):
            info = np.iinfo(self.dtype.numpy)
            neutral = info.min if neutral < 0 else info.max
        start = scatter(ctx, self, dim, index, value=neutral)
    made = _scattered(ctx, start, dim, index, src, kind)
    if reduce != "mean":
        return made
    if self.dtype.is_int:
        raise ctx.refuse("the mean of integers")
    ones = fill(ctx, self.shape or (), 1, self.dtype)
    if not include_self:
        ones = scatter(ctx, ones, dim, index, value=0)
    count = scatter(ctx, ones, dim, index, value=1, reduce="add")
    return arithmetic(ctx, "div", made, arithmetic(ctx, "max", count, number(ctx, 1, count.dtype)))


@aten_op("index_reduce.default")
def index_reduce(
    ctx: AtenContext, self: Value, dim: int, index: Value, source: Value, reduce: str, include_self: bool = True
) -> Value:
    """Whole slices of *source* to the positions of a dimension."""
    shape = need_rank(source, "index_reduce")
    positions = expand_to(ctx, spread(ctx, index, axis_of(dim, len(shape)), len(shape)), shape)
    return scatter_reduce(ctx, self, dim, positions, source, reduce, include_self)


@aten_op("masked_scatter.default")
def masked_scatter(ctx: AtenContext, self: Value, mask: Value, source: Value) -> Value:
    shape = need_rank(self, "masked_scatter")
    flags = reshape(ctx, ctx.cast(expand_to(ctx, mask, shape), DType.INT64), (D.product(shape),))
    order = arithmetic(ctx, "sub", cumulative_sum(ctx, flags, 0), number(ctx, 1, DType.INT64))
    total = D.product(need_rank(source, "masked_scatter"))
    last = number(ctx, total - 1, DType.INT64) if isinstance(total, int) else ctx.tensor(total - 1)
    order = arithmetic(ctx, "min", order, last)  # positions that the mask does not have may count beyond
    order = arithmetic(ctx, "max", order, number(ctx, 0, DType.INT64))
    picked = gather(ctx, reshape(ctx, ctx.cast(source, self.dtype), (total,)), order, 0, wrap=False)
    return where(ctx, mask, reshape(ctx, picked, shape), self)
