"""Whether an answer is the one that a request got when it was alone."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any, Optional

import numpy as np

from mconv.proof.compare import Tolerance, compare
from mconv.proof.endpoint import parse

_SHORT = 120


def difference(wanted: Any, got: Any, tolerance: Tolerance, ignored: Collection[str] = (), where: str = "") -> str:
    """How an answer differs from another one; empty where it does not.

    Numbers are compared as arrays, within the tolerance. So are texts that hold arrays of numbers, which is how Paddle
    Serving answers; other texts have to be equal.

    Args:
        wanted, got: of JSON types.
        ignored: names of fields that may differ.
    """
    if isinstance(wanted, dict) and isinstance(got, dict):
        names = [n for n in wanted if n not in ignored]
        others = [n for n in got if n not in ignored]
        if set(names) != set(others):
            return f"{_at(where)}the fields are {', '.join(others) or 'none'}, not {', '.join(names) or 'none'}"
        found = (difference(wanted[n], got[n], tolerance, ignored, f"{where}.{n}" if where else n) for n in names)
        return next((text for text in found if text), "")
    if wanted == got:
        return ""
    a, b = _numbers(wanted), _numbers(got)
    if a is not None and b is not None:
        rows = compare([[a]], [[b]], [where], tolerance=tolerance, same_dtype=False).outputs
        return "" if rows[0].ok else f"{_at(where)}{rows[0].reason}"
    if isinstance(wanted, list) and isinstance(got, list):
        if len(wanted) != len(got):
            return f"{_at(where)}{len(got)} elements, not {len(wanted)}"
        pairs = enumerate(zip(wanted, got))
        found = (difference(x, y, tolerance, ignored, f"{where}[{i}]") for i, (x, y) in pairs)
        return next((text for text in found if text), "")
    return f"{_at(where)}{_short(got)} instead of {_short(wanted)}"


def _at(where: str) -> str:
    return f"{where}: " if where else ""


def _numbers(value: Any) -> Optional[np.ndarray]:
    """An array of numbers, or None where it is none."""
    if isinstance(value, str):
        try:
            array = parse(value)
        except ValueError:
            return None
    elif isinstance(value, (list, int, float)):
        try:
            array = np.asarray(value)
        except ValueError:  # lists of different lengths
            return None
    else:
        return None
    return array if array.dtype.kind in "biuf" else None


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHORT else text[: _SHORT - 1] + "…"
