"""Changes of data that keep most of its structure: of bytes, JSON, protobuf messages, zip archives and text."""

from __future__ import annotations

import io
import json
import random
import sys
import zipfile
from collections.abc import Callable
from typing import Any, Optional

from google.protobuf.descriptor import FieldDescriptor

CONTROL = ["\x00", "\x01", "\x07", "\x08", "\n", "\r", "\t", "\x1b[31m", "\x1b]0;title\x07", "\x7f", "\x85", "\x9b2J"]
BIDI = ["\u202e", "\u2066", "\u200b", "\u2028", "\ufeff", "\U000e0041", "\ud800"]
TEXTS = [
    "", " ", "x", "X" * 300, "a/b", "../../etc/passwd", "/etc/passwd", "~", "$(id)", "`id`", "'; id; '", '"', "'", "\\",
    "{", "}", "[", "#", "@NAME@", "%s", "{0}", "None", "true", "null", "NaN", "-1", "0", "1e400", "١٢٣", "\u2460", "名前",
    "😀", "😀\x01", "a:b", "a=b", "a,b", "- a", "? a", "!!python/object:os.system", "&a", "*a", "\u00e9", "e\u0301",
    *CONTROL, *BIDI, *(f"a{c}b" for c in CONTROL),
]  # fmt: skip
INTS = [
    0, 1, -1, 2, -2, 3, 7, 8, 64, 127, 128, 255, 256, -128, 1000, 32767, 65535, 65536, 10**6, 2**31 - 1, 2**31, -(2**31),
    2**32 - 1, 2**32, 2**53, 2**62, 2**63 - 1, -(2**63),
]  # fmt: skip
FLOATS = [0.0, -0.0, 1.0, -1.0, 0.5, 1e-45, 1e38, 1e308, float("inf"), float("-inf"), float("nan")]


def text(rng: random.Random, near: str = "") -> str:
    """A text that something may stumble over; often a change of *near*."""
    if near and rng.random() < 0.4:
        at = rng.randrange(len(near) + 1)
        return near[:at] + rng.choice(CONTROL + BIDI + [near, "é", " "]) + near[at + rng.randrange(2) :]
    return rng.choice(TEXTS)


def integer(rng: random.Random, near: int = 0) -> int:
    return near + rng.choice([-1, 1]) if rng.random() < 0.3 else rng.choice(INTS)


def value(rng: random.Random) -> Any:
    """Any value of JSON."""
    kind = rng.randrange(9)
    if kind < 2:
        return rng.choice([None, True, False])
    if kind < 4:
        return integer(rng) if rng.random() < 0.95 else 10 ** rng.choice([20, 400, 5000])
    if kind == 4:
        return rng.choice(FLOATS)
    if kind < 7:
        return text(rng)
    if kind == 7:
        return rng.choice([[], [[]], [None], [{}], [0, "a"], [value(rng)], [1] * 1000])
    return rng.choice([{}, {"": {}}, {"a": None}, {text(rng): value(rng)}])


# ------------------------------------------------------------------------------------------------- bytes


def data(rng: random.Random, sound: bytes) -> bytes:
    """Bytes cut, flipped, moved, repeated."""
    made = bytearray(sound)
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        at, size = rng.randrange(len(made) + 1), rng.choice([1, 1, 2, 4, 8, 40, 500])
        kind = rng.randrange(8)
        if kind == 0:
            del made[at:]
        elif kind == 1:
            del made[at : at + size]
        elif kind == 2:
            made[at:at] = rng.randbytes(size)
        elif kind == 3:
            made[at : at + size] = bytes([rng.choice([0, 1, 0x7F, 0x80, 0xFF])]) * size
        elif kind == 4:
            made[at:at] = made[at : at + size]
        elif kind == 5:
            other = rng.randrange(len(made) + 1)
            made[at : at + size] = made[other : other + size]
        elif made:
            at = min(at, len(made) - 1)
            made[at] ^= 1 << rng.randrange(8)
    return bytes(made)


# ------------------------------------------------------------------------------------------------- JSON


def _slots(tree: Any, most: int = 20_000) -> list[tuple[Any, Any]]:
    """(container, key) of everything in a tree."""
    found: list[tuple[Any, Any]] = []
    waiting = [tree]
    while waiting and len(found) < most:
        node = waiting.pop()
        items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
        for key, inner in items:
            found.append((node, key))
            if isinstance(inner, (dict, list)):
                waiting.append(inner)
    return found


def tree(rng: random.Random, sound: Any, change: Optional[Callable[[random.Random, Any], Any]] = None) -> Any:
    """A JSON document (changed in place) with one to four of its parts replaced, removed, repeated, moved or renamed.

    Args:
        change: another way to replace a value by one of its kind.
    """
    for _ in range(rng.choice([1, 1, 1, 2, 2, 4])):
        slots = _slots(sound)
        if not slots:
            return value(rng)
        if rng.random() < 0.01:
            return value(rng)
        holder, key = rng.choice(slots)
        kind = rng.randrange(10)
        if kind < 3:
            holder[key] = value(rng)
        elif kind < 6:
            old = holder[key]
            if change is not None and rng.random() < 0.5:
                holder[key] = change(rng, old)
            elif isinstance(old, str):
                holder[key] = text(rng, old)
            elif isinstance(old, bool) or not isinstance(old, int):
                holder[key] = value(rng)
            else:
                holder[key] = integer(rng, old)
        elif kind == 6:
            del holder[key]
        elif kind == 7 and isinstance(holder, list):
            holder.insert(key, holder[rng.randrange(len(holder))])
        elif kind == 7:
            new = text(rng, str(key))
            holder[new] = holder.pop(key)
        elif kind == 8:
            other, at = rng.choice(slots)
            inner = other.get(at) if isinstance(other, dict) else other[at] if at < len(other) else None
            if not isinstance(inner, (dict, list)):
                holder[key] = inner
        else:
            inner = holder[key]
            for _ in range(rng.choice([1, 2, 40, 1500])):
                inner = [inner] if rng.random() < 0.5 else {"a": inner}
            holder[key] = inner
    return sound


def dumps(made: Any, **options: Any) -> str:
    """A mutated document as JSON, however deep it is and however long its numbers are."""
    depth, digits = sys.getrecursionlimit(), getattr(sys, "get_int_max_str_digits", int)()
    try:
        sys.setrecursionlimit(20_000)
        if digits:
            sys.set_int_max_str_digits(0)
        return json.dumps(made, **options)
    finally:
        sys.setrecursionlimit(depth)
        if digits:
            sys.set_int_max_str_digits(digits)


# ------------------------------------------------------------------------------------------------- protobuf

_F = FieldDescriptor
_WHOLE = {_F.CPPTYPE_INT32, _F.CPPTYPE_INT64, _F.CPPTYPE_UINT32, _F.CPPTYPE_UINT64, _F.CPPTYPE_ENUM}
_BITS = {_F.CPPTYPE_INT32: (-(2**31), 2**31), _F.CPPTYPE_ENUM: (-(2**31), 2**31), _F.CPPTYPE_INT64: (-(2**63), 2**63),
         _F.CPPTYPE_UINT32: (0, 2**32), _F.CPPTYPE_UINT64: (0, 2**64)}  # fmt: skip


def _messages(message: Any, most: int = 5000) -> list[Any]:
    """A message and the messages in it."""
    found, waiting = [], [message]
    while waiting and len(found) < most:
        one = waiting.pop()
        found.append(one)
        for field, held in one.ListFields():
            if field.cpp_type == _F.CPPTYPE_MESSAGE:
                waiting.extend(held if _many(field) else [held])
    return found


def _many(field: Any) -> bool:
    return bool(
        getattr(field, "is_repeated", None) if hasattr(field, "is_repeated") else field.label == _F.LABEL_REPEATED
    )


def _scalar(rng: random.Random, field: Any, old: Any) -> Any:
    kind = field.cpp_type
    if kind in _WHOLE:
        low, high = _BITS[kind]
        new = integer(rng, old if isinstance(old, int) else 0)
        if kind == _F.CPPTYPE_ENUM:  # proto2 takes no other; a changed byte of the file can be one
            return rng.choice(field.enum_type.values).number
        return new if low <= new < high else rng.randrange(-5 if low else 0, 70)
    if kind in (_F.CPPTYPE_FLOAT, _F.CPPTYPE_DOUBLE):
        return rng.choice(FLOATS)
    if kind == _F.CPPTYPE_BOOL:
        return rng.random() < 0.5
    if field.type == _F.TYPE_BYTES:
        near = old.decode("utf-8", "replace") if isinstance(old, bytes) and len(old) < 200 else ""
        if isinstance(old, bytes) and old and rng.random() < 0.5:
            return data(rng, old)
        return text(rng, near).encode("utf-8", "replace")
    return text(rng, old if isinstance(old, str) else "").encode("utf-8", "replace").decode("utf-8", "replace")


def message(rng: random.Random, sound: Any) -> Any:
    """A protobuf message (changed in place) with some of its fields changed, cleared, repeated or moved."""
    for _ in range(rng.choice([1, 1, 1, 2, 3, 6])):
        one = rng.choice(_messages(sound))
        fields = one.DESCRIPTOR.fields
        present = [f for f, _ in one.ListFields()]
        field = rng.choice(present) if present and rng.random() < 0.8 else rng.choice(fields)
        if field.cpp_type == _F.CPPTYPE_MESSAGE:
            _inner(rng, one, field)
        elif _many(field):
            _list(rng, one, field)
        elif rng.random() < 0.15:
            one.ClearField(field.name)
        else:
            setattr(one, field.name, _scalar(rng, field, getattr(one, field.name)))
    return sound


def _inner(rng: random.Random, one: Any, field: Any) -> None:
    kind = rng.randrange(5)
    if not _many(field):
        if kind < 2:
            one.ClearField(field.name)
        else:
            getattr(one, field.name).SetInParent()
        return
    held = getattr(one, field.name)
    if kind == 0 and held:
        del held[rng.randrange(len(held))]
    elif kind == 1 and held:
        held.add().CopyFrom(rng.choice(list(held)))
    elif kind == 2 and len(held) > 1:
        a, b = rng.sample(range(len(held)), 2)
        kept = type(held[a])()
        kept.CopyFrom(held[a])
        held[a].CopyFrom(held[b])
        held[b].CopyFrom(kept)
    elif kind == 3:
        held.add()
    elif held:
        one.ClearField(field.name)


def _list(rng: random.Random, one: Any, field: Any) -> None:
    held = getattr(one, field.name)
    kind = rng.randrange(5)
    old = rng.choice(list(held)) if held else None
    if kind < 2 and held:
        at = rng.randrange(len(held))
        held[at] = _scalar(rng, field, held[at])
    elif kind == 2 and held:
        del held[rng.randrange(len(held))]
    elif kind == 3:
        held.extend([_scalar(rng, field, old)] * rng.choice([1, 1, 2, 50]))
    else:
        held.append(old if old is not None else _scalar(rng, field, old))


# ------------------------------------------------------------------------------------------------- archives


def archive(
    rng: random.Random, sound: bytes, change: Callable[[random.Random, str, bytes], bytes], *, compress: bool = False
) -> bytes:
    """A zip archive with one record changed by *change*, or records renamed, dropped, repeated, or the container damaged."""
    if rng.random() < 0.15:
        return data(rng, sound)
    with zipfile.ZipFile(io.BytesIO(sound)) as old:
        records = [(name, old.read(name)) for name in old.namelist()]
    for _ in range(rng.choice([1, 1, 2])):
        at = rng.randrange(len(records)) if records else 0
        kind = rng.randrange(10)
        if not records or kind == 0:
            records.append((text(rng).replace("\ud800", "?") or "x", b"abc"))
        elif kind < 7:
            name, held = records[at]
            records[at] = name, change(rng, name, held)
        elif kind == 7:
            del records[at]
        elif kind == 8:
            name, held = records[at]
            new = rng.choice(
                [name.upper(), name + "x", "../" + name, "/" + name, name.replace("/", "\\"), text(rng, name)]
            )
            records[at] = (new.encode("utf-8", "replace").decode() or "x"), held
        else:
            records.append(records[at])
    out = io.BytesIO()
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of two records of a name
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED) as new_zip:
            for name, held in records:
                new_zip.writestr(zipfile.ZipInfo(name), held)
    return out.getvalue()


# ------------------------------------------------------------------------------------------------- lines of text


def lines(rng: random.Random, sound: str) -> str:
    """Text with lines changed, moved, indented, repeated."""
    made = sound.splitlines()
    for _ in range(rng.choice([1, 1, 2, 3])):
        at = rng.randrange(len(made)) if made else 0
        kind = rng.randrange(8)
        if not made:
            made.append(text(rng))
        elif kind == 0:
            del made[at]
        elif kind == 1:
            made.insert(at, made[rng.randrange(len(made))])
        elif kind == 2:
            made[at] = "  " * rng.randrange(3) + made[at].lstrip()
        elif kind == 3:
            made[at] += text(rng)
        elif kind == 4:
            head, colon, _ = made[at].partition(":")
            made[at] = f"{head}{colon} {text(rng)}"
        elif kind == 5:
            made.insert(at, text(rng))
        else:
            made[at] = text(rng, made[at])
    return "\n".join(made) + "\n"
