"""Half precision proved by emulation: real models, what leaves the range, calibration, a second reader."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mconv import api
from mconv.api import half
from mconv.errors import RuntimeFailedError, UnsupportedError, UsageError, VerificationError
from tests.golden import case
from tests.managed import require
from tests.onnx.test_zoo import written
from tests.verbs.test_shapes import branch

RUNTIMES = {"2.3": "paddle-2.3.2", "2.6": "paddle-2.6.2"}


def ocr(part: str, folder: Path, target: str) -> Path:
    package = pytest.importorskip("rapidocr_onnxruntime")
    (path,) = (Path(package.__file__).parent / "models").glob(f"*_{part}_infer.onnx")
    api.onnx2paddle(path, folder / part, target=target, verify=False)
    return folder / part


def chain(folder: Path, factor: float) -> Path:
    """y = x @ w * factor / factor, on rows of 4: with a large factor, the product leaves float16."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("Mul", ["a", "factor"], ["large"]),
        helper.make_node("Div", ["large", "factor"], ["b"]),
        helper.make_node("MatMul", ["b", "w"], ["y"]),
    ]
    weights = {"w": np.eye(4, dtype=np.float32) * 2, "factor": np.full((), factor, np.float32)}
    infos = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", 4]) for n in "xy"]
    held = [numpy_helper.from_array(a, n) for n, a in weights.items()]
    graph = helper.make_graph(nodes, "chain", infos[:1], infos[1:], held)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / "chain.onnx"
    )
    api.onnx2paddle(folder / "chain.onnx", folder / "chain", verify=False)
    return folder / "chain"


@pytest.mark.runtime
@pytest.mark.parametrize(
    ("name", "target"), [("bert", "2.3"), ("conv", "2.3"), ("multi", "2.3"), ("bert", "2.6"), ("mlp", "2.6")]
)
def test_golden_models(name: str, target: str, tmp_path: Path) -> None:
    require(RUNTIMES[target])
    found = half(case(f"2.3.2-{name}").model, tmp_path / "out", target=target)
    assert found.status == "passed" and found.outputs and all(row.error is not None for row in found.outputs)
    assert any(row.error for row in found.outputs)  # something was rounded
    assert api.inspect(tmp_path / "out").notes[0].startswith("it computes in float16")
    # twice is once too often
    with pytest.raises(UnsupportedError, match="computes in float16 already"):
        half(tmp_path / "out", tmp_path / "again")


@pytest.mark.runtime
@pytest.mark.slow
def test_pictures(tmp_path: Path) -> None:
    """Real weights on a picture with text. 350 roundings in a row make single pixels of the map differ by more than is
    allowed: that is said, with the tensors, and nothing is written unless it is asked for."""
    require("paddle-2.3.2")
    model = ocr("det", tmp_path, "2.3")
    np.savez(tmp_path / "x.npz", x=written((1, 3, 64, 160)))
    with pytest.raises(VerificationError, match="off by"):
        half(model, tmp_path / "out", feeds=tmp_path / "x.npz")
    found = half(model, tmp_path / "out", feeds=tmp_path / "x.npz", tolerance=0.6)
    assert found.status == "passed" and found.tensors
    assert found.bytes["after"] < 0.62 * found.bytes["before"]
    # calibration keeps in float32 what costs the most, until the limit is kept to
    best = half(model, tmp_path / "best", calibrate=tmp_path / "x.npz")
    assert best.status == "passed" and all(row.error is not None and row.error <= 5e-3 for row in best.outputs)
    floats = [name for row in best.precise for name in row.names]
    assert len(floats) == len(set(floats)) and sum(best.half.values()) > 0
    assert sum(kinds.get("its rounding costs the most", 0) for kinds in best.float32.values()) >= 0.9 * len(floats)
    alone = [row.error for row in best.precise if len(row.names) < 4]
    assert alone and all(error is None or error > 0 for error in alone)


@pytest.mark.runtime
@pytest.mark.slow
def test_lines(tmp_path: Path) -> None:
    """The recogniser with its real weights is within the limit as it is."""
    require("paddle-2.3.2")
    np.savez(tmp_path / "x.npz", x=written((2, 3, 48, 160)))
    found = half(ocr("rec", tmp_path, "2.3"), tmp_path / "out", feeds=tmp_path / "x.npz")
    assert found.status == "passed" and all(row.error is not None and 0 < row.error <= 5e-3 for row in found.outputs)
    assert not found.float32 and found.bytes["after"] < 0.62 * found.bytes["before"]


@pytest.mark.runtime
def test_what_leaves_the_range_is_named_and_kept_by_calibration(tmp_path: Path) -> None:
    require("paddle-2.3.2")
    model = chain(tmp_path, 60000.0)
    with pytest.raises(VerificationError) as error:
        half(model, tmp_path / "out")
    assert "is not finite" in error.value.message and "large" in (error.value.hint or "")
    assert not (tmp_path / "out").exists()
    np.savez(tmp_path / "x.npz", x=np.linspace(-3, 3, 20, dtype=np.float32).reshape(5, 4))
    found = half(model, tmp_path / "out", calibrate=tmp_path / "x.npz")
    assert found.status == "passed" and "large" in found.kept
    assert {why for kinds in found.float32.values() for why in kinds} == {"its tensors leave the range of float16"}
    assert found.half["matmul_v2"] >= 1
    # by hand the same
    by_hand = half(model, tmp_path / "hand", keep=found.kept)
    assert (by_hand.half, by_hand.casts) == (found.half, found.casts)


@pytest.mark.runtime
def test_what_is_too_small_for_half_is_named(tmp_path: Path) -> None:
    """Numbers below 6e-5 lose digits in float16, those below 3e-8 are 0; bfloat16 has them."""
    require("paddle-2.3.2")
    model = chain(tmp_path, 2.0**-20)
    with pytest.raises(VerificationError) as error:
        half(model, tmp_path / "out")
    assert "large" in (error.value.hint or "")
    found = half(model, tmp_path / "out", tolerance=2.0)
    assert {row.name: row.reason for row in found.tensors}["large"] == "below the range"
    found = half(model, tmp_path / "bf16", dtype="bf16")
    assert "below the range" not in {row.reason for row in found.tensors}


@pytest.mark.runtime
def test_a_mask_is_saturated_and_named(tmp_path: Path) -> None:
    require("paddle-2.3.2")
    nodes = [
        helper.make_node("Mul", ["mask", "least"], ["hidden"]),
        helper.make_node("Add", ["x", "hidden"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["y"]),
    ]
    infos = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", 4]) for n in ("x", "mask", "y")]
    least = numpy_helper.from_array(np.full((), -1e9, np.float32), "least")
    graph = helper.make_graph(nodes, "mask", infos[:2], infos[2:], [least])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "mask.onnx")
    api.onnx2paddle(tmp_path / "mask.onnx", tmp_path / "model", verify=False)
    mask = np.tile(np.float32([0, 1, 0, 1]), (3, 1))
    np.savez(tmp_path / "x.npz", x=np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4), mask=mask)
    found = half(tmp_path / "model", tmp_path / "out", feeds=tmp_path / "x.npz")
    assert found.status == "passed" and found.saturated == ["hidden"]
    assert {row.name: row.reason for row in found.tensors if row.largest > 65504} == {"scores": "saturated"}


@pytest.mark.runtime
@pytest.mark.long
def test_what_proves_nothing_is_no_proof(tmp_path: Path) -> None:
    """Inputs that make every number none, and a calibration that leaves nothing in half."""
    require("paddle-2.3.2")
    model = chain(tmp_path, 2.0)
    np.savez(tmp_path / "nan.npz", x=np.full((3, 4), np.nan, np.float32))
    with pytest.raises(VerificationError, match="is not finite"):
        half(model, tmp_path / "out", feeds=tmp_path / "nan.npz")
    with pytest.raises(UsageError, match="--calibrate: with --weights-only"):
        half(model, tmp_path / "out", calibrate=tmp_path / "nan.npz", weights_only=True)
    np.savez(tmp_path / "tiny.npz", x=np.full((3, 4), 1e-9, np.float32))
    with pytest.raises(UsageError, match="nan.npz: x holds NaN"):
        half(model, tmp_path / "out", calibrate=tmp_path / "tiny.npz", feeds=tmp_path / "nan.npz")
    with pytest.raises(VerificationError, match="calibration keeps every operator") as caught:
        half(model, tmp_path / "out", calibrate=tmp_path / "tiny.npz")
    assert "--dtype bf16" in (caught.value.hint or "")
    with pytest.raises(VerificationError, match="off by 100.0%"):
        half(model, tmp_path / "out", feeds=tmp_path / "tiny.npz")
    assert not (tmp_path / "out").exists()
    assert half(model, tmp_path / "out", inputs=["x[7,4]"]).outputs


@pytest.mark.runtime
@pytest.mark.parametrize("dtype", ["fp16", "bf16"])
@pytest.mark.parametrize("runtime", ["paddle-2.3.2", "paddle-2.6.2", "current"])
def test_weights_alone_run_everywhere(runtime: str, dtype: str, workers: Callable[[str], Any], tmp_path: Path) -> None:
    model = case("2.3.2-bert")
    found = half(model.model, tmp_path / "out", weights_only=True, dtype=dtype, verify=False)
    assert found.bytes["after"] < 0.55 * found.bytes["before"] and not found.warnings
    run = workers(runtime).run(found.program, found.params, model.inputs)
    for want, got in zip(model.outputs, run.outputs[0]):
        assert np.abs(want - got).max() <= {"fp16": 2e-3, "bf16": 1.6e-2}[dtype] * np.abs(want).max()


@pytest.mark.runtime
@pytest.mark.parametrize("io", ["float", "half"])
@pytest.mark.parametrize("model", ["mlp", "conv"])
def test_a_second_reader_computes_the_same(model: str, io: str, tmp_path: Path) -> None:
    """OpenVINO reads the program with its casts and half weights, and has kernels for it on a CPU; statistics in float32
    beside numbers in half, which it refuses as they are, among them."""
    pytest.importorskip("openvino")
    require("paddle-2.3.2")
    found = half(case(f"2.3.2-{model}").model, tmp_path / "out", io=io).second
    assert found is not None and found.reader.startswith("OpenVINO 20") and not found.reason
    assert found.error is not None and 0 < found.error < 5e-3


def test_nobody_is_told_that_openvino_was_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its package reports every import to Intel, and keeps a number for the user in their home."""
    pytest.importorskip("openvino")
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    found = api.half(case("2.3.2-mlp").model, tmp_path / "out", runtime="current").second
    assert found is not None and found.reader.startswith("OpenVINO 20")
    assert not (tmp_path / "home" / "intel").exists()


@pytest.mark.runtime
def test_what_the_second_reader_does_not_read_is_said(tmp_path: Path) -> None:
    """Paddle's branches; and NaN in weights is NaN in float32 already, which the proof does not pass over in silence."""
    pytest.importorskip("openvino")
    require("paddle-2.3.2")
    api.onnx2paddle(branch(tmp_path), tmp_path / "model", verify=False)
    found = half(tmp_path / "model", tmp_path / "out")
    assert found.status == "passed" and found.second is not None
    assert found.second.error is None and found.second.reason.startswith("OpenVINO cannot load it")
    model = chain(tmp_path, float("nan"))
    with pytest.raises(VerificationError, match="is not finite"):  # nothing is left to compare
        half(model, tmp_path / "nan")


@pytest.mark.runtime
def test_on_a_cpu_the_reason_is_said(tmp_path: Path) -> None:
    require("paddle-2.3.2")
    half(case("2.3.2-mlp").model, tmp_path / "half", verify=False)
    with pytest.raises(RuntimeFailedError) as caught:
        api.verify(case("2.3.2-mlp").model, tmp_path / "half", runtime="paddle-2.3.2")
    assert caught.value.hint is not None and "GPUs alone" in caught.value.hint


def test_it_says_what_it_is(tmp_path: Path) -> None:
    found = half(case("2.3.2-mlp").model, tmp_path / "half", verify=False)
    assert found.status == "not verified" and any("GPUs alone" in warning for warning in found.warnings)
    served = api.to_serving(tmp_path / "half", out=tmp_path, pipeline={})
    assert any("GPUs alone" in warning for warning in served.warnings)
    config = (tmp_path / "service" / "config.yml").read_text()
    assert "device_type: 1" in config and "fc_fuse_pass" in config and "fc_fuse_pass" in found.unfit_passes
    plain = _config(tmp_path / "plain", case("2.3.2-mlp").model)
    assert "device_type: 0" in plain and "without_passes: []" in plain
    assert not half(case("2.3.2-mlp").model, tmp_path / "2.6", target="2.6", verify=False).unfit_passes


def _config(folder: Path, model: Path) -> str:
    api.to_serving(model, out=folder, pipeline={})
    return (folder / "service" / "config.yml").read_text()


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"dtype": "fp8"}, UsageError, "--dtype: 'fp8'"),
        ({"io": "int"}, UsageError, "--io: 'int'"),
        ({"io": "half", "weights_only": True}, UsageError, "--io half: with --weights-only"),
        ({"target": "1.8"}, UnsupportedError, "Paddle 1.8"),
        ({"keep": ["conv9d"]}, UsageError, "--keep conv9d"),
    ],
)
def test_what_cannot_be_asked_for(options: dict[str, Any], error: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(error) as raised:
        half(case("2.3.2-mlp").model, tmp_path / "out", verify=False, **options)
    assert said in raised.value.message
    assert not (tmp_path / "out").exists()


def test_weights_that_are_stored_in_half_already(tmp_path: Path) -> None:
    half(case("2.3.2-mlp").model, tmp_path / "small", weights_only=True, verify=False)
    with pytest.raises(UnsupportedError, match="no float32 weights") as raised:
        half(tmp_path / "small", tmp_path / "again", weights_only=True, verify=False)
    assert raised.value.hint == "it stores them in float16 already"
    made = half(tmp_path / "small", tmp_path / "out", verify=False)
    assert made.casts == half(case("2.3.2-mlp").model, tmp_path / "other", verify=False).casts == 2


def lines_of_text(folder: Path) -> Path:
    """A recogniser in small: pictures of any height by their declaration, of 48 by their weights."""
    rng = np.random.default_rng(0)
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["columns"], axes=[1], keepdims=0),
        helper.make_node("Transpose", ["columns"], ["rows"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["rows", "w"], ["y"]),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, "h", "w"])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", "w", 5])
    weight = numpy_helper.from_array(rng.normal(size=(48, 5)).astype(np.float32), "w")
    graph = helper.make_graph(nodes, "lines", [x], [y], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / "lines.onnx")
    return folder / "lines.onnx"


@pytest.mark.runtime
def test_sizes_that_the_model_takes_are_found(tmp_path: Path) -> None:
    require("paddle-2.3.2")
    model = lines_of_text(tmp_path)
    api.onnx2paddle(model, tmp_path / "out", verify=False)
    assert half(tmp_path / "out", tmp_path / "out16").status == "passed"
    made = api.onnx2paddle(model, tmp_path / "at-once", half="fp16")
    assert made.half is not None and made.half["status"] == "passed"
    with pytest.raises(RuntimeFailedError) as caught:
        api.shapes(tmp_path / "out", minimum=["x[1,3,32,32]"], optimum=["x[1,3,32,32]"], maximum=["x[1,3,32,32]"])
    assert "it takes x[" in (caught.value.hint or "") and ",3,48," in (caught.value.hint or "")


@pytest.mark.runtime
@pytest.mark.slow
def test_sizes_are_found_for_a_benchmark(tmp_path: Path) -> None:
    require("paddle-2.3.2")
    api.onnx2paddle(lines_of_text(tmp_path), tmp_path / "out", verify=False)
    options: dict[str, Any] = {"runtimes": ["paddle-2.3.2"], "loops": 1, "rounds": 1, "warmup": 1}
    (sizes,) = api.bench_models([str(tmp_path / "out")], **options).input_sets
    assert list(sizes["x"])[:3] == [1, 3, 48]
