"""Parameter files: records listed without reading the data, read lazily, written by streaming.

A record is: u32 version (0) · u64 number of LoD levels, each u64 size + data · u32 tensor version (0) · i32 length of
the TensorDesc · TensorDesc · raw little-endian data. A combined file (``.pdiparams``, ``__params__``) is records in
byte order of the variables' names and holds no names; a separate parameter is a file with one record, so combining
is concatenation. See ``docs/formats.md``.
"""

from __future__ import annotations

import abc
import math
import os
import struct
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Optional, Union

from mconv.errors import CorruptModelError, MconvError, UnsupportedError, UntrustedError
from mconv.program import messages
from mconv.program.copying import CHUNK, open_regular, read_range, shorter
from mconv.program.dtypes import DType, VarKind
from mconv.program.program import Var

if TYPE_CHECKING:  # see dtypes.py
    import numpy as np

from mconv.program.paths import PathLike

MAX_RANK = 9  # phi/core/ddim.h: DDim::kMaxRank
_MAX_DESC = 1024  # a TensorDesc of 9 dimensions takes at most 112 bytes
_MAX_LOD_LEVELS = 16  # Paddle's own models stop at 2 or 3
_LARGEST = (1 << 63) - 1  # Paddle counts elements and bytes in int64
_REWRITE = "save or download the model again"
_MISMATCH = "the program and the parameters are probably of two different models, or of two savings of one"


class TensorSource(abc.ABC):
    """A tensor whose data is produced when it is needed."""

    dtype: DType
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Size of the data."""
        return math.prod(self.shape) * self.dtype.itemsize

    @abc.abstractmethod
    def chunks(self, size: int = CHUNK) -> Iterator[Union[bytes, memoryview]]:
        """The raw little-endian data in order, in pieces of about *size* bytes; each is valid until the next is asked for."""

    @abc.abstractmethod
    def array(self) -> np.ndarray:
        """The data as an array of ``shape`` and ``dtype.numpy`` (bfloat16: its bits as uint16); may be read-only."""

    def rows(self, start: int, stop: int) -> np.ndarray:
        """``array()[start:stop]``, without what lies around it where the data are in a file."""
        return self.array()[start:stop]


class ArraySource(TensorSource):
    """A tensor held in memory.

    Args:
        array: any layout and byte order; it is brought into Paddle's piece by piece when written.
        dtype: the element type where numpy cannot say it, that is bfloat16 given as uint16 bits.

    Raises:
        KeyError: Paddle has no such element type.
        ValueError: *dtype* is not what the array holds.
    """

    def __init__(self, array: np.ndarray, dtype: Optional[DType] = None):
        import numpy as np

        array = np.asarray(array)
        if dtype is None:
            dtype = DType.of(array.dtype.newbyteorder("="))
        if array.dtype.name == "bfloat16":  # ml_dtypes
            array = array.view(np.uint16)
        if array.dtype.newbyteorder("=") != dtype.numpy:
            raise ValueError(f"an array of {array.dtype} does not hold {dtype.label}")
        self._array = array
        self.dtype = dtype
        self.shape = array.shape

    def chunks(self, size: int = CHUNK) -> Iterator[Union[bytes, memoryview]]:
        yield from _pieces(self._array, self.dtype.numpy.newbyteorder("<"), max(size, self.dtype.itemsize))

    def array(self) -> np.ndarray:
        return self._array.astype(self.dtype.numpy, copy=False)


def _pieces(array: np.ndarray, dtype: np.dtype, size: int) -> Iterator[memoryview]:
    """The data in C order without a copy of the whole."""
    import numpy as np

    if array.flags.c_contiguous and array.dtype == dtype:
        data = array.reshape(-1).view(np.uint8).data
        for start in range(0, len(data), size):
            yield data[start : start + size]
    elif array.nbytes <= size:
        yield np.ascontiguousarray(array, dtype).reshape(-1).view(np.uint8).data
    elif array.ndim > 1 and array.nbytes // len(array) > size:
        for row in array:
            yield from _pieces(row, dtype, size)
    else:
        step = max(1, size // (array.nbytes // len(array)))
        for start in range(0, len(array), step):
            yield from _pieces(array[start : start + step], dtype, size)


class FileSource(TensorSource):
    """A tensor whose raw little-endian data lies in a file.

    Args:
        offset: where the data begins, in bytes.
    """

    def __init__(self, path: PathLike, offset: int, dtype: DType, shape: Sequence[int]):
        self.path = Path(path)
        self.offset = offset
        self.dtype = dtype
        self.shape = tuple(shape)

    def chunks(self, size: int = CHUNK) -> Iterator[Union[bytes, memoryview]]:
        fd = open_regular(self.path)
        try:
            yield from read_range(fd, self.offset, self.nbytes, self.path, size)
        finally:
            os.close(fd)

    def array(self) -> np.ndarray:
        """The data, mapped and not read: only the pages that are looked at come into memory."""
        return self._mapped(self.offset, self.shape)

    def rows(self, start: int, stop: int) -> np.ndarray:
        start, stop, _ = slice(start, stop).indices(self.shape[0])
        inner = self.shape[1:]
        return self._mapped(self.offset + start * math.prod(inner) * self.dtype.itemsize, (stop - start, *inner))

    def _mapped(self, offset: int, shape: tuple[int, ...]) -> np.ndarray:
        import numpy as np

        nbytes = math.prod(shape) * self.dtype.itemsize
        if not nbytes:
            return np.empty(shape, self.dtype.numpy)
        fd = open_regular(self.path)
        with os.fdopen(fd, "rb") as file:
            if os.fstat(fd).st_size < offset + nbytes:
                raise shorter(self.path, os.fstat(fd).st_size, offset + nbytes)
            mapped = np.memmap(file, self.dtype.numpy.newbyteorder("<"), "r", offset, shape or (1,), order="C")
        return np.asarray(mapped).reshape(shape)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.path}@{self.offset}: {self.dtype.label}{list(self.shape)})"


class Record(FileSource):
    """One parameter of a model: a record whose name the program gave.

    ``record_offset`` is where the record (with its header) begins, ``end`` where the next one would.
    """

    def __init__(self, name: str, path: PathLike, record_offset: int, offset: int, dtype: DType, shape: Sequence[int]):
        super().__init__(path, offset, dtype, shape)
        self.name = name
        self.record_offset = record_offset

    @property
    def end(self) -> int:
        return self.offset + self.nbytes

    def __repr__(self) -> str:
        return f"Record({self.name}: {self.dtype.label}{list(self.shape)} at {self.record_offset} of {self.path})"


def list_combined(path: PathLike, params: Sequence[Var], loose: Collection[str] = ()) -> list[Record]:
    """The records of a combined file, of which only the headers are read.

    Args:
        params: the program's stored variables in the file's order (``Program.parameters``).
        loose: those of :func:`mconv.program.quantised.parameters`: they may be int8 where float32 is declared, and have
            dimensions of 1 that are not declared.

    Raises:
        CorruptModelError: truncated, followed by more bytes, absurd, or not the tensors of the program; names the
            variable and the offset.
        NotAModelError: the file cannot be read.
    """
    path = Path(path)
    fd = open_regular(path)
    try:
        size = os.fstat(fd).st_size
        found: list[Record] = []
        offset = 0
        for i, var in enumerate(params):
            if offset == size:
                raise CorruptModelError(
                    f"{path}: ends at offset {offset}, before parameter {var.name!r}: "
                    f"it holds {i} of the {len(params)} parameters of the program",
                    f"the file is truncated, or {_MISMATCH}",
                )
            found.append(_read_record(fd, path, size, offset, var, loose))
            offset = found[-1].end
        if offset != size:
            last = f"after {found[-1].name!r}, the last" if found else "although the program has no"
            raise CorruptModelError(
                f"{path}: {size - offset} more bytes at offset {offset}, {last} parameter ({len(params)} in all)",
                _MISMATCH,
            )
        return found
    finally:
        os.close(fd)


def list_separate(folder: PathLike, params: Sequence[Var], loose: Collection[str] = ()) -> list[Record]:
    """The records of a folder with one file per parameter, named after it; see :func:`list_combined`.

    Raises:
        CorruptModelError: a file is missing, damaged, or not the tensor of the program.
        UntrustedError: a parameter's name leads out of the folder.
    """
    folder = Path(folder)
    found = []
    for var in params:
        path = separate_path(folder, var.name)
        if not os.path.exists(path):
            raise CorruptModelError(
                f"{folder}: the file of parameter {var.name!r} is missing", "was the whole folder copied?"
            )
        fd = open_regular(path)
        try:
            size = os.fstat(fd).st_size
            record = _read_record(fd, path, size, 0, var, loose)
        finally:
            os.close(fd)
        if record.end != size:
            raise CorruptModelError(
                f"{path}: {size - record.end} more bytes at offset {record.end}, after parameter {var.name!r}", _REWRITE
            )
        found.append(record)
    return found


def separate_path(folder: Path, name: str) -> Path:
    """Where the file of a separate parameter lies; a name may hold slashes.

    Raises:
        UntrustedError: the name leads out of the folder.
        CorruptModelError: the name cannot be that of a file.
    """
    parts = PurePosixPath(name)
    if parts.is_absolute() or ".." in parts.parts or not parts.parts:
        raise UntrustedError(f"{folder}: the parameter name {name!r} leads out of the model's folder")
    if "\0" in name or any(len(os.fsencode(part)) > 255 for part in parts.parts):
        raise CorruptModelError(f"{folder}: the parameter name {_short(name)} cannot be that of a file")
    return folder / parts


def _short(name: str) -> str:
    return repr(name) if len(name) <= 80 else f"{name[:60]!r}… ({len(name)} characters)"


def _read_record(fd: int, path: Path, size: int, start: int, var: Var, loose: Collection[str]) -> Record:
    """Parse and check one header at *start* of a file of *size* bytes."""
    at = start

    def bad(why: str, at: int, hint: str = _REWRITE) -> MconvError:
        return CorruptModelError(f"{path}: parameter {_short(var.name)} at offset {at}: {why}", hint)

    def take(count: int, what: str) -> bytes:
        nonlocal at
        data = os.pread(fd, count, at) if count <= size - at else b""
        if len(data) != count:
            raise bad(f"the file ends in its {what} ({count} bytes needed, {size - at} left)", at)
        at += count
        return data

    if var.kind != VarKind.LOD_TENSOR:
        raise UnsupportedError(f"{path}: parameter {_short(var.name)} is no dense tensor (variable type {var.kind})")
    version, levels = struct.unpack("<IQ", take(12, "header"))
    if version != 0:
        raise bad(f"record version {version}, only 0 exists; no record begins here", start, _MISMATCH)
    if levels > _MAX_LOD_LEVELS:
        raise bad(f"{levels} LoD levels", start + 4)
    for _ in range(levels):
        (length,) = struct.unpack("<Q", take(8, "LoD size"))
        if length % 8 or length > size - at:
            raise bad(f"a LoD level of {length} bytes, {size - at} left in the file", at - 8)
        at += length
    version, length = struct.unpack("<Ii", take(8, "tensor header"))
    if version != 0:
        raise bad(f"tensor version {version}, only 0 exists", at - 8)
    if not 0 < length <= _MAX_DESC:
        raise bad(f"a tensor description of {length} bytes", at - 4)
    desc_at = at
    desc = messages.TensorDescMessage()
    try:
        desc.ParseFromString(take(length, "tensor description"))
    except messages.DecodeError:
        raise bad("its tensor description does not parse", desc_at) from None
    try:
        dtype = DType(desc.data_type)
    except ValueError:
        raise bad(f"element type {desc.data_type}, which mconv does not know", desc_at) from None
    shape = tuple(desc.dims)
    if len(shape) > MAX_RANK:
        raise bad(f"{len(shape)} dimensions, Paddle allows {MAX_RANK}", desc_at)
    if any(d < 0 for d in shape):
        raise bad(f"negative dimension in shape {list(shape)}", desc_at)
    record = Record(var.name, path, start, at, dtype, shape)
    if record.nbytes > _LARGEST or max(shape, default=0) > _LARGEST // dtype.itemsize:
        raise bad(f"shape {list(shape)} overflows", desc_at)
    if record.nbytes > size - at:
        raise bad(
            f"{dtype.label}{list(shape)} needs {record.nbytes} bytes of data, {size - at} are left in the file", at
        )
    if var.dtype_number != dtype and not (dtype is DType.INT8 and var.dtype is DType.FP32 and var.name in loose):
        wanted = f"type {var.dtype_number}" if var.dtype is None else var.dtype.label
        raise bad(f"{dtype.label} in the file, {wanted} in the program", desc_at, _MISMATCH)
    declared = var.shape or ()
    if var.name in loose:
        shape, declared = _wide(shape), _wide(declared)
    if not _fits(shape, declared):
        raise bad(f"shape {list(shape)} in the file, {list(var.shape or ())} in the program", desc_at, _MISMATCH)
    return record


def _wide(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(d for d in shape if d != 1)


def _fits(shape: tuple[int, ...], declared: tuple[int, ...]) -> bool:
    # Paddle before 2.5 knows no 0-D tensors and declares a scalar as [] or [1], whichever the layer chose
    if declared in ((), (1,)) and shape in ((), (1,)):
        return True
    return len(shape) == len(declared) and all(want in (-1, have) for have, want in zip(shape, declared))
