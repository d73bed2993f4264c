"""What is converted and could not be compared, as nothing runs the source: written, and no success."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mconv import api
from mconv.cli.main import run
from mconv.errors import RuntimeFailedError, UnprovedError
from tests.onnx.make import picky

pytest.importorskip("onnxruntime")
pytest.importorskip("paddle")
NOW: dict[str, Any] = {"target": "3", "runtime": "current"}


@pytest.mark.parametrize("command", ["onnx2paddle", "convert"])
def test_it_is_written_and_the_exit_code_is_its_own(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = picky(tmp_path / "m.onnx"), tmp_path / "out"
    with pytest.raises(UnprovedError, match="nothing is proved, as the source cannot be run: ONNX Runtime") as caught:
        getattr(api, command)(path, out, **NOW)
    assert str(out) in str(caught.value.hint) and "--inputs x.npz" in str(caught.value.hint)
    report = json.loads((out / "report.json").read_text())
    assert report["verification"]["status"] == "unproved" and report["verification"]["reason"] in caught.value.message
    assert api.check(out / "serving_server" if command == "convert" else out).ok
    where = ["--target", "3", "--runtime", "current", "-f"]
    assert run([command, str(path), str(out), *where, "--json"]) == 15
    told = json.loads(capsys.readouterr().out)
    assert told["error"]["kind"] == "UnprovedError" and told["error"]["exit_code"] == 15
    np.savez(tmp_path / "x.npz", x=np.zeros((100003, 1), np.float32))
    made = getattr(api, command)(path, out, feeds=tmp_path / "x.npz", force=True, **NOW)
    assert made.verification["status"] == "passed"
    assert (
        getattr(api, command)(path, out, verify=False, target="3", force=True).verification["status"] == "not verified"
    )


def test_a_paddle_model_that_does_not_run(tmp_path: Path) -> None:
    """``to-onnx``, ``convert`` and ``verify`` of a Paddle model."""
    path = picky(tmp_path / "m.onnx")
    api.onnx2paddle(path, tmp_path / "p", verify=False, target="3")
    for make, out in ((api.to_onnx, tmp_path / "again.onnx"), (api.convert, tmp_path / "served")):
        options = {"runtime": "current"} if make is api.to_onnx else NOW
        with pytest.raises(UnprovedError, match="cannot be run: .*Paddle"):
            make(tmp_path / "p", out, **options)
        assert out.exists()


def test_verify_tells_whose_fault_it_is(tmp_path: Path) -> None:
    path, other = picky(tmp_path / "m.onnx"), picky(tmp_path / "other.onnx", 38)
    with pytest.raises(UnprovedError, match="nothing to compare with"):
        api.verify(path, other)
    assert run(["verify", str(path), str(other)]) == 15
    np.savez(tmp_path / "x.npz", x=np.zeros((100003, 1), np.float32))
    with pytest.raises(RuntimeFailedError, match="other.onnx"):
        api.verify(path, other, feeds=tmp_path / "x.npz")


def test_one_size_is_no_plain_pass(tmp_path: Path) -> None:
    """Where the source runs at no two sizes of an open dimension, the proof says what it has not compared."""
    report = api.onnx2paddle(picky(tmp_path / "m.onnx", 1), tmp_path / "out", **NOW)
    assert report.verification["status"] == "passed in part"  # type: ignore[index]
    assert report.verification["reason"] == "open sizes of which only one was compared: x[0] = 1"  # type: ignore[index]
    assert any("compared at one size only" in w and "x[0] = 1" in w for w in report.warnings)
