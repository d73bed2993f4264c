"""Converted models under PIR (``Config.enable_new_ir``), as PaddleX runs a ``.pdmodel`` in Paddle 3, give ONNX Runtime's
numbers, with oneDNN and without."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mconv import api
from tests.serving import ppocr

pytestmark = pytest.mark.runtime


def enlarging(path: Path) -> Path:
    """A transposed convolution, which PIR's translation wants all attributes of."""
    rng = np.random.default_rng(0)
    weights = [numpy_helper.from_array(rng.standard_normal((3, 4, 2, 2)).astype(np.float32), "w")]
    node = helper.make_node("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2])
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, "h", "w_"])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph([node], "g", [x], [y], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return path


@pytest.mark.long
def test_converted_models_under_pir(tmp_path: Path) -> None:
    import onnxruntime

    pytest.importorskip("paddle")
    models = {
        "rec": (ppocr.onnx_file("rec"), (2, 3, 48, 160)),  # a product behind a reshape behind a convolution
        "cls": (ppocr.onnx_file("cls"), (1, 3, 48, 192)),
        "enlarging": (enlarging(tmp_path / "enlarging.onnx"), (2, 3, 5, 7)),
    }
    feeds, wanted = {}, {}
    for name, (path, shape) in models.items():
        api.onnx2paddle(path, tmp_path / name, verify=False)
        x = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
        feeds[f"{tmp_path / name}/x"] = x
        wanted[name] = onnxruntime.InferenceSession(str(path)).run(None, {"x": x})[0]
    np.savez(tmp_path / "in.npz", **feeds)
    done = subprocess.run(
        [sys.executable, str(Path(__file__).parent / "under_pir.py"), str(tmp_path / "in.npz"), str(tmp_path / "out.npz"),
         *(str(tmp_path / name) for name in models)],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    found = np.load(tmp_path / "out.npz")
    for name, reference in wanted.items():
        for onednn in (0, 1):
            got = found[f"{tmp_path / name}/{onednn}/0"]
            assert got.shape == reference.shape
            assert np.abs(got - reference).max() <= 1e-4 * np.abs(reference).max(), (name, onednn)
