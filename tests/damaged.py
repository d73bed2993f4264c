"""Damaged model files of every kind, made from sound ones.

Each :class:`Damage` is the content of one file. ``fatal`` says that it must be refused; of the others some happen to be
sound (a flipped bit in a name), so they must be refused or read, and nothing else may happen.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Damage:
    label: str
    data: bytes
    fatal: bool = True


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(number: int, content: bytes) -> bytes:
    """A length-delimited field of protobuf."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def number(field_number: int, value: int) -> bytes:
    """A varint field of protobuf."""
    return varint(field_number << 3) + varint(value & (1 << 64) - 1)


def boundaries(data: bytes, start: int, end: int, depth: int) -> Iterator[int]:
    """Where the fields of a message, and of the messages in it, begin and end; a guess, good enough to cut at."""
    at = start
    while at < end:
        yield at
        tag = shift = 0
        while True:
            tag |= (data[at] & 0x7F) << shift
            at, shift = at + 1, shift + 7
            if data[at - 1] < 0x80 or at >= end:
                break
        kind = tag & 7
        if kind == 2:
            length = shift = 0
            while at < end:
                length |= (data[at] & 0x7F) << shift
                at, shift = at + 1, shift + 7
                if data[at - 1] < 0x80:
                    break
            if at + length > end:
                return
            yield at
            if depth:
                yield from boundaries(data, at, at + length, depth - 1)
            at += length
        elif kind == 0:
            while at < end and data[at] >= 0x80:
                at += 1
            at += 1
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        else:
            return


BLOCK = number(1, 0) + number(2, -1)
_NAME, _DIMS = field(1, b"x"), number(1, 5)
# a variable of type LOD_TENSOR
VAR = field(3, _NAME + field(2, number(1, 7) + field(3, field(1, _DIMS))))


def op(kind: bytes = b"relu", attrs: bytes = b"", inputs: bytes = b"", outputs: bytes = b"") -> bytes:
    return field(4, inputs + outputs + field(3, kind) + attrs)


def attr(name: bytes, kind: int, value: bytes) -> bytes:
    return field(4, field(1, name) + number(2, kind) + value)


def programs(sound: bytes, seed: int = 0) -> Iterator[Damage]:
    """Damaged ``__model__`` and ``.pdmodel`` files."""
    pick = random.Random(seed)
    cuts = sorted(set(boundaries(sound, 0, len(sound), 3)))
    block_end = _block_end(sound)
    for cut in cuts if len(cuts) < 4000 else pick.sample(cuts, 4000):
        yield Damage(f"cut at {cut}", sound[:cut], cut < block_end)
        yield Damage(f"cut before {cut}", sound[: max(cut - 1, 0)], cut <= block_end)
    for _ in range(1500):
        at, bit = pick.randrange(len(sound)), pick.randrange(8)
        flipped = bytearray(sound)
        flipped[at] ^= 1 << bit
        yield Damage(f"bit {bit} of byte {at} flipped", bytes(flipped), False)
    for size in (1, 2, 3, 16, 1000, 100_000):
        yield Damage(f"{size} random bytes", b"\xff" + pick.randbytes(size - 1))
        yield Damage(f"a program's beginning and {size} random bytes", sound[:20] + pick.randbytes(size))
        yield Damage(f"{size} zeros", bytes(size))
    yield Damage("nothing", b"")
    yield Damage("a text", b"This is the model.\n")
    yield Damage("twice itself", sound + sound)
    yield from _bombs(sound)
    yield from _contradictions()


def _block_end(sound: bytes) -> int:
    """Where block 0 ends."""
    length = shift = 0
    at = 1
    while True:
        length |= (sound[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if sound[at - 1] < 0x80:
            return at + length


def _bombs(sound: bytes) -> Iterator[Damage]:
    for length in (len(sound), 1 << 31, (1 << 32) - 1, 1 << 62, (1 << 64) - 1):
        yield Damage(f"a block of {length} bytes", b"\x0a" + varint(length) + sound[4:])
        yield Damage(f"a name of {length} bytes", field(1, BLOCK + b"\x1a\x20\x0a" + varint(length) + b"abc"))
    yield Damage("an endless length", b"\x0a" + b"\xff" * 50)
    yield Damage("5 million empty blocks", b"\x0a\x00" * 5_000_000)
    yield Damage("a million blocks", field(1, BLOCK) * 1_000_000)
    yield Damage("5 million empty operators", field(1, BLOCK + b"\x22\x00" * 5_000_000))
    yield Damage("5 million empty variables", field(1, BLOCK + b"\x1a\x00" * 5_000_000))
    yield Damage("5 million empty attributes", field(1, BLOCK + field(4, field(3, b"relu") + b"\x22\x00" * 5_000_000)))
    yield Damage("5 million empty inputs", field(1, BLOCK + field(4, b"\x0a\x00" * 5_000_000 + field(3, b"relu"))))
    groups = b"\x3b" * 200_000
    yield Damage("200,000 groups in one another", field(1, BLOCK + groups + b"\x3c" * 200_000))
    yield Damage("200,000 open groups", sound + groups)
    nested = b""
    for _ in range(2000):
        nested = field(15, nested)
    yield Damage("unknown fields in one another", field(1, BLOCK + nested), False)
    yield Damage("groups in a variable's type", field(1, BLOCK + field(3, _NAME + field(2, groups))))
    yield Damage("64 MB of zeros after a program", sound + bytes(64 << 20))
    yield Damage("a block of 64 MB of zeros", field(1, BLOCK + bytes(64 << 20)))


def _contradictions() -> Iterator[Damage]:
    def program(*content: bytes) -> bytes:
        return field(1, BLOCK + b"".join(content)) + field(4, number(1, 2003002))

    feed = field(2, field(1, b"Out") + field(2, b"x"))
    col = attr(b"col", 0, number(3, 0))
    yield Damage("a block with another number", field(1, number(1, 7) + number(2, -1)))
    yield Damage("a block without a parent", field(1, BLOCK) + field(1, number(1, 1) + number(2, -1)))
    yield Damage("a block that is its own parent", field(1, BLOCK) + field(1, number(1, 1) + number(2, 1)))
    yield Damage("an operator without a type", program(field(4, field(1, field(1, b"X")))))
    yield Damage("a variable without a name", program(field(3, field(2, number(1, 7)))))
    yield Damage("an attribute without a name", program(op(attrs=field(4, number(2, 0) + number(3, 1)))))
    yield Damage("arguments of no parameter", program(op(inputs=field(1, field(2, b"x")))))
    yield Damage("an operator with a block that is not there", program(op(attrs=attr(b"sub_block", 8, number(12, 5)))))
    yield Damage("an operator with block 0", program(op(attrs=attr(b"sub_block", 8, number(12, 0)))))
    inner = number(1, 1) + number(2, 0) + op(attrs=attr(b"sub_block", 8, number(12, 1)))
    yield Damage("a block that runs itself", program(op(attrs=attr(b"sub_block", 8, number(12, 1)))) + field(1, inner))
    for what, content in (
        ("a variable", field(3, field(1, b"\xff\xfe") + field(2, number(1, 7)))),
        ("an operator", op(b"\xff\xfe")),
        ("an attribute", op(attrs=attr(b"\xff\xfe", 0, number(3, 1)))),
        ("an argument", op(inputs=field(1, field(1, b"X") + field(2, b"\xff\xfe")))),
        ("a parameter", op(outputs=field(2, field(1, b"\xff\xfe")))),
    ):
        yield Damage(f"the name of {what} is no text", program(content))
    yield Damage("a feed of nothing", program(VAR, op(b"feed", col)))
    yield Damage("a feed of what is not there", program(op(b"feed", col, outputs=feed)))
    two = field(2, field(1, b"Out") + field(2, b"x") + field(2, b"x"))
    yield Damage("a feed of two", program(VAR, op(b"feed", col, outputs=two)))
    text = attr(b"col", 2, field(5, b"zero"))
    yield Damage("a feed at a text", program(VAR, op(b"feed", text, outputs=feed)))
    yield Damage("a fetch of nothing", program(VAR, op(b"fetch", col)))


def header(dtype: int, dims: tuple[int, ...], *, version: int = 0, lod: int = 0, tensor_version: int = 0) -> bytes:
    """The head of a parameter's record."""
    desc = number(1, dtype) + b"".join(number(2, d) for d in dims)
    return struct.pack("<IQIi", version, lod, tensor_version, len(desc)) + desc


def params(sound: bytes, heads: list[tuple[int, int]], seed: int = 0) -> Iterator[Damage]:
    """Damaged parameter files, all fatal.

    Args:
        heads: (where it begins, where its data begins) of each record of *sound*.
    """
    pick = random.Random(seed)
    ends = [begin for begin, _ in heads[1:]] + [len(sound)]
    for (begin, data), end in zip(heads, ends):
        for cut in (begin, begin + 3, begin + 4, begin + 12, begin + 16, begin + 20, data - 1, data, data + 1, end - 1):
            yield Damage(f"cut at {cut}", sound[:cut])
        for at in range(begin, data):
            for bit in range(8):
                flipped = bytearray(sound)
                flipped[at] ^= 1 << bit
                yield Damage(f"bit {bit} of byte {at} flipped", bytes(flipped))
        yield Damage(f"without the record at {begin}", sound[:begin] + sound[end:])
        yield Damage(f"the record at {begin} twice", sound[:end] + sound[begin:])
    rest = sound[heads[0][1] :]
    for what, head in (
        ("a negative dimension", header(5, (-1, 4))),
        ("the most negative dimension", header(5, (-(1 << 63), 1))),
        ("dimensions whose product overflows to 0", header(5, (1 << 32, 1 << 32))),
        ("dimensions whose product overflows to 16", header(5, ((1 << 62) + 4,))),
        ("nine large dimensions", header(5, ((1 << 63) - 1,) * 9)),
        ("ten dimensions", header(5, (1,) * 10)),
        ("a terabyte", header(5, (1 << 38,))),
        ("no known element type", header(99, (4,))),
        ("a variable kind as element type", header(7, (4,))),
        ("version 1", header(5, (4,), version=1)),
        ("tensor version 1", header(5, (4,), tensor_version=1)),
        ("many LoD levels", header(5, (4,), lod=1 << 60)),
        ("a long LoD level", struct.pack("<IQQ", 0, 1, 1 << 60)),
        ("an odd LoD level", struct.pack("<IQQ", 0, 1, 3) + bytes(3) + header(5, (4,))[12:]),
        ("a negative description", struct.pack("<IQIi", 0, 0, 0, -1)),
        ("no description", struct.pack("<IQIi", 0, 0, 0, 0)),
        ("a long description", struct.pack("<IQIi", 0, 0, 0, (1 << 31) - 1)),
        ("a description of noise", struct.pack("<IQIi", 0, 0, 0, 12) + b"\xff" * 12),
    ):
        yield Damage(what, head + rest)
    for size in (1, 19, 20, 1000):
        yield Damage(f"{size} more zeros", sound + bytes(size))
        yield Damage(f"{size} random bytes", pick.randbytes(size))
        yield Damage(f"{size} zeros", bytes(size))
    yield Damage("nothing", b"")
    yield Damage("64 MB of zeros", bytes(64 << 20))
    yield Damage("a text", b"These are the parameters.\n")
