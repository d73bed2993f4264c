"""Layers of many kinds, saved and proved against themselves; what goes wrong, and that nothing stays behind then."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

paddle = pytest.importorskip("paddle")

import mconv  # noqa: E402
from mconv.dygraph.live import Live  # noqa: E402
from mconv.errors import MconvError, UnsupportedError, UsageError, VerificationError, WeightsError  # noqa: E402
from mconv.program.files import load_program, locate  # noqa: E402
from tests.dygraph import layers  # noqa: E402
from tests.managed import require  # noqa: E402

X = ["x:float32[batch,4]"]


def saved(layer: Any, spec: Any, path: Path, **options: Any) -> Any:
    """Save with a proof in this Paddle and check what every success has in common."""
    report = mconv.to_static(layer, spec, path, runtime="current", **options)
    assert report.verification["status"] == "passed"
    rows = report.verification["outputs"]
    assert rows and all(row["ok"] and row["max_abs"] <= 1e-5 for row in rows)
    names = {f"{path.name}.{end}" for end in ("pdmodel", "pdiparams", "report.json", "provenance.json")}
    assert {p.name for p in path.parent.iterdir()} == names
    program = load_program(locate(path))
    assert [p.name for p in program.feeds] == [p["paddle_name"] for p in report.inputs]
    assert [p.name for p in program.fetches] == [p["paddle_name"] for p in report.outputs]
    return report


@pytest.mark.parametrize(
    ("make", "spec", "shapes"),
    [
        (layers.Bert, ["input_ids:int64[?,?]", "token_type_ids:int64[?,?]", "attention_mask:int64[?,?]"], [[None, 3]]),
        (layers.Conv, None, [[None, 5]]),
        (layers.Lstm, ["ids:int64[?,?]"], [[None, None, 10], [2, None, 5], [2, None, 5]]),
        (layers.Conditional, X, [[None, 4]]),
        (layers.Plain, X, [[None, 4]]),
        (layers.Star, ["a:float32[b,4]", "c:float32[b,2]"], [[None, 6]]),
    ],
    ids=lambda v: getattr(v, "__name__", None),
)
def test_layers(make: Any, spec: Any, shapes: Any, tmp_path: Path) -> None:
    report = saved(make(), spec, tmp_path / "net")
    assert [o["shape"] for o in report.outputs] == shapes
    assert report.engine == "paddle.jit, full graph"
    assert len(report.verification["input_sets"]) == 2
    if list(make().parameters()):  # Paddle's Predictor loads no .json without parameters
        assert report.verification["original"]["status"] == "passed"


def test_dictionaries_keep_their_order_and_names(tmp_path: Path) -> None:
    """``forward`` calls itself ``this``, its inputs are keywords, one of its outputs is None."""
    report = saved(layers.Named(), ["shift:float32[4]", "x:float32[b,4]"], tmp_path / "net")
    assert [p["name"] for p in report.inputs] == ["shift", "x"]
    assert [p["paddle_name"] for p in report.outputs] == ["zeta", "alpha", "many.0", "many.1"]
    assert any("nothing (None)" in w for w in report.warnings)


def test_outputs_that_paddle_confuses(tmp_path: Path) -> None:
    """jit.save of 3.x saves x for ``x + 1``, and drops outputs that are inputs or the same twice."""
    report = saved(layers.Tupled(), X, tmp_path / "tupled" / "net")
    assert [p["paddle_name"] for p in report.outputs] == ["second", "first"]
    report = saved(layers.Same(), X, tmp_path / "same" / "net", output_names=["p", "q", "r", "s"])
    assert [p["paddle_name"] for p in report.outputs] == ["p", "q", "r", "s"]


def test_an_input_that_nothing_reads_stays(tmp_path: Path) -> None:
    report = saved(layers.Unused(), ["x:float32[?,4]", "mask:float32[?,7]"], tmp_path / "net")
    assert [p["name"] for p in report.inputs] == ["x", "mask"]
    assert any("does not use all of its inputs" in w for w in report.warnings)


@pytest.mark.runtime
@pytest.mark.parametrize("target", ["2.3", "3"])
def test_types_that_an_older_predictor_cannot_pass(target: str, tmp_path: Path) -> None:
    require("paddle-2.3.2")
    spec = ["x:float32[b,4]", "keep:bool[b,4]", "small:int8[?]"]
    report = mconv.to_static(layers.Ports(), spec, tmp_path / "net", target=target)
    proof = report.verification
    assert proof["status"] == "passed" and (proof["runtime"] == "paddle-2.3.2") == (target == "2.3")
    assert [(o["name"], o["paddle_dtype"]) for o in report.outputs] == (
        [("flag", "int32"), ("any", "int32"), ("rows", "int64"), ("small", "int32"), ("short", "int32")]
        if target == "2.3"
        else [("flag", "bool"), ("any", "bool"), ("rows", "int64"), ("small", "int8"), ("short", "int16")]
    )
    assert len(proof["outputs"]) == 10 and all(row["max_abs"] == 0 for row in proof["outputs"])


def test_the_articles_snippet(tmp_path: Path) -> None:
    """As it stands, then once more with mconv.to_static in the place of the last two lines; and from its result."""
    InputSpec = paddle.static.InputSpec
    paddle_model = layers.Bert()
    paddle_model.eval()
    input_ids = InputSpec([None, None], "int64", "input_ids")
    token_type_ids = InputSpec([None, None], "int64", "token_type_ids")
    attention_mask = InputSpec([None, None], "int64", "attention_mask")
    specs = [input_ids, token_type_ids, attention_mask]
    report = saved(paddle_model, specs, tmp_path / "a" / "pb_model")
    assert any("position_ids" in w for w in report.warnings)  # which is where Paddle would have put the mask
    model = paddle.jit.to_static(paddle_model, input_spec=specs)
    again = saved(model, None, tmp_path / "b" / "pb_model")
    assert [p["name"] for p in again.inputs] == ["input_ids", "token_type_ids", "attention_mask"]
    assert hasattr(model.forward, "dygraph_function")  # still what to_static made of it
    first, second = (load_program(locate(tmp_path / d / "pb_model")) for d in "ab")
    assert [op.type for op in first.main.ops] == [op.type for op in second.main.ops]


def test_the_layer_stays_as_it_was(tmp_path: Path) -> None:
    layer = layers.Bert()
    layer.train()
    layer.encoder.eval()
    modes = [sub.training for sub in layer.sublayers(include_self=True)]
    before = {k: v.numpy().copy() for k, v in layer.state_dict().items()}
    forward = layer.forward.__func__
    mconv.to_static(layer, ["input_ids:int64[?,?]"], tmp_path / "net", verify=False)
    assert [sub.training for sub in layer.sublayers(include_self=True)] == modes
    assert layer.forward.__func__ is forward and all("forward" not in s.__dict__ for s in layer.sublayers())
    assert all(np.array_equal(before[k], v.numpy()) for k, v in layer.state_dict().items())


def test_another_method(tmp_path: Path) -> None:
    report = saved(layers.Bert(), ["input_ids:int64[?,?]"], tmp_path / "net", method="pooled")
    assert report.outputs[0]["shape"] == [None, 16]
    with pytest.raises(UsageError, match="no method 'encode'"):
        mconv.to_static(layers.Bert(), ["input_ids:int64[?,?]"], tmp_path / "other", method="encode")


def test_weights(tmp_path: Path) -> None:
    source, other = layers.Conv(), layers.Conv()
    paddle.save(source.state_dict(), str(tmp_path / "x.pdparams"))
    mconv.to_static(other, None, tmp_path / "net", params=tmp_path / "x.pdparams", verify=False)
    for name, tensor in source.state_dict().items():
        assert np.array_equal(tensor.numpy(), other.state_dict()[name].numpy())
    state = {k: v.numpy() for k, v in source.state_dict().items()}
    state["extra"] = state.pop("head.bias")
    state["conv.bias"] = state["conv.bias"][:-1]
    state["norm.weight"] = state["norm.weight"].astype(np.float64)
    paddle.save(state, str(tmp_path / "y.pdparams"))
    with pytest.raises(WeightsError) as error:
        mconv.to_static(layers.Conv(), None, tmp_path / "bad", params=tmp_path / "y.pdparams", verify=False)
    assert error.value.exit_code == 13
    rows = {row["parameter"]: row["problem"] for row in error.value.rows}
    assert rows == {
        "head.bias": "missing in the file", "conv.bias": "other shape", "extra": "unexpected: the layer has none",
    }  # fmt: skip
    assert not (tmp_path / "bad.pdmodel").exists()
    options = {"params": tmp_path / "y.pdparams", "strict": False, "verify": False}
    report = mconv.to_static(layers.Conv(), None, tmp_path / "loose", **options)
    assert any("1 missing" in w for w in report.warnings) and any("another element type" in w for w in report.warnings)


def test_half_weights_of_either_kind() -> None:
    from mconv.dygraph import weights

    layer = paddle.nn.Linear(2, 1)
    values = np.array([[1.5], [-2.0]], np.float32)
    bits = (values.view(np.uint32) >> 16).astype(np.uint16)
    for stored in (values.astype(np.float16), bits):
        layer.weight.set_value(np.zeros((2, 1), np.float32))
        notes = weights.put(layer, {"weight": stored, "bias": np.zeros(1, np.float32)}, "x")
        assert np.array_equal(layer.weight.numpy(), values) and "1 parameters" in notes[0]


def nothing_but(folder: Path, *names: str) -> None:
    assert sorted(os.listdir(folder)) == sorted(names)


@pytest.mark.parametrize(
    ("layer", "spec", "options", "code", "message"),
    [
        (layers.Deep, X, {}, 9, r"blocks\.1 \(Linear\) \(layers\.py, line \d+\): ValueError: \(InvalidArgument\)"),
        (layers.Deep, None, {}, 2, "inputs that were guessed"),
        (layers.Conv, ["image:float32[?,4,?,?]"], {}, 9, r"conv \(Conv2D\)"),
        (layers.Conv, ["image:int64[?,3,?,?]"], {}, 9, r"conv \(Conv2D\)"),
        (layers.Lstm, ["ids:float32[?,?]"], {}, 9, r"table \(Embedding\).*float32"),
        (
            layers.Untraceable,
            X,
            {},
            5,
            "cannot make a static program of Untraceable.forward: full graph: .*plain trace",
        ),
        (layers.Nothing, X, {}, 5, "returns no tensor"),
        (layers.Nothing, X, {"verify": False}, 5, "returns no tensor"),
        (layers.Plain, X, {"format": "json"}, 5, "has no parameters"),
        (layers.Plain, X, {"format": "onnx"}, 2, "unknown format"),
        (layers.Plain, X, {"target": "9"}, 2, "unknown target"),
        (layers.Plain, X, {"tolerance": 0.0}, 2, "above 0"),
        (layers.Plain, X, {"output_names": ["a", "b"]}, 2, "2 names for 1 outputs"),
        (layers.Tupled, X, {"output_names": ["a", "a"]}, 2, "not 2 different names"),
        (layers.Tupled, X, {"output_names": ["x", "b"]}, 2, "a variable 'x' already"),
        (layers.Tupled, X, {"verify": False, "runtime": "current"}, 2, "--no-verify"),
        (layers.Named, None, {}, 2, "cannot be guessed"),
        (layers.NoForward, X, {}, 2, "has no forward of its own"),
        (3, X, {}, 2, "a value of the type int, where a model or its path is wanted"),
    ],
)
def test_errors_leave_nothing(layer: Any, spec: Any, options: Any, code: int, message: str, tmp_path: Path) -> None:
    made = layer() if isinstance(layer, type) else layer
    with pytest.raises(MconvError, match=message) as error:
        mconv.to_static(made, spec, tmp_path / "net", **options)
    assert error.value.exit_code == code and "\n" not in error.value.message
    nothing_but(tmp_path)


def test_both_ways_fail_with_reasons(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError) as error:
        mconv.to_static(layers.Untraceable(), X, tmp_path / "net", verify=False)
    assert [row["way"] for row in error.value.rows] == ["full graph", "plain trace"]


def test_what_differs_is_kept_elsewhere(tmp_path: Path) -> None:
    """A layer that counts its calls: what is traced is not what was run before."""
    with pytest.raises(VerificationError) as error:
        mconv.to_static(layers.Baked(), X, tmp_path / "net", runtime="current")
    nothing_but(tmp_path, "net.failed-verification")
    nothing_but(
        tmp_path / "net.failed-verification",
        "inference.pdmodel",
        "inference.pdiparams",
        "report.json",
        "provenance.json",
    )
    assert error.value.rows and "computes something else" in error.value.message


def test_random_layers_are_called_so(tmp_path: Path) -> None:
    with pytest.raises(VerificationError, match="the layer itself gives other values each time it is called"):
        mconv.to_static(layers.Random(), X, tmp_path / "net", runtime="current")
    report = mconv.to_static(layers.NoForward(), X, tmp_path / "other" / "net", method="encode", runtime="current")
    assert report.verification["status"] == "passed"


def test_what_is_there_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "net.pdiparams").write_bytes(b"mine")
    with pytest.raises(MconvError) as error:
        mconv.to_static(layers.Plain(), X, tmp_path / "net", verify=False)
    assert error.value.exit_code == 6
    nothing_but(tmp_path, "net.pdiparams")
    mconv.to_static(layers.Plain(), X, tmp_path / "net.pdmodel", verify=False, force=True)
    nothing_but(tmp_path, "net.pdiparams", "net.pdmodel", "net.report.json", "net.provenance.json")


def test_paddles_own_format(tmp_path: Path) -> None:
    report = mconv.to_static(layers.Conv(), None, tmp_path / "net", format="json", runtime="current")
    assert report.verification["status"] == "passed"
    nothing_but(tmp_path, "net.json", "net.pdiparams", "net.report.json", "net.provenance.json")


def test_sizes_of_tables_are_seen() -> None:
    """Every id of a vocabulary is tried, none beyond."""
    layer = layers.Bert(vocab=40)
    from mconv.dygraph.inputs import from_texts

    with Live(layer) as live:
        call = from_texts(["input_ids:int64[?,?]", "token_type_ids:int64[?,?]"], live.function, live.what)
        ids = np.array([[0, 1, 1]])
        _, sizes = live.table_sizes(call, {"input_ids": ids, "token_type_ids": 1 - ids})
    assert sizes == {"input_ids": 40, "token_type_ids": 2}
