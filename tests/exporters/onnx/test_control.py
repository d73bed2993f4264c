"""Branches, loops and tensor arrays as Paddle 2.6 and 3.3 save them, in ONNX Runtime at several sizes and turns."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mconv.exporters.onnx import export
from mconv.exporters.onnx.graph import newest
from mconv.paddle.load import load
from mconv.program import files
from mconv.program.dtypes import DType
from mconv.program.params import TensorSource
from mconv.program.program import Program
from mconv.program.targets import PADDLE_3
from tests.exporters.onnx import loops_models
from tests.exporters.onnx.checking import agree, check, exported
from tests.managed import require
from tests.paddle import fixtures

pytest.importorskip("onnxruntime")
MODELS = ("greedy", "structure", "nested", "early")
SCRIPT = Path(loops_models.__file__).with_name("loops.py")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """Runtime → the folder in which it has saved the models; made when asked for."""

    class Saved(dict[str, Path]):
        def __missing__(self, runtime: str) -> Path:
            python = sys.executable if runtime == "current" else str(require(runtime).python)
            folder = tmp_path_factory.mktemp(runtime)
            subprocess.run([python, str(SCRIPT), str(folder)], check=True, capture_output=True, timeout=600)
            self[runtime] = folder
            return folder

    yield Saved()


def loaded(folder: Path, name: str) -> tuple[Program, dict[str, TensorSource]]:
    if (folder / f"{name}.json").is_file():
        found = load(folder / f"{name}.json", target=PADDLE_3)
        return found.program, dict(found.params)
    located = files.locate(folder / name)
    program = files.load_program(located)
    return program, {r.name: r for r in files.records(located, program)}


def operators(exported_: Any) -> Counter[str]:
    """The operators of a graph and of those inside."""
    counts: Counter[str] = Counter()

    def visit(nodes: Any) -> None:
        for node in nodes:
            counts[node.op_type] += 1
            for attribute in node.attribute:
                if attribute.HasField("g"):
                    visit(attribute.g.node)

    visit(exported_.nodes)
    return counts


@pytest.mark.runtime
@pytest.mark.parametrize("runtime", ["current", "paddle-2.6.2"])
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.long
def test_models_that_loop(name: str, runtime: str, saved: dict[str, Path], tmp_path: Path) -> None:
    if runtime == "current":
        pytest.importorskip("paddle")
    program, params = loaded(saved[runtime], name)
    data = np.load(saved[runtime] / f"{name}.npz")
    for opset in (13, newest()):
        made, running = exported(program, params, tmp_path / f"m{opset}.onnx", opset)
        for k in sorted({key.partition(".")[0] for key in data}):
            got = running.run(None, {i.name: data[f"{k}.in.{i.name}"] for i in running.get_inputs()})
            assert len(got) == len([key for key in data if key.startswith(f"{k}.out.")])
            for n, value in enumerate(got):
                agree(data[f"{k}.out.{n}"], value)
    kinds = operators(made)
    assert kinds["Loop"] == 1 and not any(kinds[n] for n in ("while", "select_input"))
    assert (kinds["SequenceInsert"] > 0) == (name == "greedy")


@pytest.mark.runtime
@pytest.mark.parametrize("version", fixtures.VERSIONS)
def test_branches_of_every_paddle(version: str, tmp_path: Path, workers: Any) -> None:
    found = load(fixtures.unpack(version, "branches", tmp_path / "source"), target=PADDLE_3)

    def one_if(made: Any) -> None:
        kinds = operators(made)
        assert kinds["If"] == 1 and kinds["Loop"] == 1

    check(tmp_path, workers("current"), found.program, found.params, fixtures.feeds("branches"), (13, 17), after=one_if)


@pytest.mark.runtime
@pytest.mark.parametrize(("build", "feeds"), loops_models.CASES)
def test_programs(build: Any, feeds: Any, tmp_path: Path, workers: Any) -> None:
    """Forms that a saved model seldom has, in the Executor's own words."""
    program, params = build()
    check(tmp_path, workers("current"), program, params, feeds)


def test_what_cannot_be_said() -> None:
    program, params = loops_models.uninitialised(DType.FP32)
    from mconv.errors import UnsupportedError

    with pytest.raises(UnsupportedError) as e:
        export(program, params, opset=13)
    assert e.value.rows[0]["operator"] == "read_from_array"


def test_no_deeper_than_a_file_can_be() -> None:
    import onnx

    from mconv.errors import UnsupportedError

    made = export(*loops_models.loops(30), opset=13)
    onnx.GraphProto.FromString(onnx.helper.make_graph(made.nodes, "g", [], []).SerializeToString())
    assert operators(made)["Loop"] == 30
    with pytest.raises(UnsupportedError) as e:
        export(*loops_models.loops(40), opset=13)
    assert e.value.rows[0]["operator"] == "while"
    assert "more than 30 branches and loops within each other" in e.value.rows[0]["reason"]
