"""Detectors from ONNX, PyTorch and Paddle's .json: what is in a frame, and that nothing is, in three Paddles and through
the generated service.
"""

from __future__ import annotations

import base64
import functools
import io
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mconv import api
from mconv.program import targets
from mconv.program.files import locate
from mconv.program.stored import write_model
from tests.managed import require
from tests.onnx.checks import worker
from tests.proof import detectors
from tests.proof.services import running

pytestmark = pytest.mark.runtime

SOURCES = ("onnx-nms", "torch-nms", "torch-mask", "json-nms", "json-mask", "json-multiclass_nms3")
TARGETS = {"2.3": "paddle-2.3.2", "2.6": "paddle-2.6.2", "3": "current"}
Answers = list[list[np.ndarray]]  # per frame, the outputs


def _of_onnx(kind: str, target: str, folder: Path) -> Answers:
    import onnx
    import onnxruntime as ort

    model = detectors.onnx_detector()
    onnx.save(model, folder / "detector.onnx")
    api.onnx2paddle(folder / "detector.onnx", folder / "model", target=target, verify=False)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return [session.run(None, {"image": frame}) for frame in detectors.frames()]


def _of_torch(kind: str, target: str, folder: Path) -> Answers:
    torch = pytest.importorskip("torch")
    from tests.torch.converted import convert
    from tests.torch.torchvision_ops import library

    assert library() is not None
    module = detectors.torch_detector(kind)
    example = {"image": torch.from_numpy(detectors.frames()[0])}
    made = convert(module, example, {"image": (None, None, "height", "width")}, target=targets.get(target))
    (folder / "model").mkdir()
    write_model(made.program, made.params.items(), folder / "model")
    with torch.no_grad():
        return [[v.numpy() for v in module(torch.from_numpy(frame))] for frame in detectors.frames()]


@functools.cache
def _saved(root: Path) -> Path:
    """Paddle's own, saved once."""
    require("current")
    script = [sys.executable, str(Path(detectors.__file__)), str(root)]
    subprocess.run(script, check=True, capture_output=True, timeout=300)
    return root


def _of_json(kind: str, target: str, folder: Path) -> Answers:
    saved = _saved(folder.parent)
    api.downgrade(saved / f"{kind}.json", folder / "model", name="model", target=target)
    answers = np.load(saved / f"{kind}.npz")
    count = len({k.partition(".")[2] for k in answers})
    return [[answers[f"{i}.{k}"] for k in range(count)] for i in range(len(detectors.frames()))]


def converted(source: str, target: str, folder: Path) -> Answers:
    """The detector of *source* in ``folder/model``; gives what the source answers."""
    origin, _, kind = source.partition("-")
    folder.mkdir()
    return {"onnx": _of_onnx, "torch": _of_torch, "json": _of_json}[origin](kind, target, folder)


def check(wanted: list[np.ndarray], got: list[np.ndarray], what: str) -> None:
    assert len(wanted) == len(got)
    for k, (want, value) in enumerate(zip(wanted, got)):
        assert value.shape == want.shape, f"{what}, output {k}"
        np.testing.assert_allclose(value, want, rtol=1e-4, atol=1e-4, err_msg=f"{what}, output {k}")


def told_apart(answers: Answers) -> None:
    """The frames are what they are said to be: boxes in every other one."""
    assert [bool(outputs[0].size) for outputs in answers] == [True, False, True, False]


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("detectors")


def all_of(quick: set[str]) -> list[Any]:
    """Sources, of which only some are tried on every run."""
    return [pytest.param(s, marks=[] if s in quick else [pytest.mark.slow]) for s in SOURCES]


@pytest.mark.parametrize("target", ["2.3", *(pytest.param(t, marks=pytest.mark.slow) for t in ("2.6", "3"))])
@pytest.mark.parametrize("source", all_of({"onnx-nms", "torch-mask", "json-nms"}))
def test_in_the_runtime(source: str, target: str, runtime: Path) -> None:
    require(TARGETS[target])
    folder = runtime / f"{source}-{target}"
    answers = converted(source, target, folder)
    told_apart(answers)
    files = locate(folder / "model")
    for onednn in (None, True):
        sets: list[Mapping[str, Any]] = [{"image": frame} for frame in detectors.frames()]
        result = worker(TARGETS[target]).run(files.program, files.params, sets, onednn=onednn, timeout=120)
        for i, (wanted, got) in enumerate(zip(answers, result.outputs)):
            check(wanted, got, f"frame {i}, oneDNN {onednn}")


def png(pixels: np.ndarray) -> str:
    """A picture as requests carry it."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


@pytest.mark.parametrize("source", all_of({"json-nms"}))
def test_through_the_service(source: str, runtime: Path) -> None:
    """A black picture, one with boxes, and both again: an empty result has its shape, and what comes after it its boxes."""
    require("paddle-2.3.2")
    folder = runtime / f"{source}-service"
    answers = converted(source, "2.3", folder)
    told_apart(answers)
    options = {"image_size": "48x40", "mean": [0.0], "std": [1.0]}
    result = api.to_serving(folder / "model", out=folder, pipeline=options)
    assert result.service is not None and result.service.kind == "image"
    with running(folder) as pipeline:
        for i in (1, 0, 1, 0):
            for form in ("http key/value", "rpc strings"):
                answer = pipeline.ask(form, {"0": png(detectors.pictures()[i])})
                assert not answer.error, answer.error
                got = []
                for port in result.fetches:
                    value, shape = answer.values[port.alias], answer.values.get(f"{port.alias}.shape")
                    assert (shape is None) == bool(value.size), port.alias
                    got.append(value if shape is None else value.reshape(shape.astype(int)))
                check(answers[i], got, f"picture {i}, {form}")
