"""Edited ONNX models that are not of one piece: several inputs, sizes of one name, weights that are inputs, sequences."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mconv import api
from mconv.cli.main import run
from mconv.errors import UnprovedError, UnsupportedError, UsageError
from tests.managed import require
from tests.verbs.test_edit import passed, run_onnx, shapes

pytest.importorskip("onnxruntime")
FLOAT = TensorProto.FLOAT


def floats(name: str, *dims: Any) -> Any:
    return helper.make_tensor_value_info(name, FLOAT, dims)


def save(path: Path, nodes: Sequence[Any], inputs: Sequence[Any], outputs: Sequence[Any], **more: Any) -> Path:
    weights = [numpy_helper.from_array(np.asarray(a), n) for n, a in more.get("weights", {}).items()]
    graph = helper.make_graph(nodes, "g", inputs, outputs, weights)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", more.get("opset", 17))], ir_version=8), path
    )
    return path


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """Of two inputs, whose first sizes have one name; ``left`` needs one of them, ``sum`` both."""
    nodes = [
        helper.make_node("Relu", ["x"], ["left"]),
        helper.make_node("Add", ["left", "y"], ["sum"]),
        helper.make_node("Concat", ["left", "y"], ["both"], axis=1),
    ]
    ins = [floats("x", "batch", 4), floats("y", "batch", 4)]
    return save(tmp_path / "m.onnx", nodes, ins, [floats("sum", "batch", 4), floats("both", "batch", 8)])


@pytest.mark.parametrize(
    ("options", "inputs"),
    [
        ({"outputs": ["left"]}, {"x": ["batch", 4]}),
        ({"add_outputs": ["left"], "drop_outputs": ["sum", "both"], "drop_inputs": ["y"]}, {"x": ["batch", 4]}),
        ({"outputs": ["left"], "renames": {"x": "picture"}}, {"picture": ["batch", 4]}),
        ({"dims": {"y.0": 2}}, {"x": [2, 4], "y": [2, 4]}),  # one name is one size
        ({"dims": {"y.0": 2}, "outputs": ["left"]}, {"x": [2, 4]}),
        ({"dims": {"batch": 3}, "constants": {"y": 0.5}}, {"x": [3, 4]}),  # of the size that it has now
    ],
)
def test_of_two_inputs(options: dict[str, Any], inputs: dict[str, Any], two: Path, tmp_path: Path) -> None:
    """What the source still needs is fed to it, though the result has it no more."""
    report = api.edit(two, tmp_path / "out.onnx", **options)
    passed(report)
    assert shapes(report.inputs) == inputs
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(3, 4)).astype("f"), np.full((3, 4), 0.5, "f")
    rows = 2 if "dims" in options and "y.0" in options["dims"] else 3
    wanted = {"left": np.maximum(x, 0), "sum": np.maximum(x, 0) + y, "both": np.concatenate([np.maximum(x, 0), y], 1)}
    feed = {name: (y if name == "y" else x)[:rows] for name in inputs}
    for name, got in run_onnx(tmp_path / "out.onnx", feed).items():
        np.testing.assert_array_equal(got, wanted[name][:rows])


def test_sizes_of_one_name_are_one_number(two: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--dim: y\.0 cannot be 3 where x\.0 is 2: to the model both are 'batch'"):
        api.edit(two, tmp_path / "out.onnx", dims={"x.0": 2, "y.0": 3})
    assert [p.name for p in tmp_path.iterdir()] == ["m.onnx"]


def test_an_input_with_one_value_is_of_one_row_where_its_size_is_open(tmp_path: Path) -> None:
    """What the file says of the sizes behind it holds no more: a part that begins there is run with what they are."""
    nodes = [helper.make_node("Exp", ["y"], ["mask"]), helper.make_node("Mul", ["x", "mask"], ["out"])]
    ins = [floats("x", "batch", 4), floats("y", "batch", 4)]
    path = save(tmp_path / "m.onnx", nodes, ins, [floats("out", "batch", 4), floats("mask", "batch", 4)])
    report = api.edit(path, tmp_path / "out.onnx", constants={"y": 0}, outputs=["out"], inputs=["x", "mask"])
    passed(report)
    assert shapes(report.inputs) == {"x": ["batch", 4], "mask": [1, 4]}


def test_weights_that_are_inputs_are_folded(tmp_path: Path) -> None:
    """As before ir_version 4: an initializer is an input, too, and goes with it."""
    nodes = [helper.make_node("Mul", ["w", "w"], ["square"]), helper.make_node("Add", ["x", "square"], ["out"])]
    ins = [floats("x", "batch", 4), floats("w", 4)]
    w = np.arange(4, dtype="f")
    path = save(tmp_path / "m.onnx", nodes, ins, [floats("out", "batch", 4)], weights={"w": w})
    report = api.edit(path, tmp_path / "out.onnx", fold=True)
    passed(report)
    made = onnx.load(tmp_path / "out.onnx").graph
    assert [i.name for i in made.input] == ["x"] and [n.op_type for n in made.node] == ["Add"]


def test_a_tensor_of_unknown_rank_is_shown_as_that(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nodes = [helper.make_node("Reshape", ["x", "to"], ["out"])]
    ins = [floats("x", "batch", 4), helper.make_tensor_value_info("to", TensorProto.INT64, ["rank"])]
    out = helper.make_empty_tensor_value_info("out")
    out.type.tensor_type.elem_type = FLOAT
    path = save(tmp_path / "m.onnx", nodes, ins, [out])
    np.savez(tmp_path / "feeds.npz", x=np.ones((2, 4), "f"), to=np.array([4, 2]))
    given = ["--rename", "x=y", "--feeds", str(tmp_path / "feeds.npz")]
    assert run(["edit", str(path), str(tmp_path / "out.onnx"), *given]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["output", "out", "float32", "?"] in rows


def test_sequences_are_not_compared(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("SplitToSequence", ["x"], ["parts"], axis=0),
        helper.make_node("ConcatFromSequence", ["parts"], ["out"], axis=0),
    ]
    parts = helper.make_tensor_sequence_value_info("parts", FLOAT, None)
    path = save(tmp_path / "m.onnx", nodes, [floats("x", "batch", 4)], [floats("out", "batch", 4), parts])
    with pytest.raises(UnprovedError, match="output parts is a seq") as e:
        api.edit(path, tmp_path / "out.onnx", renames={"x": "y"})
    assert "--feeds x.npz" in str(e.value.hint)  # --inputs is where the model begins
    assert (tmp_path / "out.onnx").is_file()


@pytest.mark.parametrize("target", ["2.3", "3"])
def test_of_two_inputs_of_paddle(target: str, two: Path, tmp_path: Path) -> None:
    """The same in Paddle, and a model that goes to ONNX without an input that nothing reads."""
    require("paddle-2.3.2" if target == "2.3" else "current")
    api.onnx2paddle(two, tmp_path / "p", target=target, verify=False)
    report = api.edit(tmp_path / "p", tmp_path / "out", add_outputs=["left"], drop_outputs=["sum", "both"])
    passed(report)
    assert shapes(report.inputs) == {"x": [None, 4]} and report.removed["inputs"] == ["y"]
    nodes = [helper.make_node("Relu", ["x"], ["out"])]
    path = save(
        tmp_path / "u.onnx", nodes, [floats("x", "batch", 4), floats("unread", "batch")], [floats("out", "batch", 4)]
    )
    api.onnx2paddle(path, tmp_path / "u", target=target, verify=False)
    back = api.to_onnx(tmp_path / "u", tmp_path / "back.onnx")
    passed(back)
    assert list(shapes(back.inputs)) == ["x"] and any("unread" in text for text in back.warnings)


# opset --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["Softmax", "LogSoftmax", "Hardmax"])
@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2, None])
def test_softmax_before_opset_13(kind: str, axis: Optional[int], tmp_path: Path) -> None:
    """There it goes over all axes from one on: along one of them it is turned to the last."""
    nodes = [helper.make_node(kind, ["x"], ["out"], **({} if axis is None else {"axis": axis}))]
    path = save(tmp_path / "m.onnx", nodes, [floats("x", "batch", 3, 4)], [floats("out", "batch", 3, 4)])
    x = np.random.default_rng(1).normal(size=(2, 3, 4)).astype("f")
    (wanted,) = run_onnx(path, {"x": x}).values()
    for opset in (7, 11, 12, 13, 20):
        passed(api.edit(path, tmp_path / "out.onnx", opset=opset, force=True))
        (got,) = run_onnx(tmp_path / "out.onnx", {"x": x}).values()
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)


def test_softmax_of_unknown_rank_has_no_older_form(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Reshape", ["x", "to"], ["turned"]),
        helper.make_node("Softmax", ["turned"], ["out"], axis=0),
    ]
    ins = [floats("x", "batch", 4), helper.make_tensor_value_info("to", TensorProto.INT64, ["rank"])]
    path = save(tmp_path / "m.onnx", nodes, ins, [helper.make_tensor_value_info("out", FLOAT, None)])
    with pytest.raises(UnsupportedError, match="--opset 12: of 'turned', which Softmax reads along axis 0"):
        api.edit(path, tmp_path / "out.onnx", opset=12)


@pytest.mark.parametrize("opset", [11, 12])
def test_resize_names_nothing_where_it_has_to(opset: int, tmp_path: Path) -> None:
    nodes = [helper.make_node("Resize", ["x", "", "scales"], ["out"], mode="nearest")]
    scales = {"scales": np.array([1, 1, 2, 2], "f")}
    ins, outs = [floats("x", 1, 1, "h", 4)], [floats("out", 1, 1, None, 8)]
    path = save(tmp_path / "m.onnx", nodes, ins, outs, weights=scales, opset=13)
    passed(api.edit(path, tmp_path / "out.onnx", opset=opset))


@pytest.mark.parametrize("opset", [11, 13, 16, 17])
@pytest.mark.parametrize(
    ("kind", "since", "attributes", "weights", "shape"),
    [
        ("LayerNormalization", 17, {"epsilon": 1e-3}, [(4,), (4,)], ("batch", 6, 4)),
        ("LayerNormalization", 17, {"axis": 1}, [(6, 4)], ("batch", 6, 4)),
        ("Gelu", 20, {}, [], ("batch", 4)),
        ("Gelu", 20, {"approximate": "tanh"}, [], ("batch", 4)),
        ("Mish", 18, {}, [], ("batch", 4)),
        ("HardSwish", 14, {}, [], ("batch", 4)),
        ("Split", 18, {"axis": -1, "num_outputs": 2}, [], ("batch", 7)),
        ("Split", 18, {"axis": 1, "num_outputs": 3}, [], ("batch", 6)),
    ],
)
@pytest.mark.parametrize("inside", [False, True], ids=["outside", "in a branch"])
def test_what_an_older_opset_says_in_parts(
    opset: int,
    kind: str,
    since: int,
    attributes: dict[str, Any],
    weights: list[Any],
    shape: Any,
    inside: bool,
    tmp_path: Path,
) -> None:
    rng = np.random.default_rng(1)
    held = {f"w{i}": rng.normal(size=size).astype("f") for i, size in enumerate(weights)}
    outs = [f"out{i}" for i in range(attributes.get("num_outputs", 1))]
    nodes = [helper.make_node(kind, ["x", *held], outs, **attributes)]
    if inside:
        bodies = [
            helper.make_graph(n, "b", [], list(map(onnx.helper.make_empty_tensor_value_info, outs)))
            for n in (nodes, nodes)
        ]
        nodes = [helper.make_node("If", ["which"], outs, then_branch=bodies[0], else_branch=bodies[1])]
        held["which"] = np.array(True)
    infos = [helper.make_tensor_value_info(name, FLOAT, [None] * len(shape)) for name in outs]
    path = save(tmp_path / "m.onnx", nodes, [floats("x", *shape)], infos, weights=held, opset=max(since, 18))
    passed(api.edit(path, tmp_path / "out.onnx", opset=opset))
    made = onnx.load(tmp_path / "out.onnx")
    assert made.opset_import[0].version == opset
    assert opset >= since or kind == "Split" or kind not in {n.op_type for n in made.graph.node}


def test_gelu_has_no_older_form_before_erf(tmp_path: Path) -> None:
    nodes = [helper.make_node("Gelu", ["x"], ["out"])]
    path = save(tmp_path / "m.onnx", nodes, [floats("x", "batch", 4)], [floats("out", "batch", 4)], opset=20)
    passed(api.edit(path, tmp_path / "nine.onnx", opset=9))
    with pytest.raises(UnsupportedError, match="--opset 8"):
        api.edit(path, tmp_path / "eight.onnx", opset=8)


def test_halves_are_normalised_as_they_were(tmp_path: Path) -> None:
    """In float32, as stash_type says."""
    half = TensorProto.FLOAT16
    nodes = [helper.make_node("LayerNormalization", ["x", "w"], ["out"])]
    ends = [helper.make_tensor_value_info(name, half, ["batch", 4]) for name in ("x", "out")]
    path = save(tmp_path / "m.onnx", nodes, ends[:1], ends[1:], weights={"w": np.ones(4, np.float16)})
    passed(api.edit(path, tmp_path / "out.onnx", opset=13))
    assert {"Cast", "Sqrt"} <= {n.op_type for n in onnx.load(tmp_path / "out.onnx").graph.node}
