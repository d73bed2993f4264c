"""``mconv downgrade``, and ``mconv to-serving`` and ``inspect`` on a PIR model, as functions and as commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Callable

import pytest

from mconv import api
from mconv.cli.main import run
from mconv.errors import OutputExistsError, UnsupportedError, UsageError
from mconv.program.program import Program
from mconv.program.stored import Era
from mconv.runtimes import Worker
from tests.golden import Case
from tests.paddle import compare, fixtures


@pytest.fixture
def lenet(tmp_path: Path) -> Path:
    return fixtures.unpack("3.3", "LeNet", tmp_path / "source")


@pytest.fixture
def unet(tmp_path: Path) -> Path:
    """A model that Paddle 1.8 cannot run."""
    return fixtures.unpack("3.3", "unet", tmp_path / "unet")


@pytest.mark.parametrize("given", ["file", "prefix", "folder"])
def test_every_way_to_name_it(lenet: Path, given: str, tmp_path: Path) -> None:
    path = {"file": lenet, "prefix": lenet.with_suffix(""), "folder": lenet.parent}[given]
    result = api.downgrade(path, tmp_path / "out", output_names=["scores"])
    assert (result.saved_by, result.target, result.era) == ("3.3", "2.3", Era.PIR.name.lower())
    assert [t.name for t in result.inputs] == ["image"] and [t.name for t in result.outputs] == ["scores"]
    program = Program.from_bytes(result.program.read_bytes())
    assert program.version == 2003002 and [p.name for p in program.fetches] == ["scores"]


@pytest.mark.parametrize("target, version", [("2.3", 2003002), ("2.6", 2006002), ("3", 3003001)])
def test_targets(lenet: Path, target: str, version: int, tmp_path: Path) -> None:
    result = api.downgrade(lenet, tmp_path / "out", target=target)
    assert Program.from_bytes(result.program.read_bytes()).version == version


def test_nothing_appears_when_it_fails(lenet: Path, unet: Path, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError):
        api.downgrade(unet, tmp_path / "out", target="1.8")
    with pytest.raises(UsageError):
        api.downgrade(lenet, tmp_path / "out", output_names=["a", "b"])
    with pytest.raises(UsageError):
        api.downgrade(lenet, tmp_path / "out", target="9")
    assert not (tmp_path / "out").exists()


def test_what_is_there_stays(lenet: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("kept")
    with pytest.raises(OutputExistsError):
        api.downgrade(lenet, tmp_path / "out")
    assert (tmp_path / "out" / "mine").read_text() == "kept"
    api.downgrade(lenet, tmp_path / "out", force=True, name="model")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
            "model.pdiparams", "model.pdmodel", "provenance.json",
        ]  # fmt: skip


def test_a_model_of_an_older_era(golden: Case, tmp_path: Path) -> None:
    """Models that are old enough come out with the same parameters and other names for the outputs."""
    found = api.inspect(golden.model)
    names = [f"out_{i}" for i in range(len(found.outputs))]
    result = api.downgrade(golden.model, tmp_path / "out", output_names=names)
    assert [t.name for t in result.outputs] == names
    with pytest.raises(UsageError, match="taken"):
        api.downgrade(golden.model, tmp_path / "no", output_names=[found.inputs[0].name, *names[1:]])


def test_command(lenet: Path, unet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert run(["downgrade", str(lenet), str(out), "--output-names", "scores", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["program"] == str(out / "inference.pdmodel") and document["outputs"][0]["name"] == "scores"
    assert run(["downgrade", str(lenet), str(out), "--force"]) == 0
    said = capsys.readouterr().out
    assert "[?, 1, 28, 28]" in said and "[-1" not in said
    assert run(["downgrade", str(lenet), str(out)]) == OutputExistsError.exit_code
    assert run(["downgrade", str(unet), str(out), "--force", "--target", "1.8"]) == UnsupportedError.exit_code
    assert "pd_op.bilinear_interp" in capsys.readouterr().err


def test_to_serving(lenet: Path, tmp_path: Path, workers: Callable[[str], Worker]) -> None:
    result = api.to_serving(lenet, out=tmp_path)
    assert result.era == "pir" and result.saved_by == "3.3"
    assert [v.name for v in result.feeds] == ["image"]
    assert result.program is not None and result.program.name == "LeNet.pdmodel"
    feeds = fixtures.feeds("LeNet")
    want = workers("current").run(lenet, lenet.with_suffix(".pdiparams"), feeds)
    got = workers("paddle-2.3.2").run(result.program, result.params, feeds)
    for left, right in zip(want.outputs, got.outputs):
        assert all(compare.close(w, g) is None for w, g in zip(left, right))


def test_to_serving_needs_a_translation(lenet: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="rejects .json"):
        api.to_serving(lenet, out=tmp_path, target="same")


def test_inspect_tells_where_it_can_go(unet: Path) -> None:
    report = api.inspect(unet)
    assert report.kind == "pir" and report.saved_by == "Paddle 3.3" or report.saved_by == "3.3"
    can = {t.target: (t.loads, t.convertible) for t in report.targets}
    assert can["3"][0] and can["2.3"] == (False, True) and can["2.6"] == (False, True) and can["1.8"] == (False, False)
