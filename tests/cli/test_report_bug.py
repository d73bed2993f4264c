"""``mconv report-bug`` as it is typed: what it writes, and what is in nothing that it writes."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mconv.cli.failing import render_error
from mconv.cli.main import run
from mconv.errors import RuntimeFailedError, UnreachableError, UnsupportedError, VerificationError
from mconv.verbs.report_bug import Cleaner
from tests.managed import require
from tests.onnx.make import mlp
from tests.verbs.test_reduce import DEFECT, WRONG, hundred, plugin, weights_of

pytestmark = pytest.mark.usefixtures("own_registry")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "private_customer"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def said(folder: Path) -> str:
    return "\n".join(p.read_text() for p in folder.rglob("*") if p.suffix in (".md", ".txt", ".json"))


@pytest.mark.parametrize(("body", "code"), [(WRONG, 10), (DEFECT, 70)], ids=["wrong numbers", "defect"])
def test_the_line_that_a_failure_ends_with_is_a_command_that_works(
    here: Path, capsys: pytest.CaptureFixture[str], body: str, code: int
) -> None:
    require("paddle-2.3.2")
    model = hundred(here / "m.onnx")
    line = ["onnx2paddle", str(model), "out", "--plugin", str(plugin(here, body))]
    assert run(line) == code
    told = [x for x in capsys.readouterr().err.splitlines() if x.startswith("to report it: mconv report-bug -- ")]
    assert len(told) == 1
    assert run(told[0].split("mconv ", 1)[1].split()) == 0
    shown = capsys.readouterr()
    assert "nothing was sent" in shown.out and "reduced from 100 operators to 1 (Double)" in shown.out
    bug = here / "mconv-bug"
    names = {p.relative_to(bug).as_posix() for p in bug.rglob("*") if p.is_file()}
    wanted = {
        "README.md",
        "versions.json",
        "command.txt",
        "failure.txt",
        "reduced/inputs.npz",
        "reduced/model/model.onnx",
    }
    assert names == wanted | ({"report.json"} if code == 10 else set())
    assert all(name in shown.out for name in names)
    versions = json.loads((bug / "versions.json").read_text())
    assert versions["packages"]["onnx"] and "paddle-2.3.2" in versions["runtimes"]
    assert f"exit {code}" in (bug / "failure.txt").read_text()
    text = said(bug)
    assert "private_customer" not in text and str(Path.home()) + "/" not in text and str(here.parent) not in text
    assert ("my_ops.py" in (bug / "failure.txt").read_text()) == (code == 70)  # the traceback


@pytest.mark.parametrize(
    ("line", "error", "offered"),
    [
        ("onnx2paddle m.onnx out", RuntimeFailedError("Paddle cannot run it"), True),
        ("serve-check out", RuntimeFailedError("the service ended"), True),
        ("serve out", RuntimeFailedError("the service cannot be started: the port is taken"), False),
        ("bench http://127.0.0.1:1/", RuntimeFailedError("it answers HTTP status 500"), False),
        ("verify out http://127.0.0.1:1/m/prediction", RuntimeFailedError("it answers HTTP status 500"), False),
        ("verify out http://127.0.0.1:1/m/prediction", VerificationError("it computes something else"), True),
        ("convert hf://a/b out", UnreachableError("no network"), False),
        ("report-bug -- onnx2paddle m.onnx out", VerificationError("it computes something else"), False),
        ("inspect m.onnx", ValueError("a defect"), True),
        ("inspect m.onnx", UnsupportedError("an operator"), False),
    ],
)
def test_a_report_is_offered_where_mconv_may_be_at_fault(
    line: str, error: Exception, offered: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    render_error(error, "mconv", line.split())
    assert (f"to report it: mconv report-bug -- {line}" in capsys.readouterr().err) == offered


def test_an_archive_of_weights_that_may_be_shown(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    require("paddle-2.3.2")
    hundred(here / "m.onnx", at=5)
    plugin(here, DEFECT)
    line = ["report-bug", "--keep-weights", "-o", "bug.zip", "--json", "--"]
    assert run([*line, "mconv", "onnx2paddle", "m.onnx", "out", "--plugin", "my_ops.py", "--no-verify"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["reduced"]["weights"] == "own" and made["reduced"]["fails"]
    with zipfile.ZipFile("bug.zip") as archive:
        assert {f"bug/{f['name']}" for f in made["files"]} == set(archive.namelist())
    assert sorted(os.listdir()) == ["bug.zip", "m.onnx", "my_ops.py"]


@pytest.mark.long
def test_what_does_not_fail_is_no_report(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mlp(here / "m.onnx")
    for line, code, message in (
        (["onnx2paddle", "m.onnx", "out", "--no-verify"], 2, "does not fail"),
        ([], 2, "which command failed?"),
        (["fly"], 2, "mconv has no command 'fly'"),
        (["onnx2paddle", "m.onnx", "out", "--nonsense"], 2, "nonsense"),
    ):
        assert run(["report-bug", "--", *line]) == code
        assert message in capsys.readouterr().err
        assert os.listdir() == ["m.onnx"]
    # what a command says itself is collected, but nothing is reduced
    assert run(["report-bug", "--", "onnx2paddle", "nothing.onnx", "out"]) == 0
    shown = capsys.readouterr()
    assert "no reduced model" in shown.err and "exit 3" in shown.out
    assert sorted(p.name for p in (here / "mconv-bug").iterdir()) == [
        "README.md", "command.txt", "failure.txt", "versions.json",
    ]  # fmt: skip


def test_a_difference_of_two_models_is_reduced(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    require("current")
    mlp(here / "a.onnx")
    mlp(here / "b.onnx", bend=0.5)
    assert run(["verify", "a.onnx", "b.onnx", "--reduce", "small"]) == 10
    assert "reduced from 3 operators to 1 (MatMul): small" in capsys.readouterr().out
    assert set(weights_of(here / "small" / "a" / "model.onnx")) == {"W2"}
    assert run(["verify", "small/a/model.onnx", "small/b/model.onnx", "--inputs", "small/inputs.npz"]) == 10
    capsys.readouterr()
    assert run(["verify", "a.onnx", "a.onnx", "--reduce", "none"]) == 2
    assert "the two models agree" in capsys.readouterr().err and not (here / "none").exists()
    assert run(["report-bug", "--", "verify", "a.onnx", "b.onnx"]) == 0
    assert (here / "mconv-bug" / "reduced" / "b" / "model.onnx").exists()
    assert not np.array_equal(
        weights_of(here / "mconv-bug" / "reduced" / "a" / "model.onnx")["W2"], weights_of(here / "a.onnx")["W2"]
    )


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("mconv convert /home/jane/acme/net.onnx out", "mconv convert …/net.onnx out"),
        ("https://jane:hunter2@host/x", "https://…@host/x"),
        ("HF_TOKEN=hf_abc123 done", "HF_TOKEN=… done"),
        ("--password 'hunter2'", "--password '…'"),
        ('{"api_key": "abc"}', '{"api_key": "…"}'),
        ('  File "/opt/py/lib/python3.11/site-packages/onnx/x.py", line 3', '  File "…/site-packages/onnx/x.py", line 3'),
        ("shapes [1, 3] and 1/2 stay, so does a/b.onnx", "shapes [1, 3] and 1/2 stay, so does a/b.onnx"),
        ("input_ids and tokenizer stay", "input_ids and tokenizer stay"),
    ],
)  # fmt: skip
def test_what_is_nobodys_business_is_left_out(text: str, cleaned: str) -> None:
    assert Cleaner({})(text) == cleaned


def test_relative_folders_of_the_options_are_left_out() -> None:
    given: dict[str, Any] = {"model": "acme/secret_project/net.onnx", "out": "out"}
    assert Cleaner(given)("acme/secret_project/net.onnx: no") == "…/net.onnx: no"


@pytest.mark.parametrize(
    ("sources", "code", "told"),
    [
        (["missing.onnx"], 0, "exit 3, NotAModelError"),
        (["m.onnx"], 2, "does not fail"),
        (["missing.onnx", "m.onnx"], 2, "one source at a time"),
    ],
    ids=["one", "one that converts", "several"],
)
def test_convert_which_takes_several_sources(
    here: Path, capsys: pytest.CaptureFixture[str], sources: list[str], code: int, told: str
) -> None:
    mlp(here / "m.onnx")
    assert run(["report-bug", "--", "mconv", "convert", *sources, "out", "--no-verify"]) == code
    shown = capsys.readouterr()
    assert told in shown.out + shown.err
    assert (here / "mconv-bug").exists() == (code == 0) and not (here / "out").exists()
