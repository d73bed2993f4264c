"""Input sets on which sizes that come from data are 0: they are found, fed, and said; and it is said when none is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mconv import api
from mconv.errors import RuntimeFailedError
from mconv.program.dtypes import DType
from mconv.program.program import Program
from mconv.proof import nothing_found
from mconv.proof.reference import left_open
from tests.managed import require
from tests.onnx import nothing, nothing_chains


def model(path: Path, threshold: float, op: str = "Greater") -> Path:
    """The rows of x [n, 4] whose largest number is above (or not below) a threshold, twice one after the other."""
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["r"], axes=[1], keepdims=0),
        helper.make_node(op, ["r", "t"], ["k"]),
        helper.make_node("NonZero", ["k"], ["z"]),
        helper.make_node("Squeeze", ["z", "a0"], ["i"]),
        helper.make_node("Gather", ["x", "i"], ["g"]),
        helper.make_node("Concat", ["g", "g"], ["y"], axis=0),
    ]
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "g",
        [info("x", TensorProto.FLOAT, ["n", 4])],
        [info("g", TensorProto.FLOAT, [None, 4]), info("y", TensorProto.FLOAT, [None, 4])],
        [numpy_helper.from_array(np.array(threshold, np.float32), "t"), numpy_helper.from_array(np.array([0]), "a0")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.mark.runtime
@pytest.mark.parametrize(("target", "runtime"), [("2.3", "paddle-2.3.2"), ("2.6", "paddle-2.6.2"), ("3", "current")])
def test_a_selection_that_finds_nothing_is_compared(tmp_path: Path, target: str, runtime: str) -> None:
    require(runtime)
    report = api.onnx2paddle(model(tmp_path / "m.onnx", 0.3), tmp_path / "out", target=target)
    assert report.verification["status"] == "passed"
    assert report.verification["inputs"].endswith("input set 3: x is 0: 1 of 1 sizes that come from data are 0")
    assert [row["shape"] for row in report.verification["outputs"][-2:]] == [[0, 4], [0, 4]]


@pytest.mark.runtime
@pytest.mark.parametrize(("target", "runtime"), [("2.3", "paddle-2.3.2"), ("2.6", "paddle-2.6.2"), ("3", "current")])
def test_a_mean_of_nothing_is_not_a_number(tmp_path: Path, target: str, runtime: str) -> None:
    """ONNX leaves it open, and ONNX Runtime 1.32 says 0: ONNX's reference is asked, and it is said."""
    require(runtime)
    made = onnx.load(model(tmp_path / "m.onnx", 0.3))
    made.graph.node.append(helper.make_node("ReduceMean", ["g"], ["mean"], keepdims=0))
    made.graph.output.append(helper.make_tensor_value_info("mean", TensorProto.FLOAT, []))
    onnx.save(made, tmp_path / "m.onnx")
    report = api.onnx2paddle(tmp_path / "m.onnx", tmp_path / "out", target=target)
    assert report.verification["status"] == "passed" and len(report.verification["outputs"]) == 9
    (note,) = [w for w in report.warnings if "mean of nothing" in w]
    assert note.startswith("mean on input set 3: ")


def test_only_what_the_reference_leaves_open_is() -> None:
    given, nan = np.array([0.0, 1.0], np.float32), np.array([np.nan, 2.0], np.float32)
    np.testing.assert_array_equal(left_open(given, nan), np.array([np.nan, 1.0], np.float32))
    assert left_open(given, nan[:1]) is given and left_open(given.astype(np.int64), nan).dtype == np.int64
    assert left_open(given, nan).dtype == np.float32


@pytest.mark.runtime
@pytest.mark.parametrize(("target", "runtime"), [("2.3", "paddle-2.3.2"), ("2.6", "paddle-2.6.2"), ("3", "current")])
def test_a_loop_over_what_is_found_has_no_turn(tmp_path: Path, target: str, runtime: str) -> None:
    require(runtime)
    report = api.onnx2paddle(rows_in_turn(tmp_path / "m.onnx"), tmp_path / "out", target=target)
    assert report.verification["status"] == "passed"
    assert report.verification["outputs"][-1]["shape"] == [0, 3]


def test_it_is_said_when_nothing_makes_it_empty(tmp_path: Path) -> None:
    require("current")
    report = api.onnx2paddle(model(tmp_path / "m.onnx", -1e9), tmp_path / "out", target="3")
    assert report.verification["inputs"] == "random"
    assert any("no input set was found on which one is 0" in w for w in report.warnings)


def test_what_a_program_selects(tmp_path: Path) -> None:
    report = api.onnx2paddle(model(tmp_path / "m.onnx", 0.3), tmp_path / "out", target="2.3", verify=False)
    program = Program.from_bytes((tmp_path / "out" / report.output["program"]).read_bytes())
    assert len(nothing_found.selections(program)) == 1


def test_candidates_keep_shapes_and_types() -> None:
    feed = {
        "image": np.ones((1, 3), np.float32),
        "ids": np.array([[1, 5]]),
        "mask": np.ones((1, 2), bool),
    }
    dtypes = {"image": DType.FP32, "ids": DType.INT64, "mask": DType.BOOL}
    found = list(nothing_found.candidates(feed, dtypes))
    assert found[0][0] == "all inputs are 0" and not any(a.any() for a in found[0][1].values())
    for _, made in found:
        assert {n: (a.shape, a.dtype) for n, a in made.items()} == {n: (a.shape, a.dtype) for n, a in feed.items()}
        assert 0 <= made["ids"].min() and made["ids"].max() <= 5


def selected(path: Path, nodes: list, outputs: list, constants: dict[str, np.ndarray]) -> Path:
    """*nodes* behind ``i``: the rows of x [4, 3] that begin with more than 0."""
    front = [
        helper.make_node("Slice", ["x", "zero", "one", "one"], ["c"]),
        helper.make_node("Squeeze", ["c", "one"], ["r"]),
        helper.make_node("Greater", ["r", "t"], ["k"]),
        helper.make_node("NonZero", ["k"], ["z"]),
        helper.make_node("Squeeze", ["z", "zero"], ["i"]),
    ]
    constants = {"zero": np.array([0]), "one": np.array([1]), "t": np.array(0, np.float32), **constants}
    graph = helper.make_graph(
        [*front, *nodes],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [4, 3])],
        outputs,
        [numpy_helper.from_array(v, n) for n, v in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def rows_in_turn(path: Path) -> Path:
    """A loop over the rows that are found, which collects each of them."""
    info = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Gather", ["g", "n"], ["row"]), helper.make_node("Identity", ["go"], ["on"])],
        "body",
        [info("n", TensorProto.INT64, []), info("go", TensorProto.BOOL, [])],
        [info("on", TensorProto.BOOL, []), info("row", TensorProto.FLOAT, [3])],
    )
    nodes = [
        helper.make_node("Gather", ["x", "i"], ["g"]),
        helper.make_node("Shape", ["g"], ["s"]),
        helper.make_node("Gather", ["s", "first"], ["m"]),
        helper.make_node("Loop", ["m", ""], ["y"], body=body),
    ]
    return selected(path, nodes, [info("y", TensorProto.FLOAT, [None, 3])], {"first": np.array(0)})


def test_a_death_on_what_the_source_takes_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop that collects without a turn is what every Paddle dies of, where nothing stands in for that turn."""
    require("current")
    monkeypatch.setattr("mconv.emit.control._turns", lambda *_: True)
    with pytest.raises(RuntimeFailedError, match=r"where x is 0, which the source takes: .*tensorarray size"):
        api.onnx2paddle(rows_in_turn(tmp_path / "m.onnx"), tmp_path / "out", target="3")


def test_a_death_on_what_the_source_does_not_take_is_none(tmp_path: Path) -> None:
    """An index beyond the table, in both."""
    require("current")
    nodes = [
        helper.make_node("Gather", ["x", "i"], ["y"]),
        helper.make_node("ReduceMax", ["x"], ["most"], keepdims=0),
        helper.make_node("Cast", ["most"], ["row"], to=TensorProto.INT64),
        helper.make_node("Gather", ["table", "row"], ["v"]),
    ]
    info = helper.make_tensor_value_info
    outputs = [info("y", TensorProto.FLOAT, [None, 3]), info("v", TensorProto.FLOAT, [2])]
    path = selected(tmp_path / "m.onnx", nodes, outputs, {"table": np.ones((5, 2), np.float32)})
    report = api.onnx2paddle(path, tmp_path / "out", target="3")
    assert report.verification["status"] == "passed"


def test_it_is_said_when_every_set_is_empty(tmp_path: Path) -> None:
    require("current")
    report = api.onnx2paddle(model(tmp_path / "m.onnx", 1e9), tmp_path / "out", target="3")
    assert report.verification["status"] == "passed"
    assert any("1 of 1 sizes that come from data are 0 on all random input sets" in w for w in report.warnings)


def test_it_is_said_of_selections_inside_of_control_flow(tmp_path: Path) -> None:
    require("current")
    info = helper.make_tensor_value_info
    then = helper.make_graph(
        [
            helper.make_node("NonZero", ["k"], ["found"]),
            helper.make_node("Squeeze", ["found", "zero"], ["at"]),
            helper.make_node("Gather", ["x", "at"], ["rows"]),
            helper.make_node("ReduceSum", ["rows", "zero"], ["a"], keepdims=0),
        ],
        "then",
        [],
        [info("a", TensorProto.FLOAT, [3])],
    )
    other = helper.make_graph(
        [helper.make_node("ReduceSum", ["x", "zero"], ["b"], keepdims=0)],
        "else",
        [],
        [info("b", TensorProto.FLOAT, [3])],
    )
    nodes = [
        helper.make_node("ReduceSum", ["x"], ["total"], keepdims=0),
        helper.make_node("Less", ["total", "much"], ["whether"]),
        helper.make_node("If", ["whether"], ["y"], then_branch=then, else_branch=other),
    ]
    outputs = [info("y", TensorProto.FLOAT, [3])]
    path = selected(tmp_path / "m.onnx", nodes, outputs, {"much": np.array(1e9, np.float32)})
    report = api.onnx2paddle(path, tmp_path / "out", target="3")
    assert any("1 sizes come from data inside of control flow" in w for w in report.warnings)


@pytest.mark.runtime
@pytest.mark.parametrize("target", ["2.3", pytest.param("2.6", marks=pytest.mark.slow), "3"])
@pytest.mark.parametrize("name", ["branch that selects on both ways", "loop that selects", "boxes of a branch"])
def test_what_control_flow_selects_is_searched_where_an_output_shows_it(tmp_path: Path, name: str, target: str) -> None:
    require(nothing.RUNTIMES[target])
    onnx.save(nothing_chains.model(name), tmp_path / "m.onnx")
    report = api.onnx2paddle(tmp_path / "m.onnx", tmp_path / "out", target=target)
    assert report.verification["status"] == "passed"
    assert "sizes that come from data are 0" in report.verification["inputs"]
    assert 0 in report.verification["outputs"][-1]["shape"]
    assert not any("inside of control flow" in w for w in report.warnings)


def detector(path: Path) -> Path:
    """Non-maximum suppression of the boxes that score more than 0.9."""
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("NonMaxSuppression", ["boxes", "scores", "most", "overlap", "least"], ["found"])],
        "g",
        [info("boxes", TensorProto.FLOAT, ["n", 6, 4]), info("scores", TensorProto.FLOAT, ["n", 2, 6])],
        [info("found", TensorProto.INT64, [None, 3])],
        [
            numpy_helper.from_array(np.array([10]), "most"),
            numpy_helper.from_array(np.array([0.5], np.float32), "overlap"),
            numpy_helper.from_array(np.array([0.9], np.float32), "least"),
        ],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


@pytest.mark.slow
@pytest.mark.runtime
def test_the_service_answers_an_empty_frame(tmp_path: Path) -> None:
    """The generated service, in the real Paddle Serving, with scores of which none is enough."""
    require("paddle-2.3.2")
    api.convert(detector(tmp_path / "m.onnx"), tmp_path / "out", pipeline={"name": "det"})
    rng = np.random.default_rng(0)
    boxes, scores = rng.random((1, 6, 4), np.float32), rng.random((1, 2, 6), np.float32) * np.float32(0.5)
    np.savez(tmp_path / "frame.npz", boxes=boxes, scores=scores)
    report = api.serve_check(tmp_path / "out", inputs=tmp_path / "frame.npz")
    assert report.ok, report
