"""ONNX's element types: which of Paddle's holds their numbers, and how their data are stored."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

import numpy as np

from mconv.errors import CorruptModelError, UnsupportedError
from mconv.program.bfloat16 import from_bits
from mconv.program.dtypes import FROM_ONNX, DType
from mconv.program.params import FileSource, TensorSource
from mconv.program.small_types import SMALL, carrier, meaning

if TYPE_CHECKING:
    import onnx

_BFLOAT16, _UINT64 = 16, 13

_HINT = "export the model again, or compare the file's size with the original's"
# what a tensor's data are as they are stored; Paddle's kernels lack bfloat16, which is widened
_EXACT = {number: dtype for number, dtype in FROM_ONNX.items() if dtype is not DType.BF16}
# types that Paddle (or its CPU kernels) lack → the type that holds every value of theirs (uint64: up to 2^63)
WIDENED = {4: DType.INT32, 12: DType.INT64, _UINT64: DType.INT64, _BFLOAT16: DType.FP32}
WIDENED.update({number: carrier(kind) for number, kind in SMALL.items()})
_STORED = {4: "uint16", 12: "uint32", _UINT64: "uint64", _BFLOAT16: "uint16"}
# integers without a sign that a wider type with one carries
UNSIGNED = frozenset({4, 12, _UINT64})
_NAMES = {4: "uint16", 12: "uint32", _UINT64: "uint64", _BFLOAT16: "bfloat16", 8: "string", 0: "undefined"}
_NAMES.update({27: "float6e2m3", 28: "float6e3m2"})
_NAMES.update({number: kind.name for number, kind in SMALL.items()})
# the name of a type that Paddle lacks → Paddle's of the one that carries it; numpy's name has a _ behind "float8"
CARRIED = {_NAMES[number]: dtype.label for number, dtype in WIDENED.items()}
CARRIED.update({kind.numpy: carrier(kind).label for kind in SMALL.values()})


MAX_RANK = 32  # of a tensor; no runtime has as many


def known_type(data_type: int) -> bool:
    """Whether a number is one of ONNX's element types."""
    return data_type != 0 and (data_type in _EXACT or data_type in _NAMES)


def type_name(data_type: int) -> str:
    """ONNX's name of an element type."""
    return _EXACT[data_type].label if data_type in _EXACT else _NAMES.get(data_type, f"type {data_type}")


def paddle_dtype(data_type: int, what: str) -> tuple[DType, bool]:
    """Paddle's type for an ONNX one and whether it is the same type.

    Raises:
        UnsupportedError: no type of Paddle holds its values.
    """
    if data_type in _EXACT:
        return _EXACT[data_type], True
    if data_type in WIDENED:
        return WIDENED[data_type], False
    raise UnsupportedError(f"{what}: Paddle has no tensors of {type_name(data_type)}")


def storage_dtype(data_type: int) -> np.dtype:
    """The numpy type of raw data: the bytes, where several numbers may share one.

    Raises:
        KeyError: a type whose data are no numbers that are known here.
    """
    if data_type in _EXACT:
        return _EXACT[data_type].numpy
    return np.dtype("uint8" if data_type in SMALL else _STORED[data_type])


def fed_dtype(data_type: int) -> Optional[np.dtype]:
    """The numpy type in which a source takes an input; None where the input comes as it is (bfloat16, as its bits)."""
    if data_type in SMALL:
        from onnx import helper

        return np.dtype(helper.tensor_dtype_to_np_dtype(data_type))
    return None if data_type == _BFLOAT16 else storage_dtype(data_type)


def only_by_reference(data_type: int) -> bool:
    """Whether ONNX Runtime takes no such input from numpy."""
    return data_type == _BFLOAT16 or data_type in SMALL


def stored_bytes(tensor: onnx.TensorProto) -> int:
    """How many bytes the data of a tensor take by its type and shape; 0 where that cannot be said."""
    if any(d < 0 for d in tensor.dims) or not (tensor.data_type in _EXACT or tensor.data_type in WIDENED):
        return 0
    count = math.prod(tensor.dims)
    small = SMALL.get(tensor.data_type)
    return count * storage_dtype(tensor.data_type).itemsize if small is None else -(-count * small.bits // 8)


def widen(bits: np.ndarray, data_type: int, what: str = "a tensor") -> np.ndarray:
    """Raw values of a type that Paddle lacks, in the type of :data:`WIDENED`; of small types, all that are in the bytes.

    Raises:
        UnsupportedError: a uint64 of 2^63 or more.
    """
    if data_type in SMALL:
        return meaning(SMALL[data_type])[bits].reshape(-1)
    if data_type == _BFLOAT16:
        return from_bits(bits)
    if data_type == _UINT64 and bits.size and bits.max() >= 1 << 63:
        raise UnsupportedError(f"{what}: holds a uint64 beyond the range of int64")
    return bits.astype(WIDENED[data_type].numpy)


class Widened(TensorSource):
    """A stored tensor of a type that Paddle lacks.

    Args:
        path, offset: where its data begin.
    """

    def __init__(self, path: Path, offset: int, data_type: int, shape: tuple[int, ...]):
        self.data_type, self.dtype, self.shape = data_type, WIDENED[data_type], shape
        kind = SMALL.get(data_type)
        self.shared = 1 if kind is None else 8 // kind.bits  # numbers in a stored element
        self.count = math.prod(shape)
        as_wide = {4: DType.INT16, 12: DType.INT32, _UINT64: DType.INT64, _BFLOAT16: DType.BF16}
        self.source = FileSource(path, offset, as_wide.get(data_type, DType.UINT8), (-(-self.count // self.shared),))

    def chunks(self, size: int = 1 << 20) -> Any:
        left, step = self.count, self.source.dtype.itemsize
        for chunk in self.source.chunks(size - size % step):
            made = widen(np.frombuffer(chunk, storage_dtype(self.data_type)), self.data_type)[:left]
            left -= made.size
            yield memoryview(made.view(np.uint8))  # type: ignore[arg-type]

    def array(self) -> np.ndarray:
        return self._between(0, self.count).reshape(self.shape)

    def rows(self, start: int, stop: int) -> np.ndarray:
        start, stop, _ = slice(start, stop).indices(self.shape[0])
        inner = self.shape[1:]
        size = math.prod(inner)
        return self._between(start * size, stop * size).reshape(stop - start, *inner)

    def _between(self, start: int, stop: int) -> np.ndarray:
        """The numbers from *start* to *stop*, of all in a row."""
        first = start // self.shared
        bits = self.source.rows(first, -(-stop // self.shared)).view(storage_dtype(self.data_type))
        return widen(bits, self.data_type)[start - first * self.shared : stop - first * self.shared]


def to_array(tensor: onnx.TensorProto, what: str) -> np.ndarray:
    """The values of a tensor stored in the parsed model, in Paddle's type."""
    from onnx import numpy_helper

    shape = tuple(tensor.dims)
    try:
        if tensor.data_type == _BFLOAT16 or tensor.data_type in SMALL:
            kind = storage_dtype(tensor.data_type)
            if tensor.HasField("raw_data"):
                bits = np.frombuffer(tensor.raw_data, kind.newbyteorder("<"))
            else:
                bits = np.array(tensor.int32_data, np.int32).astype(kind)
            if bits.nbytes != stored_bytes(tensor):
                raise ValueError(f"{bits.nbytes} bytes")
            return widen(bits, tensor.data_type, what)[: math.prod(shape)].reshape(shape)
        array = numpy_helper.to_array(tensor)
    except (ValueError, TypeError, OverflowError) as e:
        first = str(e).splitlines()[0]
        raise CorruptModelError(f"{what}: its data do not fit its shape {list(tensor.dims)} ({first})", _HINT) from None
    return widen(array, tensor.data_type, what) if tensor.data_type in WIDENED else array
