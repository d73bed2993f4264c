"""Small files that lie beside a model: read whole, with errors that name them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from mconv.errors import CorruptModelError
from mconv.program.copying import read_small

_MAX_BYTES = 256 << 20
_MAX_SETTINGS = 4 << 20
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def read_settings(path: Path) -> str:
    """A file of a service that a program wrote, as :func:`read_text`, but of few kilobytes."""
    return read_text(path, _MAX_SETTINGS)


def read_text(path: Path, limit: int = _MAX_BYTES) -> str:
    """A file of UTF-8 text.

    Raises:
        NotAModelError: it cannot be read.
        CorruptModelError: it is no text, or larger than any such file.
    """
    data = read_small(path, limit, "is too much for what it should be")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as e:
        raise CorruptModelError(f"{path}: not UTF-8 text (at offset {e.start})") from None


def read_json(path: Path) -> dict[str, Any]:
    """A file with one JSON object; empty when there is no such file.

    Raises:
        CorruptModelError: it is none.
    """
    if not path.is_file():
        return {}
    try:
        text = read_text(path)
        content = json.loads(text)
        if _SURROGATE.search(text):  # half of a character of two, which no file of UTF-8 holds
            json.dumps(content, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as e:
        raise CorruptModelError(f"{path}: damaged: {e}") from None
    if not isinstance(content, dict):
        raise CorruptModelError(f"{path}: damaged: not a JSON object")
    return content
