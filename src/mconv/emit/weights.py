"""Constants made out of a model's weights without holding them: read, changed and written in their turn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Callable

import numpy as np

from mconv.program.builder import Builder
from mconv.program.dtypes import DType
from mconv.program.params import ArraySource, TensorSource
from mconv.program.value import Value


class ComputedSource(TensorSource):
    """A tensor that is computed each time it is asked for.

    Args:
        make: gives the array, of *shape* and *dtype*.
    """

    def __init__(self, dtype: DType, shape: Sequence[int], make: Callable[[], np.ndarray]):
        self.dtype, self.shape = dtype, tuple(shape)
        self._make = make

    def array(self) -> np.ndarray:
        made = _contiguous(np.asarray(self._make(), self.dtype.numpy))
        if made.shape != self.shape:
            raise ValueError(f"computed {made.shape} where {self.shape} was announced")
        return made

    def chunks(self, size: int = 1 << 20) -> Iterator[Any]:
        return ArraySource(self.array(), self.dtype).chunks(size)


_BAND = 32  # rows that are transposed at once: what they touch stays in the cache


def _contiguous(array: np.ndarray) -> np.ndarray:
    """The array in C order; a transposed matrix, as most weights are, in a third of the time that numpy takes."""
    if array.ndim != 2 or array.size < 1 << 14 or not array.T.flags.c_contiguous:
        return np.ascontiguousarray(array)
    out = np.empty(array.shape, array.dtype)
    for start in range(0, array.shape[1], _BAND):
        out[:, start : start + _BAND] = array[:, start : start + _BAND]
    return out


def computed(
    b: Builder, weights: Sequence[Value], shape: Sequence[int], make: Callable[..., np.ndarray], dtype: DType
) -> Value:
    """A constant of *shape* that ``make(*arrays)`` gives from constant *weights*; it is named after the first."""
    kept = list(weights)
    source = ComputedSource(dtype, shape, lambda: make(*[np.asarray(w.const) for w in kept]))
    return b.param(source, getattr(kept[0].source, "name", "") or kept[0].name or "weight")


def view(b: Builder, x: Value, shape: Sequence[int]) -> Value:
    """A constant with the same bytes under another shape: an operator's weight stays a parameter."""
    if x.shape == tuple(shape):
        return x
    return computed(b, [x], shape, lambda a: a.reshape(tuple(shape)), x.dtype)
