"""Sizes that open ones are too small for: ``s - 1`` of what is cut from ``s`` elements, where ``s`` is 1.

They are carried as those that come from data are (:mod:`mconv.emit.zero_size`): :func:`size_of_cut` names them, for
builders that ask for it (:attr:`~mconv.program.builder.Builder.small_sizes`), and only those that are 0 for some size.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Optional

from mconv.emit.zero_size import counted, register
from mconv.program import dims as D
from mconv.program.builder import Builder

_SMALL = (1, 2, 3, 4)  # open sizes that are tried, beside those that the numbers in a size stand for
_LONGEST = 200  # names that a size is written with, which is looked at
_TRIED = 256  # combinations of them


def size_of_cut(b: Builder, size: D.Dim, whole: D.Dim) -> D.Dim:
    """*size*, of what is cut from *whole*, which has elements: itself, or where it may be 0 the size that is carried."""
    if not b.small_sizes or not isinstance(size, D.Sym) or size.weight > _LONGEST or counted(b, [size, whole]):
        return size
    least = _least(size, whole)
    if least is None or least > 0:
        return size
    count = size if least == 0 else D.maximum(size, 0)
    carried = D.Sym.named(("carried", count))
    if carried not in b.counts:
        register(b, carried, count)
        b.vanishing.append(size)
    return carried


def _least(size: D.Sym, whole: D.Dim) -> Optional[int]:
    """The smallest value of *size* among open sizes for which *whole* is no less than 1; None where none is known."""
    found = [D.substitute(size, at) for at in _tried(size, whole) if _is_there(D.substitute(whole, at))]
    return min((n for n in found if isinstance(n, int)), default=None)


def _is_there(whole: D.Dim) -> bool:
    return isinstance(whole, int) and whole > 0


def _tried(*sizes: D.Dim) -> Iterator[dict[D.Sym, D.Dim]]:
    names = sorted({s for d in sizes for s in D.symbols(d) if s.is_name}, key=repr)
    near = {abs(n) + k for d in sizes for n in D.constants(d) for k in (0, 1, 4)}
    tried = [n for n in sorted({*_SMALL, *near}) if n > 0]
    if len(tried) ** len(names) > _TRIED:
        for n in tried:
            yield dict.fromkeys(names, n)
        tried = list(_SMALL[:2])
    for numbers in itertools.islice(itertools.product(tried, repeat=len(names)), _TRIED):
        yield dict(zip(names, numbers))
