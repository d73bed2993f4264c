"""Putting elements by index."""

from __future__ import annotations

from typing import Any, Optional

import numpy as np

from mconv.emit.elementwise import arithmetic, binary, compare, where
from mconv.emit.gather import coordinates, wrapped
from mconv.emit.generate import iota, spread
from mconv.emit.shape import axis_of, dim_tensor, expand_to, need_rank, reshape, slice_, unsqueeze
from mconv.errors import UnsupportedError
from mconv.program import dims as D
from mconv.program.builder import Builder
from mconv.program.dtypes import DType
from mconv.program.value import Value

REDUCTIONS = ("none", "add", "mul", "min", "max")
# elements of the comparison of every place with every index, where a release has no operator for a reduction
_TABLE_LIMIT = 1 << 24


def scatter_elements(b: Builder, x: Value, index: Value, updates: Value, axis: int, reduction: str = "none") -> Value:
    """ONNX ScatterElements: update [i, j, k] goes to place [index[i, j, k], j, k] (for axis 0) of a copy of *x*.

    The index may be smaller than *x* in every dimension; negative indices count from the end.
    """
    shape, index_shape = need_rank(x, "ScatterElements"), need_rank(index, "ScatterElements")
    axis = axis_of(axis, len(shape))
    if len(shape) != len(index_shape):
        raise UnsupportedError(f"ScatterElements: an index of rank {len(index_shape)} for a tensor of {len(shape)}")
    if 0 in index_shape:
        return x
    index = wrapped(b, b.cast(index, DType.INT64), shape[axis])
    place: Optional[Value] = None
    for i in range(len(shape)):
        stride = D.product(shape[i + 1 :])
        along = index if i == axis else spread(b, iota(b, index_shape[i]), i, len(shape))
        term = along if stride == 1 else _times(b, along, stride)
        place = term if place is None else arithmetic(b, "add", place, term)
    assert place is not None
    place = reshape(b, expand_to(b, place, index_shape), [D.product(index_shape)])
    flat = reshape(b, x, [D.product(shape)])
    made = _put(b, flat, place, reshape(b, updates, [D.product(index_shape)]), reduction)
    return reshape(b, made, shape)


def scatter_nd(b: Builder, x: Value, index: Value, updates: Value, reduction: str = "none") -> Value:
    """ONNX ScatterND: the last dimension of *index* holds coordinates of the first dimensions of *x*."""
    shape, index_shape = need_rank(x, "ScatterND"), need_rank(index, "ScatterND")
    depth = index_shape[-1] if index_shape else None
    if not isinstance(depth, int):
        raise UnsupportedError("ScatterND: the number of coordinates is known only at run time")
    if depth > len(shape):
        raise UnsupportedError(f"ScatterND: {depth} coordinates in a tensor of {len(shape)} dimensions")
    if 0 in index_shape[:-1]:
        return x
    rank, count = len(index_shape), D.product(index_shape[:-1])
    index = coordinates(b, b.cast(index, DType.INT64), shape[:depth])
    place: Optional[Value] = None
    for i in range(depth):
        part = slice_(b, index, [rank - 1], [i], [i + 1])
        stride = D.product(shape[i + 1 : depth])
        term = part if stride == 1 else _times(b, part, stride)
        place = term if place is None else arithmetic(b, "add", place, term)
    if place is None:
        raise UnsupportedError("ScatterND without coordinates")
    rest = shape[depth:]
    flat = reshape(b, x, [D.product(shape[:depth]), *rest])
    made = _put(b, flat, reshape(b, place, [count]), reshape(b, updates, [count, *rest]), reduction)
    return reshape(b, made, shape)


def _times(b: Builder, x: Value, factor: D.Dim) -> Value:
    return arithmetic(b, "mul", x, reshape(b, dim_tensor(b, factor), [1] * (x.rank or 1)))


def _put(b: Builder, x: Value, place: Value, updates: Value, reduction: str) -> Value:
    """Rows *updates* [n, …] put at *place* [n], none negative, of the rows of *x*."""
    if reduction == "none":
        put: Value = b.op("scatter", X=x, Ids=place, Updates=updates, overwrite=True)
        return put
    if reduction == "add":
        if x.dtype is DType.BOOL:
            raise UnsupportedError("a sum of bool")
        added: Value = b.op("scatter_nd_add", X=x, Index=unsqueeze(b, place, [1]), Updates=updates)
        return added
    if reduction not in REDUCTIONS:
        raise UnsupportedError(f"the reduction {reduction!r} is not known")
    if x.dtype is DType.BOOL:
        raise UnsupportedError(f"the reduction {reduction!r} on bool")
    rank = len(need_rank(x, "scatter"))
    attrs: dict[str, Any] = {} if b.target.name in ("1.8", "2.3") else {"Include_self": True}
    if reduction != "mul" and not attrs:
        return _extreme(b, x, place, updates, reduction)
    index = expand_to(b, reshape(b, place, [need_rank(place, "scatter")[0]] + [1] * (rank - 1)), updates.shape or ())
    kind = {"mul": "mul", "min": "amin", "max": "amax"}[reduction]
    spec = {"Result": (x.dtype, x.shape)}
    made: tuple[Value] = b.op(
        "put_along_axis", Input=x, Index=index, Value=updates, Axis=0, Reduce=kind, result=spec, **attrs
    )
    return made[0]


def _extreme(b: Builder, x: Value, place: Value, updates: Value, reduction: str) -> Value:
    """The smallest or largest update of every row, by comparing every row's number with every place.

    For releases whose ``put_along_axis`` knows no minimum.
    """
    shape, count = need_rank(x, "scatter"), need_rank(updates, "scatter")[0]
    size = D.product((*shape, count))
    if not isinstance(size, int) or size > _TABLE_LIMIT:
        raise UnsupportedError(f"Paddle {b.target.paddle} has no scatter with the reduction {reduction!r}")
    rank = len(shape) + 1
    hit = compare(b, "equal", spread(b, iota(b, shape[0]), 0, rank), spread(b, place, 1, rank))
    beyond = _beyond(x.dtype, reduction)
    table = where(b, hit, unsqueeze(b, updates, [0]), b.constant(np.full([1] * rank, beyond, x.dtype.numpy), x.dtype))
    op = "reduce_max" if reduction == "max" else "reduce_min"
    best: Value = b.op(op, X=table, dim=[1], keep_dim=False, reduce_all=False, result=(x.dtype, shape))
    return binary(b, f"elementwise_{reduction}", x, best)


def _beyond(dtype: DType, reduction: str) -> Any:
    """What never wins."""
    if dtype.is_float:
        return -np.inf if reduction == "max" else np.inf
    info = np.iinfo(dtype.numpy)
    return info.min if reduction == "max" else info.max
