"""What a model computes in decides how far the result may be off; a wrong value is none of that."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, save

from mconv import api
from mconv.program.files import load_program, locate
from mconv.proof import precision

pytest.importorskip("onnxruntime")
KINDS = {"float32": TensorProto.FLOAT, "float16": TensorProto.FLOAT16}


def model(path: Path, inside: str, *, stored: str = "", change: float = 0.0) -> Path:
    """Six layers between float32 inputs and outputs, the weights in the type of the computation, or *stored* so.

    Args:
        change: what is added to a row of weights in the middle, in shares of the largest.
    """
    rng = np.random.default_rng(0)
    nodes = [helper.make_node("Cast", ["x"], ["h0"], to=KINDS[inside])]
    weights = []
    for i in range(6):
        weight = (rng.standard_normal((64, 64)) * 0.2).astype(inside)
        if i == 2:
            weight[7] += np.asarray(change * np.abs(weight).max(), inside)
        weights.append(numpy_helper.from_array(weight.astype(stored or inside), f"w{i}"))
        read = f"w{i}"
        if stored:
            nodes.append(helper.make_node("Cast", [read], [f"c{i}"], to=KINDS[inside]))
            read = f"c{i}"
        nodes += [helper.make_node("MatMul", [f"h{i}", read], [f"m{i}"])]
        nodes += [helper.make_node("Relu", [f"m{i}"], [f"h{i + 1}"])]
    nodes.append(helper.make_node("Cast", ["h6"], ["y"], to=TensorProto.FLOAT))
    value = helper.make_tensor_value_info
    ends = [value("x", TensorProto.FLOAT, ["n", 64])], [value("y", TensorProto.FLOAT, ["n", 64])]
    graph = helper.make_graph(nodes, "g", *ends, weights)
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return path


@pytest.mark.parametrize(
    ("inside", "stored", "wanted"), [("float16", "", "float16"), ("float32", "float16", "float32")]
)
def test_casts_and_weights(tmp_path: Path, inside: str, stored: str, wanted: str) -> None:
    """What is computed counts: weights that are only stored in 16 bits lose nothing that both models have."""
    path = model(tmp_path / "m.onnx", inside, stored=stored)
    report = api.onnx2paddle(path, tmp_path / "out", verify=True)
    assert report.verification is not None
    assert report.verification["status"] == "passed" and report.verification["tolerance"]["precision"] == wanted
    assert precision.of_program(load_program(locate(tmp_path / "out"))) == wanted


@pytest.mark.parametrize("change", [0.0, 3.0])
def test_wrong_weights_in_float16_is_found(tmp_path: Path, change: float) -> None:
    converted = model(tmp_path / "other.onnx", "float16", change=change)
    api.onnx2paddle(converted, tmp_path / "out", verify=False)
    found = api.verify(model(tmp_path / "m.onnx", "float16"), tmp_path / "out")
    assert found.ok is (change == 0) and found.tolerance["precision"] == "float16"
