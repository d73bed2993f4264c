"""Outcomes that are committed as JSON, each by its name: of architectures, families, models in half precision."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def read(path: Path) -> dict[str, Any]:
    """What is recorded; nothing where there is no file yet."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found


def write(path: Path, found: dict[str, Any], names: Iterable[str]) -> None:
    """Record the outcomes of *names*, in their order."""
    path.write_text(json.dumps({name: found[name] for name in names if name in found}, indent=1) + "\n")
