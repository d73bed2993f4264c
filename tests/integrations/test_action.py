"""The GitHub Action: its steps run as action.yml has them, on a good model and on one out of tolerance."""

from __future__ import annotations

import os
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.integrations.github import Job, run_action
from tests.managed import require

pytestmark = pytest.mark.runtime


@pytest.fixture(scope="module")
def temp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """RUNNER_TEMP of all jobs here: the action's own environment is installed once, from this checkout."""
    require("paddle-2.3.2")
    return tmp_path_factory.mktemp("runner")


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A repository with a model of two outputs: ``signs`` is exact in any runtime, ``scores`` a sum of 4,096 products."""
    random = np.random.default_rng(3)
    weights = [numpy_helper.from_array(random.standard_normal((4096, 5), np.float32), "w")]
    nodes = [helper.make_node("MatMul", ["x", "w"], ["scores"]), helper.make_node("Relu", ["x"], ["signs"])]
    ports = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, ["batch", d])
        for n, d in (("x", 4096), ("scores", 5), ("signs", 4096))
    ]
    graph = helper.make_graph(nodes, "two", ports[:1], ports[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    onnx.save(model, tmp_path / "two.onnx")
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "good.yaml").write_text("source: ../two.onnx\n")
    (tmp_path / "recipes" / "strict.yaml").write_text("source: ../two.onnx\nverification: {tolerance: 1.0e-12}\n")
    return tmp_path


def failed_cases(job: Job, workspace: Path) -> tuple[int, list[str]]:
    suite = ElementTree.parse(workspace / job.outputs["junit"]).getroot()
    found = list(suite.iter("testcase"))
    return len(found), [
        c.get("classname", "") + "." + c.get("name", "") for c in found if c.find("failure") is not None
    ]


def summary_file(job: Job, workspace: Path) -> str:
    return (workspace / job.outputs["summary"]).read_text(encoding="utf-8").strip()


@pytest.mark.long
def test_good_model_passes(workspace: Path, temp: Path) -> None:
    job = run_action(workspace, temp, {"recipes": "recipes/good.yaml"})
    assert job.ok, job.log
    assert job.ran == ["Install mconv", "Convert"]
    assert (workspace / job.outputs["out"] / "good" / "serving_server" / "serving_server_conf.prototxt").exists()
    assert "good" in job.summary and job.summary.strip() == summary_file(job, workspace)
    cases, failed = failed_cases(job, workspace)
    assert cases and not failed and "::error" not in job.log
    assert (temp / "mconv-venv").is_dir()  # mconv came from there
    again = run_action(workspace, temp, {"recipes": "recipes/good.yaml"})
    assert again.ok and "nothing to do" in again.log


@pytest.mark.long
def test_model_out_of_tolerance_fails_and_the_summary_shows_which_output_and_by_how_much(
    workspace: Path, temp: Path
) -> None:
    job = run_action(workspace, temp, {"recipes": "recipes/*.yaml"})
    assert not job.ok
    rows = [line for line in job.summary.splitlines() if line.startswith("|") and "scores" in line]
    figures = [float(f) for row in rows for f in re.findall(r"\d\.\d+e-\d+", row)]
    assert figures and 1e-12 < max(figures) < 1e-2, job.summary
    assert not [r for r in job.summary.splitlines() if "signs" in r and ("differ" in r or "FAIL" in r)]
    _, failed = failed_cases(job, workspace)
    assert failed and all("strict" in name for name in failed)
    assert re.search(r"^::error .*file=\S*recipes/strict\.yaml", job.log, re.M), job.log
    assert (workspace / "build" / "good" / "serving_server").exists()  # the others were finished
    assert not (workspace / "build" / "strict" / "serving_server").exists()


@pytest.mark.slow
def test_one_model_without_a_recipe(workspace: Path, temp: Path) -> None:
    good = run_action(workspace, temp, {"model": "two.onnx", "out": "converted", "target": "2.3"})
    assert good.ok, good.log
    assert (workspace / "converted" / "two" / "serving_server").exists()
    strict = run_action(workspace, temp, {"model": "two.onnx", "out": "strict", "tolerance": "1e-12"})
    assert not strict.ok and "scores" in strict.summary
    damaged = (workspace / "two.onnx").read_bytes()[:500]
    (workspace / "two.onnx").write_bytes(damaged)
    broken = run_action(workspace, temp, {"model": "two.onnx", "out": "broken"})
    assert not broken.ok and "two.onnx" in broken.log and not (workspace / "broken" / "two").exists()


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "neither MCONV_RECIPES nor MCONV_MODEL"),
        ({"recipes": "recipes/none*.yaml"}, "nothing matches"),
        ({"recipes": "recipes/good.yaml", "model": "two.onnx"}, "give one of them"),
    ],
)
def test_inputs_that_make_no_sense(inputs: dict[str, str], message: str, workspace: Path, temp: Path) -> None:
    job = run_action(workspace, temp, {**inputs, "package": "installed", "runtimes": ""}, PATH=own_path())
    assert not job.ok and message in job.log


def own_path() -> str:
    """A PATH on which the mconv under test is the one that is installed."""
    import sys

    return f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
