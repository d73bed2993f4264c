"""Quantised programs as QuantizeLinear and DequantizeLinear, against the real Paddle; half precision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mconv import api
from mconv.program import files
from tests.exporters.onnx.checking import check, exported, program_of
from tests.golden import case

pytest.importorskip("onnxruntime")
F = "float32"
RNG = np.random.default_rng(11)


def x(*shape: int) -> np.ndarray:
    return RNG.uniform(-1.3, 1.3, shape).astype(np.float32)


@pytest.mark.runtime
@pytest.mark.parametrize("round_type", [0, 1], ids=["even", "away"])
@pytest.mark.parametrize("axis", [-1, 1], ids=["tensor", "channel"])
def test_linear(axis: int, round_type: int, tmp_path: Path, workers: Any) -> None:
    """Beyond the range, too: -128 where halves go to even, else -127."""
    scale = np.array([1.0] if axis < 0 else [0.7, 1.0, 1.2], np.float32)
    inputs = {"X": x(2, 3, 4), "Scale": scale, "ZeroPoint": np.zeros_like(scale)}
    attributes = {"quant_axis": axis, "bit_length": 8, "round_type": round_type, "is_test": True}
    program, params = program_of("quantize_linear", inputs, {"Y": (F, 3)}, attributes, ["Scale", "ZeroPoint"])
    check(tmp_path, workers("current"), program, params, [{"X": x(2, 3, 4)}, {"X": x(5, 3, 4)}], (13, 22))
    whole = np.round(x(2, 3, 4) * 100)
    inputs["X"] = whole
    program, params = program_of("dequantize_linear", inputs, {"Y": (F, 3)}, attributes, ["Scale", "ZeroPoint"])
    check(tmp_path, workers("current"), program, params, [{"X": whole}, {"X": np.round(x(4, 3, 4) * 90)}], (13, 22))


@pytest.mark.runtime
@pytest.mark.parametrize(
    "kind", ["fake_quantize_moving_average_abs_max", "fake_quantize_dequantize_moving_average_abs_max"]
)
def test_fake(kind: str, tmp_path: Path, workers: Any) -> None:
    inputs = {"X": x(2, 6), "InScale": np.array([0.9], np.float32)}
    attributes = {"bit_length": 8, "is_test": True, "round_type": 1, "moving_rate": 0.9}
    program, params = program_of(kind, inputs, {"Out": (F, 2)}, attributes, ["InScale"], unread=["OutScale"])
    check(tmp_path, workers("current"), program, params, [{"X": x(2, 6)}, {"X": x(5, 6)}], (11, 13, 22))


@pytest.mark.runtime
@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("kind", ["fake_quantize_dequantize_abs_max", "fake_channel_wise_quantize_dequantize_abs_max"])
def test_fake_weights(kind: str, bits: int, tmp_path: Path, workers: Any) -> None:
    attributes: dict[str, Any] = {"bit_length": bits, "round_type": 1}
    if "channel" in kind:
        attributes["quant_axis"] = 1
    program, params = program_of(kind, {"X": x(2, 3, 4)}, {"Out": (F, 3)}, attributes, unread=["OutScale"])
    check(tmp_path, workers("current"), program, params, [{"X": x(2, 3, 4)}, {"X": x(3, 3, 4)}], tolerance=1e-4)


@pytest.mark.parametrize("dtype", ["fp16", "bf16"])
def test_half(dtype: str, tmp_path: Path) -> None:
    """A program for GPUs: Paddle has no kernels here, its float32 source is the reference."""
    golden = case("2.3.2-mlp")
    api.half(golden.model, tmp_path / "half", dtype=dtype, verify=False)
    found = files.locate(tmp_path / "half")
    program = files.load_program(found)
    params = {r.name: r for r in files.records(found, program)}
    kind = {"fp16": "float16", "bf16": "bfloat16"}[dtype]
    assert any(v.dtype is not None and v.dtype.label == kind for v in program.main.vars.values())
    if dtype == "bf16":
        from mconv.exporters.onnx import export, skeleton

        model = skeleton(export(program, params, opset=13))  # ONNX Runtime's CPU has no products of bfloat16
        assert 16 in {i.type.tensor_type.elem_type for i in model.graph.value_info}
        return
    _made, running = exported(program, params, tmp_path / "m.onnx", 13)
    for wanted, got in zip(golden.outputs, running.run(None, golden.inputs), strict=True):
        assert got.dtype == wanted.dtype
        if got.dtype.kind == "f":
            np.testing.assert_allclose(got, wanted, atol=5e-3 * np.abs(wanted).max())
