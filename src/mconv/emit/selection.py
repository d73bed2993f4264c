"""What is chosen, joined and cut where sizes come from data; see :mod:`mconv.emit.zero_size`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

import numpy as np

from mconv.emit.elementwise import arithmetic, compare, logical
from mconv.emit.known import bind_shape, replaced
from mconv.emit.operators import concat_op
from mconv.emit.padding import padded, within
from mconv.emit.ranges import iota, spread
from mconv.emit.shape import fill, reshape
from mconv.emit.size_arithmetic import join
from mconv.emit.sizes import dim_tensor
from mconv.emit.zero_size import counted, factored, true_size, vanishes
from mconv.errors import UnsupportedError
from mconv.program import dims as D
from mconv.program.builder import Builder
from mconv.program.dtypes import DType
from mconv.program.value import Value


def present(b: Builder, dim: D.Dim, axis: int, rank: int) -> Value:
    """Which of the positions along *dim* are no padding: bool of *rank* dimensions."""
    count = reshape(b, dim_tensor(b, true_size(b, dim)), [1] * rank)
    return compare(b, "less_than", spread(b, iota(b, dim), axis, rank), count)


def selected(b: Builder, condition: Value, size: Optional[D.Dim] = None, least: int = 1) -> Value:
    """Coordinates of the elements that are true (``where_index``): int64 [their number, rank of *condition*].

    Args:
        condition: bool, of rank 1 or more.
        size: what the number is called.
        least: how many there are for padding where there is none, see :func:`padded`.
    """
    shape = condition.shape or ()
    if condition.size == 0:
        return b.constant(np.zeros((0, len(shape)), np.int64))
    for axis, dim in enumerate(shape):
        if counted(b, [dim]):
            condition = logical(b, "logical_and", condition, present(b, dim, axis, len(shape)))
    size = D.Sym.fresh("nonzero") if size is None else size
    found = b.op("where_index", Condition=condition, result=(DType.INT64, (size, len(shape))))
    return padded(b, found, least=least)


def joined(b: Builder, parts: Sequence[Value], axis: int) -> Optional[Value]:
    """The true parts of tensors one after the other along *axis*; None where no size along it comes from data."""
    sizes = [(p.shape or ())[axis] for p in parts]
    named: D.Dim = 0
    for d in sizes:
        named = named + _not_below(b, d)
    if not counted(b, sizes) or vanishes(b, named):
        return None
    if not all(counted(b, [d]) for d in sizes):
        bare = [b.unpadded.get(p.name or "") if counted(b, [d]) else p for p, d in zip(parts, sizes)]
        whole = _joined_bare(b, bare, axis, true_size(b, named))
        if whole is not None:
            return whole
    common = factored(named)[0] if isinstance(named, D.Sym) else 1
    if not isinstance(common, int):
        raise UnsupportedError("Concat: tensors whose sizes come from data and are multiples of another")
    flags = [b.cast(present(b, d, 0, 1), DType.INT32) for d in sizes]
    total = D.Sym.fresh("joined")
    shape = [next((d for d in ds if isinstance(d, int)), ds[0]) for ds in zip(*(p.shape or () for p in parts))]
    shape[axis] = total
    whole = concat_op(b, parts, axis, shape)
    truth = concat_op(b, flags, 0, [total])
    b.origins[total] = (truth, 0)
    size = D.Sym.fresh("kept")
    positions = selected(b, b.cast(truth, DType.BOOL), size, common)
    made = taken(b, whole, reshape(b, positions, (size,)), axis)
    made.shape = replaced(shape, axis, named)
    return made


def _not_below(b: Builder, dim: D.Dim) -> D.Dim:
    """A size of which there is nothing where it is computed to be below 0: ``n - 1`` of no elements."""
    none = D.substitute(dim, dict.fromkeys(counted(b, [dim]), 0))
    return dim if not isinstance(none, int) or none >= 0 else D.maximum(dim, 0)


def _joined_bare(b: Builder, parts: Sequence[Optional[Value]], axis: int, size: D.Dim) -> Optional[Value]:
    """Tensors as they were before padding, one of them with elements, one after the other; None where there is none of them."""
    bare = [p for p in parts if p is not None]
    shapes = [p.shape or () for p in bare]
    if len(bare) < len(parts) or counted(b, [d for dims in shapes for d in dims]):
        return None
    shape = [next((d for d in ds if isinstance(d, int)), ds[0]) for ds in zip(*shapes)]
    shape[axis] = size
    return concat_op(b, bare, axis, shape)


def cut(b: Builder, x: Value, axis: int, start: D.Dim, size: D.Dim, step: int = 1) -> Value:
    """*size* elements along *axis* from the position *start* on, at least one of them where the size comes from data."""
    assert x.shape is not None
    positions = iota(b, size)
    if step != 1:
        positions = arithmetic(b, "mul", positions, dim_tensor(b, step))
    positions = arithmetic(b, "add", positions, dim_tensor(b, true_size(b, start)))
    last = arithmetic(b, "sub", dim_tensor(b, x.shape[axis]), dim_tensor(b, 1))
    return taken(b, x, arithmetic(b, "min", positions, last), axis)


def without_padding(b: Builder, x: Value) -> Value:
    """*x* cut to its true sizes, which may be 0: for an output of the model, no operator reads it."""
    bare = b.unpadded.get(x.name or "")
    if bare is not None and not counted(b, bare.shape or ()):  # else another dimension of it may have padding, still
        return bare
    shape = x.shape or ()
    axes = [i for i, d in enumerate(shape) if counted(b, [d])]
    if not axes:
        return x
    if 0 in shape:
        return fill(b, [true_size(b, d) for d in shape], 0, x.dtype)
    ends = [dim_tensor(b, D.maximum(true_size(b, shape[i]), 0), DType.INT32) for i in axes]
    return b.op(
        "strided_slice",
        Input=x,
        axes=axes,
        starts=[0] * len(axes),
        ends=[-1] * len(axes),
        strides=[1] * len(axes),
        EndsTensor=join(b, ends),
        infer_flags=[-1] * len(axes),
        decrease_axis=[],
        result=(x.dtype, tuple(D.Sym.fresh("cut") if i in axes else d for i, d in enumerate(shape))),
    )


def taken(b: Builder, x: Value, index: Value, axis: int) -> Value:
    """The elements of *x* along *axis* at *index*, a vector that holds nothing negative."""
    assert x.shape is not None
    index = within(b, index)
    out = replaced(x.shape, axis, *(index.shape or ()))
    if 0 in out:
        return fill(b, out, 0, x.dtype)
    return bind_shape(b, b.op("gather", X=x, Index=index, axis=axis, result=(x.dtype, out)))
