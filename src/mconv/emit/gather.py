"""Taking elements by index."""

from __future__ import annotations

from typing import Optional

import numpy as np

from mconv.emit.elementwise import arithmetic, compare, foldable, where
from mconv.emit.shape import axis_of, dim_tensor, dims_of, need_rank, reshape, slice_, squeeze
from mconv.errors import UnsupportedError
from mconv.program import dims as D
from mconv.program.builder import Builder, Value
from mconv.program.dtypes import DType


def wrapped(b: Builder, index: Value, size: D.Dim) -> Value:
    """*index* with negative values counted from the end of a dimension of *size*."""
    if foldable(index):
        array = np.asarray(index.const)
        if (array >= 0).all():
            return index
        if isinstance(size, int):
            return b.constant(np.where(array < 0, array + size, array).astype(array.dtype), index.dtype)
    if index.data is not None:  # computed from sizes
        return index
    length = dim_tensor(b, size, index.dtype)
    zero = b.constant(np.zeros((1,) * max(index.rank or 1, 1), index.dtype.numpy))
    return where(b, compare(b, "less_than", index, zero), arithmetic(b, "add", index, length), index)


def lookup(b: Builder, table: Value, ids: Value) -> Value:
    """Rows of a [rows, width] table by ids of any shape: ``lookup_table_v2``, which the fusion passes know.

    Negative ids are an error at run time.
    """
    assert table.shape is not None
    shape = None if ids.shape is None else (*ids.shape, table.shape[1])
    made: Value = b.op("lookup_table_v2", W=table, Ids=ids, padding_idx=-1, result=(table.dtype, shape))
    return made


def gather(b: Builder, x: Value, index: Value, axis: int = 0) -> Value:
    """ONNX Gather: the index's dimensions take the place of *axis*; negative indices count from the end."""
    shape, index_shape = need_rank(x, "Gather"), need_rank(index, "Gather")
    axis = axis_of(axis, len(shape))
    known, picks = dims_of(x), dims_of(index)
    data: Optional[tuple[D.Dim, ...]] = None
    if known is not None and len(shape) == 1 and picks is not None and D.is_static(picks):
        if any(not -len(known) <= i < len(known) for i in picks):  # type: ignore[operator]
            raise UnsupportedError(f"Gather: an index of {picks} is outside of the {len(known)} elements")
        data = tuple(known[i] for i in picks)  # type: ignore[index]
        if len(index_shape) <= 1 and D.is_static(data):
            return b.constant(np.array(data, x.dtype.numpy).reshape(index_shape), x.dtype)  # type: ignore[arg-type]
    if foldable(x, index):
        return b.constant(np.take(np.asarray(x.const), np.asarray(index.const), axis), x.dtype)
    out = (*shape[:axis], *index_shape, *shape[axis + 1 :])
    if not index_shape and picks is not None and isinstance(picks[0], int):
        i = picks[0]
        made = squeeze(b, slice_(b, x, [axis], [i], [i + 1 if i != -1 else 2**31 - 1]), [axis])
    elif axis == 0 and len(shape) == 2 and x.is_const and x.dtype.is_float and not index.is_const and index_shape:
        return lookup(b, x, index)
    else:
        flat = reshape(b, wrapped(b, index, shape[axis]), (D.product(index_shape),))
        result = (x.dtype, (*shape[:axis], *(flat.shape or ()), *shape[axis + 1 :]))
        made = b.op("gather", X=x, Index=flat, axis=axis, result=result)
        made = reshape(b, made, out)
    if data is not None and len(out) <= 1:
        made.data = data
    return made


def gather_nd(b: Builder, x: Value, index: Value) -> Value:
    """``gather_nd``: the last dimension of *index* holds coordinates of the first dimensions of *x*."""
    shape, index_shape = need_rank(x, "GatherND"), need_rank(index, "GatherND")
    depth = index_shape[-1]
    if not isinstance(depth, int):
        raise UnsupportedError("GatherND: the number of coordinates is known only at run time")
    out = (*index_shape[:-1], *shape[depth:])
    made: Value = b.op("gather_nd", X=x, Index=index, result=(x.dtype, out))
    return made


def take_along_axis(b: Builder, x: Value, index: Value, axis: int) -> Value:
    """ONNX GatherElements: as numpy's take_along_axis, without broadcasting; the index may be shorter elsewhere."""
    shape, index_shape = need_rank(x, "GatherElements"), need_rank(index, "GatherElements")
    axis = axis_of(axis, len(shape))
    index = wrapped(b, index, shape[axis])
    if x.dtype is DType.BOOL:
        return b.cast(take_along_axis(b, b.cast(x, DType.INT32), index, axis), DType.BOOL)
    # newer releases broadcast the other dimensions instead of taking their first part
    for i, (have, want) in enumerate(zip(shape, index_shape)):
        if i != axis and have != want:
            x = slice_(b, x, [i], [0], [want] if isinstance(want, int) else dim_tensor(b, want))
    made: Value = b.op("take_along_axis", Input=x, Index=index, Axis=axis, result={"Result": (x.dtype, index_shape)})[0]
    return made
