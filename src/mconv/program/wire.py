"""A look at a serialized ProgramDesc before it is parsed.

protobuf says only "does not parse", and builds objects of a hundred bytes for messages of two. This walk over the
outer layers of the wire format says at which byte the damage is, and refuses what would take memory out of all
proportion to the file.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import Union

from mconv.errors import CorruptModelError

Buffer = Union[bytes, bytearray, memoryview, mmap.mmap]

_MAX_BLOCKS = 10_000
# The least bytes of a valid message: required fields, each a tag, and a length or a value
_LEAST_VAR = 4  # name, type
_LEAST_OP = 3  # type
_LEAST_ATTR = 4  # name, type
_LEAST_ARGUMENTS = 2  # parameter


class _Walk:
    def __init__(self, data: Buffer, where: str):
        self.data = data
        self.where = where

    def bad(self, why: str, at: int) -> CorruptModelError:
        return CorruptModelError(
            f"{self.where}: not a Paddle program, or a damaged one: {why} at offset {at} of {len(self.data)}",
            "compare the file's size with the original's, or save the model again",
        )

    def varint(self, at: int, end: int, what: str) -> tuple[int, int]:
        data = self.data
        value = shift = 0
        while at < end:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, at
            shift += 7
            if shift > 63:
                raise self.bad(f"an endless number in {what}", at)
        raise self.bad(f"{what} is cut off", end)

    def fields(self, start: int, end: int, what: str) -> Iterator[tuple[int, int, int]]:
        """Each length-delimited field of a message: (number, where its content begins, where it ends)."""
        data, at = self.data, start
        while at < end:
            begin = at
            tag = data[at]
            at += 1
            if tag >= 0x80:
                tag, at = self.varint(begin, end, what)
            number, kind = tag >> 3, tag & 7
            if not number:
                raise self.bad(f"{what} holds a field 0", begin)
            if kind == 2:
                if at < end and data[at] < 0x80:
                    length = data[at]
                    at += 1
                else:
                    length, at = self.varint(at, end, what)
                if length > end - at:
                    raise self.bad(f"field {number} of {what} needs {length} bytes, {end - at} are left", begin)
                yield number, at, at + length
                at += length
            elif kind == 0:
                while at < end and data[at] >= 0x80:
                    at += 1
                if at >= end or at - begin > 16:
                    raise self.bad(f"{what} is cut off" if at >= end else f"an endless number in {what}", at)
                at += 1
            elif kind in (1, 5):
                at += 8 if kind == 1 else 4
                if at > end:
                    raise self.bad(f"{what} is cut off", end)
            else:
                raise self.bad(f"{what} holds a field of wire type {kind}", begin)


def check(data: Buffer, where: str) -> None:
    """Look at the structure of a serialized ProgramDesc.

    Raises:
        CorruptModelError: names what is wrong and the offset.
    """
    walk = _Walk(data, where)
    blocks = 0
    for number, start, end in walk.fields(0, len(data), "the program"):
        if number != 1:
            continue
        what = f"block {blocks}"
        blocks += 1
        if blocks > _MAX_BLOCKS:
            raise walk.bad(f"more than {_MAX_BLOCKS} blocks", start)
        for field, begin, stop in walk.fields(start, end, what):
            if field == 3 and stop - begin < _LEAST_VAR:
                raise walk.bad(f"a variable of {what} is empty", begin)
            if field == 4:
                if stop - begin < _LEAST_OP:
                    raise walk.bad(f"an operator of {what} is empty", begin)
                _operator(walk, begin, stop, what)


def _operator(walk: _Walk, start: int, end: int, block: str) -> None:
    for field, begin, stop in walk.fields(start, end, f"an operator of {block}"):
        if stop - begin < (_LEAST_ATTR if field == 4 else _LEAST_ARGUMENTS if field in (1, 2) else 0):
            raise walk.bad(f"an argument or attribute of an operator of {block} is empty", begin)
