"""Parameters of a program under construction: the bytes of another source, under a name or a shape."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from mconv.program.params import TensorSource


class NamedSource(TensorSource):
    """A source with the name that its parameter should get."""

    def __init__(self, source: TensorSource, name: str):
        self.source, self.name = source, name
        self.dtype, self.shape = source.dtype, source.shape

    def chunks(self, size: int = 1 << 20) -> Iterator[Any]:
        return self.source.chunks(size)

    def array(self) -> np.ndarray:
        return self.source.array()

    def rows(self, start: int, stop: int) -> np.ndarray:
        return self.source.rows(start, stop)


class UnsharedSource(NamedSource):
    """One that stays its own parameter, whatever it is equal to."""


class ReshapedSource(NamedSource):
    """The same bytes under another shape."""

    def __init__(self, source: TensorSource, shape: Sequence[int]):
        super().__init__(source, "")
        self.shape = tuple(shape)

    def array(self) -> np.ndarray:
        return self.source.array().reshape(self.shape)

    def rows(self, start: int, stop: int) -> np.ndarray:
        return self.array()[start:stop]
