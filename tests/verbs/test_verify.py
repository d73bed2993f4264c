"""Two models on the same inputs, and the first tensor in which they differ."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mconv import api
from mconv.cli.main import run
from mconv.errors import NotAModelError, UsageError, VerificationError
from tests.golden import CASES, Case
from tests.onnx.make import mlp


def paddle(path: Path, out: Path) -> Path:
    api.onnx2paddle(path, out, target="3", verify=False)
    return out


def test_an_onnx_model_and_its_conversion_agree(tmp_path: Path) -> None:
    path = mlp(tmp_path / "m.onnx")
    found = api.verify(path, paddle(path, tmp_path / "out"), runtime="current", layers=True)
    assert found.ok and found.first is None and found.compared is not None and found.compared >= 2
    assert found.matched == {"inputs": "name", "outputs": "name"}
    assert found.a.startswith("ONNX Runtime") and found.b.startswith("Paddle 3")
    assert len(found.input_sets) == 2


def test_the_first_tensor_that_differs_is_named(tmp_path: Path) -> None:
    """The second matrix is another one: what comes before it still agrees."""
    path, other = mlp(tmp_path / "m.onnx"), mlp(tmp_path / "other.onnx", bend=0.5)
    found = api.verify(path, paddle(other, tmp_path / "out"), runtime="current", layers=True)
    assert not found.ok and found.first is not None and found.first["name"] == "y"
    before = [row["name"] for row in found.layers if row["ok"]]
    assert "active" in before and all(row["ok"] for row in found.layers[:-1])


def test_paddle_models_are_compared_with_each_other(tmp_path: Path) -> None:
    a = paddle(mlp(tmp_path / "a.onnx"), tmp_path / "a")
    b = paddle(mlp(tmp_path / "b.onnx", seed=1), tmp_path / "b")
    assert api.verify(a, a, runtime="current").ok
    found = api.verify(a, b, runtime="current", layers=True)
    assert not found.ok and found.first is not None and found.first["name"] != "y"


def test_other_names_are_matched_by_position_and_said(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    a, b = mlp(tmp_path / "a.onnx"), paddle(mlp(tmp_path / "b.onnx", x="in", y="out"), tmp_path / "b")
    assert run(["verify", str(a), str(b), "--runtime", "current"]) == 0
    assert "matched by position" in capsys.readouterr().out


def test_a_difference_has_its_exit_code_and_its_figures(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    a, b = mlp(tmp_path / "a.onnx"), paddle(mlp(tmp_path / "b.onnx", bend=0.1), tmp_path / "b")
    assert run(["verify", str(a), str(b), "--runtime", "current", "--json"]) == VerificationError.exit_code
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["kind"] == "VerificationError" and error["rows"] and error["rows"][0]["name"] == "y"
    assert run(["verify", str(a), str(b), "--runtime", "current", "--tolerance", "100"]) == 0


def test_shapes_and_inputs_can_be_given(tmp_path: Path) -> None:
    path = mlp(tmp_path / "m.onnx")
    out = paddle(path, tmp_path / "out")
    assert api.verify(path, out, runtime="current", inputs=["x[7,16]"]).input_sets == [{"x": [7, 16]}]
    np.savez(tmp_path / "x.npz", x=np.zeros((4, 16), np.float32))
    assert api.verify(path, out, runtime="current", feeds=tmp_path / "x.npz").input_sets == [{"x": [4, 16]}]


def test_models_that_do_not_fit_together_are_an_error(tmp_path: Path) -> None:
    path = mlp(tmp_path / "m.onnx")
    with pytest.raises(NotAModelError):
        api.verify(path, tmp_path / "nothing")
    case = next(c for c in CASES if "bert" in str(c))
    with pytest.raises(UsageError, match="inputs"):
        api.verify(path, case.model, runtime="current")


@pytest.mark.runtime
@pytest.mark.parametrize("case", [c for c in CASES if c.version.endswith("2.3.2")], ids=str)
def test_a_golden_model_agrees_with_its_serving_folder(case: Case) -> None:
    assert api.verify(case.model, case.server, runtime="paddle-2.3.2").ok
