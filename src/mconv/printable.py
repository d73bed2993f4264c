"""Text from outside, made fit for a terminal, a log and a one-line message."""

from __future__ import annotations

from typing import Optional


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
    text = "".join(c if c.isprintable() else _escaped(ord(c)) for c in text)
    return f"{text}… ({cut} more characters)" if cut else text


def _escaped(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
