"""Activations right behind what oneDNN would fuse them into, in types that it has no kernels for."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

from tests.onnx.checks import Runtime, check_model, everywhere, graph_model, rand


@everywhere
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
@pytest.mark.parametrize("first", ["Add", "Mul", "MatMul"])
@pytest.mark.parametrize(
    "then",
    ["Relu", "Abs", "Sigmoid", "Tanh", "Sqrt", "Gelu", "HardSwish", "HardSigmoid", "LeakyRelu", "Mish", "Elu", "Neg"],
)
def test_behind_arithmetic(runtime: Runtime, first: str, then: str, dtype: type) -> None:
    sets = [[rand(n, 3, low=0.1).astype(dtype), rand(3, 3, low=0.1, seed=1).astype(dtype)] for n in (3, 3)]
    nodes = [helper.make_node(first, ["a", "b"], ["c"]), helper.make_node(then, ["c"], ["y"])]
    inputs = {"a": [s[0] for s in sets], "b": [s[1] for s in sets]}
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    check_model(runtime, graph_model(nodes, inputs, ["y"], kinds=[kind]), [{"a": a, "b": b} for a, b in sets])


@everywhere
@pytest.mark.parametrize("dtype", [np.int32, np.int64])
@pytest.mark.parametrize("then", ["Abs", "Neg", "Relu", "Sign"])
def test_behind_integer_arithmetic(runtime: Runtime, then: str, dtype: type) -> None:
    a, b = rand(2, 3, dtype=dtype, low=-9, high=9), rand(3, dtype=dtype, low=-9, high=9, seed=1)
    nodes = [helper.make_node("Sub", ["a", "b"], ["c"]), helper.make_node(then, ["c"], ["y"])]
    expected = {"Abs": np.abs, "Neg": np.negative, "Relu": lambda v: np.maximum(v, 0), "Sign": np.sign}[then](a - b)
    model = graph_model(nodes, {"a": [a], "b": [b]}, ["y"])
    check_model(runtime, model, [{"a": a, "b": b}], [[expected.astype(dtype)]])
