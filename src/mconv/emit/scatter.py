"""Putting elements by index."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Optional

from mconv.emit.elementwise import arithmetic
from mconv.emit.gather import coordinates, wrapped
from mconv.emit.integer import modulo
from mconv.emit.known import axis_of, known_size, need_rank
from mconv.emit.ranges import iota, spread
from mconv.emit.shape import expand_to, reshape, unsqueeze
from mconv.emit.sizes import dim_tensor
from mconv.emit.slicing import slice_
from mconv.errors import UnsupportedError
from mconv.program import dims as D
from mconv.program.builder import Builder
from mconv.program.dtypes import DType
from mconv.program.targets import PADDLE_1_8, PADDLE_2_3
from mconv.program.value import Value

REDUCTIONS = ("none", "add", "mul", "min", "max")


def scatter_elements(b: Builder, x: Value, index: Value, updates: Value, axis: int, reduction: str = "none") -> Value:
    """ONNX ScatterElements: update [i, j, k] goes to position [index[i, j, k], j, k] (for axis 0) of a copy of *x*.

    The index may be smaller than *x* in every dimension; negative indices count from the end.
    """
    shape, index_shape = need_rank(x, "ScatterElements"), need_rank(index, "ScatterElements")
    axis = axis_of(axis, len(shape))
    if len(shape) != len(index_shape):
        raise UnsupportedError(f"ScatterElements: an index of rank {len(index_shape)} for a tensor of {len(shape)}")
    if 0 in index_shape:
        return x
    index = wrapped(b, b.cast(index, DType.INT64), shape[axis])
    rank = len(shape)
    parts = (index if i == axis else spread(b, iota(b, d), i, rank) for i, d in enumerate(index_shape))
    position = _position(b, parts, shape)
    assert position is not None
    position = reshape(b, expand_to(b, position, index_shape), [D.product(index_shape)])
    flat = reshape(b, x, [D.product(shape)])
    made = _put(b, flat, position, reshape(b, updates, [D.product(index_shape)]), reduction)
    return reshape(b, made, shape)


def scatter_nd(b: Builder, x: Value, index: Value, updates: Value, reduction: str = "none") -> Value:
    """ONNX ScatterND: the last dimension of *index* holds coordinates of the first dimensions of *x*."""
    shape, index_shape = need_rank(x, "ScatterND"), need_rank(index, "ScatterND")
    depth = known_size(index, -1, "ScatterND: the number of coordinates is known only at run time")
    if depth > len(shape):
        raise UnsupportedError(f"ScatterND: {depth} coordinates in a tensor of {len(shape)} dimensions")
    if 0 in index_shape[:-1]:
        return x
    rank, count = len(index_shape), D.product(index_shape[:-1])
    index = coordinates(b, b.cast(index, DType.INT64), shape[:depth])
    parts = (slice_(b, index, [rank - 1], [i], [i + 1]) for i in range(depth))
    position = _position(b, parts, shape[:depth])
    if position is None:
        raise UnsupportedError("ScatterND without coordinates")
    rest = shape[depth:]
    flat = reshape(b, x, [D.product(shape[:depth]), *rest])
    made = _put(b, flat, reshape(b, position, [count]), reshape(b, updates, [count, *rest]), reduction)
    return reshape(b, made, shape)


def scatter_rows(b: Builder, x: Value, updates: Value, start: Optional[Value], axis: int, *, circular: bool) -> Value:
    """ONNX TensorScatter: *updates* put into a copy of *x* [N, …] along *axis*, of each of the N from its *start* on.

    Args:
        start: [N]; None: from the beginning.
        circular: what would go beyond the end goes to the beginning.
    """
    shape, sizes = need_rank(x, "TensorScatter"), need_rank(updates, "TensorScatter")
    axis = axis_of(axis, len(shape))
    if axis == 0 or len(sizes) != len(shape):
        raise UnsupportedError(f"TensorScatter: along dimension {axis} of {len(shape)}, updates of {len(sizes)}")
    position = spread(b, iota(b, sizes[axis]), axis, len(shape))
    if start is not None:
        position = arithmetic(b, "add", position, spread(b, b.cast(start, DType.INT64), 0, len(shape)))
    if circular:
        position = modulo(b, position, reshape(b, dim_tensor(b, shape[axis]), [1] * len(shape)))
    return scatter_elements(b, x, expand_to(b, position, sizes), updates, axis)


def _position(b: Builder, parts: Iterable[Value], sizes: Sequence[D.Dim]) -> Optional[Value]:
    """The position in a flattened tensor of *sizes*, by that along each dimension; None without dimensions."""
    position: Optional[Value] = None
    for i, part in enumerate(parts):
        stride = D.product(sizes[i + 1 :])
        term = part if stride == 1 else _times(b, part, stride)
        position = term if position is None else arithmetic(b, "add", position, term)
    return position


def _times(b: Builder, x: Value, factor: D.Dim) -> Value:
    return arithmetic(b, "mul", x, reshape(b, dim_tensor(b, factor), [1] * (x.rank or 1)))


def _put(b: Builder, x: Value, position: Value, updates: Value, reduction: str) -> Value:
    """Rows *updates* [n, …] put at *position* [n], none negative, of the rows of *x*."""
    if reduction == "none":
        return b.op("scatter", X=x, Ids=position, Updates=updates, overwrite=True)
    if reduction == "add":
        if x.dtype is DType.BOOL:
            raise UnsupportedError("a sum of bool")
        return b.op("scatter_nd_add", X=x, Index=unsqueeze(b, position, [1]), Updates=updates)
    if reduction not in REDUCTIONS:
        raise UnsupportedError(f"the reduction {reduction!r} is not known")
    if x.dtype is DType.BOOL:
        raise UnsupportedError(f"the reduction {reduction!r} on bool")
    rank = len(need_rank(x, "scatter"))
    attrs: dict[str, Any] = {} if b.target in (PADDLE_1_8, PADDLE_2_3) else {"Include_self": True}
    if reduction != "mul" and not attrs:
        return _extreme(b, x, position, updates, reduction)
    index = expand_to(
        b, reshape(b, position, [need_rank(position, "scatter")[0]] + [1] * (rank - 1)), updates.shape or ()
    )
    kind = {"mul": "mul", "min": "amin", "max": "amax"}[reduction]
    return b.op(
        "put_along_axis", Input=x, Index=index, Value=updates, Axis=0, Reduce=kind, result=(x.dtype, x.shape), **attrs
    )


def _extreme(b: Builder, x: Value, position: Value, updates: Value, reduction: str) -> Value:
    """The smallest or largest update of every row, for releases whose ``put_along_axis`` knows neither.

    The updates are put in order, so that the one that wins is written last.
    """
    shape, count = need_rank(x, "scatter"), need_rank(updates, "scatter")[0]
    if len(shape) > 1:
        width = D.product(shape[1:])
        rows = _times(b, unsqueeze(b, position, [1]), width)
        positions = arithmetic(b, "add", rows, unsqueeze(b, iota(b, width), [0]))
        sizes = ((x, shape[0]), (positions, count), (updates, count))
        flat, positions, values = (reshape(b, v, [n * width]) for v, n in sizes)
        return reshape(b, _extreme(b, flat, positions, values, reduction), shape)
    spec = {"Out": (updates.dtype, updates.shape), "Indices": (DType.INT64, updates.shape)}
    ordered, order = b.op_outputs("argsort", X=updates, axis=0, descending=reduction == "min", results=spec)
    where_to = b.op("gather", X=position, Index=order, axis=0, result=(position.dtype, updates.shape))
    written = b.op("scatter", X=x, Ids=where_to, Updates=ordered, overwrite=True)
    return arithmetic(b, reduction, x, written)
