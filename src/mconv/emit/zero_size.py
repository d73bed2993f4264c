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

import math
from collections.abc import Iterable
from typing import Any, Callable

from mconv.program import dims as D
from mconv.program.builder import Builder
from mconv.program.value import Value


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
    below = D.sign(one) < 1 if isinstance(one, D.Sym) else one < 1
    return not below and all(D.substitute(dim, {s: 0}) == 0 for s in sizes)


def carried_size(b: Builder, dim: D.Dim) -> D.Dim:
    """How many elements a tensor carries along *dim*, see the module's text: to be computed where it is not read off."""
    if not isinstance(dim, D.Sym) or vanishes(b, dim):
        return dim
    common, rest = factored(dim)
    return common * D.maximum(true_size(b, rest), 1)


def factored(dim: D.Sym) -> tuple[D.Dim, D.Dim]:
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


_watches: list[Callable[[Builder], None]] = []


def when_counted(watch: Callable[[Builder], None]) -> Callable[[Builder], None]:
    """*watch* is called with a builder as soon as there is a size from data in its program: to look at its operators.

    :mod:`mconv.emit.of_nothing` does, which knows operators that stand on this module.
    """
    _watches.append(watch)
    return watch


def register(b: Builder, size: D.Sym, count: D.Dim) -> None:
    """*size* is one that comes from data: what carries it has an element of padding where *count*, the true one, is 0."""
    b.counts[size] = count
    for watch in _watches:
        watch(b)


def size_held(b: Builder, number: Value, hint: str = "count") -> D.Sym:
    """The size that an integer tensor of one element holds, to compute with."""
    size = D.Sym.fresh(hint)
    b.origins[size] = (number, None)
    return size


def one_if_any(b: Builder, sizes: Iterable[D.Dim]) -> D.Dim:
    """1, or 0 where one of *sizes* is truly 0."""
    return D.minimum(D.product(sorted((true_size(b, s) for s in sizes), key=repr)), 1)


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
