"""Counting: histograms, positions among sorted numbers, and rows repeated as often as numbers say."""

from __future__ import annotations

from typing import Optional, Union

import numpy as np

from mconv.emit.elementwise import arithmetic, compare, number, where
from mconv.emit.expr import Expr
from mconv.emit.known import bind_shape, need_rank, single
from mconv.emit.reduction import cumulative_sum, reduce
from mconv.emit.scatter import scatter_nd
from mconv.emit.shape import fill, reshape, unsqueeze
from mconv.emit.slicing import slice_
from mconv.emit.zero_size import counted, register, size_held
from mconv.program import dims as D
from mconv.program.builder import Builder
from mconv.program.dtypes import DType
from mconv.program.value import Value


def counts(
    b: Builder, bins: Union[int, Value], position: Value, share: Optional[Value] = None, dtype: DType = DType.INT64
) -> Value:
    """How often each number below *bins* is among *position* ([n], none negative or too large); shape [bins].

    Args:
        bins: their number, or a tensor of shape [1] that holds it.
        share: [n], what each counts; None: 1.
    """
    (n,) = need_rank(position, "counting")
    each = fill(b, (n,), 1, dtype) if share is None else b.cast(share, dtype)
    return scatter_nd(
        b, fill(b, [bins] if isinstance(bins, int) else bins, 0, dtype), unsqueeze(b, position, [1]), each, "add"
    )


def bincount(b: Builder, x: Value, weights: Optional[Value], least: Value, dtype: DType, size: D.Dim) -> Value:
    """How often each number is in *x* ([n] integers, none negative), by weights where they are given; [*size*].

    Args:
        least: the smallest number of bins, int64 [1]; there is one more than the largest number where that is more.
        size: what their number is called.
    """
    position = b.cast(x, DType.INT64)
    one = number(b, 1, DType.INT64)
    largest = reduce(b, "max", position, [0], keep=True)  # of no numbers it is below every least
    bins = arithmetic(b, "add", arithmetic(b, "max", largest, arithmetic(b, "sub", least, one)), one)
    known = single(least) if least.is_const else 0
    none = known < 1 and bool(counted(b, x.shape or ()))  # of no numbers there are no bins
    made = counts(b, arithmetic(b, "max", bins, one) if none else bins, position, weights, dtype)
    made.shape = (size,)
    if none and isinstance(size, D.Sym):
        register(b, size, size_held(b, bins))
        b.origins[size] = (made, 0)
    return bind_shape(b, made)


def histogram(b: Builder, x: Value, bins: int, low: float, high: float) -> Value:
    """The numbers of *x* counted by *bins* ranges of one width from *low* to *high*, both included; [bins], float.

    What lies outside, and NaN, counts nowhere. Where *low* is *high*, the range is that of the numbers themselves, as
    in PyTorch's ``histc``, and one to each side where all are equal.
    """
    dtype = x.dtype if x.dtype.is_float else DType.FP32
    flat = Expr(b, reshape(b, b.cast(x, dtype), (D.product(need_rank(x, "a histogram")),)))
    first, last = (Expr(b, np.array([v]), dtype) for v in (low, high))
    if low == high:
        first, last = flat.reduce("min", [0]), flat.reduce("max", [0])
        single = first.equals(last).cast(dtype)
        first, last = first - single, last + single
    inside = (flat >= first) & (flat <= last)
    position = ((flat - first) / (last - first) * float(bins)).clip(0.0, float(bins - 1))
    position = Expr(b, where(b, inside.value, position.value, number(b, 0, dtype)))  # NaN has no number
    return counts(b, bins, position.cast(DType.INT64).value, inside.cast(dtype).value, dtype)


def searchsorted(b: Builder, sequence: Value, values: Value, *, right: bool) -> Value:
    """How many numbers of a row of *sequence* (sorted along the last dimension) are below each of *values*; int64.

    Args:
        sequence: [n], or with the leading dimensions of *values*.
        right: count equal ones, too.
    """
    shape, rows = need_rank(values, "searchsorted"), need_rank(sequence, "searchsorted")
    if not shape:
        return reshape(b, searchsorted(b, sequence, reshape(b, values, (1,)), right=right), ())
    dtype = sequence.dtype if sequence.dtype.is_float or not values.dtype.is_float else values.dtype
    sequence, values = b.cast(sequence, dtype), b.cast(values, dtype)
    if len(rows) > 1 or "searchsorted" not in b.operators or dtype not in (DType.FP32, DType.FP64):
        row = unsqueeze(b, sequence, [len(rows) - 1] if len(rows) > 1 else list(range(len(shape))))
        below = compare(b, "less_equal" if right else "less_than", row, unsqueeze(b, values, [len(shape)]))
        return reduce(b, "sum", b.cast(below, DType.INT64), [len(shape)])
    return b.op(
        "searchsorted",
        SortedSequence=sequence,
        Values=values,
        out_int32=False,
        right=right,
        result=(DType.INT64, shape),
    )


def repeated_positions(b: Builder, repeats: Value, total: D.Dim) -> Value:
    """Each position of *repeats* ([n] integers, none negative) as often as the number there says; [total], int64.

    Args:
        total: the size that the sum of all gets, or the sum itself where it is known.
    """
    wide = b.cast(repeats, DType.INT64)
    (n,) = need_rank(repeats, "repeat_interleave")
    # a position begins where the ones before it end; one position more than is wanted, for the end of the last one
    count = reduce(b, "sum", wide, [0], keep=True)
    begins = _zeros(b, arithmetic(b, "add", count, b.constant(np.ones(1, np.int64))))
    ends = cumulative_sum(b, wide, 0)
    marked = scatter_nd(b, begins, unsqueeze(b, ends, [1]), fill(b, (n,), 1, DType.INT64), "add")
    every = cumulative_sum(b, marked, 0)
    if isinstance(total, int):
        return slice_(b, every, [0], [0], [total])
    made = slice_(b, every, [0], [0], count)
    made.shape = (total,)
    register(b, total, size_held(b, count))
    return bind_shape(b, made)


def _zeros(b: Builder, count: Value) -> Value:
    """As many zeros (int64) as a tensor of one element says, which is at least 1."""
    size = D.Sym.fresh("zeros")
    b.origins[size] = (count, None)
    return fill(b, (size,), 0, DType.INT64)
