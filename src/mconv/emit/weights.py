"""Constants made out of a model's weights without holding them: read, changed and written in their turn."""

from __future__ import annotations

import contextlib
import functools
import os
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
    """A matrix transposed while it is written, by tiles: neither it nor the result is ever in memory as a whole. Threads
    make a tile together, of bands of the source: numpy does not hold Python's lock meanwhile.

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
        dtype = self.dtype.numpy.newbyteorder("<")
        wide = max(1, _TILE // max(1, rows * dtype.itemsize))  # columns that make up a tile of the result
        wide = min(columns, wide // _WIDE * _WIDE or wide)
        threads = min(_THREADS, os.cpu_count() or 1)
        # rows of a band, which are mapped at once
        deep = _READ // threads // max(1, columns * dtype.itemsize) // _LEAST * _LEAST or _LEAST
        with _scratch(wide * rows * dtype.itemsize) as room, contextlib.ExitStack() as stack:
            pool = stack.enter_context(futures.ThreadPoolExecutor(threads)) if rows > deep and threads > 1 else None
            for left in range(0, columns, max(1, wide)):
                many = min(wide, columns - left)
                tile = room[: many * rows * dtype.itemsize].view(dtype).reshape(many, rows)
                fill = functools.partial(self._fill, tile, left, deep)
                list((map if pool is None else pool.map)(fill, range(0, rows, deep)))
                yield from ArraySource(tile, self.dtype).chunks(size)

    def _fill(self, tile: np.ndarray, left: int, deep: int, top: int) -> None:
        """Put a band's columns, from *left* on, into the rows of the tile."""
        band = self.source.rows(top, min(tile.shape[1], top + deep))[:, left : left + len(tile)]
        _transpose(band, tile[:, top : top + len(band)])


# bytes of the result that are held, and of the source that are mapped by all threads: each tile maps all of the source
# once, which costs as much as to copy it where the pages of the cache are small
_TILE, _READ, _THREADS = 64 << 20, 32 << 20, 4
_DEEP, _WIDE = 512, 128  # rows and columns that are transposed at once: they stay in the second level cache
_LEAST = 64  # rows of a band
_APART = 64  # bytes between the rows of a block, a line of the cache
_spare: list[np.ndarray] = []  # of _TILE bytes, for whoever transposes next


@contextlib.contextmanager
def _scratch(size: int) -> Iterator[np.ndarray]:
    """A buffer of at least *size* bytes.

    It is kept from one matrix to the next: fresh memory is cleared first, which takes as long as to write it, and on a
    virtual machine whose host has to find it ten times as long.
    """
    try:
        room = _spare.pop()
    except IndexError:
        room = np.empty(_TILE, np.uint8)
    if size > room.nbytes:
        room = np.empty(size, np.uint8)
    try:
        yield room
    finally:
        _spare[:] = [room] if room.nbytes <= _TILE else []


def _transpose(matrix: np.ndarray, out: np.ndarray) -> None:
    """``out[:] = matrix.T``, of matrices whose rows are contiguous.

    Rows of a weight lie a multiple of 4 kB apart, so those of a column share a few lines of the cache and drive each
    other out of it. A block is therefore copied first, with its rows a little further apart.
    """
    block = np.empty((_DEEP, _WIDE + _APART // matrix.itemsize), matrix.dtype)
    for top in range(0, matrix.shape[0], _DEEP):
        for left in range(0, matrix.shape[1], _WIDE):
            part = matrix[top : top + _DEEP, left : left + _WIDE]
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
