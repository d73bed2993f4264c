"""Operators are tried everywhere with ``make test-all``; ``make test`` runs them where models are converted for by
default, in Paddle 2.3.2, and in the Paddle of this Python."""

from __future__ import annotations

from pathlib import Path

import pytest

EVERYWHERE = ("[current-onednn", "-current-onednn", "paddle-2.6.2]")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents and any(p in item.name for p in EVERYWHERE):
            item.add_marker(pytest.mark.slow)
