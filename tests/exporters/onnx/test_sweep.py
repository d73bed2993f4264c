"""Every public function of Paddle: the committed table, and a part of it made again (all of it: ``sweep.py``)."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.exporters.onnx import sweep
from tests.managed import require
from tests.paddle import sweep as saving

LISTED: dict[str, dict[str, dict[str, str]]] = json.loads(sweep.TABLE.read_text())


@pytest.mark.parametrize("version", LISTED)
def test_none_is_wrong_and_what_is_refused_has_its_reason(version: str) -> None:
    rows = {name: row["mconv"] for name, row in LISTED[version].items()}
    kinds = Counter(verdict.partition(":")[0] for verdict in rows.values())
    assert set(kinds) <= {sweep.AGREES, "refused"}, {n: v for n, v in rows.items() if v.startswith(("wrong", "not"))}
    assert kinds[sweep.AGREES] >= 0.95 * len(rows)
    both = [row for row in LISTED[version].values() if "paddle2onnx" in row]  # it was asked for a part
    ours, theirs = (sum(row[engine] == sweep.AGREES for row in both) for engine in ("mconv", "paddle2onnx"))
    assert ours > theirs or not both


@pytest.mark.slow
def test_a_part_of_the_table_made_again(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    require("current")
    names = sorted(LISTED["3.3.1"])[::9]
    command = [sys.executable, str(saving.HERE / "sweep.py"), "save", str(tmp_path), *names]
    subprocess.run(command, check=True, capture_output=True, timeout=900)
    made = sweep.table(tmp_path, "3.3.1", names, ["mconv"])
    assert {n: row["mconv"] for n, row in made.items()} == {n: LISTED["3.3.1"][n]["mconv"] for n in made}
