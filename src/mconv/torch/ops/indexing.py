"""Taking and putting elements by index."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Optional

import numpy as np

from mconv.emit import (
    arithmetic,
    compare,
    concat,
    gather,
    gather_nd,
    logical,
    matmul,
    reshape,
    slice_,
    squeeze,
    take_along_axis,
    transpose,
    where,
)
from mconv.emit.elementwise import number
from mconv.emit.gather import wrapped
from mconv.emit.generate import one_hot as emit_one_hot
from mconv.emit.known import need_rank
from mconv.emit.ranges import iota
from mconv.emit.reduction import reduce
from mconv.emit.scatter import scatter_nd
from mconv.emit.selection import selected
from mconv.emit.shape import expand_to, unsqueeze
from mconv.program import dims as D
from mconv.program.dtypes import DType
from mconv.program.value import Value
from mconv.torch.context import AtenContext
from mconv.torch.ops.reduction import vector_norm
from mconv.torch.ranges import identity
from mconv.torch.registry import aten_op


@aten_op("embedding.default")
def embedding(ctx: AtenContext, weight: Value, indices: Value, padding_idx: int = -1) -> Value:
    return gather(ctx, weight, indices, 0, wrap=False)


@aten_op("_embedding_bag.default", "_embedding_bag_forward_only.default")
def embedding_bag(
    ctx: AtenContext,
    weight: Value,
    indices: Value,
    offsets: Value,
    mode: int = 0,
    per_sample_weights: Optional[Value] = None,
    include_last_offset: bool = False,
    padding_idx: int = -1,
) -> list[Optional[Value]]:
    """Sums or means of the rows of each bag, as the product of a matrix that says which row is in which bag."""
    ctx.leave_unread("what is", 1, 2, 3)
    count = need_rank(indices, "embedding_bag")[0]
    position = unsqueeze(ctx, iota(ctx, count), [0])
    starts = ctx.cast(offsets, DType.INT64)
    n = need_rank(offsets, "embedding_bag")[0]
    if include_last_offset:
        ends, starts = slice_(ctx, starts, [0], [1], [2**31 - 1]), slice_(ctx, starts, [0], [0], [-1])
        n = n - 1
    else:
        last = reshape(ctx, ctx.tensor(count, DType.INT64), (1,))
        ends = concat(ctx, [slice_(ctx, starts, [0], [1], [2**31 - 1]), last], 0)
    starts.shape = ends.shape = (n,)
    inside = logical(
        ctx,
        "logical_and",
        compare(ctx, "greater_equal", position, unsqueeze(ctx, starts, [1])),
        compare(ctx, "less_than", position, unsqueeze(ctx, ends, [1])),
    )
    if padding_idx >= 0:
        real = compare(ctx, "not_equal", indices, number(ctx, padding_idx, indices.dtype))
        inside = logical(ctx, "logical_and", inside, unsqueeze(ctx, real, [0]))
    if mode == 2:
        return [_largest_of_bags(ctx, gather(ctx, weight, indices, 0, wrap=False), inside), None, None, None]
    share = ctx.cast(inside, weight.dtype)
    total = share
    if per_sample_weights is not None:
        total = arithmetic(ctx, "mul", share, unsqueeze(ctx, per_sample_weights, [0]))
    made = matmul(ctx, total, gather(ctx, weight, indices, 0, wrap=False))
    if mode == 1:
        size = reduce(ctx, "sum", share, [1], keep=True)
        made = arithmetic(ctx, "div", made, arithmetic(ctx, "max", size, number(ctx, 1, size.dtype)))
    return [made, None, None, None]


def _largest_of_bags(ctx: AtenContext, rows: Value, inside: Value) -> Value:
    """The largest elements of the rows of each bag; of none 0."""
    there = unsqueeze(ctx, inside, [2])
    lowest = number(ctx, -np.inf, rows.dtype)
    best = reduce(ctx, "max", where(ctx, there, unsqueeze(ctx, rows, [0]), lowest), [1])
    some = unsqueeze(ctx, reduce(ctx, "max", inside, [1]), [1])
    return where(ctx, some, best, number(ctx, 0, rows.dtype))


@aten_op("index_select.default")
def index_select(ctx: AtenContext, self: Value, dim: int, index: Value) -> Value:
    if self.rank == 0:
        return self
    sizes = ctx.out_shape[dim : dim + 1] if dim >= 0 else index.shape
    return gather(ctx, self, reshape(ctx, index, sizes or ()), dim, wrap=False)


@aten_op("gather.default")
def gather_(ctx: AtenContext, self: Value, dim: int, index: Value) -> Value:
    if self.rank == 0:
        return reshape(ctx, expand_to(ctx, self, ctx.out_shape), ctx.out_shape)
    return take_along_axis(ctx, self, index, dim)


@aten_op("nonzero.default")
def nonzero(ctx: AtenContext, self: Value) -> Value:
    return _where(ctx, self, ctx.out_shape[0])


def _where(ctx: AtenContext, x: Value, count: D.Dim) -> Value:
    """Coordinates of what is not zero, [count, rank]."""
    if len(need_rank(x, "nonzero")) == 0:
        raise ctx.refuse("it asks where a single number is not zero")
    return selected(ctx, ctx.cast(x, DType.BOOL), count)


@aten_op("masked_select.default")
def masked_select(ctx: AtenContext, self: Value, mask: Value) -> Value:
    shape = D.broadcast(self.shape, mask.shape)
    assert shape is not None
    x, m = expand_to(ctx, self, shape), expand_to(ctx, mask, shape)
    return gather_nd(ctx, x, _where(ctx, m, ctx.out_shape[0]))


# x[i, j, …] ----------------------------------------------------------------------------------------------------------


def _flattened_masks(ctx: AtenContext, indices: Sequence[Optional[Value]]) -> list[Optional[Value]]:
    """Boolean masks as the coordinates of what they select."""
    out: list[Optional[Value]] = []
    for index in indices:
        if index is None or index.dtype not in (DType.BOOL, DType.UINT8):
            out.append(index)
            continue
        count = D.Sym.fresh("selected")
        positions = _where(ctx, index, count)
        for i in range(len(need_rank(index, "a mask"))):
            out.append(squeeze(ctx, slice_(ctx, positions, [1], [i], [i + 1]), [1]))
    return out


@aten_op("index.Tensor", "_unsafe_index.Tensor")
def index(ctx: AtenContext, self: Value, indices: Sequence[Optional[Value]]) -> Value:
    known = identity(ctx, self, indices)
    if known is not None:
        return known
    picks = {i: v for i, v in enumerate(_flattened_masks(ctx, indices)) if v is not None}
    if len(picks) == 1:
        ((axis, only),) = picks.items()
        return gather(ctx, self, only, axis)
    rank = len(need_rank(self, "index"))
    order, before = _picked_first(picks, rank)
    position, common = _coordinates(ctx, self, picks)
    made = gather_nd(ctx, transpose(ctx, self, order), position)
    k = len(common)
    return transpose(ctx, made, [*range(k, k + before), *range(k), *range(k + before, k + rank - len(picks))])


def _picked_first(axes: Collection[int], rank: int) -> tuple[list[int], int]:
    """The dimensions, those of indices first, and how many of the others come before what the indices select: none where
    something lies between the indices."""
    chosen = sorted(axes)
    together = chosen == list(range(chosen[0], chosen[-1] + 1))
    return [*chosen, *(i for i in range(rank) if i not in axes)], chosen[0] if together else 0


def _coordinates(ctx: AtenContext, x: Value, picks: Mapping[int, Value]) -> tuple[Value, tuple[D.Dim, ...]]:
    """Indices of dimensions that broadcast as coordinates in a new last dimension, and the shape before it."""
    common = D.broadcast(*(v.shape for v in picks.values()))
    assert common is not None
    columns = []
    for axis, index in picks.items():
        flat = wrapped(ctx, ctx.cast(index, DType.INT64), need_rank(x, "index")[axis])
        columns.append(unsqueeze(ctx, expand_to(ctx, flat, common), [len(common)]))
    return concat(ctx, columns, len(common)), common


@aten_op("index_put.default", "_unsafe_index_put.default")
def index_put(
    ctx: AtenContext, self: Value, indices: Sequence[Optional[Value]], values: Value, accumulate: bool = False
) -> Value:
    values = ctx.cast(values, self.dtype)
    shape = need_rank(self, "index_put")
    mask = indices[0] if len(indices) == 1 and values.size == 1 and not accumulate else None
    if mask is not None and mask.dtype is DType.BOOL:
        missing = range(len(need_rank(mask, "a mask")), len(shape))
        whole = unsqueeze(ctx, mask, list(missing)) if missing else mask
        return where(ctx, whole, reshape(ctx, values, ()), self)
    picks = {i: v for i, v in enumerate(_flattened_masks(ctx, indices)) if v is not None}
    order, before = _picked_first(picks, len(shape))
    position, common = _coordinates(ctx, self, picks)
    rest = [shape[i] for i in order[len(picks) :]]
    updates = expand_to(ctx, values, (*rest[:before], *common, *rest[before:]))
    k = before + len(common)
    updates = transpose(ctx, updates, [*range(before, k), *range(before), *range(k, len(common) + len(rest))])
    made = scatter_nd(ctx, transpose(ctx, self, order), position, updates, "add" if accumulate else "none")
    return transpose(ctx, made, [int(i) for i in np.argsort(order)])


@aten_op("one_hot.default")
def one_hot(ctx: AtenContext, self: Value, num_classes: Any = -1) -> Value:
    depth = ctx.out_shape[-1]
    if not isinstance(num_classes, D.Sym) and num_classes == -1:
        raise ctx.refuse("the number of classes is known only at run time: give num_classes")
    off, on = (number(ctx, v, ctx.out_dtype) for v in (0, 1))
    return emit_one_hot(ctx, self, depth, off, on)


@aten_op("_cdist_forward.default")
def cdist(ctx: AtenContext, x1: Value, x2: Value, p: float, compute_mode: Optional[int]) -> Value:
    """Distances between the rows of two matrices; batches broadcast."""
    a, b = unsqueeze(ctx, x1, [(x1.rank or 0) - 1]), unsqueeze(ctx, x2, [(x2.rank or 0) - 2])
    return vector_norm(ctx, arithmetic(ctx, "sub", a, b), p, -1)


@aten_op("_pdist_forward.default")
def pdist(ctx: AtenContext, self: Value, p: float = 2.0) -> Value:
    n = ctx.static_int(need_rank(self, "pdist")[0], "the number of rows")
    first, second = np.triu_indices(n, 1)
    a, b = (gather(ctx, self, ctx.constant(i.astype(np.int64)), 0, wrap=False) for i in (first, second))
    return vector_norm(ctx, arithmetic(ctx, "sub", a, b), p, -1)
