"""Runners: the same model in several runtimes, and a model of another kind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mconv.errors import NotAModelError, RuntimeFailedError
from mconv.program.dtypes import DType
from mconv.proof.compare import compare
from mconv.proof.feeds import random_feeds
from mconv.proof.runners import OnnxRunner, PaddleRunner
from tests.golden import Case, case
from tests.managed import require


@pytest.mark.runtime
@pytest.mark.parametrize("text", ["2.3.2-bert", "2.3.2-multi", "1.8.5-conv_custom"])
@pytest.mark.parametrize("runtime", ["paddle-2.3.2", "paddle-2.6.2"])
def test_two_paddles_agree_on_two_shapes(text: str, runtime: str) -> None:
    model = case(text).model
    require(runtime)
    with PaddleRunner(model) as new, PaddleRunner(model, runtime) as old:
        sets = random_feeds(new.specs())
        assert len(sets) == 2
        a, b = new.run(sets), old.run(sets)
    result = compare(a.outputs, b.outputs, a.names, dtypes=a.dtypes, got_dtypes=b.dtypes)
    assert result.ok, f"{text}: {result.worst}"
    assert result.max_abs <= 1e-6
    assert b.version == runtime.partition("-")[2] and old.label == f"Paddle {b.version}"


def test_options_reach_the_worker(golden: Case) -> None:
    if golden.version == "1.8.5" and not golden.name.endswith("_combined"):
        pytest.skip("one naming is enough here")
    with PaddleRunner(golden.model, ir_optim=False, engine="executor") as runner:
        answers = runner.run([golden.inputs])
    for got, wanted in zip(answers.outputs[0], golden.outputs, strict=True):
        np.testing.assert_allclose(got, wanted, atol=1e-6)


@pytest.fixture
def onnx_model(tmp_path: Path) -> Path:
    import onnx
    from onnx import TensorProto, helper

    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [x], [y])
    path = tmp_path / "relu.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


def test_onnx(onnx_model: Path) -> None:
    pytest.importorskip("onnxruntime")
    with OnnxRunner(onnx_model) as runner:
        (spec,) = runner.specs()
        assert (spec.name, spec.dtype, spec.shape) == ("x", DType.FP32, ("batch", 4))
        sets = random_feeds([spec])
        answers = runner.run(sets)
        with pytest.raises(RuntimeFailedError, match="cannot run"):
            runner.run([{"x": np.ones((1, 3), np.float32)}])
    assert answers.names == ["y"]
    for feed, (got,) in zip(sets, answers.outputs, strict=True):
        np.testing.assert_array_equal(got, np.maximum(feed["x"], 0))


def test_what_cannot_be_run(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    (tmp_path / "bad.onnx").write_bytes(b"nonsense")
    with pytest.raises(RuntimeFailedError, match="cannot load .*bad.onnx"):
        OnnxRunner(tmp_path / "bad.onnx")
    with pytest.raises(NotAModelError):
        PaddleRunner(tmp_path / "gone")
