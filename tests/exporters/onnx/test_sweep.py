"""Every public function of Paddle: the committed table, and a part of it made again (all of it: ``sweep.py``)."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from mconv.runtimes import paddle2onnx
from tests.exporters.onnx import sweep
from tests.managed import require
from tests.paddle import sweep as saving

LISTED: dict[str, dict[str, dict[str, str]]] = json.loads(sweep.TABLE.read_text())


def kinds(version: str, engine: str) -> Counter[str]:
    return Counter(row[engine].partition(":")[0] for row in LISTED[version].values())


@pytest.mark.parametrize("version", LISTED)
def test_none_is_wrong_and_what_is_refused_has_its_reason(version: str) -> None:
    found = kinds(version, "mconv")
    rows = {name: row["mconv"] for name, row in LISTED[version].items()}
    assert set(found) <= {sweep.AGREES, "refused"}, {n: v for n, v in rows.items() if v.startswith(("wrong", "not"))}
    assert found[sweep.AGREES] >= 0.95 * len(rows)
    # by name: the operator, and why
    assert all(re.match(r"refused: [\w.]+: ", v) for v in rows.values() if v != sweep.AGREES)


@pytest.mark.parametrize("version", LISTED)
def test_paddle2onnx_stands_beside_every_function(version: str) -> None:
    assert all(set(row) == {"mconv", "paddle2onnx"} for row in LISTED[version].values())
    theirs = {name for name, row in LISTED[version].items() if row["paddle2onnx"] == sweep.AGREES}
    ours = {name for name, row in LISTED[version].items() if row["mconv"] == sweep.AGREES}
    assert theirs - ours <= {"T.combinations"} and len(ours) > 1.5 * len(theirs)


@pytest.mark.parametrize("page", ["to-onnx.md", "to-onnx.zh.md"])
def test_the_documented_table(page: str) -> None:
    text = (Path(__file__).parents[3] / "docs" / page).read_text(encoding="utf-8")
    for version in LISTED:
        for engine in sweep.ENGINES:
            found = kinds(version, engine)
            numbers = [found[kind] for kind in (sweep.AGREES, "refused", "wrong", "not loaded")]
            rows = [line for line in text.splitlines() if line.startswith("|") and version in line and engine in line]
            assert [list(map(int, row.split("|")[3:8])) for row in rows] == [[len(LISTED[version]), *numbers]]


@pytest.mark.slow
def test_a_part_of_the_table_made_again(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    require("current")
    names = sorted(LISTED["3.3.1"])[::9]
    command = [sys.executable, str(saving.HERE / "sweep.py"), "save", str(tmp_path), *names]
    subprocess.run(command, check=True, capture_output=True, timeout=900)
    made = sweep.table(tmp_path, "3.3.1", names, ["mconv"])
    assert len(made) == len(names)
    assert {n: row["mconv"] for n, row in made.items()} == {n: LISTED["3.3.1"][n]["mconv"] for n in made}


@pytest.mark.parametrize("name", ["T.add", pytest.param("F.bilinear", marks=pytest.mark.slow)])
def test_paddle2onnx_again(name: str, tmp_path: Path) -> None:
    """What it has a mapper for, and what it aborts on."""
    pytest.importorskip("onnxruntime")
    require(paddle2onnx.RUNTIME)
    require("current")
    command = [sys.executable, str(saving.HERE / "sweep.py"), "save", str(tmp_path), name]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    made = sweep.table(tmp_path, "3.3.1", [name], ["mconv", "paddle2onnx"])
    assert made == {name: LISTED["3.3.1"][name]}
