"""Whole models: equal to Paddle at two sizes, at the oldest, the usual and the newest opset; round trips."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest

from mconv import api
from mconv.exporters.onnx.graph import newest
from mconv.paddle.load import load
from mconv.program import files
from mconv.program.params import TensorSource
from mconv.program.program import Program
from mconv.program.targets import PADDLE_2_6, PADDLE_3
from mconv.runtimes import Worker
from tests.exporters.onnx.checking import agree, check, exported
from tests.golden import Case
from tests.managed import require
from tests.paddle import fixtures

ort = pytest.importorskip("onnxruntime")
ZOO = Path(__file__).parents[2] / "paddle" / "zoo.py"
TOLERANCE = 1e-4  # of the largest value: of deep models


def loaded(path: Path) -> tuple[Program, dict[str, TensorSource]]:
    if path.suffix == ".json":
        found = load(path, target=PADDLE_3)
        return found.program, found.params
    located = files.locate(path)
    program = files.load_program(located)
    return program, {r.name: r for r in files.records(located, program)}


@pytest.mark.parametrize("name", ["LeNet", "bert", "gpt", "unet"])
def test_programs_of_paddle_3(name: str, tmp_path: Path, workers: Callable[[str], Worker]) -> None:
    program, params = loaded(fixtures.unpack("3.3", name, tmp_path / "source"))
    check(tmp_path, workers("current"), program, params, fixtures.feeds(name), (11, 13, newest()), TOLERANCE)


def test_golden_models(golden: Case, tmp_path: Path) -> None:
    """Made by Paddle 1.8 and 2.3, with what they answered."""
    program, params = loaded(golden.model)
    for opset in (13, newest()):
        _made, running = exported(program, params, tmp_path / f"m{opset}.onnx", opset)
        for wanted, got in zip(golden.outputs, running.run(None, golden.inputs), strict=True):
            agree(wanted, got)


@pytest.mark.slow
def test_every_model_of_the_zoo(tmp_path: Path) -> None:
    """All families of ``paddle.vision.models``, BERT, ERNIE, GPT, U-Net, CRNN, the NMS head, branch and loop."""
    require("current")
    done = subprocess.run(
        [sys.executable, str(ZOO), str(tmp_path)], capture_output=True, text=True, timeout=1500, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:]
    wrong: dict[str, str] = {}
    for path in sorted(tmp_path.glob("*.json")):
        if path.stem == "failed":
            continue
        data = np.load(path.with_suffix(".npz"))
        program, params = loaded(path)
        for opset in (13, newest()):
            try:
                _made, running = exported(program, params, tmp_path / "m.onnx", opset)
                for which in (0, 1):
                    feed = {i.name: data[f"{which}_in_{i.name}"] for i in running.get_inputs()}
                    for k, got in enumerate(running.run(None, feed)):
                        agree(data[f"{which}_out_{k}"], got, TOLERANCE)
            except Exception as error:  # noqa: BLE001 - all of them are told at once
                wrong[f"{path.stem} at {opset}"] = str(error)[:300]
    assert wrong == {}


OCR = ("ch_PP-OCRv4_det", "ch_PP-OCRv4_rec", "ch_ppocr_mobile_v2.0_cls")


@pytest.mark.slow
@pytest.mark.parametrize("name", OCR)
def test_pp_ocr_goes_round(name: str, tmp_path: Path) -> None:
    """The real models: RapidOCR's ONNX → .pdmodel → ONNX, equal in ONNX Runtime at two sizes."""
    package = pytest.importorskip("rapidocr_onnxruntime")
    from mconv.onnx.convert import convert

    source = next((Path(package.__file__).parent / "models").glob(f"{name}*.onnx"))
    shapes = {"det": [(1, 3, 64, 96), (2, 3, 96, 64)], "rec": [(1, 3, 48, 96), (2, 3, 48, 160)],
              "cls": [(1, 3, 48, 192), (3, 3, 48, 192)]}[name.rpartition("_")[2]]  # fmt: skip
    made = convert(source, PADDLE_2_6)
    _goes_round(source, made.program, dict(made.params), [{"x": _random(s)} for s in shapes], tmp_path)


@pytest.mark.slow
@pytest.mark.runtime
@pytest.mark.parametrize("name", OCR)
def test_pp_ocr_from_its_pdmodel(name: str, tmp_path: Path) -> None:
    """By the command: Paddle against ONNX Runtime at two sizes."""
    package = pytest.importorskip("rapidocr_onnxruntime")
    require("paddle-2.6.2")
    source = next((Path(package.__file__).parent / "models").glob(f"{name}*.onnx"))
    api.onnx2paddle(source, tmp_path / "paddle", target="2.6", verify=False)
    for opset in (13, newest()):
        report = api.to_onnx(tmp_path / "paddle", tmp_path / f"m{opset}.onnx", opset=opset, verify=True)
        found = report.verification
        assert found is not None and found["status"].startswith("passed"), found["reason"]
        assert found["input_sets"][0] != found["input_sets"][1] and report.target["opset"] == opset


def _random(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def _goes_round(
    source: Path, program: Program, params: dict[str, TensorSource], feeds: list[dict[str, np.ndarray]], folder: Path
) -> None:
    original = ort.InferenceSession(str(source), providers=["CPUExecutionProvider"])
    for opset in (13, newest()):
        _made, running = exported(program, params, folder / "again.onnx", opset)
        assert [i.name for i in running.get_inputs()] == [i.name for i in original.get_inputs()]
        assert [o.name for o in running.get_outputs()] == [o.name for o in original.get_outputs()]
        for feed in feeds:
            for wanted, got in zip(original.run(None, feed), running.run(None, feed), strict=True):
                agree(wanted, got, TOLERANCE)


IN_SECONDS = ("mlp.ts17", "gru.ts17")


def _files_of_the_zoo() -> list[Any]:
    from tests.onnx import test_zoo

    return [n if n in IN_SECONDS else pytest.param(n, marks=pytest.mark.slow) for n in test_zoo.PASSES]


@pytest.mark.parametrize("name", _files_of_the_zoo())
def test_files_of_torch_go_round(name: str, tmp_path: Path) -> None:
    """ONNX → Paddle → ONNX, every file of the zoo."""
    pytest.importorskip("torch")
    from mconv.onnx.convert import convert
    from tests.zoo.export import export as export_torch

    model, kind = name.rsplit(".", 1)
    path, sample = export_torch(model, kind, tmp_path)
    made = convert(path, PADDLE_3)
    names = [p.name for p in made.program.feeds]
    feeds = [{k: v for k, v in sample.feeds(*size).items() if k in names} for size in sample.sizes]
    _goes_round(path, made.program, dict(made.params), feeds, tmp_path)


def _suite() -> list[str]:
    from tests.onnx import suite

    return suite.pass_list("3").read_text().split()


PARTS = 8


@pytest.mark.parametrize("part", [0, *[pytest.param(k, marks=pytest.mark.slow) for k in range(1, PARTS)]])
@pytest.mark.long
def test_onnx_own_tests_go_round(part: int, tmp_path: Path) -> None:
    """Each of ONNX's node tests that converts to Paddle comes back as ONNX, and gives what it expects."""
    wrong = {n: problem for n in sorted(_suite())[part::PARTS] if (problem := _node(n, tmp_path)) is not None}
    assert wrong == {}


def _node(name: str, folder: Path) -> Any:
    from mconv.onnx.convert import convert
    from mconv.onnx.reader import OnnxModel
    from tests.onnx import suite

    case = next(c for c in suite.cases() if c.name == name)
    model, sets = suite.load(case)
    if not sets:
        return None
    inputs, expected = sets[0]
    made = convert(OnnxModel(model), PADDLE_3)
    try:
        _made, running = exported(made.program, dict(made.params), folder / "m.onnx", 13)
    except Exception as error:  # noqa: BLE001 - told beside the others
        return f"{type(error).__name__}: {error}"[:300]
    given = [v.astype(np.float32) if v.dtype.name == "bfloat16" else v for v in inputs if v is not None]
    feeds = {p.name: v.astype(p.dtype.numpy) for p, v in zip(made.program.feeds, given)}
    answers = running.run(None, {i.name: feeds[i.name] for i in running.get_inputs()})
    for info, wanted, got in zip(model.graph.output, expected, answers):
        problem = suite.agrees(wanted, got, info.name in made.widened)
        if problem:
            return f"{info.name}: {problem}"
    return None
