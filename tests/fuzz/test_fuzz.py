"""Every format, damaged in a few hundred ways (thousands where it is slow), and what was found before."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.__main__ import CORPUS
from tests.fuzz.formats import FORMATS

ROOT = Path(__file__).parents[2]
# how many cases are tried where there is little time; the others take about 30 ms a case, commands up to a second
FEWER = {"exported": 25, "external": 100, "commands": 15}
SLOWER = {"commands": 300}
FAST, SLOW = 200, 2000


def run(*arguments: str, timeout: float) -> None:
    """In a process of its own, which forks for each case."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=timeout, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert "cases" in done.stdout


@pytest.mark.parametrize("name", FORMATS)
def test_a_few_hundred(name: str) -> None:
    run(name, "--count", str(FEWER.get(name, FAST)), timeout=600)


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_thousands(name: str) -> None:
    run(name, "--count", str(SLOWER.get(name, SLOW)), "--seed", "1", timeout=7200)


@pytest.mark.long
def test_what_was_found_before() -> None:
    kept = [json.loads(path.read_text()) for path in CORPUS.glob("*/*/case.json")]
    assert len(kept) > 20 and all(0 <= case["exit"] <= 15 for case in kept)
    run("--corpus", timeout=600)
