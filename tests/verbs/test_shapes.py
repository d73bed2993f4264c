"""Ranges of shapes for TensorRT, against what Paddle's own collector finds with the same inputs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Callable

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mconv import api
from mconv.api import shapes
from mconv.errors import LimitError, OutputExistsError, RuntimeFailedError, UnsupportedError, UsageError
from mconv.program.files import load_program, locate
from mconv.proof.feeds import specs_of
from mconv.serving.shape_ranges import from_paddle
from tests.golden import case
from tests.managed import require
from tests.verbs.collected import RUNTIMES, Job, at_points, collect, never_computed, without

Points = tuple[Mapping[str, tuple[int, ...]], Mapping[str, tuple[int, ...]], Mapping[str, tuple[int, ...]]]


def rapidocr(part: str) -> Path:
    package = pytest.importorskip("rapidocr_onnxruntime")
    (path,) = (Path(package.__file__).parent / "models").glob(f"*_{part}_infer.onnx")
    return path


def branch(folder: Path) -> Path:
    """``If(mean(x) > 0) x @ w else -x`` and its shape, on rows of 4."""

    def graph(name: str, nodes: list[Any], weights: list[Any]) -> Any:
        out = helper.make_tensor_value_info(f"{name}_y", TensorProto.FLOAT, ["n", 4])
        return helper.make_graph(nodes, name, [], [out], weights)

    weight = numpy_helper.from_array(np.eye(4, dtype=np.float32), "w")
    zero = numpy_helper.from_array(np.zeros((), np.float32), "zero")
    one = graph("one", [helper.make_node("MatMul", ["x", "w"], ["one_y"])], [weight])
    other = graph("other", [helper.make_node("Neg", ["x"], ["other_y"])], [])
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], keepdims=0),
        helper.make_node("Greater", ["mean", "zero"], ["positive"]),
        helper.make_node("If", ["positive"], ["y"], then_branch=one, else_branch=other),
        helper.make_node("Shape", ["y"], ["sizes"]),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])
    sizes = helper.make_tensor_value_info("sizes", TensorProto.INT64, [2])
    made = helper.make_model(
        helper.make_graph(nodes, "branch", [x], [y, sizes], [zero]), opset_imports=[helper.make_opsetid("", 17)]
    )
    made.ir_version = 8
    onnx.save(made, folder / "branch.onnx")
    return folder / "branch.onnx"


def lstm(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    w, r, b = (rng.normal(0, 0.3, s).astype(np.float32) for s in ((2, 20, 6), (2, 20, 5), (2, 40)))
    nodes = [
        helper.make_node("LSTM", ["x", "w", "r", "b"], ["h"], hidden_size=5, direction="bidirectional"),
        helper.make_node("ReduceMax", ["h"], ["y"], axes=[0], keepdims=0),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["t", "n", 6])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, "n", 5])
    weights = [numpy_helper.from_array(a, n) for a, n in ((w, "w"), (r, "r"), (b, "b"))]
    made = helper.make_model(
        helper.make_graph(nodes, "lstm", [x], [y], weights), opset_imports=[helper.make_opsetid("", 17)]
    )
    made.ir_version = 8
    onnx.save(made, folder / "lstm.onnx")
    return folder / "lstm.onnx"


def exported(model: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        pytest.importorskip("torch")
        from tests.zoo.export import export

        return export(model, "ts14", folder)[0]

    return make


# source, and the shapes at the least, the usual and the largest point
MODELS: dict[str, tuple[Callable[[Path], Path], dict[str, tuple[Any, Any, Any]]]] = {
    "det": (lambda _: rapidocr("det"), {"x": ((1, 3, 32, 64), (1, 3, 64, 64), (2, 3, 64, 96))}),
    "rec": (lambda _: rapidocr("rec"), {"x": ((1, 3, 48, 48), (1, 3, 48, 64), (2, 3, 48, 96))}),
    "branch": (branch, {"x": ((1, 4), (2, 4), (5, 4))}),
    "lstm": (lstm, {"x": ((1, 1, 6), (3, 2, 6), (5, 4, 6))}),
    "bert": (
        exported("bert"),
        dict.fromkeys(("input_ids", "attention_mask", "token_type_ids"), ((1, 4), (1, 12), (2, 16))),
    ),
    "resnet50": (exported("resnet50"), {"x": ((1, 3, 32, 32), (1, 3, 64, 64), (2, 3, 64, 64))}),
}
SLOW = ("resnet50",)


def texts(points: Mapping[str, tuple[Any, Any, Any]], at: int) -> list[str]:
    return [f"{name}[{','.join(map(str, shapes[at]))}]" for name, shapes in points.items()]


@pytest.mark.runtime
@pytest.mark.parametrize("target", RUNTIMES)
@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in MODELS])
def test_the_file_is_what_paddles_collector_writes(name: str, target: str, tmp_path: Path) -> None:
    require(RUNTIMES[target])
    make, points = MODELS[name]
    api.onnx2paddle(make(tmp_path), tmp_path / "model", target=target, verify=False)
    inputs = {spec.name for spec in specs_of(load_program(locate(tmp_path / "model")))}
    points = {n: p for n, p in points.items() if n in inputs}
    found = shapes(
        tmp_path / "model",
        tmp_path / "shapes.pbtxt",
        minimum=texts(points, 0),
        optimum=texts(points, 1),
        maximum=texts(points, 2),
        target=target,
    )
    mine, want = tmp_path / "shapes.pbtxt", tmp_path / "want.pbtxt"
    collect(target, [Job(tmp_path / "model", at_points(tmp_path / "model", points), want)])
    wrong = never_computed(mine, want)
    assert wrong == {("branch", "2.3"): {"branch_0"}, ("lstm", "2.3"): {"rnn.reserve"}}.get((name, target), set())
    assert without(mine.read_text(), wrong) == without(want.read_text(), wrong)
    assert from_paddle(tmp_path / "shapes.pbtxt").shapes == found.profiles[0].shapes
    assert set(found.border) <= set(found.profiles[0].shapes)


BRANCH = dict(zip(("minimum", "optimum", "maximum"), (["x[1,4]"], ["x[2,4]"], ["x[5,4]"])))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shapes")
    api.onnx2paddle(branch(folder), folder / "model", verify=False)
    return folder / "model"


@pytest.mark.runtime
def test_several_profiles_are_several_files(model: Path, tmp_path: Path) -> None:
    require("paddle-2.3.2")
    found = shapes(
        model,
        tmp_path / "shapes.py",
        minimum=["x[1,4]", "x[9,4]"],
        optimum=["x[2,4]", "x[9,4]"],
        maximum=["x[8,4]", "x[64,4]"],
        trt_inputs=True,
    )
    assert [Path(f).name for f in found.files] == ["shapes_1.py", "shapes_2.py"]
    read: dict[str, Any] = {}
    exec((tmp_path / "shapes_2.py").read_text(), read)
    assert read["MIN_SHAPES"]["x"] == read["OPT_SHAPES"]["x"] == [9, 4] and read["MAX_SHAPES"]["x"] == [64, 4]
    assert set(read["MIN_SHAPES"]) == set(found.border)


@pytest.mark.runtime
def test_real_inputs_in_several_sets(model: Path, tmp_path: Path) -> None:
    require("paddle-2.3.2")
    rows = (3, 1, 3, 7)
    np.savez(tmp_path / "x.npz", **{f"{i}/x": np.ones((n, 4), np.float32) for i, n in enumerate(rows)})
    found = shapes(model, feeds=tmp_path / "x.npz").profiles[0].shapes
    assert (found["x"].min, found["x"].opt, found["x"].max) == ((1, 4), (3, 4), (7, 4))
    assert "branch" in found and "branch_0" not in found  # the mean is positive: that one is never taken


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "--min: the shape of x[?,4] is missing"),
        ({**BRANCH, "minimum": ["x[1,5]"]}, "the model declares x[?,4]"),
        ({**BRANCH, "minimum": ["x[?,4]"]}, "each size has to be a number"),
        ({**BRANCH, "minimum": ["y[1,4]"]}, "no input 'y'"),
        ({**BRANCH, "minimum": ["x[3,4]"]}, "x: not --min [3, 4] <= --opt [2, 4]"),
        ({**BRANCH, "minimum": ["x[1,4]", "x[3,4]"]}, "the profiles do not match: --min of 2, --opt of 1"),
        ({**BRANCH, "minimum": ["x[0,4]"]}, "--min 'x[0,4]': 0 is no size"),
        ({**BRANCH, "form": "xml"}, "--form: 'xml'"),
        (
            {**BRANCH, "form": "trtexec", "trt_inputs": True},
            "--trt-inputs: trtexec takes the shapes of the model's inputs",
        ),
        ({**BRANCH, "feeds": "x.npz"}, "--inputs holds real inputs"),
    ],
)
def test_what_cannot_be_asked_for(options: dict[str, Any], said: str, model: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as error:
        shapes(model, tmp_path / "out.pbtxt", **options)
    assert said in error.value.message
    assert not list(tmp_path.iterdir())


def test_inputs_beyond_the_memory_are_not_made_up(model: Path) -> None:
    with pytest.raises(LimitError, match=r"the inputs x\[2147483647, 4\]"):
        api.shapes(model, **{**BRANCH, "maximum": ["x[2147483647,4]"]})


def test_a_program_of_paddle_3_has_no_names_inside(tmp_path: Path) -> None:
    (tmp_path / "m.json").write_text(
        '{"base_code": {"magic": "pir", "version": 1, "trainable": true}, "program": {"regions": [{"blocks": [{"ops": []}]}]}}'
    )
    with pytest.raises(UnsupportedError, match="no names"):
        shapes(tmp_path / "m.json")


def test_fixed_sizes_need_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MCONV_RUNTIMES", str(tmp_path / "none"))
    nodes = [helper.make_node("Relu", ["x"], ["a"]), helper.make_node("Flatten", ["a"], ["y"])]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3, 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 12])
    made = helper.make_model(helper.make_graph(nodes, "fixed", [x], [y]), opset_imports=[helper.make_opsetid("", 17)])
    made.ir_version = 8
    onnx.save(made, tmp_path / "fixed.onnx")
    api.onnx2paddle(tmp_path / "fixed.onnx", tmp_path / "model", verify=False)
    found = shapes(tmp_path / "model")
    assert found.runtime is None
    ranges = found.profiles[0].shapes
    assert {name: r.opt for name, r in ranges.items() if name in "xy"} == {"x": (2, 3, 4), "y": (2, 12)}
    assert all(r.min == r.opt == r.max for r in ranges.values())


def test_no_file_without_shapes(tmp_path: Path) -> None:
    """Nothing of it is TensorRT's in 2.3: Paddle would refuse the file."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 3])
    nodes = [helper.make_node("Exp", ["x"], ["y"])]
    made = helper.make_model(helper.make_graph(nodes, "exp", [x], [y]), opset_imports=[helper.make_opsetid("", 17)])
    made.ir_version = 8
    onnx.save(made, tmp_path / "exp.onnx")
    api.onnx2paddle(tmp_path / "exp.onnx", tmp_path / "model", verify=False)
    assert shapes(tmp_path / "model").profiles[0].shapes
    with pytest.raises(UnsupportedError, match=r"no part of it goes to TensorRT in Paddle 2\.3"):
        shapes(tmp_path / "model", tmp_path / "s.pbtxt", trt_inputs=True)
    assert not (tmp_path / "s.pbtxt").exists()


@pytest.mark.parametrize("verb", ["shapes", "half"])
def test_nothing_is_written_over_the_inputs(verb: str, tmp_path: Path) -> None:
    """Not even with --force."""
    data = tmp_path / "kept" / "x.npz"
    data.parent.mkdir()
    np.savez(data, **{f"{number}/x": np.ones((1, 8), np.float32) for number in range(2)})
    before = data.read_bytes()
    model = case("2.3.2-mlp").model
    with pytest.raises(UsageError):
        if verb == "shapes":
            shapes(model, data, feeds=data, runtime="current", force=True)
        else:
            api.half(model, data.parent, feeds=data, verify=True, runtime="current", force=True)
    assert data.read_bytes() == before


@pytest.mark.runtime
@pytest.mark.parametrize("verb", ["shapes", "half", "quantize"])
def test_what_is_there_is_said_before_anything_is_run(verb: str, tmp_path: Path) -> None:
    require("paddle-2.3.2")
    np.savez(tmp_path / "x.npz", x=np.ones((8, 8), np.float32))
    out = tmp_path / "out"
    out.mkdir()
    (out / "x.pbtxt").write_text("mine")
    said: list[str] = []
    model = case("2.3.2-mlp").model
    verbs: dict[str, Callable[[], Any]] = {
        "shapes": lambda: shapes(model, out / "x.pbtxt", feeds=tmp_path / "x.npz", progress=said.append),
        "half": lambda: api.half(model, out, progress=said.append),
        "quantize": lambda: api.quantize(model, out, data=tmp_path / "x.npz", progress=said.append),
    }
    with pytest.raises(OutputExistsError, match="exists already"):
        verbs[verb]()
    assert not said and (out / "x.pbtxt").read_text() == "mine"


@pytest.mark.runtime
def test_a_model_in_half_is_for_gpus(tmp_path: Path) -> None:
    require("paddle-2.3.2")
    api.half(case("2.3.2-mlp").model, tmp_path / "half", verify=False)
    said: list[str] = []
    sizes = {point: ["x[1,8]"] for point in ("minimum", "optimum", "maximum")}
    with pytest.raises(RuntimeFailedError) as raised:
        shapes(tmp_path / "half", **sizes, progress=said.append)
    assert "shapes takes the float32 model" in (raised.value.hint or "")
    assert not [line for line in said if "looking for sizes" in line]
