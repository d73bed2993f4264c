"""int8: nets that have learnt something lose less than a point of it, in the emulation and in oneDNN's int8 kernels; layers
that would lose more stay float32."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import TensorProto, helper, numpy_helper

from mconv import api
from mconv.errors import RuntimeFailedError, UnsupportedError, UsageError, VerificationError
from mconv.program import files
from mconv.program.dtypes import DType
from mconv.verbs.quantize import operators_in
from mconv.verbs.quantize_report import QuantizeReport, error_of
from tests.golden import case
from tests.managed import require
from tests.verbs import trained

RUNTIMES = {"2.3": "paddle-2.3.2", "2.6": "paddle-2.6.2", "3": "current"}


def within_a_point(found: QuantizeReport, share: float) -> None:
    """In the emulation and in the kernels of oneDNN, on data held back; *share* is of the size."""
    assert found.status == "passed" and found.held_back and found.proof >= 576
    assert found.accuracy["float32"] - found.accuracy["int8"] <= 0.01
    assert found.int8 is not None and found.int8.operators and found.int8.accuracy is not None
    assert found.accuracy["float32"] - found.int8.accuracy <= 0.01
    assert found.bytes["after"] < share * found.bytes["before"]


@pytest.mark.runtime
def test_a_small_net_in_all_paddles(workers: Callable[[str], Any], tmp_path: Path) -> None:
    """One that learns five directions in seconds; the file is the same program in 2.3.2, 2.6.2 and 3.3.1."""
    pytest.importorskip("torch")
    require("paddle-2.6.2")

    def data(count: int, seed: int) -> trained.Data:
        return trained.stripes(count, seed, classes=5, size=16)

    net = trained.resnet(width=4, classes=5)
    assert trained.train(net, data, 1200, 1e-2, 4) > 0.9
    x, labels = data(320, 3)
    np.savez(tmp_path / "x.npz", x=x, label=labels)
    model = trained.save(net, x, tmp_path / "net.onnx")
    found = api.quantize(model, tmp_path / "out", data=tmp_path / "x.npz", labels="label", target="2.6")
    assert set(found.methods) == {"minmax", "percentile", "mse", "kl"} and found.proof == 64
    assert found.accuracy["float32"] > 0.8 and found.accuracy["float32"] - found.accuracy["int8"] <= 0.02
    assert found.int8 is not None and sum(found.int8.operators.values()) >= 5 and found.int8.error is not None
    # sums of two products saturate in oneDNN where the processor has no VNNI: what it decides is what holds everywhere
    assert found.int8.error < 0.5 and found.int8.accuracy >= found.accuracy["float32"] - 0.05
    program = files.load_program(files.locate(tmp_path / "out"))
    held = Counter(v.dtype for v in program.parameters)
    assert held[DType.INT8] == len(found.layers)
    answers = []
    for target, runtime in RUNTIMES.items():
        made = api.downgrade(tmp_path / "out", tmp_path / target, target=target)
        run = workers(runtime).run(
            made.program, made.params, [{"x": x[:32]}, {"x": x[:3]}], ir_optim=False, onednn=False
        )
        answers.append([row[0] for row in run.outputs])
    answers.append(_in_onnx_runtime(tmp_path / "out", [{"x": x[:32]}, {"x": x[:3]}], tmp_path / "int8.onnx"))
    first, *others = (np.concatenate(one) for one in answers)
    for other in others:
        off = np.abs(first - other) / np.abs(first).max()
        # what lies halfway between two steps inside goes to either, by the order of additions: of few rows, by little
        assert off.max() <= 1e-2 and (off > 1e-4).any(axis=-1).mean() <= 0.2


def _in_onnx_runtime(model: Path, feeds: list[dict[str, np.ndarray]], to: Path) -> list[np.ndarray]:
    runtime = pytest.importorskip("onnxruntime")
    api.to_onnx(model, to, verify=False)
    session = runtime.InferenceSession(to, providers=["CPUExecutionProvider"])
    return [session.run(None, feed)[0] for feed in feeds]


@functools.cache
def net_that_has_learnt(net: str, task: str, rows: int, rate: float, epochs: int) -> tuple[Any, float]:
    made = getattr(trained, net)()
    return made, trained.train(made, getattr(trained, task), rows, rate, epochs)


@pytest.mark.runtime
@pytest.mark.slow
@pytest.mark.parametrize("target", ["2.6", "3"])
@pytest.mark.parametrize(
    ("net", "task", "rows", "rate", "epochs"),
    [("resnet", "stripes", 3000, 3e-3, 2), ("bert", "order", 6000, 2e-3, 6)],
    ids=["resnet", "bert"],
)
def test_trained_for_a_minute(
    net: str, task: str, rows: int, rate: float, epochs: int, target: str, tmp_path: Path
) -> None:
    pytest.importorskip("torch")
    require(RUNTIMES[target])
    made, right = net_that_has_learnt(net, task, rows, rate, epochs)
    assert right > 0.96  # there is something to lose
    x, labels = getattr(trained, task)(2400, 3)
    np.savez(tmp_path / "x.npz", x=x, label=labels)
    model = trained.save(made, x, tmp_path / "net.onnx")
    options: dict[str, Any] = {"data": tmp_path / "x.npz", "labels": "label", "target": target}
    options["runtime"] = RUNTIMES[target]
    found = api.quantize(model, tmp_path / "out", **options)
    assert found.accuracy["float32"] > 0.96 and not [row for row in found.layers if not row.int8]
    assert found.accuracy["float32"] - found.accuracy["int8"] <= 0.01
    assert found.int8 is not None and found.bytes["after"] < 0.4 * found.bytes["before"]
    if net == "resnet":
        within_a_point(found, 0.4)
        return
    # oneDNN takes the scales of other weights for some of its products: what hurts stays float32
    assert found.coarse and found.int8.error is not None
    careful = api.quantize(model, tmp_path / "careful", onednn=True, **options)
    within_a_point(careful, 0.9)
    assert careful.int8 is not None and careful.int8.error is not None
    assert careful.int8.error < found.int8.error


def chain(folder: Path, spread: float) -> Path:
    """y = relu(x @ a) * spread @ b @ c: the first column of what the second product reads is *spread* times the others."""
    random = np.random.default_rng(2)
    factor = np.ones(8, np.float32)
    factor[0] = spread
    held = {name: random.normal(size=(8, 8)).astype(np.float32) for name in "abc"}
    held["b"][0] /= spread
    nodes = [
        helper.make_node("MatMul", ["x", "a"], ["first"]),
        helper.make_node("Relu", ["first"], ["positive"]),
        helper.make_node("Mul", ["positive", "factor"], ["wide"]),
        helper.make_node("MatMul", ["wide", "b"], ["second"]),
        helper.make_node("MatMul", ["second", "c"], ["y"]),
    ]
    infos = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", 8]) for n in "xy"]
    weights = [numpy_helper.from_array(v, n) for n, v in {**held, "factor": factor}.items()]
    graph = helper.make_graph(nodes, "chain", infos[:1], infos[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / "chain.onnx")
    api.onnx2paddle(folder / "chain.onnx", folder / "chain", target="2.3", verify=False)
    np.savez(folder / "x.npz", x=random.normal(size=(64, 8)).astype(np.float32))
    return folder / "chain"


@pytest.mark.runtime
def test_layers_that_cost_too_much_stay_float32(workers: Callable[[str], Any], tmp_path: Path) -> None:
    require("paddle-2.3.2")
    model = chain(tmp_path, 1000.0)
    data = {"data": tmp_path / "x.npz", "method": "minmax", "max_drop": 0.03}
    found = api.quantize(model, tmp_path / "out", **data)  # type: ignore[arg-type]
    assert [row.name for row in found.layers if not row.int8] == ["second"]
    errors = {row.name: row.error for row in found.layers}
    assert errors["second"] is not None and errors["second"] > 0.1 > (errors["first"] or 0)
    assert found.outputs[0].error is not None and found.outputs[0].error <= 0.03
    assert any("computes the rounded numbers in float32" in warning for warning in found.warnings)
    # by hand the same
    by_hand = api.quantize(model, tmp_path / "hand", keep=["second"], **data)  # type: ignore[arg-type]
    assert [row.name for row in by_hand.layers] == ["first"]  # the last one reads it, too
    # and what was proved is what the runtime computes
    x = np.load(tmp_path / "x.npz")["x"].reshape(2, 32, 8)[:, 24:].reshape(16, 8)  # the last quarter of each run
    (want,) = workers("paddle-2.3.2").run(*_pair(model), {"x": x}).outputs[0]
    (got,) = workers("paddle-2.3.2").run(found.program, found.params, {"x": x}).outputs[0]
    assert error_of([[want]], [[got]], 0) == pytest.approx(found.outputs[0].error, rel=1e-3)


@pytest.mark.runtime
def test_products_that_onednn_rounds_by_other_scales(tmp_path: Path) -> None:
    """Columns of many sizes: what is off is foretold from the weights, and those products can stay float32."""
    require("paddle-2.6.2")
    random = np.random.default_rng(0)
    even = random.uniform(-1, 1, (48, 64)).astype(np.float32)
    spread = (random.normal(size=(64, 32)) * np.exp(random.normal(0, 1, (1, 32)))).astype(np.float32)
    held = {"even": even, "spread": spread, "bias": np.ones(64, np.float32), "shift": np.ones(32, np.float32)}
    nodes = [
        helper.make_node("MatMul", ["x", "even"], ["product"]),
        helper.make_node("Add", ["product", "bias"], ["first"]),
        helper.make_node("MatMul", ["first", "spread"], ["second"]),
        helper.make_node("Add", ["second", "shift"], ["y"]),
    ]
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", size]) for n, size in (("x", 48), ("y", 32)))
    weights = [numpy_helper.from_array(v, n) for n, v in held.items()]
    graph = helper.make_graph(nodes, "spread", [x], [y], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "m.onnx")
    np.savez(tmp_path / "x.npz", x=random.normal(size=(64, 48)).astype(np.float32))
    options: dict[str, Any] = {"data": tmp_path / "x.npz", "method": "minmax", "target": "2.6"}
    found = api.quantize(tmp_path / "m.onnx", tmp_path / "out", **options)
    (off,) = found.coarse.values()
    assert list(found.coarse) == ["second"] and any("--onednn" in warning for warning in found.warnings)
    # without VNNI the kernels saturate, too
    assert found.int8 is not None and found.int8.error is not None and found.int8.error > 0.7 * off > 0.035
    # (which takes more than is allowed by default)
    careful = api.quantize(tmp_path / "m.onnx", tmp_path / "careful", onednn=True, max_drop=0.3, **options)
    assert [row.name for row in careful.layers] == ["product"] and careful.int8 is not None
    assert careful.int8.operators and careful.int8.error is not None and careful.int8.error < found.int8.error


def _pair(folder: Path) -> tuple[Path, Path]:
    return folder / "inference.pdmodel", folder / "inference.pdiparams"


@pytest.mark.runtime
def test_nothing_is_written_of_what_is_never_right(tmp_path: Path) -> None:
    require("paddle-2.3.2")
    model = chain(tmp_path, 1000.0)
    with pytest.raises(VerificationError, match="in int8, the output y is off by") as caught:
        api.quantize(model, tmp_path / "out", data=tmp_path / "x.npz", max_drop=1e-5)
    assert caught.value.rows and not (tmp_path / "out").exists()
    np.savez(tmp_path / "zero.npz", x=np.zeros((8, 8), np.float32))
    with pytest.raises(UsageError, match="is 0 on all calibration data"):
        api.quantize(model, tmp_path / "out", data=tmp_path / "zero.npz")


@pytest.mark.runtime
@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_named(number: float, tmp_path: Path) -> None:
    require("paddle-2.3.2")
    model = chain(tmp_path, number)  # b is divided by it: NaN, or 0 beside an infinite factor
    if np.isnan(number):
        with pytest.raises(UnsupportedError, match="b holds NaN or infinite numbers") as caught:
            api.quantize(model, tmp_path / "out", data=tmp_path / "x.npz")
        assert caught.value.hint == "--keep b"
    else:
        with pytest.raises(UsageError, match="the float32 model's own output y is not finite on these data"):
            api.quantize(model, tmp_path / "out", data=tmp_path / "x.npz")
    assert not (tmp_path / "out").exists()


@pytest.mark.runtime
@pytest.mark.parametrize(("name", "layers"), [("bert", 13), ("conv", 3), ("multi", 3)])
def test_golden_models(name: str, layers: int, tmp_path: Path) -> None:
    """Two inputs, a weight that an embedding reads too, convolutions of groups: data in a folder, nothing held back."""
    require("paddle-2.6.2")
    model = case(f"2.3.2-{name}")
    (tmp_path / "data").mkdir()
    np.savez(tmp_path / "data" / "one.npz", **model.inputs)
    found = api.quantize(
        model.model, tmp_path / "out", data=tmp_path / "data", target="2.6", method="minmax", max_drop=0.2
    )
    assert len(found.layers) == layers and found.outputs and found.int8 is not None
    assert api.inspect(tmp_path / "out").notes[-1].startswith("quantised to 8 bits")
    with pytest.raises(UnsupportedError, match="already"):
        api.quantize(tmp_path / "out", tmp_path / "again", data=tmp_path / "data")
    with pytest.raises(UnsupportedError, match="already"):
        api.half(tmp_path / "out", tmp_path / "half", verify=False)


@pytest.mark.runtime
@pytest.mark.parametrize(("value", "rows", "said"), [(np.nan, 8, "x holds NaN"), (1.0, 0, r"x is empty, \[0, 8\]")])
def test_data_that_say_nothing(value: float, rows: int, said: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=np.full((rows, 8), value, np.float32))
    with pytest.raises(UsageError, match=said):
        api.quantize(case("2.3.2-mlp").model, tmp_path / "out", data=tmp_path / "x.npz")
    require("paddle-2.3.2")
    with pytest.raises(UsageError, match=said):
        api.half(case("2.3.2-mlp").model, tmp_path / "out", calibrate=tmp_path / "x.npz")


@pytest.mark.runtime
def test_one_row_is_said_as_one(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=np.random.default_rng(3).standard_normal((1, 8)).astype(np.float32))
    said: list[str] = []
    api.quantize(case("2.3.2-mlp").model, tmp_path / "out", data=tmp_path / "x.npz", max_drop=0.5, progress=said.append)
    assert any(text.startswith("calibrating on 1 row in") for text in said)
    assert "proving on 1 row" in said


@pytest.mark.runtime
def test_what_is_quantised_of_a_model_with_a_branch(tmp_path: Path) -> None:
    """The products before it; what is inside is named. Of one with nothing else there is the user's own path in the message,
    and so there is where the data are none that the model takes."""
    require("paddle-2.6.2")
    rng = np.random.default_rng(0)
    table, weight = (rng.normal(0, 0.3, shape).astype(np.float32) for shape in ((20, 8), (8, 8)))
    text = """(int64[n,5] ids) => (float[n,5,8] y) {
        e = Gather(table, ids) %s
        m = ReduceMean<keepdims=0>(p) zero = Constant<value_float=0.0>() c = Greater(m, zero)
        y = If(c) < then_branch = t () => (float[n,5,8] ty) { ty = MatMul(p, weight) },
                    else_branch = f () => (float[n,5,8] ey) { ez = MatMul(p, weight) ey = Neg(ez) } >
    }"""
    for name, first in (("some", "p = MatMul(e, weight)"), ("none", "p = Tanh(e)")):
        model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]> g {text % first}')
        model.graph.initializer.extend(
            [numpy_helper.from_array(table, "table"), numpy_helper.from_array(weight, "weight")]
        )
        onnx.save(model, tmp_path / f"{name}.onnx")
    np.savez(tmp_path / "x.npz", ids=rng.integers(0, 20, (16, 5)))
    np.savez(tmp_path / "beyond.npz", ids=rng.integers(20, 40, (16, 5)))
    options: dict[str, Any] = {"data": tmp_path / "x.npz", "target": "2.6", "method": "minmax"}
    found = api.quantize(tmp_path / "some.onnx", tmp_path / "out", **options)
    assert [layer.operator for layer in found.layers] == ["matmul_v2"]
    assert "in branches and loops everything stays float32, products and convolutions too (2)" in found.warnings
    with pytest.raises(UnsupportedError) as error:
        api.quantize(tmp_path / "none.onnx", tmp_path / "out2", **options)
    assert error.value.message.startswith(f"{tmp_path / 'none.onnx'}: no product or convolution")
    with pytest.raises(RuntimeFailedError) as failed:
        api.quantize(tmp_path / "some.onnx", tmp_path / "out2", **{**options, "data": tmp_path / "beyond.npz"})
    assert f"cannot run {tmp_path / 'some.onnx'}" in failed.value.message
    api.half(case("2.3.2-mlp").model, tmp_path / "half", weights_only=True, verify=False)
    with pytest.raises(UnsupportedError, match=r"stored float32 weight \(float16 weights\)"):
        api.quantize(tmp_path / "half", tmp_path / "out2", **options)
    assert not (tmp_path / "out2").exists()


def test_what_the_log_of_paddle_says() -> None:
    log = "---    quantized 9 fused_conv2d ops \n---    quantized 2 fused_conv2d ops with residual connection\n"
    assert operators_in(log + "---    quantized 0 fc ops\n") == {"fused_conv2d": 11}


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"method": "best"}, UsageError, "--method: 'best'"),
        ({"percentile": 10}, UsageError, "--percentile 10"),
        ({"max_drop": 0}, UsageError, "--max-drop 0"),
        ({"target": "1.8"}, UnsupportedError, "Paddle 1.8 has no quantize_linear"),
        ({"onednn": True}, UsageError, "--onednn: Paddle 2.3 has no int8 kernels"),
        ({"keep": ["conv9d"]}, UsageError, "--keep conv9d"),
        ({"keep": ["matmul_v2"]}, UnsupportedError, "no product or convolution"),
        ({"labels": "nowhere"}, UsageError, "holds no labels called 'nowhere'"),
    ],
)
def test_what_cannot_be_asked_for(options: dict[str, Any], error: Any, said: str, tmp_path: Path) -> None:
    model = case("2.3.2-mlp")
    np.savez(tmp_path / "x.npz", **model.inputs)
    with pytest.raises(error) as raised:
        api.quantize(model.model, tmp_path / "out", data=tmp_path / "x.npz", **options)
    assert said in raised.value.message
    assert not (tmp_path / "out").exists()
