"""``mconv torch2paddle --into`` as users run it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run, mconv

__all__ = ["mconv"]
pytest.importorskip("paddle")
pytest.importorskip("torch")

NETS = """
def theirs(width=4):
    from torch import nn
    return nn.Sequential(nn.Linear(width, 4), nn.BatchNorm1d(4))

def mine(width=4):
    from paddle import nn
    print("made")
    return nn.Sequential(nn.Linear(width, 4), nn.BatchNorm1D(4))
"""


@pytest.mark.long
def test_a_factory_into_a_factory(mconv: Run, tmp_path: Path) -> None:
    (tmp_path / "nets.py").write_text(NETS)
    options = ("--into", "nets.py:mine", "--runtime", "current", "-i", "input:float32[batch,4]")
    done = mconv("torch2paddle", "nets.py:theirs", "out", *options, "--json", timeout=300)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["command"] == "torch2paddle" and report["transplant"]["matched"] == 6
    assert report["verification"]["source"]["status"] == report["verification"]["status"] == "passed"
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        "inference.pdmodel", "inference.pdiparams", "report.json", "provenance.json",
    }  # fmt: skip
    record = json.loads((tmp_path / "out" / "provenance.json").read_text())
    assert {s["name"] for s in record["sources"]} == {"nets.py", "into/nets.py"}
    # another network: one line, the table, a code of its own, nothing written
    done = mconv("torch2paddle", "nets.py:theirs", "bad", *options, "--into-arg", "width=5", timeout=300)
    assert done.returncode == 13 and done.stdout == "", done.stderr
    lines = done.stderr.splitlines()
    assert [line for line in lines if line.startswith("error: ")] == [
        "error: nets.py:theirs: 5 of 7 tensors belong to the layer; 1 do not fit"
    ]
    assert "problem: other shape (transposed: [4, 4])" in done.stderr and not (tmp_path / "bad").exists()
    assert ", paddle shape: [" in done.stderr, "headings are words"


@pytest.mark.parametrize("where", ["theirs.py", "mine.py"])
def test_what_makes_a_network_is_not_written_over(where: str, mconv: Run, tmp_path: Path) -> None:
    """`--force` replaces what is at OUT, but no source of the conversion."""
    files = {"theirs.py": NETS, "mine.py": NETS}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    done = mconv("torch2paddle", "theirs.py:theirs", where, "--into", "mine.py:mine", "--force")
    assert done.returncode == 2 and "is or holds the input" in done.stderr
    assert "made" not in done.stderr + done.stdout, "found out before anything is loaded"
    assert {name: (tmp_path / name).read_text() for name in files} == files


def test_a_place_that_is_taken_is_told_of_before_the_layer_is_made(mconv: Run, tmp_path: Path) -> None:
    (tmp_path / "nets.py").write_text(NETS)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "kept").write_text("")
    for typed in (
        ["torch2paddle", "nets.py:theirs", "out", "--into", "nets.py:mine"],
        ["to-static", "nets.py:mine", "out"],
    ):
        done = mconv(*typed)
        assert done.returncode == 6 and "exists already" in done.stderr and "made" not in done.stderr, done.stderr
