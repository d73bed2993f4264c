"""External data: every file that a model names, wherever the tensor stands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mconv import api
from mconv.errors import UntrustedError
from tests.onnx.make import model, node


def outside(name: str, location: str) -> TensorProto:
    """A tensor [4] whose data are in a file."""
    made = numpy_helper.from_array(np.ones(4, np.float32), name)
    made.ClearField("raw_data")
    made.data_location = TensorProto.EXTERNAL
    made.external_data.add(key="location", value=location)
    return made


def branch(location: str) -> onnx.GraphProto:
    add = node("Add", "x w", "z")
    return helper.make_graph([add], "b", [], [helper.make_tensor_value_info("z", 1, [4])], [outside("w", location)])


def test_tensors_of_every_place(tmp_path: Path) -> None:
    function = helper.make_function(
        "own", "Plus", ["x"], ["y"],
        [helper.make_node("Constant", [], ["c"], value=outside("c", "in/function")), node("Add", "x c", "y")],
        [helper.make_opsetid("", 17)],
    )  # fmt: skip
    sparse = helper.make_sparse_tensor(
        outside("s", "sparse"), numpy_helper.from_array(np.arange(4, dtype=np.int64)), [9]
    )
    choice = helper.make_node("If", ["c"], ["y"], then_branch=branch("then"), else_branch=branch("./else"))
    made = model([choice], functions=[function], tensors=[outside("i", "initializer"), outside("j", "m.onnx")])
    made.graph.sparse_initializer.append(sparse)
    large = numpy_helper.from_array(np.ones(4096, np.float32), "large")  # in the file itself
    large.external_data.add(key="location", value="not used: its data are here")
    made.graph.initializer.append(large)
    path = tmp_path / "m.onnx"
    path.write_bytes(made.SerializeToString())
    assert api.external_data(path) == ["else", "in/function", "initializer", "sparse", "then"]


@pytest.mark.parametrize("location", ["../x", "/x", "//x", "a/../../x", "..", "a/.."])
def test_nothing_outside_of_the_folder(location: str, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(model([node("Relu", "x", "y")], tensors=[outside("i", location)]).SerializeToString())
    with pytest.raises(UntrustedError, match="outside of the model's folder"):
        api.external_data(path)
