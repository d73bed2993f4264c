"""Order: the position of the largest, the k largest, sorting."""

from __future__ import annotations

from typing import Optional, Union

from mconv.emit.elementwise import arithmetic, compare, number, scale
from mconv.emit.gather import gather
from mconv.emit.known import axis_of, need_rank, replaced
from mconv.emit.ranges import iota
from mconv.emit.shape import fill, reshape
from mconv.emit.sizes import dim_tensor
from mconv.emit.slicing import concat, flip, slice_
from mconv.emit.zero_size import counted
from mconv.program import dims as D
from mconv.program.builder import Builder
from mconv.program.dtypes import DType
from mconv.program.value import Value

_INSERTION = 16  # up to this many elements the C++ library sorts by insertion, which keeps equal ones in order


def arg_extreme(b: Builder, x: Value, axis: int, *, largest: bool, keep: bool, last: bool = False) -> Value:
    """The index (int64) of the largest or smallest element along *axis*, of the first or *last* of equal ones."""
    shape = need_rank(x, "ArgMax")
    axis = axis_of(axis, len(shape))
    if last:
        first = arg_extreme(b, flip(b, x, [axis]), axis, largest=largest, keep=keep)
        return arithmetic(b, "sub", _size(b, shape[axis], -1), first)
    if not shape:
        return number(b, 0, DType.INT64)
    if len(shape) == 1 and not keep:  # Paddle 2.3 would give a tensor that it has no name for, without dimensions
        return reshape(b, arg_extreme(b, x, axis, largest=largest, keep=True), ())
    out = (*shape[:axis], *((1,) if keep else ()), *shape[axis + 1 :])
    return b.op(
        "arg_max" if largest else "arg_min",
        X=x,
        axis=axis,
        keepdims=keep,
        flatten=False,
        dtype=int(DType.INT64),
        result=(DType.INT64, out),
    )


def _size(b: Builder, dim: D.Dim, plus: int = 0) -> Value:
    """A size as a scalar."""
    if isinstance(dim, int):
        return number(b, dim + plus, DType.INT64)
    if plus and counted(b, [dim]):  # of what there is, padding included
        return reshape(b, arithmetic(b, "add", dim_tensor(b, dim), number(b, plus, DType.INT64)), ())
    return reshape(b, dim_tensor(b, dim + plus), ())


def sort(b: Builder, x: Value, axis: int, *, descending: bool) -> tuple[Value, Value]:
    """The elements along *axis* in order, and the indices (int64) where they were; equal ones keep their order.

    Paddle's ``argsort`` keeps it only since 3 (``stable``). Before, the indices of each run of equal values are
    sorted once more: as numbers of the run times the length, plus the index.
    """
    shape = need_rank(x, "sorting")
    axis = axis_of(axis, len(shape))
    size = shape[axis]
    short = isinstance(size, int) and size <= _INSERTION
    stable = {"stable": True} if "stable" in b.signature("argsort")["attrs"] and not short else {}
    made, index = _argsort(b, x, axis, descending, **stable)
    if short or stable:
        return made, index
    steps = changes(b, made, index, axis)
    runs = b.op("cumsum", X=steps, axis=axis, exclusive=False, reverse=False, flatten=False)
    offset = arithmetic(b, "mul", runs, _size(b, size))
    keys, _ = _argsort(b, arithmetic(b, "add", offset, index), axis, False)
    return made, arithmetic(b, "sub", keys, offset)


def changes(b: Builder, made: Value, index: Value, axis: int) -> Value:
    """1 where an element along *axis* differs from the one before it, else 0; int64."""
    size = need_rank(made, "sorting")[axis]
    if counted(b, [size]):
        positions = arithmetic(b, "sub", iota(b, size), dim_tensor(b, 1))
        positions = arithmetic(b, "max", positions, dim_tensor(b, 0))
        return b.cast(compare(b, "not_equal", gather(b, made, positions, axis, wrap=False), made), DType.INT64)
    before = slice_(b, made, [axis], [0], [-1])
    after = slice_(b, made, [axis], [1], [2**31 - 1])
    changes = b.cast(compare(b, "not_equal", before, after), DType.INT64)
    zero = scale(b, slice_(b, index, [axis], [0], [1]), 0.0)
    steps = concat(b, [zero, changes], axis)
    steps.shape = index.shape  # the cut and the joint undo each other
    return steps


def _argsort(b: Builder, x: Value, axis: int, descending: bool, **attrs: bool) -> tuple[Value, Value]:
    result = {"Out": (x.dtype, x.shape), "Indices": (DType.INT64, x.shape)}
    made, index = b.op_outputs("argsort", X=x, axis=axis, descending=descending, results=result, **attrs)
    return made, index


def top_k(
    b: Builder, x: Value, k: Union[int, Value], axis: int, *, largest: bool = True, indices: bool = True
) -> tuple[Value, Optional[Value]]:
    """The *k* largest or smallest elements along *axis* in order, and their indices; of equal ones the first.

    Args:
        k: a number, or an integer tensor of one element.
        indices: False when nobody reads them: then equal elements need no order.
    """
    shape = need_rank(x, "TopK")
    axis = axis_of(axis, len(shape))
    if isinstance(k, int):
        out = replaced(shape, axis, k)
        if 0 in out:
            return fill(b, out, 0, x.dtype), fill(b, out, 0, DType.INT64)
        if not indices:
            result = {"Out": (x.dtype, out), "Indices": (DType.INT64, out)}
            made, _ = b.op_outputs("top_k_v2", X=x, k=k, axis=axis, largest=largest, sorted=True, results=result)
            return made, None
    made, index = sort(b, x, axis, descending=largest)
    end = [k] if isinstance(k, int) else reshape(b, k, (1,))
    first, at = (slice_(b, v, [axis], [0], end) for v in (made, index))
    if not isinstance(k, int):
        at.shape = first.shape
    return first, at
