"""mconv as an ONNX backend, driven by ONNX's own test runner."""

from __future__ import annotations

import unittest

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx.backend.test import BackendTest

import mconv.onnx_backend as backend
from mconv.errors import UnsupportedError, UsageError

# some of each family; the whole suite, with its list of passes, is tests/onnx/suite.py
SAMPLE = (
    r"test_(relu|add|add_bcast|matmul_2d|gemm_all_attributes|sub_uint8|softmax_axis_1|reshape_zero_dim|"
    r"transpose_all_permutations_3|reduce_sum_keepdims_random|concat_2d_axis_1|leakyrelu|cast_FLOAT_to_DOUBLE)_cpu"
)


def _suite() -> unittest.TestSuite:
    runner = BackendTest(backend, __name__)
    runner.include(SAMPLE)
    return unittest.TestSuite([runner.test_suite])


@pytest.mark.runtime
@pytest.mark.long
def test_onnx_own_runner_passes_a_sample() -> None:
    result = unittest.TestResult()
    _suite().run(result)
    problems = [f"{case}: {text.strip().splitlines()[-1]}" for case, text in result.failures + result.errors]
    assert not problems, "\n".join(problems)
    assert result.testsRun - len(result.skipped) >= 10


def _model(kind: int = TensorProto.FLOAT) -> onnx.ModelProto:
    graph = helper.make_graph(
        [helper.make_node("Sub", ["a", "b"], ["y"])],
        "g",
        [helper.make_tensor_value_info(n, kind, ["n", 2]) for n in "ab"],
        [helper.make_tensor_value_info("y", kind, ["n", 2])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_a_prepared_model_runs_at_any_size_and_by_name() -> None:
    rep = backend.prepare(_model())
    for rows in (1, 3):
        a, b = np.full((rows, 2), 5, np.float32), np.full((rows, 2), 3, np.float32)
        (by_place,) = rep.run([a, b])
        (by_name,) = rep.run({"b": b, "a": a})
        np.testing.assert_array_equal(by_place, a - b)
        np.testing.assert_array_equal(by_name, a - b)


@pytest.mark.parametrize("inputs", [[np.zeros((1, 2), np.float32)], {"a": 0, "b": 0, "c": 0}])
def test_a_wrong_number_of_inputs_is_an_error(inputs: object) -> None:
    with pytest.raises(UsageError, match="takes a, b"):
        backend.prepare(_model()).run(inputs)


def test_a_node_alone_runs() -> None:
    node = helper.make_node("Gemm", ["a", "b", ""], ["y"], transB=1)
    a, b = np.arange(6, dtype=np.float32).reshape(2, 3), np.ones((4, 3), np.float32)
    (y,) = backend.run_node(node, [a, b])
    np.testing.assert_allclose(y, a @ b.T)


def test_only_the_cpu_is_a_device_and_unknown_operators_are_incompatible() -> None:
    assert backend.supports_device("CPU") and not backend.supports_device("CUDA")
    with pytest.raises(UnsupportedError, match="CUDA"):
        backend.prepare(_model(), "CUDA")
    model = _model()
    assert backend.PaddleBackend.is_compatible(model)
    model.graph.node[0].op_type = "Frobnicate"
    assert not backend.PaddleBackend.is_compatible(model)
