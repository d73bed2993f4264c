"""Sizes that come from data and may be 0: selections that find nothing, loops without a turn.

Most operators of every Paddle fail on a tensor without elements, in other ways with oneDNN and without: Paddle 2.3.2
cannot reshape or broadcast one, 2.6.2 cannot compare one, `relu` of 3.3.1 cannot read one, and `concat` of two brings
all of them down. So no operator is given one. Where a size comes from data, the tensor *carries* one element of
padding when there is none, and its true size is kept beside (:attr:`~mconv.program.builder.Builder.counts`). What
works on each element or row for itself needs to know nothing of it. Where the number of elements matters, the true
size is used: an operator in which the size disappears gets what it gives of nothing (:mod:`mconv.emit.of_nothing`), the value
of a size is the true one, what is joined or cut is put together from the true parts, and a model's output is cut to
its true size by ``strided_slice``, which every Paddle can do. A program without such sizes is not touched.

What a size carries: ``d`` where it is 0 as soon as one of the sizes in it is (``2*d``), else at least one of what it
truly is (``d + 3``, ``d + e``).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Sequence
from typing import Any, Optional

import numpy as np

from mconv.errors import UnsupportedError
from mconv.program import dims as D
from mconv.program.builder import Builder
from mconv.program.dtypes import DType
from mconv.program.value import Value

_RANK = 6  # the most dimensions that Paddle's operators repeat

# sizes --------------------------------------------------------------------------------------------------------------


def counted(b: Builder, dims: Iterable[D.Dim]) -> set[D.Sym]:
    """The sizes from data that *dims* are computed of."""
    if not b.counts:
        return set()
    return {s for d in dims for s in D.symbols(d) if s in b.counts}


def true_size(b: Builder, dim: D.Dim) -> D.Dim:
    """How much of *dim* there is without padding, in sizes that can be computed at run time."""
    return D.substitute(dim, b.counts, exact=True) if b.counts else dim


def vanishes(b: Builder, dim: D.Dim) -> bool:
    """Whether *dim* is 0 as soon as one of the sizes from data in it is 0, and 1 or more where they are."""
    sizes = counted(b, [dim])
    if not sizes:
        return True
    one = D.substitute(dim, dict.fromkeys(sizes, 1))
    below = min(one.terms.values()) < 0 if isinstance(one, D.Sym) else one < 1
    return not below and all(D.substitute(dim, {s: 0}) == 0 for s in sizes)


def carried_size(b: Builder, dim: D.Dim) -> D.Dim:
    """How many elements a tensor carries along *dim*, see the module's text: to be computed where it is not read off."""
    if not isinstance(dim, D.Sym) or vanishes(b, dim):
        return dim
    common, rest = _factored(dim)
    return common * D.maximum(true_size(b, rest), 1)


def _factored(dim: D.Sym) -> tuple[D.Dim, D.Dim]:
    """*dim* as a product of what all of its terms have in common and of the rest."""
    monomials = list(dim.terms)
    shared = [a for a in monomials[0] if isinstance(a, str)]
    for m in monomials[1:]:
        left = list(m)
        kept = []
        for a in shared:
            if a in left:
                left.remove(a)
                kept.append(a)
        shared = kept
    common: D.Dim = math.gcd(*dim.terms.values())
    for a in shared:
        common = common * D.Sym.named(a)
    rest = D.exact_div(dim, common)
    return (1, dim) if rest is None else (common, rest)


def register(b: Builder, size: D.Sym, count: D.Dim) -> None:
    """*size* is one that comes from data: what carries it has an element of padding where *count*, the true one, is 0."""
    from mconv.emit.of_nothing import prepared, settled

    b.counts[size] = count
    b.before_op = functools.partial(prepared, b)
    b.after_op = functools.partial(settled, b)
    b.before_fetch = functools.partial(without_padding, b)


def size_held(b: Builder, number: Value, hint: str = "count") -> D.Sym:
    """The size that an integer tensor of one element holds, to compute with."""
    size = D.Sym.fresh(hint)
    b.origins[size] = (number, None)
    return size


def one_if_any(b: Builder, sizes: Iterable[D.Sym]) -> D.Dim:
    """1, or 0 where one of *sizes* is truly 0."""
    return D.minimum(D.product(sorted((true_size(b, s) for s in sizes), key=repr)), 1)


def non_zero(b: Builder, sizes: Iterable[D.Dim]) -> Value:
    """Whether none of the true sizes is 0: bool [1]."""
    from mconv.emit.elementwise import compare
    from mconv.emit.sizes import dim_tensor

    total = D.product(sorted((true_size(b, s) for s in sizes), key=repr))

    def made() -> Value:
        return compare(b, "greater_than", dim_tensor(b, total), b.constant(np.zeros(1, np.int64)))

    return b.once(("nonzero", total), made)


def from_data(b: Builder, *values: Value) -> bool:
    """Whether one of the numbers follows from what the inputs hold, and not from their sizes alone."""
    feeds = {v.name for v in b._feeds}
    producers: dict[str, Any] = {}
    for block in b.program.blocks:
        for op in block.ops:
            producers.update(dict.fromkeys(op.output_names, op))
    selections = {v.name for v in b.unpadded.values()}
    queue = [(v.name, False) for v in values if v.name and not v.is_const]
    seen = set(queue)
    while queue:
        name, sizes_only = queue.pop()
        if name in feeds or name in selections:
            if not sizes_only or name in selections:
                return True
            continue
        maker = producers.get(name)
        if maker is None:
            if name not in b.params:
                return True  # a carried value of a loop
            continue
        for source in maker.input_names:
            step = (source, sizes_only or maker.type == "shape")
            if source and step not in seen:
                seen.add(step)
                queue.append(step)
    return False


def at_least_one(b: Builder, sizes: Value, hint: str) -> tuple[Value, list[D.Dim]]:
    """Sizes that a 1-D integer tensor holds: with 1 in place of 0, and as dimensions that come from data.

    Raises:
        UnsupportedError: not even their number is known.
    """
    from mconv.emit.elementwise import arithmetic
    from mconv.emit.slicing import slice_

    rank = sizes.shape[0] if sizes.shape else None
    if not isinstance(rank, int):
        raise UnsupportedError(f"{hint}: the number of dimensions is known only at run time")
    dims: list[D.Dim] = []
    for i in range(rank):
        size = D.Sym.fresh(hint)
        held = slice_(b, sizes, [0], [i], [i + 1]) if rank > 1 else sizes
        register(b, size, size_held(b, held))
        carried = arithmetic(b, "max", held, b.constant(np.ones(1, held.dtype.numpy)))
        b.origins[size] = (carried, None)
        dims.append(size)
    ones = b.constant(np.ones(rank, sizes.dtype.numpy))
    return arithmetic(b, "max", sizes, ones), dims


# making and ending padding --------------------------------------------------------------------------------------------


def padded(b: Builder, x: Value, axis: int = 0, least: int = 1) -> Value:
    """*x*, as an operator made it, whose size along *axis* comes from data: with zeros for padding where it is 0.

    The size of the result is the symbol that *x* was declared with.

    Args:
        least: how many elements the padding has.
    """
    from mconv.emit.sizes import bind_shape

    assert x.shape is not None
    size = x.shape[axis]
    if not isinstance(size, D.Sym):
        return x
    count = D.Sym.fresh("count")
    x.shape = (*x.shape[:axis], count, *x.shape[axis + 1 :])
    b.origins[count] = (x, axis)
    made = _filled_up(b, x, axis, count, size, least)
    register(b, size, count)
    b.unpadded[made.name or ""] = x
    b.zero_padded.add(made.name or "")
    return bind_shape(b, made)


def _filled_up(b: Builder, x: Value, axis: int, count: D.Dim, size: D.Dim, least: int) -> Value:
    from mconv.emit.sizes import dim_tensor
    from mconv.emit.slicing import fill

    assert x.shape is not None
    before, after = x.shape[:axis], x.shape[axis + 1 :]
    blank = fill(b, (*before, least, *after), 0, x.dtype)
    whole = b.op("concat", X=[x, blank], axis=axis, result=(x.dtype, (*before, count + least, *after)))
    end = b.cast(dim_tensor(b, D.maximum(count, least)), DType.INT32)
    return b.op(
        "slice",
        Input=whole,
        axes=[axis],
        starts=[0],
        ends=[-1],
        EndsTensor=end,
        infer_flags=[-1],
        decrease_axis=[],
        result=(x.dtype, (*before, size, *after)),
    )


def selected(b: Builder, condition: Value, size: Optional[D.Dim] = None, least: int = 1) -> Value:
    """Coordinates of the elements that are true (``where_index``): int64 [their number, rank of *condition*].

    Args:
        condition: bool, of rank 1 or more.
        size: what the number is called.
        least: how many there are for padding where there is none, see :func:`padded`.
    """
    from mconv.emit.elementwise import logical

    shape = condition.shape or ()
    for axis, dim in enumerate(shape):
        if counted(b, [dim]):
            condition = logical(b, "logical_and", condition, present(b, dim, axis, len(shape)))
    size = D.Sym.fresh("nonzero") if size is None else size
    found = b.op("where_index", Condition=condition, result=(DType.INT64, (size, len(shape))))
    return padded(b, found, least=least)


def present(b: Builder, dim: D.Dim, axis: int, rank: int) -> Value:
    """Which of the places along *dim* are no padding: bool of *rank* dimensions."""
    from mconv.emit.elementwise import compare
    from mconv.emit.generate import iota, spread
    from mconv.emit.shape import reshape
    from mconv.emit.sizes import dim_tensor

    count = reshape(b, dim_tensor(b, true_size(b, dim)), [1] * rank)
    return compare(b, "less_than", spread(b, iota(b, dim), axis, rank), count)


def or_else(b: Builder, sizes: Iterable[D.Dim], x: Value, other: Value) -> Value:
    """*x*, or where one of *sizes* is truly 0 *other*, which broadcasts to it."""
    from mconv.emit.elementwise import where
    from mconv.emit.shape import reshape

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


def joined(b: Builder, parts: Sequence[Value], axis: int) -> Optional[Value]:
    """The true parts of tensors one after the other along *axis*; None where no size along it comes from data."""
    from mconv.emit.gather import gather
    from mconv.emit.shape import reshape

    sizes = [(p.shape or ())[axis] for p in parts]
    named: D.Dim = 0
    for d in sizes:
        named = named + d
    if not counted(b, sizes) or vanishes(b, named):
        return None
    common = _factored(named)[0] if isinstance(named, D.Sym) else 1
    if not isinstance(common, int):
        raise UnsupportedError("Concat: tensors whose sizes come from data and are multiples of another")
    flags = [b.cast(present(b, d, 0, 1), DType.INT32) for d in sizes]
    total = D.Sym.fresh("joined")
    shape = [next((d for d in ds if isinstance(d, int)), ds[0]) for ds in zip(*(p.shape or () for p in parts))]
    shape[axis] = total
    whole = b.op("concat", X=list(parts), axis=axis, result=(parts[0].dtype, tuple(shape)))
    truth = b.op("concat", X=flags, axis=0, result=(DType.INT32, (total,)))
    b.origins[total] = (truth, 0)
    size = D.Sym.fresh("kept")
    places = selected(b, b.cast(truth, DType.BOOL), size, common)
    made = gather(b, whole, reshape(b, places, (size,)), axis, wrap=False)
    made.shape = (*shape[:axis], named, *shape[axis + 1 :])
    return made


def cut(b: Builder, x: Value, axis: int, start: D.Dim, size: D.Dim, step: int = 1) -> Value:
    """*size* elements along *axis* from the place *start* on, at least one of them where the size comes from data."""
    from mconv.emit.elementwise import arithmetic
    from mconv.emit.gather import gather
    from mconv.emit.generate import iota
    from mconv.emit.sizes import dim_tensor

    assert x.shape is not None
    places = iota(b, size)
    if step != 1:
        places = arithmetic(b, "mul", places, b.constant(np.array([step], np.int64)))
    places = arithmetic(b, "add", places, dim_tensor(b, true_size(b, start)))
    last = arithmetic(b, "sub", dim_tensor(b, x.shape[axis]), b.constant(np.ones(1, np.int64)))
    return gather(b, x, arithmetic(b, "min", places, last), axis, wrap=False)


def without_padding(b: Builder, x: Value) -> Value:
    """*x* cut to its true sizes, which may be 0: for an output of the model, no operator reads it."""
    from mconv.emit.shape import reshape
    from mconv.emit.sizes import dim_tensor
    from mconv.emit.slicing import concat, fill

    if x.name in b.unpadded:
        return b.unpadded[x.name]
    shape = x.shape or ()
    axes = [i for i, d in enumerate(shape) if counted(b, [d])]
    if not axes:
        return x
    if 0 in shape:
        return fill(b, [true_size(b, d) for d in shape], 0, x.dtype)
    ends = [reshape(b, dim_tensor(b, D.maximum(true_size(b, shape[i]), 0), DType.INT32), (1,)) for i in axes]
    return b.op(
        "strided_slice",
        Input=x,
        axes=axes,
        starts=[0] * len(axes),
        ends=[-1] * len(axes),
        strides=[1] * len(axes),
        EndsTensor=concat(b, ends, 0),
        infer_flags=[-1] * len(axes),
        decrease_axis=[],
        result=(x.dtype, tuple(D.Sym.fresh("cut") if i in axes else d for i, d in enumerate(shape))),
    )
