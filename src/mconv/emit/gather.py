"""Taking elements by index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

import numpy as np

from mconv.emit.elementwise import arithmetic, compare, where
from mconv.emit.known import axis_of, bind_shape, dims_of, foldable, known_size, need_rank, replaced
from mconv.emit.padding import within
from mconv.emit.ranges import iota, spread
from mconv.emit.shape import expand_to, fill, reshape, squeeze, unsqueeze
from mconv.emit.sizes import dim_tensor, shape_tensor
from mconv.emit.slicing import concat, slice_
from mconv.errors import UnsupportedError
from mconv.program import dims as D
from mconv.program.builder import Builder
from mconv.program.value import Value


def wrapped(b: Builder, index: Value, size: D.Dim) -> Value:
    """*index* with negative values counted from the end of a dimension of *size*."""
    index = within(b, index)
    if foldable(index):
        array = np.asarray(index.const)
        if (array >= 0).all():
            return index
        if isinstance(size, int):
            return b.constant(np.where(array < 0, array + size, array).astype(array.dtype), index.dtype)
    if index.data is not None and all(_counts_up(d) for d in index.data):
        return index
    rank = max(index.rank or 0, 1)
    return _from_end(b, index, reshape(b, dim_tensor(b, size, index.dtype), [1] * rank))


def _from_end(b: Builder, index: Value, length: Value) -> Value:
    """*index*, with *length* added to what is negative; both have as many dimensions."""
    zero = b.constant(np.zeros([1] * (length.rank or 0), index.dtype.numpy), index.dtype)
    return where(b, compare(b, "less_than", index, zero), arithmetic(b, "add", index, length), index)


def _counts_up(dim: D.Dim) -> bool:
    """Whether a number made of sizes is never negative."""
    return D.sign(dim) > 0


def lookup(b: Builder, table: Value, ids: Value) -> Value:
    """Rows of a [rows, width] table by ids of any shape: ``lookup_table_v2``, which the fusion passes know.

    Negative ids are an error at run time.
    """
    assert table.shape is not None
    shape = None if ids.shape is None else (*ids.shape, table.shape[1])
    return b.op("lookup_table_v2", W=table, Ids=ids, padding_idx=-1, result=(table.dtype, shape))


def gather(b: Builder, x: Value, index: Value, axis: int = 0, *, wrap: bool = True) -> Value:
    """ONNX Gather: the index's dimensions take the place of *axis*; negative indices count from the end.

    Args:
        wrap: False when the index is known to hold nothing negative.
    """
    shape, index_shape = need_rank(x, "Gather"), need_rank(index, "Gather")
    if not shape:
        raise UnsupportedError("Gather: a scalar has no elements to choose from")
    axis = axis_of(axis, len(shape))
    known, picks = dims_of(x), dims_of(index)
    data: Optional[tuple[D.Dim, ...]] = None
    if known is not None and len(shape) == 1 and picks is not None and D.is_static(picks):
        if any(not -len(known) <= i < len(known) for i in picks):  # type: ignore[operator]
            raise UnsupportedError(f"Gather: an index of {picks} is outside of the {len(known)} elements")
        data = tuple(known[i] for i in picks)  # type: ignore[index]
        if len(index_shape) <= 1 and D.is_static(data):
            return b.constant(np.array(data, x.dtype.numpy).reshape(index_shape), x.dtype)
    if foldable(x, index):
        return b.constant(np.take(np.asarray(x.const), np.asarray(index.const), axis), x.dtype)
    out = replaced(shape, axis, *index_shape)
    if 0 in out:
        return fill(b, out, 0, x.dtype)
    if not index_shape and picks is not None and isinstance(picks[0], int):
        i = picks[0]
        made = squeeze(b, slice_(b, x, [axis], [i], [i + 1 if i != -1 else 2**31 - 1]), [axis])
    elif axis == 0 and len(shape) == 2 and x.is_const and x.dtype.is_float and not index.is_const and index_shape:
        return lookup(b, x, within(b, index))
    else:
        index = wrapped(b, index, shape[axis]) if wrap else within(b, index)
        if axis == 0 and len(index_shape) > 1 and not D.is_static(index_shape):
            return gather_nd(b, x, unsqueeze(b, index, [len(index_shape)]))  # no reshape of two symbolic sizes
        flat = reshape(b, index, (D.product(index_shape),))
        result = (x.dtype, replaced(shape, axis, *(flat.shape or ())))
        made = b.op("gather", X=x, Index=flat, axis=axis, result=result)
        made = reshape(b, made, out)
    if data is not None and len(out) <= 1:
        made.data = data
    return bind_shape(b, made)


def gather_nd(b: Builder, x: Value, index: Value) -> Value:
    """``gather_nd``: the last dimension of *index* holds coordinates of the first dimensions of *x*, none negative."""
    shape, index_shape = need_rank(x, "GatherND"), need_rank(index, "GatherND")
    depth = _depth(index)
    if depth > len(shape):
        raise UnsupportedError(f"GatherND: {depth} coordinates in a tensor of {len(shape)} dimensions")
    index = within(b, index)
    out = (*index_shape[:-1], *shape[depth:])
    if 0 in out:
        return fill(b, out, 0, x.dtype)
    if not out and not b.target.has_0d:
        made = b.op("gather_nd", X=x, Index=unsqueeze(b, index, [0]), result=(x.dtype, (1,)))
        return reshape(b, made, ())
    made = b.op("gather_nd", X=x, Index=index, result=(x.dtype, out))
    return bind_shape(b, made)


def _depth(index: Value) -> int:
    return known_size(index, -1, "GatherND: the number of coordinates is known only at run time")


def gather_blocks(b: Builder, x: Value, index: Value, batch: int = 0) -> Value:
    """ONNX GatherND: coordinates after the first *batch* dimensions, which both share; negative ones count back."""
    shape, index_shape = need_rank(x, "GatherND"), need_rank(index, "GatherND")
    depth = _depth(index)
    if not 0 <= batch < min(len(shape), len(index_shape)) or batch + depth > len(shape):
        raise UnsupportedError(f"GatherND: {depth} coordinates after {batch} of {len(shape)} dimensions")
    index = coordinates(b, index, shape[batch : batch + depth])
    for axis in reversed(range(batch)):
        rank = len(index_shape)
        along = spread(b, iota(b, shape[axis], index.dtype), axis, rank)
        along = expand_to(b, along, (*index_shape[:-1], 1))
        index = concat(b, [along, index], rank - 1)
    return gather_nd(b, x, index)


def coordinates(b: Builder, index: Value, sizes: Sequence[D.Dim]) -> Value:
    """Coordinates (last dimension) with negative ones counted from the end of their dimension."""
    index = within(b, index)
    if foldable(index) and (np.asarray(index.const) >= 0).all():
        return index
    rank = index.rank or 1
    return _from_end(b, index, reshape(b, shape_tensor(b, sizes, index.dtype), [1] * (rank - 1) + [len(sizes)]))


def take_along_axis(b: Builder, x: Value, index: Value, axis: int) -> Value:
    """ONNX GatherElements: as numpy's take_along_axis, without broadcasting; the index may be shorter elsewhere."""
    shape, index_shape = need_rank(x, "GatherElements"), need_rank(index, "GatherElements")
    axis = axis_of(axis, len(shape))
    if len(shape) != len(index_shape):
        raise UnsupportedError(f"GatherElements: an index of rank {len(index_shape)} in a tensor of rank {len(shape)}")
    if 0 in index_shape:
        return fill(b, index_shape, 0, x.dtype)
    index = wrapped(b, index, shape[axis])
    # newer releases broadcast the other dimensions instead of taking their first part
    for i, (have, want) in enumerate(zip(shape, index_shape)):
        if i != axis and have != want:
            x = slice_(b, x, [i], [0], [want] if isinstance(want, int) else dim_tensor(b, want))
    made = b.op("take_along_axis", Input=x, Index=index, Axis=axis, result=(x.dtype, index_shape))
    return bind_shape(b, made)
