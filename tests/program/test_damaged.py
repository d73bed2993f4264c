"""Every damaged program and parameter file ends in a typed error, in time and in bounds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.golden import case
from tests.program import checking

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("program", "1.8.5-mlp_combined"),
        ("program", "2.3.2-mlp"),
        pytest.param("program", "2.3.2-bert", marks=pytest.mark.slow),
        ("params", "1.8.5-mlp_combined"),
        ("params", "2.3.2-conv"),
        pytest.param("params", "2.3.2-bert", marks=pytest.mark.slow),
    ],
)
def test_corpus(kind: str, name: str) -> None:
    """In a process of its own, which checks its peak memory."""
    done = subprocess.run(
        [sys.executable, "-m", checking.__name__, kind, str(case(name).model)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    count = int(done.stdout.split()[0])
    assert count > (2000 if kind == "program" else 800), done.stdout
