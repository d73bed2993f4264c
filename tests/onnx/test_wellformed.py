"""A node that its operator does not allow is refused in one line, before a converter meets it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional

import numpy as np
import onnx
import pytest
from onnx import AttributeProto, TensorProto, helper

from mconv.errors import CorruptModelError, UnsupportedError
from mconv.onnx.convert import convert
from mconv.onnx.reader import OnnxModel
from tests.onnx.make import model, node, port

IMAGE = (1, 3, 8, 8)


def case(
    message: str,
    op: str,
    inputs: str = "x",
    dims: Optional[Sequence[Any]] = (2, 3, 4),
    weights: Optional[dict[str, Any]] = None,
    opset: int = 17,
    **attributes: Any,
) -> Any:
    arrays = {name: np.asarray(value) for name, value in (weights or {}).items()}
    made = model([node(op, inputs, "y", **attributes)], [port("x", dims=dims)], weights=arrays, opset=opset)
    return pytest.param(made, message, id=f"{op}: {message}")


CASES = [
    case("no order of 3 dimensions", "Transpose", perm=[0, 0, 1]),
    case("'axis' is 7", "Concat", "x x", axis=7),
    case("names a dimension twice", "ReduceMean", axes=[0, 0]),
    case("axes name a dimension twice", "ReduceSum", "x a", weights={"a": [1, 1]}),
    case("has 2 dimensions, where a list is taken", "ReduceSum", "x a", weights={"a": [[1]]}),
    case("beyond 32 bits", "Flatten", axis=1 << 40),
    case("has 1 dimensions, where a batch and channels are needed", "LRN", size=3, dims=[4]),
    case("is 999, which is no type of ONNX", "Cast", to=999),
    case("has 0, where numbers from 1 on are taken", "MaxPool", dims=IMAGE, kernel_shape=[2, 2], strides=[0, 1]),
    case("has 3 numbers, where 4 are needed", "MaxPool", dims=IMAGE, kernel_shape=[2, 2], pads=[1, 1, 1]),
    case("has 1 numbers, where 2 are needed", "AveragePool", dims=IMAGE, kernel_shape=[2, 2], strides=[1]),
    case("has input size 3", "Relu", "x x x"),
    case("its index is 1099511627776", "Gather", "x i", weights={"i": [1 << 40]}),
    case("do not fit each other", "Add", "x w", weights={"w": np.ones((5,), np.float32)}),
    case("have different numbers of entries", "Slice", "x s e", weights={"s": [0, 0], "e": [1]}),
    case("where 6 are needed for 3 dimensions", "Pad", "x p", weights={"p": [0, 0]}),
    case("its scales are", "Resize", "x r s", dims=IMAGE, weights={"r": np.float32([]), "s": np.float32([1, 1, np.nan, 2])}),
    case("step from frame to frame is 0", "STFT", "x s w", dims=[1, 100, 1], weights={"s": np.int64(0), "w": np.ones(10, np.float32)}),
    case("length of a frame is -4", "STFT", "x s w l", dims=[1, 100, 1], weights={"s": np.int64(1), "w": np.ones(10, np.float32), "l": np.int64(-4)}),
    case("length of a part is -1", "Split", "x p", weights={"p": [-1]}),
    case("length of a part is -1", "SplitToSequence", "x p", weights={"p": [-1, 3]}),
    case("its input 2 has 2 numbers for 3 channels", "InstanceNormalization", "x s b", dims=[1, 3, 4, 4], weights={"s": np.ones(2, np.float32), "b": np.ones(3, np.float32)}),
    case("its input has no dimensions", "GatherElements", "x i", dims=(), weights={"i": np.int64(0)}),
]  # fmt: skip


@pytest.mark.parametrize(("made", "message"), CASES)
def test_a_node_that_is_not_well_formed(made: onnx.ModelProto, message: str) -> None:
    with pytest.raises(CorruptModelError) as error:
        convert(OnnxModel(made))
    assert message in error.value.message
    assert "\n" not in error.value.message and "node 'the_y'" in error.value.message


def test_a_missing_input_between_others() -> None:
    made = model([helper.make_node("Sum", ["x", "", "x"], ["y"])])
    with pytest.raises(CorruptModelError, match="Sum"):
        convert(OnnxModel(made))


def test_attributes_of_functions_outside_of_one() -> None:
    made = model([node("Softmax", "x", "y")])
    made.graph.node[0].attribute.append(AttributeProto(name="axis", type=2, ref_attr_name="axis"))
    with pytest.raises(CorruptModelError, match="Softmax"):
        convert(OnnxModel(made))


def test_a_list_without_numbers_says_nothing() -> None:
    made = model([node("MaxPool", "x", "y", kernel_shape=[2, 2])], [port("x", dims=IMAGE)])
    made.graph.node[0].attribute.append(AttributeProto(name="dilations", type=7))
    assert convert(OnnxModel(made)).operators["MaxPool"] == 1


def test_noted_shapes_that_are_negative_or_wrong() -> None:
    weight = helper.make_tensor("w", TensorProto.FLOAT, [16, 32], np.zeros(512, np.float32))
    nodes = [node("Constant", "", "w", value=weight), node("MatMul", "x w", "z"), node("Relu", "z", "y")]
    for noted in ([-1, -1], [1, 31]):
        made = model(nodes, [port("x", dims=["n", 16])])
        made.graph.value_info.append(port("z", dims=noted))
        assert convert(OnnxModel(made)).program.fetches[0].shape[-1] == 32


def test_what_is_behind_an_unsupported_node() -> None:
    """Of the nodes that read it, those without a converter are in the same table, those in branches too; the others, and
    those that ONNX says by a function, are counted."""
    branches = {
        f"{name}_branch": helper.make_graph([helper.make_node(op, ["b"], [name])], name, [], [port(name, dims=None)])
        for name, op in (("then", "Nowhere"), ("else", "Tanh"))
    }
    nodes = [
        node("First", "x", "a", domain="mine"), node("Softplus", "a", "b"), node("HardSwish", "b", "c"),
        node("Second", "c", "d", domain="mine"), node("ReduceMax", "d", "m"), node("Cast", "m", "e", to=TensorProto.BOOL),
        helper.make_node("If", ["e"], ["y"], **branches),
    ]  # fmt: skip
    with pytest.raises(UnsupportedError, match="; 6 behind them could not be tried\n") as error:
        convert(OnnxModel(model(nodes, domains=["mine"])))
    rows = {row["operator"]: row["reason"] for row in error.value.rows}
    assert rows == {
        "First": "no converter for it", "Second": "no converter for it",
        "Nowhere": "ONNX has no operator of this name",
    }  # fmt: skip


def test_a_long_name_is_cut() -> None:
    with pytest.raises(UnsupportedError) as error:
        convert(OnnxModel(model([node("A" * 3000, "x", "y")])))
    assert len(error.value.message) < 1000 and "more characters" in error.value.message
