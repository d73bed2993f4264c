"""A model in an older opset: what that costs where nothing is concerned, and what is said in parts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mconv.onnx import opset, sizes

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper  # noqa: E402

from tests.onnx.make import model, node, port  # noqa: E402


def inside_an_if(node: Any) -> list[Any]:
    """The node in both branches."""
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    branches = {name: helper.make_graph([node], name, [], [out], []) for name in ("then_branch", "else_branch")}
    condition = helper.make_tensor("c", TensorProto.BOOL, [], [1])
    return [helper.make_node("Constant", [], ["c"], value=condition), helper.make_node("If", ["c"], ["y"], **branches)]


NORM = node("LayerNormalization", "x scale", "y")
SOFTMAX = node("Softmax", "x", "y", axis=1)
# nodes, from which opset, to which, the operators that are there then
CASES: dict[str, tuple[list[Any], int, int, list[str]]] = {
    "nothing": ([node("Relu", "x", "y")], 17, 11, ["Relu"]),
    "newer than either": ([SOFTMAX], 12, 11, ["Softmax"]),
    "older than either": ([NORM], 19, 17, ["LayerNormalization"]),
    "another's operator of the name": (
        [helper.make_node("Gelu", ["x"], ["y"], domain="com.microsoft")], 20, 13, ["Gelu"]
    ),
    "an axis": ([SOFTMAX], 13, 11, ["Transpose", "Softmax", "Transpose"]),
    "an operator": (
        [NORM], 17, 13, ["ReduceMean", "Sub", "Pow", "ReduceMean", "Add", "Sqrt", "Div", "Mul"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("inside", [False, True], ids=["in the graph", "in branches"])
@pytest.mark.parametrize("case", CASES)
def test_what_is_not_concerned_is_neither_inferred_nor_copied(
    case: str, inside: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes, had, version, wanted = CASES[case]
    shape = ("n", 3, 4)
    given = model(
        inside_an_if(nodes[0]) if inside else nodes,
        [port("x", dims=shape)],
        [port("y", dims=shape)],
        {"scale": np.arange(1, 5, dtype=np.float32)},
        opset=had,
    )
    before, inferred = given.SerializeToString(), []
    monkeypatch.setattr(sizes, "infer", lambda model, infer=sizes.infer: inferred.append(1) or infer(model))
    made = opset._in_parts(given, had, version)
    changed = [n.op_type for n in nodes] != wanted
    assert bool(inferred) == changed == (made is not given)
    assert given.SerializeToString() == before
    graphs = [a.g for a in made.graph.node[1].attribute] if inside else [made.graph]
    found = [sorted(n.op_type for n in graph.node) for graph in graphs]
    assert found == [sorted(wanted)] * len(graphs)
