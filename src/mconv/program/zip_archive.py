"""Zip archives that all readers read alike: what one finds, every other finds.

A zip file says everything twice: in its directory at the end, and before each record. Readers differ in which of the
two they believe, in what they take for the directory, and in what they do with two records of one name, so that one
file can be two archives: one for the guard and one for the loader. Here an archive is read by both, byte by byte from
the first to the last, and one that leaves room for doubt is damaged. What ``torch.save``, ``torch.jit.save``,
``torch.export.save``, ``numpy.savez``, Python's ``zipfile`` and Info-ZIP write is read.

The layout: PKWARE's APPNOTE.TXT 6.3.10, sections 4.3 and 4.4.
"""

from __future__ import annotations

import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Optional, Union

from mconv import budget
from mconv.errors import CorruptModelError, LimitError
from mconv.printable import printable
from mconv.program.closing import Closing
from mconv.program.copying import open_regular, read_at

STORED, DEFLATED = 0, 8
_RECORDS = 200_000
_DIRECTORY = 64 << 20

_END = struct.Struct("<4s4H2LH")
_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_DESCRIBED = 0x08  # flag: checksum and sizes follow the data
_UTF8 = 0x800
_FLAGS = _DESCRIBED | _UTF8 | 0x06  # and how hard the deflater tried
_FULL = 0xFFFFFFFF
_SIZES, _UNICODE_NAME = 0x0001, 0x7075  # extra fields


@dataclass(frozen=True)
class Record:
    """One record.

    Attributes:
        name: as the archive has it.
        method: :data:`STORED` or :data:`DEFLATED`.
        size: bytes, unpacked.
        packed: bytes in the file.
        start: where they begin.
        crc: checksum of the unpacked bytes, as the archive says.
    """

    name: str
    method: int
    size: int
    packed: int
    start: int
    crc: int


class ZipArchive(Closing):
    """The records of an archive, in the order of its directory.

    Args:
        path: the file; for messages alone where *data* is given.
        data: the bytes of the archive, where it is no file of its own.

    Raises:
        NotAModelError: the file cannot be read, or is no ordinary one.
        CorruptModelError: it is damaged, or two readers could see two archives in it.
        LimitError: it has more records than any model.
    """

    def __init__(self, path: Union[Path, str], data: Optional[bytes] = None):
        self.path, self._data = path, data
        self._fd = -1 if data is not None else open_regular(Path(path))
        try:
            self.size = len(data) if data is not None else os.fstat(self._fd).st_size
            self.records = self._directory()
        except BaseException:
            self.close()
            raise
        self.by_name = {r.name: r for r in self.records}

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def draw(self) -> None:
        """Draw on the command's budget what its compressed records unfold to, before someone reads them.

        Raises:
            LimitError: it is far more than the file has.
        """
        if self._data is None:
            budget.file(self.path)
        unfolded = sum(r.size for r in self.records if r.method == DEFLATED)
        budget.memory(unfolded, f"{self.path}: unpacking its {self.size} bytes")

    def read(self, record: Record) -> bytes:
        """The bytes of a record.

        Raises:
            CorruptModelError: they are not those that the archive describes.
        """
        raw = self._bytes(record.start, record.packed)
        if record.method == DEFLATED:
            unpacker = zlib.decompressobj(-15)
            try:
                raw = unpacker.decompress(raw, record.size + 1)
            except zlib.error as e:
                raise self._damaged(f"{record.name} cannot be unpacked ({e})") from None
            if len(raw) != record.size or not unpacker.eof or unpacker.unused_data:
                raise self._damaged(f"{record.name} does not unpack to the {record.size} bytes that it names")
        return raw

    def _damaged(self, what: str) -> CorruptModelError:
        return CorruptModelError(f"{self.path}: not a sound archive: {printable(what, 200)}")

    def _bytes(self, start: int, count: int) -> bytes:
        if start < 0 or count < 0 or start + count > self.size:
            raise self._damaged("it ends before its records do")
        if self._data is not None:
            return self._data[start : start + count]
        parts = []
        while count:
            part = read_at(self._fd, min(count, 1 << 30), start, self.path)
            if not part:
                raise self._damaged("it ends before its records do")
            parts.append(part)
            start, count = start + len(part), count - len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _directory(self) -> list[Record]:
        count, start, length = self._end()
        if count > _RECORDS or length > _DIRECTORY:
            raise LimitError(f"{self.path}: an archive of {count} records, more than any model has")
        raw = self._bytes(start, length)
        position, entries = 0, []
        for _ in range(count):
            if position + _ENTRY.size > length:
                raise self._damaged("its directory is cut off")
            offset, flags, record, position = self._entry(raw, position)
            entries.append((offset, self._located(offset, flags, record), flags))
        if position != length:
            raise self._damaged("its directory has more entries than it counts")
        names = [record.name for _, record, _ in entries]
        if len(set(names)) != count:
            twice = next(n for n in names if names.count(n) > 1)
            raise self._damaged(f"it has two records named {twice}")
        self._gapless(entries, start)
        return [record for _, record, _ in entries]

    def _end(self) -> tuple[int, int, int]:
        """How many records, where the directory begins, and its bytes."""
        if self.size < _END.size:
            raise self._damaged("it is cut off")
        at = self.size - _END.size
        sign, disk, first, here, count, length, start, comment = _END.unpack(self._bytes(at, _END.size))
        if sign != b"PK\x05\x06" or comment:
            raise self._damaged("it does not end with its directory")
        if disk or first or here != count:
            raise self._damaged("it is in several parts")
        if at >= _LOCATOR.size + _END64.size:
            before = at - _LOCATOR.size
            sign, disk, where, parts = _LOCATOR.unpack(self._bytes(before, _LOCATOR.size))
            if sign == b"PK\x06\x07":
                at = before - _END64.size
                large = _END64.unpack(self._bytes(at, _END64.size))
                sign, rest, _, _, number, other, here, counted, bytes_, begins = large
                if (sign, rest, number, other, here) != (b"PK\x06\x06", _END64.size - 12, 0, 0, counted):
                    raise self._damaged("its directory for large files is damaged")
                if (disk, parts, where) != (0, 1, at):
                    raise self._damaged("its directory for large files is elsewhere")
                if (count not in (counted, 0xFFFF), length not in (bytes_, _FULL), start not in (begins, _FULL)) != (
                    False,
                    False,
                    False,
                ):
                    raise self._damaged("it has two directories")
                count, length, start = counted, bytes_, begins
        if start + length != at:
            raise self._damaged("there is something between its records and its end")
        return count, start, length

    def _entry(self, raw: bytes, position: int) -> tuple[int, int, Record, int]:
        """One entry of the directory: where its record begins, flags, the record without its start, the next entry."""
        (sign, _, _, flags, method, _, _, crc, packed, size, name_length, extra_length, comment, disk, _, _, offset) = (
            _ENTRY.unpack_from(raw, position)
        )
        position += _ENTRY.size
        end = position + name_length + extra_length
        if sign != b"PK\x01\x02" or comment or disk or end > len(raw):
            raise self._damaged("an entry of its directory is damaged, or has a comment")
        if flags & ~_FLAGS:
            raise self._damaged("a record is encrypted" if flags & 1 else "a record is stored in an unusual way")
        name = self._name(raw[position : position + name_length], flags)
        large = self._extra(raw[position + name_length : end], name)
        wanted = [v == _FULL for v in (size, packed, offset)]
        if large is not None and len(large) != 8 * sum(wanted):
            raise self._damaged(f"the sizes of {name} are damaged")
        if any(wanted) and large is not None:
            values = list(struct.unpack(f"<{sum(wanted)}Q", large))
            size, packed, offset = (values.pop(0) if w else v for w, v in zip(wanted, (size, packed, offset)))
        if method not in (STORED, DEFLATED):
            raise self._damaged(f"{name} is compressed by a method that is not known ({method})")
        if method == STORED and packed != size:
            raise self._damaged(f"{name} has two sizes")
        return offset, flags, Record(name, method, size, packed, 0, crc), end

    def _name(self, raw: bytes, flags: int) -> str:
        try:
            return raw.decode("utf-8" if flags & _UTF8 else "ascii")
        except UnicodeDecodeError:
            raise self._damaged("a name that is no text") from None

    def _extra(self, raw: bytes, name: str) -> Optional[bytes]:
        """The field with large sizes, of the fields that follow a name."""
        found = None
        position = 0
        while position < len(raw):
            if position + 4 > len(raw):
                raise self._damaged(f"what follows the name of {name} is damaged")
            kind, length = struct.unpack_from("<2H", raw, position)
            position += 4 + length
            if position > len(raw) or kind == _UNICODE_NAME or (kind == _SIZES and found is not None):
                raise self._damaged(f"what follows the name of {name} is damaged, or another name")
            if kind == _SIZES:
                found = raw[position - length : position]
        return found

    def _located(self, offset: int, flags: int, record: Record) -> Record:
        """The record with its start: what stands before its data agrees with the directory."""
        sign, _, flags_, method, _, _, crc, packed, size, name_length, extra_length = _LOCAL.unpack(
            self._bytes(offset, _LOCAL.size)
        )
        start = offset + _LOCAL.size
        name = self._bytes(start, name_length)
        extra = self._bytes(start + name_length, extra_length)
        if (
            sign != b"PK\x03\x04"
            or flags_ != flags
            or method != record.method
            or self._name(name, flags) != record.name
        ):
            raise self._damaged(f"{record.name} is another record than its directory says")
        large = self._extra(extra, record.name)
        if large is not None and len(large) == 16 and _FULL in (size, packed):
            size, packed = struct.unpack("<2Q", large)
        said = (size, packed, crc)
        if said != (record.size, record.packed, record.crc) and not (flags & _DESCRIBED and not any(said)):
            raise self._damaged(f"{record.name} has other sizes than its directory says")
        start += name_length + extra_length
        if start + record.packed > self.size:
            raise self._damaged("it ends before its records do")
        return Record(record.name, record.method, record.size, record.packed, start, record.crc)

    def _gapless(self, entries: list[tuple[int, Record, int]], end: int) -> None:
        """Raises CorruptModelError when records overlap, or something stands before, between or after them."""
        position = 0
        followed: tuple[int, ...] = (0,)
        for offset, record, flags in sorted(entries, key=lambda e: e[0]):
            if offset - position not in followed:
                raise self._damaged(f"its records overlap, or something stands before {record.name}")
            position = record.start + record.packed
            followed = (12, 16, 20, 24) if flags & _DESCRIBED else (0,)
        if end - position not in followed:
            raise self._damaged("something stands between its records and its directory")
