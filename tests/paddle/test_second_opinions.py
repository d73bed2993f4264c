"""Two independent readers of Paddle's programs on what mconv converted from ``.json``: OpenVINO and paddle2onnx."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mconv.runtimes import paddle2onnx
from tests.managed import require, run_in
from tests.paddle import compare
from tests.paddle.test_models import ZOO

# ten that save and run quickly; all 22 of the zoo agree in OpenVINO, 18 through paddle2onnx 2.1.0 (which takes the
# U-Net's interpolation for another, wants batch 1 for yolo_box, gives a loop no types and crashes on the .json of VGG)
NAMES = ("LeNet", "mobilenet_v1", "mobilenet_v2", "mobilenet_v3_small", "shufflenet_v2_x0_25", "squeezenet1_1",
         "bert", "ernie", "gpt", "crnn")  # fmt: skip
LOADED = (*NAMES, "unet", "branches")
TOLERANCE = 1e-4  # of the largest number: other kernels than Paddle's

_EXPORT = """
import sys, paddle2onnx
for path in sys.argv[1:]:
    stem = path.rpartition(".")[0]
    paddle2onnx.export(path, stem + ".pdiparams", path + ".onnx", opset_version=17)
"""


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    require("current")
    folder = tmp_path_factory.mktemp("zoo")
    subprocess.run([sys.executable, str(ZOO), str(folder), *LOADED], capture_output=True, check=True, timeout=600)
    return folder


def _check(name: str, feeds: list[dict[str, np.ndarray]], wanted: list[Any], gotten: list[Any]) -> list[str]:
    pairs = [(w, np.asarray(g)) for want, got in zip(wanted, gotten) for w, g in zip(want, got)]
    assert len(pairs) == sum(map(len, wanted)) > 0
    problems = [compare.close(w, g.astype(w.dtype), TOLERANCE) for w, g in pairs]
    return [f"{name}: {p}" for p in problems if p]


@pytest.mark.parametrize("target", ["2.3", "3"])
@pytest.mark.long
def test_openvino_loads_them(zoo: Path, target: str, tmp_path: Path) -> None:
    """Its own front end reads the .pdmodel, at two sizes each; the answers are those of Paddle's layer."""
    openvino = pytest.importorskip("openvino")
    core = openvino.Core()
    core.set_property("CPU", {"INFERENCE_PRECISION_HINT": "f32"})  # else bfloat16 where the processor has it
    wrong = []
    for name in LOADED:
        made = compare.converted(zoo, name, tmp_path / name, target)
        model = core.compile_model(core.read_model(str(made / f"{name}.pdmodel")), "CPU")
        feeds, wanted = compare.answers(zoo, name)
        assert [i.any_name for i in model.inputs] == list(feeds[0])
        found = [[model(feed)[port] for port in model.outputs] for feed in feeds]
        wrong += _check(name, feeds, wanted, found)
    assert wrong == []


@pytest.mark.long
def test_paddle2onnx_gives_the_same_from_both(zoo: Path, tmp_path: Path) -> None:
    """ONNX of the original .json against ONNX of the converted .pdmodel, both by paddle2onnx, at two sizes."""
    theirs = require(paddle2onnx.RUNTIME)
    ort = pytest.importorskip("onnxruntime")
    pairs = {n: (zoo / f"{n}.json", compare.converted(zoo, n, tmp_path / n) / f"{n}.pdmodel") for n in NAMES}
    paths = [str(p) for pair in pairs.values() for p in pair]
    done = run_in(theirs, "-c", _EXPORT, *paths)
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-2000:]
    wrong = []
    for name, pair in pairs.items():
        feeds, wanted = compare.answers(zoo, name)
        for path in pair:
            session = ort.InferenceSession(f"{path}.onnx", providers=["CPUExecutionProvider"])
            names = [i.name for i in session.get_inputs()]
            assert sorted(names) == sorted(feeds[0])
            found = [session.run(None, {n: feed[n] for n in names}) for feed in feeds]
            wrong += _check(path.name, feeds, wanted, found)
    assert wrong == []
