"""Text from outside, made fit for a terminal, a log, a one-line message, and files that others read."""

from __future__ import annotations

import dataclasses
import enum
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any, Optional

from mconv.errors import UsageError

LONGEST = 1000  # characters of a message, of a line of its table
_QUOTED = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
_MAYBE = re.compile(r"[^\x20-\x7e]")  # what only str.isprintable tells


def printable(text: str, most: Optional[int] = None) -> str:
    """The text without line breaks, control characters and escape sequences, so that a name in a model or a message
    about a damaged file cannot forge output.

    Lines are joined by blanks; what :meth:`str.isprintable` does not admit is written as ``\\xNN``, ``\\uNNNN`` or
    ``\\UNNNNNNNN``.

    Args:
        most: characters; a longer text is cut, and ends with how many are missing.
    """
    text = " ".join(part.strip() for part in text.splitlines() if part.strip())
    cut = 0 if most is None else max(0, len(text) - most)
    if cut:
        text = text[:most]
    text = _line(text)
    return f"{text}… ({cut} more characters)" if cut else text


def printable_lines(text: str) -> str:
    """As :func:`printable`, for a text of several lines: line feeds and blanks stay."""
    return "\n".join(map(_line, text.split("\n")))


def json_text(value: Any, indent: Optional[int] = None, **options: Any) -> str:
    """A JSON document in UTF-8 whose strings hold no character that a terminal obeys or that cannot be seen: those are
    written as ``\\uNNNN``.

    Raises:
        ValueError: a number in it is not finite.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent, **options)
    return _MAYBE.sub(lambda m: m[0] if m[0] == "\n" or m[0].isprintable() else json.dumps(m[0])[1:-1], text)


def plain(value: Any) -> Any:
    """A dataclass, enum, path, numpy scalar or container as what :mod:`json` can write; non-finite floats as strings."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, enum.Enum):
        return value.name.lower()
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, Mapping):
        return {str(plain(k)): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(v) for v in value]
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else str(value)
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if hasattr(value, "tolist"):  # numpy, without importing it
        return plain(value.tolist())
    return str(value)


def three_digits(value: Optional[float]) -> str:
    """A measurement, as ``0.0264``, ``41.5`` and ``10224``; empty where there is none."""
    return "" if value is None else f"{value:.3g}" if abs(value) < 99.95 else f"{value:.0f}"


def quoted(text: str) -> str:
    """A text as a literal of Python and of YAML; what cannot be seen is escaped. JSON has no ``\\U``: see
    :func:`json_text`."""
    return '"' + "".join(_QUOTED.get(c) or (c if c.isprintable() else _escaped(ord(c))) for c in text) + '"'


def require_visible(text: str, what: str) -> str:
    """The text, which shall be a name that goes into files or code.

    Raises:
        UsageError: it holds a character that cannot be seen.
    """
    if not text.isprintable():
        raise UsageError(f"{what}: {quoted(text)} holds a character that cannot be seen", "give it a name without")
    return text


def _line(text: str) -> str:
    return text if text.isprintable() else "".join(c if c.isprintable() else _escaped(ord(c)) for c in text)


def _escaped(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def percent(share: float) -> str:
    """A share as a percentage: of one that is too small for a digit behind the point, the first that is not 0."""
    return f"{share:.1%}" if share >= 1e-3 or not share else f"{100 * share:.1g}%"


def counted(number: int, what: str) -> str:
    """``1 row``, ``2 rows``."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def shaped(shape: Optional[Sequence[Any]]) -> str:
    """``[2, ?, 8]``: an open size is None or -1; a shape of which not even the rank is known is None."""
    if shape is None:
        return "?"
    return "[" + ", ".join("?" if d is None or d == -1 else str(d) for d in shape) + "]"
