"""Small ONNX models for the tests of the whole conversion."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOAT = TensorProto.FLOAT


def port(name: str, kind: int = FLOAT, dims: Optional[Sequence[Any]] = ("n", 4)) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, dims)


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto] = (),
    outputs: Sequence[onnx.ValueInfoProto] = (),
    weights: Optional[dict[str, np.ndarray]] = None,
    *,
    opset: int = 17,
    domains: Sequence[str] = (),
    functions: Sequence[onnx.FunctionProto] = (),
    tensors: Sequence[onnx.TensorProto] = (),
) -> onnx.ModelProto:
    """A model; by default from ``x`` [n, 4] to ``y``."""
    stored = [numpy_helper.from_array(v, n) for n, v in (weights or {}).items()] + list(tensors)
    graph = helper.make_graph(nodes, "g", inputs or [port("x")], outputs or [port("y", dims=None)], stored)
    imports = [helper.make_opsetid("", opset)] + [helper.make_opsetid(d, 1) for d in domains]
    return helper.make_model(graph, opset_imports=imports, ir_version=8, functions=list(functions))


def node(op: str, inputs: str, outputs: str, **attributes: Any) -> onnx.NodeProto:
    """``node("Add", "a b", "c")``."""
    return helper.make_node(op, inputs.split(), outputs.split(), name=f"the_{outputs.split()[0]}", **attributes)


def mlp(path: Path, *, x: str = "x", y: str = "y", seed: int = 0, bend: float = 0.0) -> Path:
    """``y = relu(x @ W1 + B1) @ W2``, x is [batch, 16], y is [batch, 4]; *bend* is added to W2."""
    rng = np.random.default_rng(seed)
    weights = {
        "W1": rng.standard_normal((16, 8), np.float32),
        "B1": rng.standard_normal(8, np.float32),
        "W2": rng.standard_normal((8, 4), np.float32) + np.float32(bend),
    }
    nodes = [
        helper.make_node("Gemm", [x, "W1", "B1"], ["hidden"], name="fc1"),
        helper.make_node("Relu", ["hidden"], ["active"], name="act"),
        helper.make_node("MatMul", ["active", "W2"], [y], name="fc2"),
    ]
    made = model(nodes, [port(x, dims=("batch", 16))], [port(y, dims=("batch", 4))], weights)
    onnx.save(made, path)
    return path


def picky(path: Path, size: int = 100003) -> Path:
    """A model that takes nothing but *size* rows."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"]), helper.make_node("Reshape", ["y", "s"], ["z"])]
    value = helper.make_tensor_value_info
    ends = [value("x", TensorProto.FLOAT, ["n", 1])], [value("z", TensorProto.FLOAT, [size * 2])]
    weights = [
        numpy_helper.from_array(np.ones((1, 2), np.float32), "w"),
        numpy_helper.from_array(np.array([size * 2], np.int64), "s"),
    ]
    graph = helper.make_graph(nodes, "g", *ends, weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return path
