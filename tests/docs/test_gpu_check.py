"""``tools/gpu_check.py`` where there is no GPU: it says what is missing; and its machinery, on a CPU instead."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema
import numpy as np
import pytest

from tests.golden import case

TOOL = Path(__file__).parents[2] / "tools" / "gpu_check.py"
SCHEMA = json.loads(TOOL.with_suffix(".schema.json").read_text(encoding="utf-8"))


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("gpu_check", TOOL)
    assert spec is not None and spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "gpu_check", made)
    spec.loader.exec_module(made)
    return made


@pytest.mark.skipif(shutil.which("nvidia-smi") is not None, reason="there may be a GPU here")
def test_it_says_what_is_missing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(TOOL), "--json", str(tmp_path / "r.json")], capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 2 and "missing: no NVIDIA GPU" in done.stdout and "nothing was run" in done.stdout
    report = json.loads((tmp_path / "r.json").read_text())
    jsonschema.validate(report, SCHEMA)
    assert report["missing"] and not report["runs"]


def test_models_are_run_and_compared(tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a CPU float32 passes, and half precision fails as Paddle has no kernels for it: both are results."""
    pytest.importorskip("paddle")

    def make(folder: Path) -> dict[str, np.ndarray]:
        from mconv import api

        api.downgrade(case("2.3.2-mlp").model, folder, target="2.6")
        return case("2.3.2-mlp").inputs

    real = tool.predictor
    monkeypatch.setattr(tool, "MODELS", {"bert": make})
    monkeypatch.setattr(tool, "predictor", lambda model, mode, feed, shapes: real(model, "cpu", feed, shapes))
    report = tool.Report()
    tool.check(report, tmp_path, lambda text: None)
    jsonschema.validate(asdict(report), SCHEMA)
    assert [run.mode for run in report.runs] == list(tool.MODES)
    runs = {run.mode: run for run in report.runs}
    assert runs["fp32"].status == "passed" and runs["fp32"].error == 0 and runs["fp32"].milliseconds > 0
    assert runs["fp16"].status == "failed" and "(operator " in runs["fp16"].reason


@pytest.mark.parametrize(
    ("got", "status"),
    [
        ([np.ones(3)], "passed"),
        ([np.ones(3) * 1.01], "differs"),
        ([np.ones(2)], "differs"),
        ([np.full(3, np.nan)], "differs"),
    ],
)
def test_comparison(tool: ModuleType, got: list[Any], status: str) -> None:
    run = tool.Run("bert", "fp32")
    tool.compare(run, [np.ones(3, np.float32)], [a.astype(np.float32) for a in got])
    assert run.status == status
