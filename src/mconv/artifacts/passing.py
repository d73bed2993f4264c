"""Hashes of a file that is written and of the one that it is copied from, of the buffers that the copy passes through.

Neither file is read for its hash: 440 MB take a fifth of the processor's time less than with a thread for each.
"""

from __future__ import annotations

import os
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Optional, Union

from mconv.artifacts.hashing import FileHash, Thread, hasher
from mconv.program.copying import open_regular, read_range

_BUFFERS = 4  # between the writer and the thread that hashes
_SIZE = 1 << 19  # bytes; all of them stay in the caches
# what was written, where it begins in the source (None: it is none of it), and the buffer that it lies in
_Piece = tuple[Union[bytes, memoryview], Optional[int], Optional[memoryview]]


class Passing:
    """Use it as a context around the writing.

    Args:
        made: the file that is written, from its beginning to its end.
        source: a file that it is copied from. Its parts may come in any order: what was left out is read.
    """

    def __init__(self, made: Path, source: Optional[Path] = None):
        self.made, self.source = made, source
        self._free: SimpleQueue[memoryview] = SimpleQueue()
        self._pieces: SimpleQueue[Optional[_Piece]] = SimpleQueue()
        for _ in range(_BUFFERS):
            self._free.put(memoryview(bytearray(_SIZE)))
        self._whole = False
        self._error: Optional[BaseException] = None
        self._hashes: dict[Path, FileHash] = {}

    def buffer(self) -> memoryview:
        """A buffer to read into; waits for one. It goes back by :meth:`written`."""
        return self._free.get()

    def written(
        self,
        data: Union[bytes, memoryview],
        *,
        path: Optional[Path] = None,
        offset: int = 0,
        buffer: Optional[memoryview] = None,
    ) -> None:
        """Say that *data* were written next, and are what *path* has from *offset* on.

        Args:
            buffer: what :meth:`buffer` gave, where *data* lie in it.
        """
        self._pieces.put((data, offset if path is not None and path == self.source else None, buffer))

    def _hash(self) -> None:
        made, source = _Digest(), _Source(self.source) if self.source is not None else None
        try:
            while (piece := self._pieces.get()) is not None:
                data, offset, buffer = piece
                try:
                    if self._error is None:
                        made.update(data)
                        if source is not None and offset is not None:
                            source.passed(offset, data)
                except Exception as e:  # noqa: BLE001 - raised again at the end; the writer must get its buffers back
                    self._error = e
                if buffer is not None:
                    self._free.put(buffer)
            if self._whole and self._error is None:
                self._hashes[self.made] = made.result(self.made)
                if source is not None and self.source is not None:
                    self._hashes[self.source] = source.whole().result(self.source)
        finally:
            if source is not None:
                source.close()

    def hashes(self) -> dict[Path, FileHash]:
        """Of both files, after the context has ended as it should.

        Raises:
            NotAModelError: the source cannot be read.
        """
        if self._error is not None:
            raise self._error
        return self._hashes

    def __enter__(self) -> Passing:
        self._thread = Thread(self._hash)
        return self

    def __exit__(self, kind: Optional[type], error: Optional[BaseException], trace: Optional[TracebackType]) -> None:
        self._whole = kind is None
        self._pieces.put(None)
        self._thread.join()
        if kind is None:
            self._thread.result()


class _Digest:
    def __init__(self) -> None:
        self.size = 0
        self._state: Any = hasher()

    def update(self, data: Union[bytes, memoryview]) -> None:
        self._state.update(data)
        self.size += len(data)

    def result(self, path: Path) -> FileHash:
        return FileHash(path.name, self.size, self._state.hexdigest())


class _Source:
    """The hash of a file of which parts pass by."""

    def __init__(self, path: Path):
        self._path = path
        self._fd: Optional[int] = None
        self._digest = _Digest()

    def _read_until(self, end: int) -> None:
        if self._fd is None:
            self._fd = open_regular(self._path)
        for piece in read_range(self._fd, self._digest.size, end - self._digest.size, self._path):
            self._digest.update(piece)

    def passed(self, offset: int, data: Union[bytes, memoryview]) -> None:
        if offset > self._digest.size:
            self._read_until(offset)
        known = self._digest.size - offset
        if known < len(data):
            self._digest.update(data[known:])

    def whole(self) -> _Digest:
        """Raises: CorruptModelError: the file has become shorter."""
        if self._fd is None:
            self._fd = open_regular(self._path)
        self._read_until(os.fstat(self._fd).st_size)
        return self._digest

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)


__all__ = ["Passing"]
