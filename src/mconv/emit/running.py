"""The extreme so far along a dimension."""

from __future__ import annotations

from typing import Optional

import numpy as np

from mconv.emit.elementwise import arithmetic, compare, logical, number, where
from mconv.emit.gather import take_along_axis
from mconv.emit.known import axis_of, need_rank
from mconv.emit.order import arg_extreme, changes, sort
from mconv.emit.ranges import iota, spread
from mconv.emit.reduction import reduce
from mconv.emit.shape import expand_to, unsqueeze
from mconv.emit.slicing import concat, slice_
from mconv.program.builder import Builder
from mconv.program.dtypes import DType
from mconv.program.value import Value


def running_extreme(
    b: Builder, x: Value, axis: int, *, largest: bool, indices: bool = True
) -> tuple[Value, Optional[Value]]:
    """The largest or smallest element so far along *axis*, and the index of the last such one.

    By doubling: after n steps each element is the extreme of 2^n up to it. Releases before 2.6 have no operator for it.
    """
    shape = need_rank(x, "a running extreme")
    axis = axis_of(axis, len(shape))
    size = shape[axis]
    if "cummax" in b.operators:
        result = {"out": (x.dtype, shape), "indices": (DType.INT64, shape)}
        made, index = b.op_outputs(
            "cummax" if largest else "cummin", x=x, axis=axis, dtype=int(DType.INT64), results=result
        )
        return made, index
    if not isinstance(size, int):
        return _running_by_table(b, x, axis, largest)
    position = expand_to(b, spread(b, iota(b, size), axis, len(shape)), shape)
    step = 1
    while step < size:
        values, positions = (_later(b, v, axis, step, size) for v in (x, position))
        behind = compare(b, "less_than" if largest else "greater_than", x, values)  # an earlier one wins
        position = where(b, behind, positions, position) if indices else position
        x = where(b, behind, values, x)
        step *= 2
    return x, position if indices else None


def mode(b: Builder, x: Value, axis: int) -> tuple[Value, Value]:
    """The most frequent element along *axis* (of equally frequent ones the smallest), and where it stands last; the
    dimension stays as 1.

    In order, equal elements are runs: the longest run ends where an element is the furthest from its run's start.
    """
    made, index = sort(b, x, axis, descending=False)
    shape = need_rank(made, "the mode")
    position = expand_to(b, spread(b, iota(b, shape[axis]), axis, len(shape)), shape)
    starts = arithmetic(b, "mul", position, changes(b, made, index, axis))
    begun, _ = running_extreme(b, starts, axis, largest=True, indices=False)
    longest = arg_extreme(b, arithmetic(b, "sub", position, begun), axis, largest=True, keep=True)
    return take_along_axis(b, made, longest, axis), take_along_axis(b, index, longest, axis)


def _running_by_table(b: Builder, x: Value, axis: int, largest: bool) -> tuple[Value, Value]:
    """By comparing every element with every other along *axis*, where their number is known only at run time."""
    shape = need_rank(x, "a running extreme")
    rank = len(shape) + 1
    positions = iota(b, shape[axis])
    here, other = spread(b, positions, axis, rank), spread(b, positions, axis + 1, rank)
    before = compare(b, "less_equal", other, here)
    table = unsqueeze(b, x, [axis])
    never = np.array(-np.inf if largest else np.inf)
    if x.dtype.is_int:
        never = np.array(np.iinfo(x.dtype.numpy).min if largest else np.iinfo(x.dtype.numpy).max)
    kind = "max" if largest else "min"
    made = reduce(b, kind, where(b, before, table, number(b, never, x.dtype)), [axis + 1])
    same = logical(b, "logical_and", before, compare(b, "equal", table, unsqueeze(b, made, [axis + 1])))
    return made, reduce(b, "max", where(b, same, other, number(b, -1, DType.INT64)), [axis + 1])


def _later(b: Builder, x: Value, axis: int, step: int, size: int) -> Value:
    """*x* moved by *step* along *axis*, its own beginning in front."""
    first, rest = (slice_(b, x, [axis], [0], [end]) for end in (step, size - step))
    made = concat(b, [first, rest], axis)
    made.shape = x.shape
    return made
