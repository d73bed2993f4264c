"""Constants made out of a model's weights without holding them: read, changed and written in their turn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent import futures
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


class TransposedSource(TensorSource):
    """A matrix transposed while it is written, by tiles: neither it nor the result is ever in memory as a whole. While one
    tile is written, the next one is made in a thread: numpy does not hold Python's lock meanwhile.

    Args:
        source: [rows, columns].
    """

    def __init__(self, source: TensorSource):
        rows, columns = source.shape
        self.source, self.dtype, self.shape = source, source.dtype, (columns, rows)

    def array(self) -> np.ndarray:
        return _contiguous(self.source.array().T)

    def chunks(self, size: int = 1 << 20) -> Iterator[Any]:
        columns, rows = self.shape
        wide = max(1, _TILE // max(1, rows * self.dtype.itemsize))  # columns that make up a tile of the result
        if wide >= columns:
            yield from ArraySource(self._tile(0, columns), self.dtype).chunks(size)
            return
        with futures.ThreadPoolExecutor(1) as pool:
            coming = pool.submit(self._tile, 0, wide)
            for left in range(wide, columns + wide, wide):
                tile = coming.result()
                if left < columns:
                    coming = pool.submit(self._tile, left, min(columns, left + wide))
                yield from ArraySource(tile, self.dtype).chunks(size)
                del tile

    def _tile(self, left: int, right: int) -> np.ndarray:
        """[right - left, rows]: these columns of the source as rows."""
        columns, rows = self.shape
        deep = max(
            _BAND, _READ // max(1, columns * self.dtype.itemsize) // _BAND * _BAND
        )  # rows that are mapped at once
        tile = np.empty((right - left, rows), self.dtype.numpy.newbyteorder("<"))
        for top in range(0, rows, deep):
            block = self.source.rows(top, min(rows, top + deep))[:, left:right]
            for start in range(0, len(block), _BAND):
                band = block[start : start + _BAND]
                tile[:, top + start : top + start + len(band)] = band.T
            del block
        return tile


_TILE, _READ = 64 << 20, 8 << 20  # bytes of the result that are held, and of the source that are mapped
_BAND = 64  # rows that are transposed at once: what they touch stays in the cache


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


def transposed(b: Builder, weight: Value) -> Value:
    """A constant matrix with a source, transposed while it is written."""
    assert weight.source is not None
    name = getattr(weight.source, "name", "") or weight.name or "weight"
    return b.param(TransposedSource(weight.source), name)
