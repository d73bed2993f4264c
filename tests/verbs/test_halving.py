"""``--half``: each conversion, and convert as a whole, makes the model that ``mconv half`` makes of its result."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mconv import api
from mconv.errors import UsageError, VerificationError
from mconv.program import files
from mconv.program.program import Program
from mconv.recipe import fields
from tests.golden import case
from tests.managed import require
from tests.onnx.make import mlp

RUNTIME = "paddle-2.3.2"


def program(model: Path) -> Program:
    return files.load_program(files.locate(model))


def check(report: Any, made: Path, by_hand: Path) -> None:
    """The same program and weights as `mconv half` makes, and a report and a record that say so."""
    assert report.half["dtype"] == "float16" and report.half["status"] in ("passed", "not verified")
    assert any("GPUs alone" in warning for warning in report.warnings)
    assert [(op.type, op.inputs) for op in program(made).main.ops] == [
        (o.type, o.inputs) for o in program(by_hand).main.ops
    ]
    params = [files.locate(m).params for m in (made, by_hand)]
    assert params[0].read_bytes() == params[1].read_bytes()  # type: ignore[union-attr]
    record = json.loads((made / "provenance.json").read_text())
    assert "fp16" in json.dumps(record["options"])
    assert api.check(made).ok


@pytest.mark.runtime
def test_onnx(tmp_path: Path) -> None:
    require(RUNTIME)
    mlp(tmp_path / "m.onnx")
    report = api.onnx2paddle(tmp_path / "m.onnx", tmp_path / "out", half="fp16", runtime=RUNTIME)
    assert report.verification is not None and report.verification["status"] == "passed"
    assert report.half is not None and report.half["status"] == "passed" and 0 < report.half["error"] < 5e-3
    api.onnx2paddle(tmp_path / "m.onnx", tmp_path / "plain", verify=False)
    api.half(tmp_path / "plain", tmp_path / "hand", verify=False)
    check(report, tmp_path / "out", tmp_path / "hand")
    assert json.loads((tmp_path / "out" / "report.json").read_text())["half"] == report.half


def test_pytorch(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    given: dict[str, Any] = {"inputs": ["input:float32[n,4]"], "verify": False}
    report = api.torch2paddle(net, tmp_path / "out", half="fp16", **given)
    api.torch2paddle(net, tmp_path / "plain", **given)
    api.half(tmp_path / "plain", tmp_path / "hand", verify=False)
    check(report, tmp_path / "out", tmp_path / "hand")


def test_downgrade(tmp_path: Path) -> None:
    source = case("2.3.2-bert").model
    report = api.downgrade(source, tmp_path / "out", half="fp16")
    api.half(source, tmp_path / "hand", target="2.3", verify=False)
    check(report, tmp_path / "out", tmp_path / "hand")


@pytest.mark.parametrize("kind", ["onnx", "paddle"])
def test_convert_serves_it_on_a_gpu(kind: str, tmp_path: Path) -> None:
    mlp(tmp_path / "m.onnx")
    source = tmp_path / "m.onnx" if kind == "onnx" else case("2.3.2-mlp").model
    made = api.convert(source, tmp_path / "out", half="fp16", verify=False, pipeline={})
    assert made.half is not None and made.half["operators"] > 0
    assert any("GPUs alone" in warning for warning in made.warnings)
    assert "device_type: 1" in (tmp_path / "out" / "service" / "config.yml").read_text()
    assert api.inspect(tmp_path / "out" / "serving_server").notes[0].startswith("it computes in float16")
    assert not (tmp_path / "out" / "inference").exists()
    assert api.check(tmp_path / "out" / "serving_server").ok


@pytest.mark.runtime
def test_what_half_cannot_hold_is_not_written(tmp_path: Path) -> None:
    require(RUNTIME)
    mlp(tmp_path / "m.onnx")
    (port,) = api.inspect(tmp_path / "m.onnx").inputs
    large = np.full([3 if not isinstance(d, int) or d < 0 else d for d in port.shape or ()], 1e6, np.float32)
    np.savez(tmp_path / "x.npz", **{port.name: large})  # no number of half
    with pytest.raises(VerificationError, match="in float16 the output") as caught:
        api.onnx2paddle(
            tmp_path / "m.onnx",
            tmp_path / "out",
            half="fp16",
            runtime=RUNTIME,
            feeds=tmp_path / "x.npz",
        )
    assert "--calibrate" in (caught.value.hint or "") and not (tmp_path / "out").exists()


def test_what_cannot_be_asked_for(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--half: 'fp8'"):
        api.onnx2paddle(tmp_path / "m.onnx", tmp_path / "out", half="fp8")


def test_recipes_have_it() -> None:
    steps = fields.definitions()
    for name in ("onnx2paddle", "torch2paddle", "to-static", "downgrade", "convert"):
        assert steps[name]["properties"]["half"]["enum"] == ["fp16", "bf16"]
