"""Sequences and optional values that can be resolved at conversion time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from mconv.errors import UnsupportedError
from mconv.onnx.convert import convert
from mconv.onnx.reader import OnnxModel
from mconv.program.targets import PADDLE_3
from tests.onnx.checks import CURRENT, PADDLE_23, Runtime, check_model, graph_model, in_runtimes, rand

node = helper.make_node
THREE = ["a", "b", "c"]


def feeds(*sizes: int) -> list[dict[str, np.ndarray]]:
    return [{n: rand(s, 3, seed=i) for i, n in enumerate(THREE)} for s in sizes]


def check(runtime: Runtime, nodes: list, outputs: list[str], **constants: Any) -> None:
    sets = feeds(2, 4)
    inputs = {n: [s[n] for s in sets] for n in THREE}
    check_model(runtime, graph_model(nodes, inputs, outputs, constants=constants), sets)


@in_runtimes(CURRENT, PADDLE_23)
@pytest.mark.parametrize("new_axis", [0, 1])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_concat_from_sequence(runtime: Runtime, axis: int, new_axis: int) -> None:
    nodes = [
        node("SequenceConstruct", THREE, ["s"]),
        node("ConcatFromSequence", ["s"], ["y"], axis=axis, new_axis=new_axis),
    ]
    check(runtime, nodes, ["y"])


@in_runtimes(CURRENT, PADDLE_23)
def test_inserted_erased_and_taken(runtime: Runtime) -> None:
    nodes = [
        node("SequenceEmpty", [], ["s0"]),
        node("SequenceInsert", ["s0", "a"], ["s1"]),
        node("SequenceInsert", ["s1", "b", "zero"], ["s2"]),
        node("SequenceInsert", ["s2", "c"], ["s3"]),
        node("SequenceErase", ["s3", "zero"], ["s4"]),
        node("SequenceAt", ["s4", "last"], ["y"]),
        node("SequenceAt", ["s4", "zero"], ["z"]),
        node("SequenceLength", ["s4"], ["n"]),
    ]
    check(runtime, nodes, ["y", "z"], zero=np.array(0), last=np.array(-1))


@in_runtimes(CURRENT, PADDLE_23)
@pytest.mark.parametrize(("split", "keepdims"), [(None, 0), (None, 1), (2, 1), ([1, 2], 1)])
def test_split_to_sequence(runtime: Runtime, split: Any, keepdims: int) -> None:
    constants = {"zero": np.array(0), "last": np.array(-1)}
    extra = []
    if split is not None:
        constants["sizes"], extra = np.array(split), ["sizes"]
    nodes = [
        node("SplitToSequence", ["a", *extra], ["s"], axis=1, keepdims=keepdims),
        node("SequenceAt", ["s", "last"], ["y"]),
        node("SequenceAt", ["s", "zero"], ["z"]),
    ]
    check(runtime, nodes, ["y", "z"], **constants)


def test_a_sequence_is_no_tensor() -> None:
    nodes = [node("SequenceConstruct", THREE, ["s"]), node("SequenceAt", ["s", "i"], ["y"])]
    inputs = {n: [v] for n, v in feeds(2)[0].items()} | {"i": [np.array([1])]}
    with pytest.raises(UnsupportedError, match="position must be constant"):
        convert(OnnxModel(graph_model(nodes, inputs, ["y"])), PADDLE_3)


def test_output_of_a_sequence() -> None:
    tensor = helper.make_tensor_value_info("a", TensorProto.FLOAT, [2])
    kind = helper.make_sequence_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, [2]))
    nodes = [node("SequenceConstruct", ["a"], ["s"])]
    graph = helper.make_graph(nodes, "g", [tensor], [helper.make_value_info("s", kind)])
    with pytest.raises(UnsupportedError, match="sequence"):
        convert(OnnxModel(helper.make_model(graph)), PADDLE_3)


@in_runtimes(CURRENT)
def test_optional_of_a_tensor(runtime: Runtime) -> None:
    nodes = [
        node("Optional", ["a"], ["o"]),
        node("OptionalHasElement", ["o"], ["has"]),
        node("OptionalGetElement", ["o"], ["g"]),
        node("Add", ["g", "b"], ["y"]),
    ]
    sets = feeds(2, 4)
    model = graph_model(nodes, {n: [s[n] for s in sets] for n in ("a", "b")}, ["y", "has"], kinds=[1, 9])
    expected = [[s["a"] + s["b"], np.array(True)] for s in sets]
    check_model(runtime, model, [{n: s[n] for n in ("a", "b")} for s in sets], expected)
