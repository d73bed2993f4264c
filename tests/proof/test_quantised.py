"""The reference of 8-bit models adds up exactly, whatever the processor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mconv.proof.quantised import is_quantised, unsign_weights
from mconv.proof.reference import ReferenceRunner
from mconv.proof.runners import OnnxRunner

LARGE = np.full((2, 32), 255, np.uint8)  # pairs of products with 127 leave 16 bits
WEIGHT = np.where(np.arange(32 * 3).reshape(32, 3) % 7 == 0, -128, 127).astype(np.int8)


def _save(path: Path, nodes: list, out: int, weights: dict[str, np.ndarray], shape: tuple[int, ...]) -> Path:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, shape)],
        [helper.make_tensor_value_info("y", out, None)],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


SCALES = {"s": np.float32(0.5), "z": np.uint8(3), "t": np.float32(900.0)}
ROW = np.array([0, 3, -2], np.int8)
CASES = {
    "MatMulInteger": ("x w", TensorProto.INT32, {"w": WEIGHT}),
    "MatMulInteger with zero points": ("x w z p", TensorProto.INT32, {"w": WEIGHT, "z": np.uint8(3), "p": np.int8(-5)}),
    "MatMulInteger by column": ("x w z p", TensorProto.INT32, {"w": WEIGHT, "z": np.uint8(3), "p": ROW}),
    "ConvInteger": ("x w", TensorProto.INT32, {"w": WEIGHT.T.reshape(3, 32, 1, 1)}),
    "QLinearMatMul": ("x s z w s p t z", TensorProto.UINT8, {"w": WEIGHT, "p": np.int8(0), **SCALES}),
    "QLinearConv": ("x s z w s p t z", TensorProto.UINT8,
                    {"w": WEIGHT.T.reshape(3, 32, 1, 1), "p": np.int8(0), **SCALES}),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_int8_weights_are_multiplied_exactly(name: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    inputs, out, weights = CASES[name]
    x = LARGE.reshape(2, 32, 1, 1) if "Conv" in name else LARGE
    node = helper.make_node(name.split()[0], inputs.split(), ["y"])
    path = _save(tmp_path / "m.onnx", [node], out, weights, x.shape)
    assert is_quantised(path)
    changed = onnx.load(path)
    assert unsign_weights(changed)
    onnx.shape_inference.infer_shapes(changed, check_type=True, strict_mode=True)
    assert {t.data_type for t in changed.graph.initializer if t.name == changed.graph.node[0].input[1]} != {3}
    (want,) = ReferenceRunner(path).run([{"x": x}]).outputs
    (got,) = OnnxRunner(path).run([{"x": x}]).outputs
    np.testing.assert_array_equal(want[0], got[0])


def test_what_is_no_signed_weight_stays(tmp_path: Path) -> None:
    """An unsigned weight, a weight that is computed, and one in an external file."""
    node = helper.make_node("MatMulInteger", ["x", "w"], ["y"])
    path = _save(tmp_path / "u.onnx", [node], TensorProto.INT32, {"w": np.full((32, 3), 200, np.uint8)}, (2, 32))
    assert not unsign_weights(onnx.load(path))
    path = _save(tmp_path / "e.onnx", [node], TensorProto.INT32, {"w": WEIGHT}, (2, 32))
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="e.data", size_threshold=0)
    assert not unsign_weights(onnx.load(path, load_external_data=False))
