"""Two models on the same inputs, and the first tensor in which they differ."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from mconv import api
from mconv.cli.main import run
from mconv.errors import NotAModelError, UnsupportedError, UntrustedError, UsageError, VerificationError
from tests.golden import CASES, Case
from tests.onnx.make import mlp, model, port


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


@pytest.mark.runtime
def test_a_number_of_an_older_program_is_compared_in_a_newer_paddle(tmp_path: Path) -> None:
    """Before 2.5 there is no tensor without dimensions: a program of 2.3 gives [1] wherever it runs."""
    nodes = [helper.make_node("Gather", ["x", "index"], ["y"])]
    path = tmp_path / "m.onnx"
    onnx.save(model(nodes, [port("x", dims=("rows",))], [port("y", dims=())], {"index": np.array(1)}), path)
    api.onnx2paddle(path, tmp_path / "out", target="2.3", verify=False)
    found = api.verify(path, tmp_path / "out", runtime="paddle-2.6.2")
    assert found.ok, found.problems


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


@pytest.mark.runtime
def test_other_names_are_matched_by_position_and_said(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    a, b = mlp(tmp_path / "a.onnx"), paddle(mlp(tmp_path / "b.onnx", x="in", y="out"), tmp_path / "b")
    assert run(["verify", str(a), str(b), "--runtime", "current"]) == 0
    assert "matched by position" in capsys.readouterr().out


@pytest.mark.runtime
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


def torch_forms(folder: Path) -> tuple[Any, dict[str, str]]:
    """A module in every form that a file may have, and the path of its ONNX export."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(16, 8), torch.nn.Tanh(), torch.nn.Linear(8, 4)).eval()
    example = (torch.ones(2, 16),)
    archive, script, factory = folder / "m.pt2", folder / "m.ts", folder / "net.py"
    shapes = ({0: torch.export.Dim("batch")},)
    torch.export.save(torch.export.export(module, example, dynamic_shapes=shapes), str(archive))
    torch.jit.trace(module, example).save(str(script))
    torch.save(module.state_dict(), folder / "w.pt")
    factory.write_text(
        "import torch\n\ndef make():\n"
        "    m = torch.nn.Sequential(torch.nn.Linear(16, 8), torch.nn.Tanh(), torch.nn.Linear(8, 4))\n"
        f"    m.load_state_dict(torch.load({str(folder / 'w.pt')!r}))\n    print('a user prints')\n    return m\n"
    )
    return module, {"pt2": str(archive), "script": str(script), "factory": f"{factory}:make"}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.long
def test_every_form_of_a_pytorch_model(tmp_path: Path) -> None:
    """Against the Paddle model that it became, against each other, and against another one."""
    module, forms = torch_forms(tmp_path)
    api.torch2paddle(forms["pt2"], tmp_path / "out", target="3", verify=False)
    for form in forms.values():
        found = api.verify(form, tmp_path / "out", runtime="current")
        assert found.ok and "PyTorch" in found.a and found.b.startswith("Paddle 3"), form
        assert len({tuple(s[next(iter(s))]) for s in found.input_sets}) == 2  # two batch sizes
        assert all(row["max_abs"] <= 1e-5 for row in found.outputs)
    assert api.verify(tmp_path / "out", forms["script"], runtime="current").ok
    assert api.verify(forms["pt2"], forms["script"]).ok
    command = [sys.executable, "-m", "mconv", "verify", forms["pt2"], forms["factory"], "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert json.loads(done.stdout).get("ok"), done.stdout
    assert "a user prints" in done.stderr
    other = mlp(tmp_path / "m.onnx")
    assert not api.verify(forms["script"], other).ok
    with pytest.raises(UnsupportedError, match="--layers|no names"):
        api.verify(forms["pt2"], tmp_path / "out", runtime="current", layers=True)


def test_a_pickled_module_is_not_run(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    torch.save(torch.nn.Linear(16, 4), tmp_path / "whole.pt")
    path = mlp(tmp_path / "m.onnx")
    with pytest.raises(UntrustedError):
        api.verify(path, tmp_path / "whole.pt")
    assert not api.verify(path, tmp_path / "whole.pt", trust=True).ok  # it runs, and is another network


def test_a_layer_has_no_file_to_run(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("import paddle\nNet = paddle.nn.Linear\n")
    with pytest.raises(UnsupportedError, match="a paddle.nn.Layer"):
        api.verify(f"{tmp_path / 'net.py'}:Net", mlp(tmp_path / "m.onnx"))


@pytest.mark.slow
@pytest.mark.runtime
@pytest.mark.parametrize("name", ["2.3.2-bert", "1.8.5-conv_combined"])
def test_layers_of_a_model_that_was_trained(name: str, tmp_path: Path) -> None:
    """With the outputs in it that only training fills: a dropout's mask, the statistics of a batch."""
    from tests.golden import case
    from tests.managed import require

    require("paddle-2.3.2")
    server = api.to_serving(case(name).model, out=tmp_path).server
    found = api.verify(case(name).model, server, runtime="paddle-2.3.2", layers=True)
    assert found.ok and found.first is None and found.compared is not None and found.compared > 8
    assert any("--no-ir-optim" in note for note in found.notes) == (name == "2.3.2-bert")
