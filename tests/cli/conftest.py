"""The command as users run it: a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def mconv(tmp_path: Path) -> Run:
    """Run ``mconv …`` in an empty folder; returns code, stdout and stderr."""

    def run(*args: object, timeout: float = 240, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "mconv", *map(str, args)],
            cwd=tmp_path, env={**os.environ, **env}, capture_output=True, text=True, timeout=timeout,
        )  # fmt: skip

    return run
