"""Inputs that get one value for good."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from mconv.errors import UsageError
from mconv.onnx.constants import fix_inputs
from mconv.onnx.reader import OnnxModel

INPUTS = {
    "x": (TensorProto.FLOAT, ["n", 3]),
    "sr": (TensorProto.INT64, []),
    "sizes": (TensorProto.INT32, [2]),
    "row": (TensorProto.FLOAT, ["b", 2]),
    "on": (TensorProto.BOOL, [1]),
    "wide": (TensorProto.BFLOAT16, []),
}


def opened() -> OnnxModel:
    infos = [helper.make_tensor_value_info(name, *how) for name, how in INPUTS.items()]
    nodes = [helper.make_node("Identity", ["x"], ["y"])]
    graph = helper.make_graph(nodes, "g", infos, [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])])
    return OnnxModel(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("sr", 16000, np.array(16000)),
        ("sizes", [4, 5], np.array([4, 5], np.int32)),
        ("sizes", 4, np.array([4, 4], np.int32)),
        ("row", 0.5, np.full((1, 2), 0.5, np.float32)),
        ("row", [[1, 2], [3, 4]], np.array([[1, 2], [3, 4]], np.float32)),
        ("on", True, np.array([True])),
    ],
)
def test_the_input_becomes_an_initializer(name: str, value: Any, wanted: np.ndarray) -> None:
    model = opened()
    fixed = fix_inputs(model, {name: value})
    assert list(fixed) == [name] and fixed[name].dtype == wanted.dtype
    np.testing.assert_array_equal(fixed[name], wanted)
    graph = model.proto.graph
    assert [i.name for i in graph.input] == [n for n in INPUTS if n != name]
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(graph.initializer[0]), wanted)
    onnx.checker.check_model(model.proto)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rate": 1}, "the model has no input 'rate'"),
        ({"sr": 1.5}, "1.5 is no value of int64"),
        ({"sr": "16k"}, "'16k' is no value of int64"),
        ({"sr": None}, "None is no value of int64"),
        ({"sizes": 2**40}, "is no value of int32"),
        ({"sizes": [1, 2, 3]}, r"it has shape \[3\], the input \[2\]"),
        ({"row": [[1, 2, 3]]}, r"it has shape \[1, 3\], the input \[\?, 2\]"),
        ({"wide": 1}, "cannot be given as a constant"),
        (dict.fromkeys(INPUTS, 0) | {"wide": 1}, "cannot be given|nothing would be left"),
    ],
)
def test_what_an_input_cannot_hold_is_refused(values: dict[str, Any], message: str) -> None:
    model = opened()
    with pytest.raises(UsageError, match=message):
        fix_inputs(model, values)
