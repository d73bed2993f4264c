"""Weights in half precision: rounded when they are read, and back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Union

from mconv.passes.half_tables import LARGEST, SATURATED
from mconv.program.bfloat16 import from_bits, to_bits
from mconv.program.dtypes import DType
from mconv.program.params import ArraySource, TensorSource

if TYPE_CHECKING:  # see dtypes.py
    import numpy as np


HALVES = tuple(LARGEST)


class HalfSource(TensorSource):
    """A float32 tensor in half precision, rounded when it is read.

    Args:
        as_float: the rounded numbers as float32.
    """

    def __init__(self, source: TensorSource, dtype: DType, as_float: bool = False):
        self._source, self._half, self._as_float = source, dtype, as_float
        self.dtype = DType.FP32 if as_float else dtype
        self.shape = source.shape

    def _made(self) -> ArraySource:
        import numpy as np

        array = self._source.array().astype(np.float32, copy=False)
        most = np.float32(SATURATED[self._half])
        large = np.isfinite(array) & (np.abs(array) > LARGEST[self._half])
        if large.any():
            array = np.where(large, np.copysign(most, array), array)
        if self._half is DType.FP16:
            half = array.astype(np.float16)
            return ArraySource(half.astype(np.float32) if self._as_float else half)
        bits = to_bits(array)
        return ArraySource(from_bits(bits)) if self._as_float else ArraySource(bits, DType.BF16)

    def array(self) -> np.ndarray:
        return self._made().array()

    def chunks(self, size: int = 1 << 22) -> Iterator[Union[bytes, memoryview]]:
        yield from self._made().chunks(size)


class FloatSource(TensorSource):
    """A tensor that is stored in half precision, as float32."""

    def __init__(self, source: TensorSource):
        self._source, self.dtype, self.shape = source, DType.FP32, source.shape

    def array(self) -> np.ndarray:
        import numpy as np

        array = self._source.array()
        return from_bits(array) if self._source.dtype is DType.BF16 else array.astype(np.float32)

    def chunks(self, size: int = 1 << 22) -> Iterator[Union[bytes, memoryview]]:
        yield from ArraySource(self.array()).chunks(size)


def has_too_large(source: TensorSource, dtype: DType) -> bool:
    """Whether a float32 tensor has numbers beyond the range of *dtype*."""
    import numpy as np

    if source.dtype is not DType.FP32:
        return False
    parts = (np.frombuffer(chunk, np.float32) for chunk in source.chunks())
    return any(bool((np.abs(part[np.isfinite(part)]) > LARGEST[dtype]).any()) for part in parts)
