"""Edited models: sizes, cuts, names, files; each beside its source in the real runtimes, ONNX and Paddle alike."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

import numpy as np
import onnx
import pytest

from mconv import api
from mconv.cli.main import run
from mconv.errors import (
    CorruptModelError,
    OutputExistsError,
    RuntimeFailedError,
    UnsupportedError,
    UntrustedError,
    UsageError,
)
from mconv.program import files
from mconv.recipe import api as recipes
from tests.golden import Case, case
from tests.managed import require
from tests.onnx import make
from tests.paddle import fixtures
from tests.proof import detectors

OLD = Case("1.8.5", "conv_separate")
Arrays = Sequence[np.ndarray]


def run_onnx(path: Path, feed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    ort = pytest.importorskip("onnxruntime")
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return dict(zip([o.name for o in session.get_outputs()], session.run(None, dict(feed))))


def run_paddle(path: Path, feed: Mapping[str, np.ndarray], runtime: str = "paddle-2.3.2") -> dict[str, np.ndarray]:
    found = files.locate(path)
    with require(runtime).worker() as worker:
        result = worker.run(found.program, found.params, feed)
    return dict(zip(result.names, result.outputs[0]))


def shapes(ports: Sequence[Mapping[str, Any]]) -> dict[str, list[Optional[int]]]:
    return {port["paddle_name"]: list(port["shape"]) for port in ports}


@pytest.fixture
def detector(tmp_path: Path) -> Path:
    """An ONNX detector with a NonMaxSuppression."""
    onnx.save(detectors.onnx_detector(), tmp_path / "detector.onnx")
    return tmp_path / "detector.onnx"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detector with multiclass_nms3, saved by Paddle 3 as .json."""
    require("current")
    folder = tmp_path_factory.mktemp("saved")
    script = [sys.executable, str(Path(detectors.__file__)), str(folder)]
    subprocess.run(script, check=True, capture_output=True, timeout=300)
    return folder / "multiclass_nms3.json"


def passed(report: Any) -> None:
    assert report.verification["status"] == "passed", report.verification["reason"]
    assert report.verification["outputs"]


# detectors ----------------------------------------------------------------------------------------------------------


def test_an_onnx_detector_without_its_nms(detector: Path, tmp_path: Path) -> None:
    report = api.edit(detector, tmp_path / "out.onnx", without_nms=True)
    passed(report)
    assert {len(s) for s in report.verification["input_sets"]} == {1} and len(report.verification["input_sets"]) == 2
    assert [p["name"] for p in report.outputs] == ["all_boxes", "scores_b"]
    model = onnx.load(str(tmp_path / "out.onnx"))
    assert not {n.op_type for n in model.graph.node} & {"NonMaxSuppression", "GatherND"}
    assert report.removed["outputs"] == ["boxes", "scores", "labels"] and report.removed["parameters"] == 4
    # what is behind it again gives the whole
    api.edit(detector, tmp_path / "rest.onnx", inputs=["all_boxes", "scores_b"], outputs=["boxes"])
    for frame in detectors.frames():  # in every other one nothing is found
        boxes = run_onnx(tmp_path / "out.onnx", {"image": frame})
        got = run_onnx(tmp_path / "rest.onnx", boxes)
        wanted = run_onnx(detector, {"image": frame})
        np.testing.assert_array_equal(got["boxes"], wanted["boxes"])


@pytest.mark.runtime
@pytest.mark.parametrize(("target", "runtime"), [(None, "current"), ("2.3", "paddle-2.3.2")])
def test_a_paddle_detector_without_its_nms(target: Optional[str], runtime: str, saved: Path, tmp_path: Path) -> None:
    require(runtime)
    report = api.edit(saved, tmp_path / "out", without_nms=True, target=target)
    passed(report)
    assert len(report.outputs) == 2 and "multiclass_nms3" not in report.paddle_operators
    frame = detectors.frames()[0]
    boxes, scores = run_paddle(tmp_path / "out", {"image": frame}, runtime).values()
    assert boxes.shape == (1, 30, 4) and scores.shape == (1, 2, 30)
    # the boxes that Paddle's own model chose of them are among them
    kept = np.load(saved.with_suffix(".npz"))["0.0"]
    assert len(kept) and all(np.abs(boxes[0] - box).max(-1).min() < 1e-3 for box in kept)


def test_a_model_without_nms(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="--without-nms: the model has no operator") as e:
        api.edit(make.mlp(tmp_path / "m.onnx"), tmp_path / "out.onnx", without_nms=True)
    assert "--outputs" in str(e.value.hint)
    with pytest.raises(UnsupportedError, match="--without-nms: the model has no operator"):
        api.edit(case("2.3.2-mlp").model, tmp_path / "out", without_nms=True)


# sizes --------------------------------------------------------------------------------------------------------------


@pytest.mark.runtime
@pytest.mark.parametrize("fold", [False, True])
def test_a_paddle_bert_with_fixed_sizes(fold: bool, tmp_path: Path) -> None:
    require("paddle-2.3.2")
    source = case("2.3.2-bert").model
    report = api.edit(source, tmp_path / "out", dims={"batch": 1, "length": 16}, fold=fold)
    passed(report)
    assert shapes(report.inputs) == dict.fromkeys(["input_ids", "token_type_ids", "attention_mask"], [1, 16])
    assert shapes(report.outputs) == {"linear_31.tmp_1": [1, 3]}
    program = files.load_program(files.locate(tmp_path / "out"))
    computed = [n for op in program.main.ops if op.type not in ("feed", "fetch") for n in op.output_names]
    open_ = [n for n in computed if -1 in (program.main.vars[n].shape or ()) and not n.endswith((".tmp_1", ".tmp_2"))]
    assert not open_ and report.declared > 40
    kinds = {op.type for _, op in program.ops()}
    assert (report.folded > 0) == fold == (not kinds & {"shape", "fill_constant"})
    feed = {n: np.ones((1, 16), np.int64) for n in shapes(report.inputs)}
    (wanted,), (got,) = run_paddle(source, feed).values(), run_paddle(tmp_path / "out", feed).values()
    np.testing.assert_array_equal(got, wanted)


def still_open(folder: Path) -> list[str]:
    """What the operators of a Paddle program compute whose shape has an open size."""
    program = files.load_program(files.locate(folder))
    computed = [n for op in program.main.ops if op.type not in ("feed", "fetch") for n in op.output_names]
    return [n for n in computed if -1 in (program.main.vars[n].shape or ())]


@pytest.mark.runtime
def test_a_network_with_statistics_has_all_its_shapes(tmp_path: Path) -> None:
    """Normalisation by batches names its statistics as outputs, too, and does not change them."""
    require("paddle-2.3.2")
    source = case("2.3.2-conv").model
    program = files.load_program(files.locate(source))
    assert "batch_norm" in {op.type for op in program.main.ops} and len(still_open(source)) > 2
    report = api.edit(source, tmp_path / "out", dims=["batch=2"])
    passed(report)
    assert still_open(tmp_path / "out") == [] and report.declared > 2


@pytest.mark.slow
@pytest.mark.runtime
def test_the_recogniser_of_pp_ocr_with_fixed_sizes(tmp_path: Path) -> None:
    """Both forms; where its height is left open, the one that it takes is named."""
    require("paddle-2.6.2")
    package = pytest.importorskip("rapidocr_onnxruntime")
    source = next((Path(package.__file__).parent / "models").glob("ch_PP-OCRv4_rec*.onnx"))
    api.onnx2paddle(source, tmp_path / "rec", target="2.6", verify=False)
    for path, out in ((tmp_path / "rec", tmp_path / "fixed"), (source, tmp_path / "fixed.onnx")):
        report = api.edit(path, out, dims=["batch=1", "height=48", "width=320"], fold=True)
        passed(report)
        assert list(shapes(report.outputs).values()) == [[1, 40, 6625]]
    assert still_open(tmp_path / "fixed") == []
    graph = onnx.load(str(tmp_path / "fixed.onnx")).graph
    noted = {i.name: i for i in (*graph.value_info, *graph.output)}
    dims = [d for node in graph.node for o in node.output for d in noted[o].type.tensor_type.shape.dim]
    assert all(d.HasField("dim_value") for d in dims)
    report = api.edit(tmp_path / "rec", tmp_path / "open", dims=["batch=1", "width=320"])
    assert any("--dim x.2=48" in w for w in report.warnings)


@pytest.mark.runtime
@pytest.mark.long
def test_a_json_with_fixed_sizes_in_two(tmp_path: Path) -> None:
    """Every half sentence for a .json: sizes, halves that give the whole, the names that it shows, near names."""
    require("current")
    source = fixtures.unpack("3.3", "bert", tmp_path / "source")
    report = api.edit(source, tmp_path / "fixed", dims=["batch=1", "length=16"], fold=True)
    passed(report)
    assert set(map(tuple, shapes(report.inputs).values())) == {(1, 16)} and still_open(tmp_path / "fixed") == []
    program = files.load_program(files.locate(tmp_path / "fixed"))
    between = [op.output_names[0] for op in program.main.ops if op.type == "layer_norm"][2]
    passed(api.edit(source, tmp_path / "first", outputs=[between]))
    passed(api.edit(source, tmp_path / "second", inputs=[between, "input_ids"], drop_outputs=["fetch_name_0"]))
    feed = fixtures.feeds("bert")[1]
    (inner,) = run_paddle(tmp_path / "first", feed, "current").values()
    (got,) = run_paddle(tmp_path / "second", {between: inner, "input_ids": feed["input_ids"]}, "current").values()
    whole = files.locate(source)
    with require("current").worker() as worker:
        np.testing.assert_allclose(got, worker.run(whole.program, whole.params, feed).outputs[0][1], rtol=0, atol=1e-6)
    with pytest.raises(UsageError, match=f"no variable '{between}x'") as e:
        api.edit(source, tmp_path / "out", outputs=[f"{between}x"])
    assert f"did you mean {between!r}" in str(e.value.hint)
    with pytest.raises(UsageError, match="no open size of the inputs has this name") as e:
        api.edit(source, tmp_path / "out", dims=["lenth=16"])
    assert "did you mean 'length'" in str(e.value.hint) and not (tmp_path / "out").exists()


@pytest.mark.parametrize("exporter", ["bert.ts14", pytest.param("bert.dynamo20", marks=pytest.mark.slow)])
def test_an_onnx_bert_with_fixed_sizes(exporter: str, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from tests.zoo.export import export

    path, _ = export(*exporter.rsplit(".", 1), tmp_path)
    report = api.edit(path, tmp_path / "out.onnx", dims=["batch=1", "length=16"], fold=True)
    passed(report)
    assert set(map(tuple, shapes(report.inputs).values())) == {(1, 16)} and report.folded
    model = onnx.load(str(tmp_path / "out.onnx"))
    assert not {n.op_type for n in model.graph.node} & {"Shape", "ConstantOfShape", "Range"}
    assert len(model.graph.node) < len(onnx.load(str(path)).graph.node)
    noted = [i for i in (*model.graph.value_info, *model.graph.output) if i.type.tensor_type.HasField("shape")]
    sizes = [d for i in noted for d in i.type.tensor_type.shape.dim]
    assert len(noted) > 20 and sum(not d.HasField("dim_value") for d in sizes) <= 1


@pytest.mark.parametrize(
    ("dims", "message", "hint"),
    [
        (["btch=1"], "--dim btch=1: no open size of the inputs has this name", "did you mean 'batch'?"),
        (["x.1=3"], "--dim x.1=3: axis 1 of the input 'x' is 16 already", "did you mean 'x.0'"),
        (["x.7=3"], "--dim x.7=3: the input 'x' has 2 axes", None),
        (["batch"], "--dim 'batch': not the name of a size and a number", "--dim batch=1"),
        (["batch=0"], "--dim 'batch=0': not the name of a size and a number", None),
        (["batch=1", "x.0=2"], "--dim x.0=2: axis 0 of 'x' is to be 1, too", None),
    ],
)
def test_sizes_that_are_none(dims: list[str], message: str, hint: Optional[str], tmp_path: Path) -> None:
    with pytest.raises(UsageError) as e:
        api.edit(make.mlp(tmp_path / "m.onnx"), tmp_path / "out.onnx", dims=dims)
    assert e.value.message == message
    if hint is not None:
        assert hint.split(" or")[0] in str(e.value.hint)
    assert not (tmp_path / "out.onnx").exists()


@pytest.mark.runtime
def test_a_size_that_the_model_does_not_take(tmp_path: Path) -> None:
    """The golden BERT has 32 positions."""
    require("paddle-2.3.2")
    with pytest.raises(RuntimeFailedError, match="the edited model") as e:
        api.edit(case("2.3.2-bert").model, tmp_path / "out", dims=["length=64"], fold=True)
    assert "does the model take" in str(e.value.hint) and not (tmp_path / "out").exists()


# cuts ---------------------------------------------------------------------------------------------------------------


@pytest.mark.runtime
@pytest.mark.parametrize(
    ("model", "between"),
    [
        ("bert", ["layer_norm_7.tmp_2"]),
        ("conv", ["batch_norm_0.tmp_4"]),
        ("multi", ["linear_6.tmp_1"]),
    ],
)
def test_a_paddle_model_in_two(model: str, between: list[str], tmp_path: Path) -> None:
    require("paddle-2.3.2")
    golden = case(f"2.3.2-{model}")
    present = files.load_program(files.locate(golden.model)).main.vars
    between = [n for n in between if n in present] or [_middle(golden.model)]
    first = api.edit(golden.model, tmp_path / "first", outputs=between)
    passed(first)
    needed = [p["name"] for p in first.inputs]
    try:
        second = api.edit(golden.model, tmp_path / "second", inputs=between)
    except UsageError as e:  # the second half reads an input of the first
        assert e.hint is not None
        names = e.hint.split("--inputs ")[1].partition(", or")[0].split(",")
        second = api.edit(golden.model, tmp_path / "second", inputs=names)
    passed(second)
    assert first.removed["parameters"] and second.removed["parameters"]
    feed = golden.inputs
    inner = run_paddle(tmp_path / "first", {n: feed[n] for n in needed})
    own = {p["name"]: feed[p["name"]] for p in second.inputs if p["name"] in feed}
    got = run_paddle(tmp_path / "second", {**{n: inner[n] for n in between}, **own})
    for name, wanted in run_paddle(golden.model, feed).items():
        np.testing.assert_allclose(got[name], wanted, rtol=1e-6, atol=1e-6)


def _middle(path: Path) -> str:
    """What half of the operators of a chain have computed."""
    program = files.load_program(files.locate(path))
    ops = [op for op in program.main.ops if op.type not in ("feed", "fetch")]
    plain = [op for op in ops[: len(ops) // 2] if op.type in ("relu", "matmul_v2", "elementwise_add", "pool2d")]
    return plain[-1].output_names[0]


@pytest.mark.parametrize("exporter", [None, pytest.param("resnet18.ts14", marks=pytest.mark.slow)])
def test_an_onnx_model_in_two(exporter: Optional[str], tmp_path: Path) -> None:
    path, feed = make.mlp(tmp_path / "m.onnx"), {"x": np.random.default_rng(0).random((3, 16), np.float32)}
    between = "hidden"
    if exporter is not None:
        pytest.importorskip("torch")
        from tests.zoo.export import export

        path, sample = export(*exporter.rsplit(".", 1), tmp_path)
        graph = onnx.load(str(path)).graph
        names = [i.name for i in graph.input]
        feed = {n: v for n, v in sample.feeds(*sample.sizes[0]).items() if n in names}
        between = next(n for n in reversed(graph.node[: len(graph.node) // 2]) if n.op_type == "Add").output[0]
        sizes = [f"{n}[{','.join(map(str, v.shape))}]" for n, v in feed.items()]
        passed(api.edit(path, tmp_path / "a.onnx", outputs=[between], sizes=sizes))
        passed(api.edit(path, tmp_path / "b.onnx", inputs=[between], sizes=sizes))
    else:
        passed(api.edit(path, tmp_path / "a.onnx", outputs=[between]))
        passed(api.edit(path, tmp_path / "b.onnx", inputs=[between]))
    got = run_onnx(tmp_path / "b.onnx", run_onnx(tmp_path / "a.onnx", feed))
    for name, wanted in run_onnx(path, feed).items():
        np.testing.assert_allclose(got[name], wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.runtime
def test_a_json_has_the_names_of_its_translation(saved: Path, tmp_path: Path) -> None:
    """Renamed, an output less, at the frame in which nothing is found, too."""
    require("current")
    report = api.edit(
        saved, tmp_path / "out", outputs=["slice_11.tmp"], renames={"slice_11.tmp": "boxes", "image": "x"}
    )
    passed(report)
    assert shapes(report.outputs) == {"boxes": [None, 4]} and shapes(report.inputs) == {"x": [1, 3, None, None]}
    assert "(.json)" in report.verification["reference"]
    assert any("is 0: 1 of 1 sizes" in line for line in report.verification["inputs"].split("; "))
    assert len(run_paddle(tmp_path / "out", {"x": detectors.frames()[1]}, "current")["boxes"]) == 0


@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        ({"outputs": ["linear_31.tmp"]}, "--outputs: the model has no variable 'linear_31.tmp'", "linear_31.tmp_1"),
        ({"outputs": ["linear_18.b_0"]}, "--outputs: 'linear_18.b_0' is a weight; nothing computes it", None),
        ({"inputs": ["linear_18.b_0"]}, "--inputs: 'linear_18.b_0' is a weight", None),
        ({"outputs": ["unsqueeze2_0.tmp_1"]}, "--outputs: 'unsqueeze2_0.tmp_1' holds no numbers", "--vars"),
        (
            {"constants": {"input_ids": 1, "token_type_ids": 0}, "add_outputs": ["tmp_5"]},
            "--const input_ids, token_type_ids: ",
            "--drop-output",
        ),
        (
            {"inputs": ["tmp_5"]},
            "--inputs tmp_5: the outputs need 'input_ids', 'token_type_ids', ",
            "--inputs tmp_5,in",
        ),
        ({"drop_inputs": ["input_ids"]}, "--drop-input: the outputs need 'input_ids'", "--const input_ids=VALUE"),
        ({"drop_inputs": ["inputids"]}, "--drop-input: the model has no input 'inputids'", "'input_ids'"),
        ({"drop_outputs": ["x"]}, "--drop-output: the model has no output 'x'", "linear_31.tmp_1"),
        ({"drop_outputs": ["linear_31.tmp_1"]}, "--drop-output: 'linear_31.tmp_1' is the only output", "--add-output"),
        ({"constants": {"ids": 1}}, "--const: the model has no input 'ids'", "'input_ids'"),
        ({"constants": {"input_ids": 1.5}}, "--const input_ids: 1.5 is no value of int64", None),
        ({"renames": {"a": "b"}}, "--rename: the model has no variable 'a'", None),
        ({"renames": {"input_ids": "tmp_5"}}, "--rename input_ids=tmp_5: 'tmp_5' is taken", None),
        ({"renames": {"input_ids": "feed"}}, "--rename input_ids=feed: this cannot be a name", None),
        ({"renames": {"input_ids": "a\nb"}}, '--rename: "a\\nb" holds a character that cannot be seen', None),
        ({"weights": "external"}, "--weights external: of a Paddle model they are combined, fluid", None),
        ({"opset": 17}, "--opset: a Paddle model has none", None),
        ({"target": "2.6", "fold": True}, "--target: ", "mconv downgrade"),
        ({}, "nothing to edit is said", None),
    ],
)
def test_what_cannot_be(options: dict[str, Any], message: str, hint: Optional[str], tmp_path: Path) -> None:
    with pytest.raises(UsageError) as e:
        api.edit(case("2.3.2-bert").model, tmp_path / "out", **options)
    assert e.value.message.startswith(message)
    if hint is not None:
        assert hint in str(e.value.hint)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"outputs": ["activ"]}, UsageError, "--outputs: the model has no tensor 'activ'"),
        ({"outputs": ["W1"]}, UsageError, "--outputs: 'W1' is a weight"),
        ({"outputs": [""]}, UsageError, "--outputs: none is named"),
        ({"drop_outputs": ["y"]}, UsageError, "--drop-output: 'y' is the only output"),
        ({"inputs": ["x.npz"]}, UsageError, "--inputs x.npz: tensors to begin at"),
        ({"inputs": ["x", "hidden"]}, UsageError, "--inputs: no output depends on 'x'"),
        ({"outputs": ["hidden", "hidden"]}, UsageError, "--outputs: 'hidden' is named twice"),
        ({"renames": {"x": "W1"}}, UsageError, "--rename x=W1: 'W1' is taken"),
        ({"weights": "combined"}, UsageError, "--weights combined: of an ONNX model they are inside or external"),
        ({"opset": 99}, UsageError, "--opset 99: ONNX's converter goes from 7 to"),
        ({"target": "2.3", "fold": True}, UsageError, "--target: an ONNX model is of no Paddle"),
        ({"constants": {"x": 1}}, UsageError, "--const fixes every input"),
    ],
)
def test_what_cannot_be_of_onnx(options: dict[str, Any], kind: type, message: str, tmp_path: Path) -> None:
    path = make.mlp(tmp_path / "m.onnx")
    with pytest.raises(kind) as e:
        api.edit(path, tmp_path / "out.onnx", **options)
    assert e.value.message.startswith(message)
    assert [p.name for p in tmp_path.iterdir()] == ["m.onnx"]


# files --------------------------------------------------------------------------------------------------------------


@pytest.mark.runtime
@pytest.mark.parametrize("weights", ["combined", "fluid", "separate", "inside"])
@pytest.mark.parametrize(
    "golden", [pytest.param(OLD, id="old"), pytest.param(Case("2.3.2", "multi"), id="multi", marks=pytest.mark.slow)]
)
def test_the_files_of_paddle(golden: Case, weights: str, tmp_path: Path) -> None:
    require("paddle-2.3.2")
    report = api.edit(golden.model, tmp_path / "out", weights=weights, runtime="paddle-2.3.2")
    passed(report)
    made = files.locate(tmp_path / "out")
    program = files.load_program(made)
    names = {p.name for p in (tmp_path / "out").iterdir()} - {"report.json", "provenance.json"}
    stored = [v.name for v in files.load_program(files.locate(golden.model)).parameters]
    expected = {
        "combined": {"inference.pdmodel", "inference.pdiparams"},
        "fluid": {"__model__", "__params__"},
        "separate": {"__model__", *stored},
        "inside": {"inference.pdmodel", "inference.pdiparams"},
    }[weights]
    assert names == expected
    if weights == "inside":
        assert not set(stored) & {v.name for v in program.parameters}
    else:
        old = files.locate(golden.model)
        before = {r.name: r for r in files.records(old, files.load_program(old))}
        after = files.records(made, program)
        assert all(np.array_equal(r.array(), before[r.name].array()) for r in after) and len(after) == len(before)
    # and back to one file
    back = api.edit(tmp_path / "out", tmp_path / "back", renames={program.fetches[0].name: "z"}, runtime="paddle-2.3.2")
    passed(back)
    assert back.outputs[0]["paddle_name"] == "z"
    assert api.check(tmp_path / "out").ok


@pytest.mark.runtime
@pytest.mark.parametrize("weights", ["inside", "external"])
def test_the_files_of_onnx(weights: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    held = {
        "w": rng.random((4, 400), np.float32),
        "v": rng.random((400, 3)).astype(np.float16),
        "b": np.ones(3, np.float16),
    }
    nodes = [make.node("MatMul", "x w", "a"), make.node("Cast", "a", "c", to=10), make.node("MatMul", "c v", "d")]
    nodes.append(make.node("Add", "d b", "y"))
    ports = [make.port("x")], [make.port("y", onnx.TensorProto.FLOAT16, ("n", 3))]
    whole = make.model(nodes, *ports, held)
    onnx.save(
        whole, tmp_path / "m.onnx", save_as_external_data=weights == "inside", location="m.bin", size_threshold=64
    )
    report = api.edit(tmp_path / "m.onnx", tmp_path / "out" / "out.onnx", weights=weights)
    passed(report)
    names = {p.name for p in (tmp_path / "out").iterdir()}
    model = {"out.onnx", "out.report.json", "out.provenance.json"}
    assert names == (model if weights == "inside" else model | {"out.onnx.data"})
    shutil.move(tmp_path / "m.onnx", tmp_path / "gone")
    loaded = onnx.load(str(tmp_path / "out" / "out.onnx"))
    for tensor in loaded.graph.initializer:
        np.testing.assert_array_equal(onnx.numpy_helper.to_array(tensor), held[tensor.name])
    record = json.loads((tmp_path / "out" / "out.provenance.json").read_text())
    assert {f["name"] for f in record["files"]} == names - {"out.report.json", "out.provenance.json"}
    with pytest.raises(UsageError, match="is or holds the input"):
        api.edit(tmp_path / "out" / "out.onnx", tmp_path / "out" / "out.onnx", opset=18, force=True)
    (tmp_path / "there.onnx").write_bytes(b"")
    with pytest.raises(OutputExistsError):
        api.edit(tmp_path / "out" / "out.onnx", tmp_path / "there.onnx", opset=18)


@pytest.mark.parametrize("ir", [3, 8])
def test_weights_in_constant_nodes_go_into_the_file_beside_it(ir: int, tmp_path: Path) -> None:
    """As PaddleOCR's models have them."""
    w = np.random.default_rng(0).random((4, 400), np.float32)
    constant = onnx.helper.make_node("Constant", [], ["w"], value=onnx.numpy_helper.from_array(w))
    nodes = [constant, make.node("MatMul", "x w", "y")]
    model = make.model(nodes, [make.port("x", 1, ("n", 4))], [make.port("y", 1, ("n", 400))])
    model.ir_version = ir
    onnx.save(model, tmp_path / "m.onnx")
    report = api.edit(tmp_path / "m.onnx", tmp_path / "out.onnx", weights="external", verify=True)
    passed(report)
    assert (tmp_path / "out.onnx.data").stat().st_size == w.nbytes
    assert (tmp_path / "out.onnx").stat().st_size < w.nbytes
    assert [o["operator"] for o in report.operators] == ["MatMul"]
    onnx.checker.check_model(str(tmp_path / "out.onnx"))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("../w", UntrustedError),
        ("w" * 300, CorruptModelError),
        ("__model__", UnsupportedError),
        ("__model__/w", UnsupportedError),
        ("./BIAS", UnsupportedError),
        ("BIAS/w", UnsupportedError),
    ],
)
def test_a_name_of_no_file_of_its_own(name: str, kind: type, tmp_path: Path) -> None:
    source = OLD.model
    program = files.load_program(files.locate(source))
    first, second = [v.name for v in program.parameters][:2]
    name = name.replace("BIAS", second)
    with pytest.raises(kind, match="--weights separate: ") as e:
        api.edit(source, tmp_path / "out", renames=[f"{first}={name}"], weights="separate", verify=False)
    assert "--rename" in str(e.value.hint) and ".mconv-" not in str(e.value)
    assert list(tmp_path.iterdir()) == []


def test_a_size_that_an_onnx_model_does_not_take(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnxruntime")
    nodes = [make.node("MatMul", "x w", "y")]
    ports = [make.port("x", 1, ("n", "m"))], [make.port("y", 1, ("n", 2))]
    onnx.save(make.model(nodes, *ports, {"w": np.ones((4, 2), np.float32)}), tmp_path / "m.onnx")
    arguments = ["edit", str(tmp_path / "m.onnx"), str(tmp_path / "out.onnx"), "--dim", "m=5"]
    assert run(arguments) == RuntimeFailedError.exit_code
    said = capsys.readouterr()
    assert "or does not take x.1=5: " in said.err and "None" not in said.out + said.err


@pytest.mark.parametrize("opset", [11, 13, 18, 21])
def test_another_opset(opset: int, detector: Path, tmp_path: Path) -> None:
    """With large weights, which ONNX's converter never sees."""
    report = api.edit(detector, tmp_path / "out.onnx", opset=opset, without_nms=opset < 17)
    passed(report)
    model = onnx.load(str(tmp_path / "out.onnx"))
    assert {o.version for o in model.opset_import if not o.domain} == {opset} == {report.target["opset"]}
    assert model.ir_version <= onnx.helper.find_min_ir_version_for(list(model.opset_import)) + 4
    assert {t.name for t in model.graph.initializer} >= {"kernel"} or model.graph.initializer


def test_constants_that_nothing_computes(tmp_path: Path) -> None:
    nodes = [make.node("Reshape", "w s", "a"), make.node("Add", "x a", "y")]
    held = {"w": np.ones(4, np.float32), "s": np.array([3, 5], np.int64)}
    onnx.save(make.model(nodes, weights=held), tmp_path / "m.onnx")
    with pytest.raises(RuntimeFailedError, match="what is constant in the model"):
        api.edit(tmp_path / "m.onnx", tmp_path / "out.onnx", fold=True)
    assert [p.name for p in tmp_path.iterdir()] == ["m.onnx"]


def test_a_tensor_of_which_onnx_knows_no_shape(tmp_path: Path) -> None:
    """Its rank comes from numbers: it can be an output, and is no input."""
    nodes = [make.node("Reshape", "x s", "a"), make.node("Abs", "a", "y")]
    inputs = [make.port("x"), make.port("s", onnx.TensorProto.INT64, ("rank",))]
    onnx.save(make.model(nodes, inputs, [make.port("y", dims=None)]), tmp_path / "m.onnx")
    np.savez(tmp_path / "x.npz", x=np.ones((2, 4), np.float32), s=np.array([4, 2, 1], np.int64))
    report = api.edit(tmp_path / "m.onnx", tmp_path / "out.onnx", outputs=["a"], feeds=tmp_path / "x.npz")
    passed(report)
    assert report.verification["outputs"][0]["shape"] == [4, 2, 1]


def test_an_opset_that_onnx_has_no_way_to(tmp_path: Path) -> None:
    onnx.save(make.model([make.node("Trilu", "x", "y")]), tmp_path / "m.onnx")
    with pytest.raises(UnsupportedError, match="--opset 9: ONNX's converter cannot bring opset 17 there"):
        api.edit(tmp_path / "m.onnx", tmp_path / "out.onnx", opset=9)


# inputs with one value, names of clients, the rest ------------------------------------------------------------------


@pytest.mark.runtime
def test_an_input_with_one_value(tmp_path: Path) -> None:
    require("paddle-2.3.2")
    golden = case("2.3.2-bert")
    report = api.edit(golden.model, tmp_path / "out", constants={"token_type_ids": 0}, dims=["batch=1", "length=9"])
    assert report.constants == ["token_type_ids"] and [p["name"] for p in report.inputs] == [
        "input_ids",
        "attention_mask",
    ]
    passed(report)
    feed = {n: np.ones((1, 9), np.int64) for n in ("input_ids", "attention_mask")}
    (wanted,) = run_paddle(golden.model, {**feed, "token_type_ids": np.zeros((1, 9), np.int64)}).values()
    (got,) = run_paddle(tmp_path / "out", feed).values()
    np.testing.assert_array_equal(got, wanted)


@pytest.mark.runtime
def test_what_clients_call_it(tmp_path: Path) -> None:
    """Names of a serving folder; the result is a model without them, and says so."""
    require("paddle-2.3.2")
    api.to_serving(
        case("2.3.2-multi").model, out=tmp_path, feed_alias={"x": "features"}, fetch_alias={"softmax_3.tmp_0": "p"}
    )
    report = api.edit(tmp_path / "serving_server", tmp_path / "out", outputs=["p"], dims=["features.0=2"])
    passed(report)
    assert shapes(report.inputs) == {"x": [2, 8]} and [p["name"] for p in report.outputs] == ["softmax_3.tmp_0"]
    assert any("to-serving" in w for w in report.warnings)


@pytest.mark.runtime
def test_a_broken_cut_is_no_proof(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proof compares: a result whose weights are others is kept aside."""
    from mconv.errors import VerificationError
    from mconv.verbs import edit_onnx

    write = edit_onnx.write

    def bent(made: Any, path: Path, style: str) -> Any:
        graph = made.model.proto.graph
        for tensor in graph.initializer:
            if tensor.name == "B1":
                tensor.CopyFrom(onnx.numpy_helper.from_array(np.full(8, 3, np.float32), "B1"))
        return write(made, path, style)

    monkeypatch.setattr(edit_onnx, "write", bent)
    with pytest.raises(VerificationError, match="computes something else"):
        api.edit(make.mlp(tmp_path / "m.onnx"), tmp_path / "out.onnx", outputs=["hidden"])
    assert (tmp_path / "out.failed-verification" / "out.onnx").is_file() and not (tmp_path / "out.onnx").exists()


@pytest.mark.runtime
@pytest.mark.long
def test_a_recipe_edits_what_is_converted(tmp_path: Path) -> None:
    """An ONNX file before, a Paddle model after its conversion."""
    require("paddle-2.3.2")
    make.mlp(tmp_path / "m.onnx")
    text = (
        "source: m.onnx\nsteps:\n  - edit: {dims: {batch: 2}, outputs: [active], renames: {active: y}}\n"
        "  - onnx2paddle\n  - to-serving\n"
    )
    (tmp_path / "r.yaml").write_text(text)
    result = recipes.run([tmp_path / "r.yaml"], out=tmp_path / "build")
    assert result.ok, [s.error for r in result.recipes for s in r.steps]
    program = files.load_program(files.locate(tmp_path / "build" / "r" / "serving_server"))
    assert [(p.name, p.shape) for p in program.fetches] == [("y", (2, 8))]
    (tmp_path / "s.yaml").write_text(
        "source: m.onnx\nsteps:\n  - onnx2paddle\n  - edit: {weights: fluid, fold: true}\n  - to-serving\n"
    )
    assert recipes.run([tmp_path / "s.yaml"], out=tmp_path / "build").ok
    assert (tmp_path / "build" / "s" / "edit" / "__params__").is_file()
