"""Paddle's functions behind a selection that finds nothing: the committed table, and a sample of it on every run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.managed import require
from tests.paddle import nothing

TABLE = json.loads(nothing.TABLE.read_text())
NAMES = sorted(TABLE["2.3"])
SAMPLE = sorted(
    {*NAMES[::40], "T.unique", "T.masked_select", "T.nonzero", "F.group_norm", "N.LSTM", "N.cond, selected"}
    & set(NAMES)
)


def test_the_table_has_no_faults() -> None:
    for target, cases in TABLE.items():
        assert not {n: status for n, status in cases.items() if status.partition(":")[0] in nothing.FAULTS}, target


def check(folder: Path, names: list[str], targets: list[str]) -> None:
    require("current")
    script = str(Path(nothing.__file__))
    subprocess.run([sys.executable, script, "save", str(folder), *names], check=True, capture_output=True, timeout=900)
    for target in targets:
        require(nothing.RUNTIMES[target])
        found = nothing.run(folder, target, names)
        wrong = {n: f for n, f in found.items() if f[0] in nothing.FAULTS or f[0] != "works" == TABLE[target].get(n)}
        assert not wrong, wrong


@pytest.mark.runtime
def test_a_sample(tmp_path: Path) -> None:
    check(tmp_path, SAMPLE, ["2.3"])


@pytest.mark.slow
@pytest.mark.runtime
@pytest.mark.parametrize("part", range(6))
def test_all(tmp_path: Path, part: int) -> None:
    check(tmp_path, NAMES[part::6], list(nothing.RUNTIMES))
