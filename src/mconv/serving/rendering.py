"""Templates, filled in: ``@NAMES@`` are replaced by literals, and nothing is evaluated."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any

from mconv.printable import quoted

TEMPLATES = Path(__file__).with_name("templates")


def render(template: str, **values: Any) -> str:
    """A template with its ``@NAMES@`` replaced; nothing of it is evaluated.

    Raises:
        KeyError: a name without a value; a bug, as is a value without a name.
    """
    text = (TEMPLATES / f"{template}.in").read_text(encoding="utf-8")
    unused = set(values)

    def value(match: re.Match[str]) -> str:
        unused.discard(match[1])
        return str(values[match[1]])

    made = re.sub(r"@([A-Z][A-Z_]*)@", value, text)
    assert not unused, f"{template} has no {', '.join(sorted(unused))}"
    return made


def literal(value: Any, depth: int = 0) -> str:
    """A value as a literal of Python; dictionaries take one line for each entry."""
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, dict):
        rows = "".join(f"{quoted(k)}: {literal(v)},\n" for k, v in value.items())
        return "{\n" + textwrap.indent(rows, "    " * (depth + 1)) + "    " * depth + "}"
    if isinstance(value, (list, tuple)):
        inside = ", ".join(literal(v) for v in value)
        return f"[{inside}]" if isinstance(value, list) else f"({inside})"
    return repr(value)
