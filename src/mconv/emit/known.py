"""What is known of a tensor now: its rank, the numbers in it, which of its sizes can be computed at run time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Optional

import numpy as np

from mconv.errors import UnsupportedError
from mconv.program import dims as D
from mconv.program.builder import Builder
from mconv.program.dtypes import DType
from mconv.program.value import Value

FOLD_LIMIT = 1 << 16  # elements up to which constants are computed here
INT32_MAX = 2**31 - 1


def foldable(*values: Optional[Value]) -> bool:
    """Whether all are constants small enough to compute with now (bfloat16, which numpy lacks, is not).

    What comes of them broadcast against each other must be small as well.
    """
    given = [v for v in values if v is not None]
    if not all(v.is_const and v.size is not None and v.size <= FOLD_LIMIT and v.dtype is not DType.BF16 for v in given):
        return False
    if len(given) < 2:
        return True
    try:
        shapes = (tuple(v.shape or ()) for v in given)
        return math.prod(np.broadcast_shapes(*shapes)) <= FOLD_LIMIT  # type: ignore[arg-type]
    except ValueError:
        return True  # not meant to be broadcast, or an error that will show itself


def need_rank(x: Value, what: str) -> tuple[D.Dim, ...]:
    """The shape of *x*; UnsupportedError when its rank is unknown."""
    if x.shape is None:
        raise UnsupportedError(f"{what}: the rank of its input is unknown")
    return x.shape


def axis_of(axis: int, rank: int) -> int:
    """*axis* counted from the front."""
    if not -rank <= axis < max(rank, 1):
        raise UnsupportedError(f"axis {axis} does not exist in a tensor of rank {rank}")
    return axis % rank if rank else 0


def known_size(x: Value, axis: int, problem: str) -> int:
    """The size of *x* along *axis*; UnsupportedError, which says the *problem*, when it is known only at run time."""
    size = x.shape[axis] if x.shape else None
    if not isinstance(size, int):
        raise UnsupportedError(problem)
    return size


def replaced(shape: Sequence[D.Dim], axis: int, *dims: D.Dim) -> tuple[D.Dim, ...]:
    """*shape* with *dims* in the place of that of *axis*, which is counted from the front."""
    return (*shape[:axis], *dims, *shape[axis + 1 :])


def single(x: Value) -> Any:
    """The number that a constant of one element holds."""
    return np.asarray(x.const).reshape(-1)[0].item()


def dims_of(x: Value) -> Optional[list[D.Dim]]:
    """The elements of an integer tensor as dimensions, where they are known now."""
    if x.data is not None:
        return list(x.data)
    if x.is_const and x.dtype.is_int and foldable(x):
        return [int(v) for v in np.asarray(x.const).reshape(-1)]
    return None


def bind_shape(b: Builder, x: Value) -> Value:
    """Remember that the symbols of *x*'s shape can be read off it at run time."""
    for axis, dim in enumerate(x.shape or ()):
        if isinstance(dim, D.Sym) and not computable(b, dim):
            b.origins[dim] = (x, axis)
    return x


def computable(b: Builder, dim: D.Dim) -> bool:
    """Whether a dimension follows from sizes that can be read off other tensors already."""
    if isinstance(dim, int) or dim in b.origins:
        return True
    return all(_known_atom(b, atom) for monomial in dim.terms for atom in monomial)


def _known_atom(b: Builder, atom: Any) -> bool:
    if D.Sym.named(atom) in b.origins:
        return True
    return isinstance(atom, tuple) and atom[0] in _FUNCTIONS and all(computable(b, a) for a in atom[1:])


_FUNCTIONS = frozenset({"floordiv", "max", "min", "broadcast", "carried"})  # what _atom computes
