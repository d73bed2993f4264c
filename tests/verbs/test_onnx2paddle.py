"""The whole conversion: files, names, report, proof."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from mconv import api, runtimes
from mconv.cli.main import run
from mconv.errors import (
    MissingDependencyError,
    OutputExistsError,
    RuntimeUnavailableError,
    UnsupportedError,
    UsageError,
    VerificationError,
)
from mconv.program.files import load_program, locate
from mconv.proof.report import Report
from mconv.proof.runners import PaddleRunner
from tests.managed import require
from tests.onnx.make import mlp, model, node, port

DOCS = Path(__file__).parents[2] / "docs" / "report.md"
NOW: dict[str, Any] = {"target": "3", "runtime": "current"}


pytestmark = pytest.mark.usefixtures("own_registry")  # what a plugin registers is forgotten after the test


@pytest.fixture()
def plugin(tmp_path: Path) -> Path:
    path = tmp_path / "my_ops.py"
    path.write_text(
        "import mconv\n"
        "@mconv.onnx_op('Double', domain='com.acme', since=1)\n"
        "def double(ctx, x, *, times: float = 2.0):\n"
        "    return ctx.op('scale', X=x, scale=times, bias=0.0, bias_after_scale=True)\n"
    )
    return path


def doubling(path: Path, by: float = 2.0) -> Path:
    """A model with a custom operator that brings its definition along: x times *by*."""
    body = helper.make_function(
        "com.acme", "Double", ["x"], ["y"],
        [helper.make_node("Constant", [], ["two"], value_float=by), helper.make_node("Mul", ["x", "two"], ["y"])],
        [helper.make_opsetid("", 17)],
    )  # fmt: skip
    onnx.save(model([node("Double", "x", "y", domain="com.acme")], functions=[body], domains=["com.acme"]), path)
    return path


def test_a_model_is_converted_and_proved_at_two_shapes(tmp_path: Path) -> None:
    out = tmp_path / "out"
    report = api.onnx2paddle(mlp(tmp_path / "mlp.onnx"), out, **NOW)
    assert sorted(p.name for p in out.iterdir()) == [
        "inference.pdiparams", "inference.pdmodel", "provenance.json", "report.json",
    ]  # fmt: skip
    program = load_program(locate(out))
    assert [p.name for p in program.feeds] == ["x"] and [p.name for p in program.fetches] == ["y"]
    assert program.feeds[0].shape == (-1, 16)
    proof = report.verification
    assert proof is not None and proof["status"] == "passed" and proof["runtime"] == "current"
    assert len({tuple(feed["x"]) for feed in proof["input_sets"]}) == 2
    assert all(row["ok"] and row["max_abs"] < 1e-4 and row["cosine"] > 0.9999 for row in proof["outputs"])
    assert len(proof["outputs"]) == 2
    assert json.loads((out / "report.json").read_text()) == report.to_dict()


def test_the_report_says_what_was_done(tmp_path: Path) -> None:
    import blake3

    path = mlp(tmp_path / "mlp.onnx")
    report = api.onnx2paddle(path, tmp_path / "out", verify=False).to_dict()
    assert report["source"]["blake3"] == blake3.blake3(path.read_bytes()).hexdigest()
    assert report["source"]["opsets"] == {"ai.onnx": 17}
    assert {(r["operator"], r["count"]) for r in report["operators"]} == {("Gemm", 1), ("Relu", 1), ("MatMul", 1)}
    assert report["paddle_operators"]["matmul_v2"] == 2
    assert report["verification"]["status"] == "not verified" and not report["warnings"]
    assert {"mconv", "onnx", "numpy", "python"} <= report["versions"].keys()
    assert {"read", "shape inference", "import", "write", "total"} <= report["seconds"].keys()
    assert report["target"] == {"name": "2.3", "paddle": "2.3.2"}


def test_every_field_of_the_report_is_documented() -> None:
    described = set(re.findall(r"^\| `(\w+)` \|", DOCS.read_text(encoding="utf-8"), re.MULTILINE))
    fields = set(Report.__dataclass_fields__)
    assert fields <= described, f"docs/report.md misses {sorted(fields - described)}"


def test_names_are_kept_or_the_change_is_told(tmp_path: Path) -> None:
    path = mlp(tmp_path / "odd.onnx", x="feed", y="a[0]:b é/1")
    report = api.onnx2paddle(path, tmp_path / "out", inputs=["feed[3,16]"], verify=False)
    program = load_program(locate(tmp_path / "out"))
    assert [p.name for p in program.fetches] == ["a[0]:b é/1"]
    assert program.feeds[0].name != "feed" and report.renamed == {"feed": program.feeds[0].name}
    assert any("'feed'" in w for w in report.warnings)
    assert program.feeds[0].shape == (3, 16)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"inputs": ["z[1]"]}, "no input 'z'"),
        ({"inputs": ["x[1]"]}, "has 2 dimensions"),
        ({"inputs": ["x[1,16]:int64"]}, "float32, not int64"),
        ({"engine": "magic"}, "unknown engine"),
        ({"target": "9"}, "unknown target"),
        ({"tolerance": 0}, "above 0"),
        ({"verify": False, "runtime": "current"}, "--no-verify"),
        ({"feeds": "nothing.npz", "runtime": "current"}, "npz"),
        ({"plugins": ["nothing.py"]}, "no such file"),
    ],
)
def test_options_that_do_not_fit_write_nothing(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    path = mlp(tmp_path / "mlp.onnx")
    with pytest.raises(UsageError, match=re.escape(message)):
        api.onnx2paddle(path, tmp_path / "out", **options)
    assert [p.name for p in tmp_path.iterdir()] == ["mlp.onnx"]


def test_what_is_there_is_replaced_only_when_asked(tmp_path: Path) -> None:
    path, out = mlp(tmp_path / "mlp.onnx"), tmp_path / "out"
    out.mkdir()
    (out / "mine").write_text("mine")
    with pytest.raises(OutputExistsError):
        api.onnx2paddle(path, out, verify=False)
    assert (out / "mine").read_text() == "mine"
    api.onnx2paddle(path, out, verify=False, force=True)
    assert not (out / "mine").exists() and (out / "inference.pdmodel").exists()


def test_a_difference_keeps_the_files_under_another_name(
    tmp_path: Path, plugin: Path, capsys: pytest.CaptureFixture
) -> None:
    """The converter of the plugin doubles; the model's own definition triples."""
    path, out = doubling(tmp_path / "m.onnx", by=3.0), tmp_path / "out"
    with pytest.raises(VerificationError) as caught:
        api.onnx2paddle(path, out, plugins=[plugin], **NOW)
    kept = tmp_path / "out.failed-verification"
    assert not out.exists() and (kept / "inference.pdmodel").exists()
    report = json.loads((kept / "report.json").read_text())
    assert report["status"] == "failed verification" and report["verification"]["status"] == "failed"
    assert str(kept) in (caught.value.hint or "") and caught.value.rows
    code = run(["onnx2paddle", str(path), str(out), "--plugin", str(plugin), "--target", "3", "--runtime", "current"])
    shown = capsys.readouterr()
    assert code == VerificationError.exit_code
    assert "max abs" in shown.out and "error: the converted model computes something else" in shown.err
    assert len(shown.err.strip().splitlines()) == 3


def test_a_plugin_is_not_written_over(tmp_path: Path, plugin: Path) -> None:
    before, path = plugin.read_text(), doubling(tmp_path / "m.onnx")
    with pytest.raises(UsageError, match="is or holds the input"):
        api.onnx2paddle(path, plugin, plugins=[plugin], force=True, verify=False)
    assert plugin.read_text() == before


def test_a_plugin_goes_before_the_models_own_definition(tmp_path: Path, plugin: Path) -> None:
    path = doubling(tmp_path / "m.onnx")
    without = api.onnx2paddle(path, tmp_path / "a", verify=False)
    assert without.expanded == {"Double": 1}
    report = api.onnx2paddle(path, tmp_path / "b", plugins=[plugin], **NOW)
    assert report.verification is not None and report.verification["status"] == "passed"
    assert report.paddle_operators == {"scale": 1} and not report.expanded


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\n", "registers no converter"),
        ("import nothing_of_this_name\n", r"line 1: ModuleNotFoundError"),
        ("1 +\n", "SyntaxError"),
        (
            "import mconv\nfrom mconv.onnx import registry\n"
            "@mconv.onnx_op('Relu', since=registry.find('', 'Relu', 14).since)\ndef relu(ctx, x):\n    return x\n",
            "is converted by mconv.onnx.ops",
        ),
    ],
)
def test_a_plugin_that_does_not_work_is_told_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad_ops.py"
    path.write_text(text)
    with pytest.raises(UsageError, match=message) as caught:
        api.onnx2paddle(mlp(tmp_path / "m.onnx"), tmp_path / "out", plugins=[path], verify=False)
    assert "\n" not in caught.value.message


def test_all_unsupported_operators_are_told_at_once(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    nodes = [
        node("Frobnicate", "x", "a"),
        node("Relu", "a", "b"),
        node("Frobnicate", "x", "c"),
        node("Foo", "x", "d", domain="com.acme"),
        node("Sum", "b c d", "y"),
    ]
    path = tmp_path / "m.onnx"
    onnx.save(model(nodes, domains=["com.acme"]), path)
    with pytest.raises(UnsupportedError) as caught:
        api.onnx2paddle(path, tmp_path / "out")
    rows = {r["operator"]: r for r in caught.value.rows}
    assert rows.keys() == {"Frobnicate", "Foo"}
    assert rows["Frobnicate"]["count"] == 2 and rows["Frobnicate"]["nodes"] == ["the_a", "the_c"]
    assert rows["Foo"]["domain"] == "com.acme" and rows["Foo"]["opset"] == 1
    assert all(r["reason"] and r["todo"] for r in rows.values())
    assert run(["onnx2paddle", str(path), str(tmp_path / "out"), "--json"]) == UnsupportedError.exit_code
    assert json.loads(capsys.readouterr().out)["error"]["rows"] == caught.value.rows
    assert not (tmp_path / "out").exists()


def test_without_a_runtime_it_says_that_it_was_not_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(name: str) -> Any:
        if name == "current":
            raise MissingDependencyError("paddle is not installed")
        raise RuntimeUnavailableError(f"the runtime {name} is not installed", "mconv runtime install")

    monkeypatch.setattr(runtimes, "find", nothing)
    path = mlp(tmp_path / "m.onnx")
    report = api.onnx2paddle(path, tmp_path / "out")
    assert report.verification is not None and report.verification["status"] == "not verified"
    assert any(w.startswith("not verified: ") for w in report.warnings)
    with pytest.raises(RuntimeUnavailableError):
        api.onnx2paddle(path, tmp_path / "other", verify=True)
    assert not (tmp_path / "other").exists()


def test_given_inputs_are_used(tmp_path: Path) -> None:
    path = mlp(tmp_path / "m.onnx")
    np.savez(tmp_path / "x.npz", x=np.ones((5, 16), np.float32))
    report = api.onnx2paddle(path, tmp_path / "out", feeds=tmp_path / "x.npz", **NOW)
    assert report.verification is not None and report.verification["input_sets"] == [{"x": [5, 16]}]
    np.savez(tmp_path / "bad.npz", x=np.ones((5, 15), np.float32))
    with pytest.raises(UsageError, match="shape"):
        api.onnx2paddle(path, tmp_path / "other", feeds=tmp_path / "bad.npz", **NOW)
    assert not (tmp_path / "other").exists()


def test_a_type_that_paddle_lacks_is_carried_wider_and_told(tmp_path: Path) -> None:
    kind = onnx.TensorProto.UINT16
    path = tmp_path / "m.onnx"
    onnx.save(model([node("Identity", "x", "y")], [port("x", kind)], [port("y", kind)]), path)
    report = api.onnx2paddle(path, tmp_path / "out", **NOW)
    assert report.verification is not None and report.verification["status"] == "passed"
    assert [p["dtype"] for p in report.inputs] == ["uint16"] and report.inputs[0]["paddle_dtype"] == "int32"
    assert any("uint16" in w for w in report.warnings)


def test_sizes_that_the_source_does_not_take_are_not_the_last_word(tmp_path: Path) -> None:
    """A network for lines of text: open height and width, but its head wants the height 48."""
    weights = {"shape": np.array([0, 144, -1], np.int64), "w": np.ones((5, 144), np.float32)}
    nodes = [node("Reshape", "x shape", "flat"), node("MatMul", "w flat", "y")]
    path = tmp_path / "m.onnx"
    onnx.save(model(nodes, [port("x", dims=("n", 3, "h", "w"))], [port("y", dims=("n", 5, "w"))], weights), path)
    made = onnx.load(path)
    made.graph.node.insert(0, helper.make_node("Concat", ["x", "tall"], ["taller"], name="cat", axis=1))
    made.graph.node.insert(0, helper.make_node("Slice", ["line", "zero", "one", "axis"], ["tall"], name="cut"))
    made.graph.node.insert(0, helper.make_node("Expand", ["unit", "size"], ["line"], name="line"))
    made.graph.node.insert(0, helper.make_node("Concat", ["batch", "rest", "width"], ["size"], name="size", axis=0))
    made.graph.node.insert(0, helper.make_node("Shape", ["x"], ["width"], name="width", start=3))
    made.graph.node.insert(0, helper.make_node("Shape", ["x"], ["batch"], name="batch", start=0, end=1))
    for name, value in (("unit", np.ones((1, 1, 1, 1), np.float32)), ("rest", np.array([1, 48])), ("zero", np.array([0])),
                        ("one", np.array([1])), ("axis", np.array([1]))):  # fmt: skip
        made.graph.initializer.append(onnx.numpy_helper.from_array(value, name))
    made.graph.node[-2].input[0] = "taller"
    made.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(np.array([0, 192, -1]), "shape"))
    made.graph.initializer[1].CopyFrom(onnx.numpy_helper.from_array(np.ones((5, 192), np.float32), "w"))
    onnx.save(made, path)
    report = api.onnx2paddle(path, tmp_path / "out", **NOW)
    # (one height alone: no plain pass)
    assert report.verification is not None and report.verification["status"] == "passed in part", report.verification
    assert all(feed["x"][2] == 48 for feed in report.verification["input_sets"])


def test_quantised_models_are_compared_in_steps_of_their_numbers(tmp_path: Path) -> None:
    """Against the file as it is: what ONNX Runtime fuses of it rounds differently. A real difference is still one."""
    quantization = pytest.importorskip("onnxruntime.quantization")
    quantization.quantize_dynamic(mlp(tmp_path / "m.onnx"), tmp_path / "q.onnx")
    report = api.onnx2paddle(tmp_path / "q.onnx", tmp_path / "out", **NOW)
    proof = report.verification
    assert proof is not None and proof["status"] == "passed" and proof["tolerance"]["absolute"] == 0.02
    assert any("8-bit" in w for w in report.warnings)
    strict = api.onnx2paddle(tmp_path / "q.onnx", tmp_path / "again", tolerance=1e-4, **NOW)
    assert strict.verification is not None and strict.verification["tolerance"]["absolute"] == 1e-4
    assert not strict.warnings
    quantization.quantize_dynamic(mlp(tmp_path / "m.onnx", bend=0.5), tmp_path / "other.onnx")
    assert not api.verify(tmp_path / "other.onnx", tmp_path / "out", runtime="current", tolerance=0.02).ok


@pytest.mark.runtime
def test_a_fixed_size_can_be_opened_and_an_open_one_fixed(tmp_path: Path) -> None:
    nodes = [node("Conv", "x k", "c", pads=[1, 1, 1, 1]), node("GlobalAveragePool", "c", "y")]
    weights = {"k": np.ones((4, 3, 3, 3), np.float32)}
    path = tmp_path / "m.onnx"
    onnx.save(model(nodes, [port("x", dims=("n", 3, 32, "w"))], [port("y", dims=None)], weights), path)
    out = tmp_path / "out"
    code = run(
        ["onnx2paddle", str(path), str(out), "--input", "x[1,3,?,640]", "--target", "3", "--runtime", "current", "-q"]
    )
    assert code == 0
    assert load_program(locate(out)).feeds[0].shape == (1, 3, -1, 640)
    proof = json.loads((out / "report.json").read_text())["verification"]
    sizes = [feed["x"] for feed in proof["input_sets"]]
    assert proof["status"] == "passed" and len({s[2] for s in sizes}) == 2
    assert all(s[:2] == [1, 3] and s[3] == 640 for s in sizes)


def choice(path: Path) -> Path:
    """``2x`` where ``sr`` is 16000, else ``-x``."""
    then = helper.make_graph([node("Add", "x x", "a")], "then", [], [port("a", dims=None)])
    other = helper.make_graph([node("Neg", "x", "b")], "else", [], [port("b", dims=None)])
    nodes = [node("Equal", "sr rate", "same"), node("If", "same", "y", then_branch=then, else_branch=other)]
    inputs = [port("x", dims=("n", 3)), port("sr", TensorProto.INT64, ())]
    onnx.save(model(nodes, inputs, [port("y", dims=("n", 3))], {"rate": np.array(16000)}), path)
    return path


@pytest.mark.parametrize(("rate", "factor"), [(16000, 2), (8000, -1)])
def test_an_input_can_be_fixed_to_a_value(rate: int, factor: int, tmp_path: Path) -> None:
    report = api.onnx2paddle(choice(tmp_path / "m.onnx"), tmp_path / "out", constants=[f"sr={rate}"], **NOW)
    assert [p["name"] for p in report.inputs] == ["x"] and "conditional_block" not in report.paddle_operators
    proof = report.verification
    assert proof is not None and proof["status"] == "passed" and [list(s) for s in proof["input_sets"]] == [["x"]] * 2
    x = np.ones((2, 3), np.float32)
    with PaddleRunner(tmp_path / "out") as runner:
        np.testing.assert_array_equal(runner.run([{"x": x}]).outputs[0][0], x * factor)
    record = json.loads((tmp_path / "out" / "provenance.json").read_text())
    assert record["options"]["constants"] == {"sr": rate}
    with pytest.raises(UsageError, match="--const: x2paddle has no use for it"):
        api.onnx2paddle(tmp_path / "m.onnx", tmp_path / "o2", constants={"sr": 1}, engine="x2paddle")


@pytest.mark.runtime
@pytest.mark.parametrize("target", ["2.3", "2.6"])
def test_an_input_without_dimensions_is_fed_as_the_target_has_it(target: str, tmp_path: Path) -> None:
    """Paddle before 2.5 has none, and wants shape [1] where such a number meets a tensor."""
    require(f"paddle-{'2.3.2' if target == '2.3' else '2.6.2'}")
    nodes = [node("Mul", "x k", "a"), node("Less", "a k", "b"), node("Cast", "b", "c", to=1), node("Add", "a c", "y")]
    inputs = [port("x", dims=("n", 3)), port("k", dims=())]
    onnx.save(model(nodes, inputs, [port("y", dims=("n", 3))]), tmp_path / "m.onnx")
    proof = api.onnx2paddle(tmp_path / "m.onnx", tmp_path / "out", target=target).verification
    assert proof is not None and proof["status"] == "passed" and proof["input_sets"][0]["k"] == []
    assert api.verify(
        tmp_path / "m.onnx", tmp_path / "out", runtime=f"paddle-{'2.3.2' if target == '2.3' else '2.6.2'}"
    ).ok
