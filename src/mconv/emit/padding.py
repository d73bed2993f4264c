"""Making padding where a size from data is 0, and what is put in its place; see :mod:`mconv.emit.zero_size`."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from mconv.emit.elementwise import compare, where
from mconv.emit.known import bind_shape, replaced
from mconv.emit.operators import slice_op
from mconv.emit.shape import fill, reshape
from mconv.emit.sizes import dim_tensor
from mconv.emit.zero_size import counted, register, true_size
from mconv.program import dims as D
from mconv.program.builder import Builder
from mconv.program.dtypes import DType
from mconv.program.value import Value

_RANK = 6  # the most dimensions that Paddle's operators repeat


def non_zero(b: Builder, sizes: Iterable[D.Dim]) -> Value:
    """Whether none of the true sizes is 0: bool [1]."""
    total = D.product(sorted((true_size(b, s) for s in sizes), key=repr))

    return b.once(("nonzero", total), lambda: compare(b, "greater_than", dim_tensor(b, total), dim_tensor(b, 0)))


def padded(b: Builder, x: Value, axis: int = 0, least: int = 1) -> Value:
    """*x*, as an operator made it, whose size along *axis* comes from data: with zeros for padding where it is 0.

    The size of the result is the symbol that *x* was declared with.

    Args:
        least: how many elements the padding has.
    """
    assert x.shape is not None
    size = x.shape[axis]
    if not isinstance(size, D.Sym):
        return x
    count = D.Sym.fresh("count")
    x.shape = replaced(x.shape, axis, count)
    b.origins[count] = (x, axis)
    made = _filled_up(b, x, axis, count, size, least)
    register(b, size, count)
    b.unpadded[made.name or ""] = x
    b.zero_padded.add(made.name or "")
    return bind_shape(b, made)


def _filled_up(b: Builder, x: Value, axis: int, count: D.Dim, size: D.Dim, least: int) -> Value:
    assert x.shape is not None
    before, after = x.shape[:axis], x.shape[axis + 1 :]
    blank = fill(b, (*before, least, *after), 0, x.dtype)
    whole = b.op("concat", X=[x, blank], axis=axis, result=(x.dtype, (*before, count + least, *after)))
    end = b.cast(dim_tensor(b, D.maximum(count, least)), DType.INT32)
    return slice_op(b, whole, [axis], [0], [-1], (*before, size, *after), end=end)


def or_else(b: Builder, sizes: Iterable[D.Dim], x: Value, other: Value) -> Value:
    """*x*, or where one of *sizes* is truly 0 *other*, which broadcasts to it."""
    if (x.rank or 0) > _RANK and other.size == 1:
        flat = or_else(b, sizes, reshape(b, x, (D.product(x.shape or ()),)), reshape(b, other, (1,)))
        return reshape(b, flat, x.shape or ())
    flag = reshape(b, non_zero(b, sizes), [1] * max(x.rank or 0, 1))
    return reshape(b, where(b, flag, x, other), x.shape or ())


def within(b: Builder, index: Value) -> Value:
    """Indices of which those for padding are 0, which every tensor has."""
    sizes = [d for d in index.shape or () if counted(b, [d])]
    if not sizes or index.name in b.zero_padded:
        return index
    return or_else(b, sizes, index, b.constant(np.zeros([1] * max(index.rank or 0, 1), index.dtype.numpy)))
