"""Activations and functions of one number, with dynamic sizes and at their corners."""

from __future__ import annotations

import numpy as np
import pytest

from tests.onnx.checks import CURRENT, PADDLE_23, Runtime, check_op, check_refused, everywhere, in_runtimes, rand

EDGES = np.array([-100, -20.5, -6, -3, -1.5, -1, -0.5, -1e-6, 0, 1e-6, 0.5, 1, 1.5, 3, 6, 20.5, 100], np.float32)


@everywhere
@pytest.mark.parametrize(
    "op, attrs",
    [
        ("Relu", {}),
        ("LeakyRelu", {}),
        ("LeakyRelu", {"alpha": 2.0}),
        ("Sigmoid", {}),
        ("Tanh", {}),
        ("Elu", {"alpha": 2.0}),
        ("Selu", {}),
        ("Selu", {"alpha": 2.0, "gamma": 3.0}),
        ("Celu", {"alpha": 2.0}),
        ("ThresholdedRelu", {"alpha": 1.5}),
        ("HardSigmoid", {}),
        ("HardSigmoid", {"alpha": 0.5, "beta": 0.6}),
        ("HardSwish", {}),
        ("Mish", {}),
        ("Softplus", {}),
        ("Softsign", {}),
        ("Gelu", {}),
        ("Gelu", {"approximate": "tanh"}),
        ("Shrink", {"lambd": 1.5}),
        ("Shrink", {"lambd": 1.5, "bias": 1.5}),
        ("Shrink", {"lambd": 1.0, "bias": 0.5}),
        ("Erf", {}),
        ("Abs", {}),
        ("Neg", {}),
        ("Exp", {}),
        ("Sign", {}),
        ("Ceil", {}),
        ("Floor", {}),
        ("Sin", {}),
        ("Cos", {}),
        ("Atan", {}),
        ("Asinh", {}),
    ],
    ids=lambda v: v if isinstance(v, str) else "-".join(f"{k}={x}" for k, x in v.items()),
)
def test_activations(runtime: Runtime, op: str, attrs: dict) -> None:
    # exp(100) is infinite in float32 and so in every runtime
    first = np.stack([EDGES, EDGES[::-1]])
    check_op(runtime, op, [first], [np.concatenate([first, first / 3])], **attrs)


@everywhere
@pytest.mark.parametrize("op", ["Acos", "Asin", "Atanh", "Tan"])
def test_within_one(runtime: Runtime, op: str) -> None:
    check_op(runtime, op, [rand(3, 4, low=-0.99, high=0.99)], [rand(5, 4, low=-0.99, high=0.99)])


@everywhere
@pytest.mark.parametrize("op", ["Log", "Sqrt", "Reciprocal", "Acosh"])
def test_of_positive_numbers(runtime: Runtime, op: str) -> None:
    check_op(runtime, op, [rand(3, 4, low=1.01, high=99)], [rand(5, 4, low=1.01, high=99)])


@everywhere
@pytest.mark.parametrize("dtype", [np.float16, np.float64])
@pytest.mark.parametrize("op", ["Relu", "Sigmoid", "Softplus", "Gelu", "Round", "Erf", "Sqrt"])
def test_other_floats(runtime: Runtime, op: str, dtype: type) -> None:
    x = rand(2, 5, low=0.1, high=4).astype(dtype)
    check_op(runtime, op, [x], [rand(3, 5, low=0.1, high=4).astype(dtype)])


@everywhere
def test_halves_are_rounded_to_even(runtime: Runtime) -> None:
    x = np.array(
        [-3.5, -2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 3.5, 0.49999997, -0.49999997, 2.4, 8388609, 4503599], np.float32
    )
    check_op(runtime, "Round", [x], [np.tile(x, 2)])


@everywhere
@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.int64])
@pytest.mark.parametrize("op", ["Abs", "Neg", "Sign", "Relu"])
def test_integers(runtime: Runtime, op: str, dtype: type) -> None:
    low = np.iinfo(dtype).min
    x = np.array([[low + 1, -7, -1, 0, 1, 7, np.iinfo(dtype).max]], dtype)
    check_op(runtime, op, [x], [np.repeat(x, 3, 0)])


@everywhere
@pytest.mark.parametrize(
    "bounds",
    [(-1.0, 1.0), (0.0, 6.0), (0.0, None), (None, 0.5), (1.0, -1.0), (-np.inf, 2.0)],
    ids=str,
)
@pytest.mark.parametrize("const", [True, False], ids=["const", "input"])
def test_clip(runtime: Runtime, bounds: tuple, const: bool) -> None:
    low, high = (None if v is None else np.array(v, np.float32) for v in bounds)
    # without a bound infinity stays, or becomes the largest number: ONNX's text and its own reference differ
    x = EDGES if None in bounds else np.append(EDGES, [np.inf, -np.inf]).astype(np.float32)
    check_op(runtime, "Clip", [x, low, high], [np.tile(x, 2), low, high], const=[1, 2] if const else [])


@everywhere
@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.int64, np.float64, np.float16])
def test_clip_of_other_types(runtime: Runtime, dtype: type) -> None:
    x = rand(3, 4, dtype=dtype, low=0 if dtype is np.uint8 else -9, high=9)
    low, high = np.array(2, dtype), np.array(5, dtype)
    check_op(runtime, "Clip", [x, low, high], [np.tile(x, (2, 1)), low, high], const=[1, 2])


def test_clip_by_rows_is_refused() -> None:
    low, high = np.zeros(3, np.float32), np.array(1, np.float32)
    check_refused(
        CURRENT, "Clip", [rand(2, 3), low, high], match=r"its min is of shape \[3\], where ONNX takes one number"
    )


@everywhere
@pytest.mark.parametrize("slope", [(1,), (3, 1, 1), (1, 1, 5), (3, 4, 5), (4, 1)], ids=str)
@pytest.mark.parametrize("const", [True, False], ids=["const", "input"])
def test_prelu(runtime: Runtime, slope: tuple, const: bool) -> None:
    s = rand(*slope)
    check_op(runtime, "PRelu", [rand(2, 3, 4, 5), s], [rand(1, 3, 4, 5), s], const=[1] if const else [])


@everywhere
@pytest.mark.parametrize("which", [{}, {"detect_negative": 0}, {"detect_positive": 0}], ids=str)
def test_is_inf(runtime: Runtime, which: dict) -> None:
    x = np.array([np.inf, -np.inf, np.nan, 0, 1], np.float32)
    check_op(runtime, "IsInf", [x], [np.tile(x, 2)], types=[9], **which)


@everywhere
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_is_nan(runtime: Runtime, dtype: type) -> None:
    x = np.array([np.inf, -np.inf, np.nan, 0, 1], dtype)
    check_op(runtime, "IsNaN", [x], [np.tile(x, 2)], types=[9])


@in_runtimes(CURRENT, PADDLE_23)
@pytest.mark.parametrize("opset", [7, 10, 12, 13])
def test_dropout_keeps_everything(runtime: Runtime, opset: int) -> None:
    x = rand(3, 4)
    made = check_op(runtime, "Dropout", [x], [rand(5, 4)], opset=opset)
    assert "dropout" not in [op.type for op in made.program.main.ops]


def test_dropout_with_a_mask() -> None:
    x = rand(3, 4)
    check_op(CURRENT, "Dropout", [x], [rand(5, 4)], outputs=2, types=[1, 9], opset=13)


def test_dropout_that_drops_is_refused() -> None:
    inputs = [rand(3), np.array(0.5, np.float32), np.array(True)]
    check_refused(CURRENT, "Dropout", inputs, const=[1, 2], opset=13, match="at random")


@in_runtimes(CURRENT, PADDLE_23)
@pytest.mark.parametrize("op", ["Relu", "Elu", "Selu", "HardSigmoid", "Sigmoid", "Abs", "Neg", "LeakyRelu"])
def test_before_opset_6(runtime: Runtime, op: str) -> None:
    x = rand(2, 5)
    from onnx.reference import ReferenceEvaluator

    from tests.onnx.checks import node_model

    expected = ReferenceEvaluator(node_model(op, [[x]], opset=6)).run(None, {"x0": x})
    attrs = {"alpha": 1.6732632, "gamma": 1.050701} if op == "Selu" else {}
    check_op(runtime, op, [x], opset=1, expected=[expected], consumed_inputs=[0], **attrs)
