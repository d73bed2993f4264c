"""Writing combined parameter files, by streaming: what lies in another such file is copied as it is."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Callable, Optional, Union, cast

from mconv.program import messages
from mconv.program.copying import copy_range, new_buffer, open_regular, read_range, write_all
from mconv.program.dtypes import DType

if TYPE_CHECKING:  # see dtypes.py
    pass

from mconv.program.params import FileSource, Record, TensorSource
from mconv.program.paths import PathLike

_STEP = 16 << 20  # bytes that are copied before somebody is told


def record_header(dtype: DType, shape: Sequence[int]) -> bytes:
    """The bytes of a record before its data."""
    desc = messages.TensorDescMessage(data_type=dtype, dims=shape).SerializeToString(deterministic=True)
    return cast("bytes", struct.pack("<IQIi", 0, 0, 0, len(desc)) + desc)


def write_combined(
    path_or_file: Union[PathLike, IO[bytes]],
    items: Iterable[tuple[str, TensorSource]],
    written: Callable[[int], Any] = lambda size: None,
) -> None:
    """Write a combined parameter file by streaming.

    Records of existing parameter files are copied with their headers as they are, neighbours in one go.

    Args:
        path_or_file: a file to create or replace (none of the sources), or an open binary file to append to.
        items: (name, tensor) in byte order of the names, consumed one at a time.
        written: told now and then how many bytes are in the file.

    Raises:
        ValueError: the names are out of order or repeated, or a source gave another number of bytes than it said.
        CorruptModelError: a source file changed since it was listed.
        OSError: the target cannot be written.
    """
    if hasattr(path_or_file, "write"):
        _write_records(cast("IO[bytes]", path_or_file), None, items, written)
        return
    with open(path_or_file, "wb", buffering=0) as file:
        _write_records(cast("IO[bytes]", file), file.fileno(), items, written)


class _Source:
    """The file read last, kept open: most tensors lie in the same one."""

    def __init__(self) -> None:
        self._open: Optional[tuple[Path, int]] = None

    def fd(self, path: Path) -> int:
        if self._open is None or self._open[0] != path:
            self.close()
            self._open = (path, open_regular(path))
        return self._open[1]

    def close(self) -> None:
        if self._open is not None:
            os.close(self._open[1])
            self._open = None


def _write_records(
    file: IO[bytes],
    target: Optional[int],
    items: Iterable[tuple[str, TensorSource]],
    written: Callable[[int], Any],
) -> None:
    """Write to *file*, or straight to the descriptor *target* where there is one."""
    total = said = 0

    def put(data: Union[bytes, memoryview]) -> int:
        nonlocal total, said
        if target is None:
            file.write(data)
        else:
            write_all(target, data)
        total += len(data)
        if total - said >= _STEP:
            said = total
            written(total)
        return len(data)

    origin = _Source()
    buffer = new_buffer()
    pending: Optional[tuple[Path, int, int]] = None

    def copy(path: Path, start: int, end: int) -> None:
        nonlocal total
        while start < end:
            size = min(_STEP, end - start)
            if target is not None:
                copy_range(origin.fd(path), target, start, size, path, buffer)
            else:
                for piece in read_range(origin.fd(path), start, size, path):
                    file.write(piece)
            start += size
            total += size
            written(total)

    def flush() -> None:
        nonlocal pending
        if pending is not None:
            path, start, end = pending
            pending = None
            copy(path, start, end)

    previous: Optional[bytes] = None
    try:
        for name, source in items:
            key = name.encode("utf-8", "surrogateescape")
            if previous is not None and key <= previous:
                raise ValueError(f"parameters must come in byte order of their names: {name!r} after {previous!r}")
            previous = key
            if type(source) is Record:
                if pending and pending[0] == source.path and pending[2] == source.record_offset:
                    pending = (source.path, pending[1], source.end)
                else:
                    flush()
                    pending = (source.path, source.record_offset, source.end)
                continue
            flush()
            put(record_header(source.dtype, source.shape))
            if type(source) is FileSource:
                copy(source.path, source.offset, source.offset + source.nbytes)
                continue
            given = sum(put(piece) for piece in source.chunks())
            if given != source.nbytes:
                raise ValueError(f"the source of {name!r} gave {given} bytes, {source.nbytes} were announced")
            written(total)
        flush()
        written(total)
    finally:
        origin.close()
