"""Constants made out of a model's weights without holding them: read, changed and written in their turn."""

from __future__ import annotations

import itertools
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
        wide = min(columns, wide // _BLOCK * _BLOCK or wide)
        if wide >= columns:
            yield from ArraySource(self._tile(0, self._new_tile(columns)), self.dtype).chunks(size)
            return
        # two tiles are enough for all: to get fresh memory from the system takes as long as to write it
        tiles = itertools.cycle([self._new_tile(wide) for _ in range(2)])
        with futures.ThreadPoolExecutor(1) as pool:
            coming = pool.submit(self._tile, 0, next(tiles))
            for left in range(wide, columns + wide, wide):
                tile = coming.result()
                if left < columns:
                    coming = pool.submit(self._tile, left, next(tiles)[: columns - left])
                yield from ArraySource(tile, self.dtype).chunks(size)

    def _new_tile(self, wide: int) -> np.ndarray:
        return np.empty((wide, self.shape[1]), self.dtype.numpy.newbyteorder("<"))

    def _tile(self, left: int, tile: np.ndarray) -> np.ndarray:
        """*tile*, with these columns of the source, from *left* on, as rows."""
        columns, rows = self.shape
        # rows that are mapped at once
        deep = _READ // max(1, columns * self.dtype.itemsize) // _BLOCK * _BLOCK or _BLOCK
        for top in range(0, rows, deep):
            block = self.source.rows(top, min(rows, top + deep))[:, left : left + len(tile)]
            _transpose(block, tile[:, top : top + len(block)])
            del block
        return tile


_TILE, _READ = 32 << 20, 16 << 20  # bytes of the result that are held twice, and of the source that are mapped
_BLOCK = 256  # rows and columns that are transposed at once: they stay in the second level cache
_APART = 64  # bytes between the rows of a block, a line of the cache


def _transpose(matrix: np.ndarray, out: np.ndarray) -> None:
    """``out[:] = matrix.T``, of matrices whose rows are contiguous.

    Rows of a weight lie a multiple of 4 kB apart, so those of a column share a few lines of the cache and drive each
    other out of it. A block is therefore copied first, with its rows a little further apart.
    """
    block = np.empty((_BLOCK, _BLOCK + _APART // matrix.itemsize), matrix.dtype)
    for top in range(0, matrix.shape[0], _BLOCK):
        for left in range(0, matrix.shape[1], _BLOCK):
            part = matrix[top : top + _BLOCK, left : left + _BLOCK]
            apart = block[: part.shape[0], : part.shape[1]]
            apart[:] = part
            out[left : left + part.shape[1], top : top + part.shape[0]] = apart.T


def _contiguous(array: np.ndarray) -> np.ndarray:
    """The array in C order; a transposed matrix, as most weights are, in a fraction of the time that numpy takes."""
    if array.ndim != 2 or array.size < 1 << 14 or not array.T.flags.c_contiguous:
        return np.ascontiguousarray(array)
    out = np.empty(array.shape, array.dtype)
    _transpose(array.T, out)
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
