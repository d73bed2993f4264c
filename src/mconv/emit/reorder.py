"""Elements in another order: blocks of space and depth, reversed sequences, selections, distinct elements."""

from __future__ import annotations

from typing import Optional

import numpy as np

from mconv import budget
from mconv.emit.elementwise import arithmetic, compare, logical, where
from mconv.emit.expr import Expr
from mconv.emit.expr import where as choose
from mconv.emit.gather import gather, take_along_axis
from mconv.emit.known import INT32_MAX, axis_of, bind_shape, known_size, need_rank, replaced
from mconv.emit.ranges import arange, iota, spread
from mconv.emit.reduction import cumulative_sum
from mconv.emit.scatter import scatter_nd
from mconv.emit.selection import selected
from mconv.emit.shape import expand_to, fill, reshape, transpose
from mconv.emit.sizes import dim_tensor
from mconv.emit.slicing import concat, slice_
from mconv.emit.zero_size import counted, one_if_any, register, true_size
from mconv.errors import UnsupportedError
from mconv.program import dims as D
from mconv.program.builder import Builder
from mconv.program.dtypes import DType
from mconv.program.value import Value


def depth_to_space(b: Builder, x: Value, block: int, *, column_major: bool = False) -> Value:
    """[N, C·block², H, W] → [N, C, H·block, W·block].

    Args:
        column_major: ONNX's mode CRD, where a channel's block² parts are neighbours; else DCR, where they are C apart.
    """
    shape = need_rank(x, "DepthToSpace")
    channels = shape[1] if len(shape) == 4 else None
    if not isinstance(channels, int) or channels % (block * block):
        raise UnsupportedError(f"DepthToSpace: {channels} channels do not make blocks of {block}x{block}")
    n, c, h, w = shape[0], channels // (block * block), shape[2], shape[3]
    out = (n, c, h * block, w * block)
    if D.is_static(shape):
        split = (n, c, block, block, h, w) if column_major else (n, block, block, c, h, w)
        perm = [0, 1, 4, 2, 5, 3] if column_major else [0, 3, 4, 1, 5, 2]
        return reshape(b, transpose(b, reshape(b, x, split), perm), out)
    if not column_major:  # pixel_shuffle knows the other order only
        budget.memory(16 * channels, "an order of channels")
        order = np.arange(channels).reshape(block * block, c).T.reshape(-1)
        x = gather(b, x, b.constant(order.astype(np.int64)), 1)
    made = b.op("pixel_shuffle", X=x, upscale_factor=block, data_format="NCHW", result=(x.dtype, out))
    return bind_shape(b, made)


def space_to_depth(b: Builder, x: Value, block: int, *, column_major: bool = False) -> Value:
    """[N, C, H, W] → [N, block²·C, H/block, W/block].

    Args:
        column_major: ONNX's mode CRD, where a channel's block² parts are neighbours; else DCR, where they are C apart.
    """
    shape = need_rank(x, "SpaceToDepth")
    if len(shape) != 4:
        raise UnsupportedError("SpaceToDepth: four dimensions are needed")
    n, c, h, w = shape
    out = (n, c * (block * block), D.floordiv(h, block), D.floordiv(w, block))
    if D.is_static(shape):
        blocks = reshape(b, x, (n, c, out[2], block, out[3], block))
        return reshape(b, transpose(b, blocks, [0, 1, 3, 5, 2, 4] if column_major else [0, 3, 5, 1, 2, 4]), out)
    parts = [
        slice_(b, x, [2, 3], [i, j], [INT32_MAX, INT32_MAX], [block, block]) for i in range(block) for j in range(block)
    ]
    made = concat(b, parts, 1)
    made.shape = out
    if column_major:
        if not isinstance(c, int):
            raise UnsupportedError("SpaceToDepth in mode CRD: the number of channels is known only at run time")
        budget.memory(16 * c * block * block, "an order of channels")
        order = np.arange(c * block * block).reshape(block * block, c).T.reshape(-1)
        made = gather(b, made, b.constant(order.astype(np.int64)), 1)
        made.shape = out
    return bind_shape(b, made)


def channel_shuffle(b: Builder, x: Value, groups: int) -> Value:
    """[N, C, H, W] with the channels of *groups* groups taken in turns."""
    n, c, h, w = need_rank(x, "a channel shuffle")
    apart = reshape(b, x, (n, groups, D.floordiv(c, groups), h, w))
    return reshape(b, transpose(b, apart, [0, 2, 1, 3, 4]), (n, c, h, w))


def reverse_sequence(b: Builder, x: Value, lengths: Value, time: int, batch: int) -> Value:
    """The first ``lengths[i]`` elements along *time* in reverse order, for every i along *batch*."""
    shape = need_rank(x, "ReverseSequence")
    time, batch, rank = axis_of(time, len(shape)), axis_of(batch, len(shape)), len(shape)
    if time == batch:
        raise UnsupportedError("ReverseSequence: time and batch are the same axis")
    steps = spread(b, iota(b, shape[time]), time, rank)
    length = spread(b, b.cast(lengths, DType.INT64), batch, rank)
    one = b.constant(np.ones([1] * rank, np.int64))
    mirrored = arithmetic(b, "sub", arithmetic(b, "sub", length, one), steps)
    index = where(b, compare(b, "less_than", steps, length), mirrored, steps)
    return take_along_axis(b, x, expand_to(b, index, shape), time)


def nonzero(b: Builder, x: Value) -> Value:
    """Coordinates of the elements that are not zero, int64 [rank, number of them]."""
    rank = len(need_rank(x, "NonZero"))
    if rank == 0:
        raise UnsupportedError("NonZero of a scalar")
    truth = b.cast(x, DType.BOOL)
    return transpose(b, selected(b, truth), [1, 0])


def compress(b: Builder, x: Value, condition: Value, axis: Optional[int] = None) -> Value:
    """The slices of *x* along *axis* (the elements of the flattened tensor when None) where *condition* holds."""
    if axis is None:
        x, axis = reshape(b, x, [D.product(need_rank(x, "Compress"))]), 0
    assert x.shape is not None
    size, flags = x.shape[axis_of(axis, len(x.shape))], need_rank(condition, "Compress")
    if counted(b, [size]) and not counted(b, flags):  # it may say more than there is
        here = compare(b, "less_than", iota(b, flags[0]), dim_tensor(b, true_size(b, size)))
        condition = logical(b, "logical_and", condition, here)
    found = selected(b, condition, D.Sym.fresh("compress"))
    return gather(b, x, reshape(b, found, (found.shape or ())[:1]), axis, wrap=False)


def unique(b: Builder, x: Value, axis: Optional[int], *, in_order: bool = True) -> tuple[Value, Value, Value, Value]:
    """Distinct elements (or slices along *axis*) of *x*.

    Args:
        in_order: sorted; else in the order of their first appearance.

    Returns:
        the elements; the index of the first appearance of each; for each element of *x* its position among the
        distinct ones; how often each appears (the last three int64).
    """
    shape = need_rank(x, "Unique")
    count = D.Sym.fresh("unique")
    total = D.product(shape) if axis is None else shape[axis_of(axis, len(shape))]
    if axis is not None:
        axis = axis_of(axis, len(shape))
    out = (count,) if axis is None else replaced(shape, axis, count)
    index, rows = (DType.INT64, (count,)), (DType.INT64, (total,))
    values, first, inverse, counts = b.op_outputs(
        "unique",
        X=x,
        dtype=int(DType.INT64),
        is_sorted=True,
        return_index=True,
        return_inverse=True,
        return_counts=True,
        axis=[] if axis is None else [axis],
        results={"Out": (x.dtype, out), "Indices": index, "Index": rows, "Counts": index},
    )
    bind_shape(b, values)
    given = counted(b, shape)
    if given and axis is not None and given != counted(b, [shape[axis]]):
        raise UnsupportedError("Unique: the slices that are compared may have no elements")
    if given:  # of nothing there is nothing that is distinct, but the padding is
        found = D.Sym.fresh("unique")
        b.origins[found] = (values, 0 if axis is None else axis)
        # n + 2 rows are never none, of n - 1 there are none where n is 0
        register(b, count, found * D.maximum(one_if_any(b, [d for d in shape if counted(b, [d])]), 0))
    if in_order:
        return values, first, inverse, counts
    order = _sort(b, first)
    positions = _sort(b, order)
    along = 0 if axis is None else axis
    return (
        gather(b, values, order, along, wrap=False),
        gather(b, first, order, 0, wrap=False),
        gather(b, positions, inverse, 0, wrap=False),
        gather(b, counts, order, 0, wrap=False),
    )


def unique_runs(b: Builder, x: Value) -> tuple[Value, Value, Value]:
    """Of each run of equal elements of a vector one: the values, the run of each element, the lengths of the runs."""
    (size,) = need_rank(x, "unique")
    one = dim_tensor(b, 1)
    differ = compare(b, "not_equal", slice_(b, x, [0], [1], [INT32_MAX]), slice_(b, x, [0], [0], [-1]))
    begins = concat(b, [one, b.cast(differ, DType.INT64)], 0)
    begins.shape = (size,)
    positions = selected(b, b.cast(begins, DType.BOOL), D.Sym.fresh("runs"))
    (count, _) = need_rank(positions, "unique")
    positions = reshape(b, positions, (count,))
    run = arithmetic(b, "sub", cumulative_sum(b, begins, 0), one)
    ones = fill(b, (size,), 1, DType.INT64)
    lengths = scatter_nd(b, fill(b, (count,), 0, DType.INT64), reshape(b, run, (size, 1)), ones, "add")
    return gather(b, x, positions, 0, wrap=False), run, lengths


def _sort(b: Builder, x: Value) -> Value:
    """The order that sorts a vector of distinct numbers."""
    result = {"Out": (x.dtype, x.shape), "Indices": (DType.INT64, x.shape)}
    return b.op_outputs("argsort", X=x, axis=0, descending=False, results=result)[1]


def slice_at_run_time(
    b: Builder,
    x: Value,
    starts: Value,
    ends: Value,
    axes: Optional[Value],
    steps: Optional[Value],
) -> Value:
    """A slice whose axes or steps come in at run time: index arithmetic and a ``gather`` for every dimension.

    All are 1-D integer tensors of one length; *axes* None = the first dimensions, *steps* None = 1.
    """
    rank = len(need_rank(x, "Slice"))
    count = known_size(starts, 0, "Slice: the number of sliced dimensions is known only at run time")
    starts, ends = b.cast(starts, DType.INT64), b.cast(ends, DType.INT64)
    steps = b.constant(np.ones(count, np.int64)) if steps is None else b.cast(steps, DType.INT64)
    if axes is not None:
        number = b.cast(axes, DType.INT64)
        back = arithmetic(b, "add", number, dim_tensor(b, rank))
        axes = where(b, compare(b, "less_than", number, dim_tensor(b, 0)), back, number)
    for axis in range(rank if axes is not None else min(count, rank)):
        size = dim_tensor(b, need_rank(x, "Slice")[axis])
        if axes is None:
            start, end, step = (slice_(b, v, [0], [axis], [axis + 1]) for v in (starts, ends, steps))
        else:
            named = b.cast(compare(b, "equal", axes, dim_tensor(b, axis)), DType.INT64)
            other = arithmetic(b, "sub", dim_tensor(b, 1), _sum(b, named))
            start, end, step = (_sum(b, arithmetic(b, "mul", named, v)) for v in (starts, ends, steps))
            end = arithmetic(b, "add", end, arithmetic(b, "mul", other, size))
            step = arithmetic(b, "add", step, other)
        x = gather(b, x, _picks(*(Expr(b, v) for v in (start, end, step, size))), axis, wrap=False)
    return x


def _sum(b: Builder, x: Value) -> Value:
    return b.op("reduce_sum", X=x, dim=[0], keep_dim=True, reduce_all=False, result=(x.dtype, (1,)))


def _picks(start: Expr, end: Expr, step: Expr, size: Expr) -> Value:
    """The indices that ``start:end:step`` takes from a dimension; all are int64 [1].

    Backwards, a start before the first element is the first one, as in ONNX.
    """
    b = start.b
    zero, one = (Expr(b, dim_tensor(b, v)) for v in (0, 1))
    backwards = (step < zero).cast(DType.INT64)
    high = size - backwards

    def placed(v: Expr, low: Expr) -> Expr:
        return choose(v < zero, v + size, v).maximum(low).minimum(high)

    start, end = placed(start, zero), placed(end, zero - backwards)
    sign = one - (backwards + backwards)
    way = ((end - start) * sign).maximum(zero)
    stride = step * sign
    count = b.op("elementwise_floordiv", X=(way + stride - one).value, Y=stride.value)
    return (Expr(b, arange(b, zero.value, count, one.value)) * step + start).value
