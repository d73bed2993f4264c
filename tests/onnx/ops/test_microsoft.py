"""Operators of com.microsoft."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

from tests.onnx.checks import CURRENT, Runtime, check_op, check_refused, everywhere, rand

DOMAIN = "com.microsoft"


@everywhere
@pytest.mark.parametrize("op", ["Gelu", "FastGelu", "QuickGelu"])
def test_gelu(runtime: Runtime, op: str) -> None:
    check_op(runtime, op, [rand(2, 3, 8)], [rand(4, 5, 8)], domain=DOMAIN)


@everywhere
@pytest.mark.parametrize("op", ["BiasGelu", "FastGelu"])
def test_gelu_with_bias(runtime: Runtime, op: str) -> None:
    bias = rand(8, seed=1)
    check_op(runtime, op, [rand(2, 3, 8), bias], [rand(4, 5, 8), bias], domain=DOMAIN, const=[1])


@everywhere
@pytest.mark.parametrize("trans", [(0, 0), (1, 0), (0, 1), (1, 1)], ids=str)
@pytest.mark.parametrize("batch", [(0, 0), (1, 0), (0, 1)], ids=str)
def test_fused_matmul(runtime: Runtime, trans: tuple, batch: tuple) -> None:
    def operand(rows: int, columns: int, n: int, swapped: int, moved: int) -> np.ndarray:
        matrix = (columns, rows) if swapped else (rows, columns)
        return rand(*((matrix[0], n, matrix[1]) if moved else (n, *matrix)))

    sets = [[operand(3, 4, n, trans[0], batch[0]), operand(4, 5, n, trans[1], batch[1])] for n in (2, 6)]
    how = {"transA": trans[0], "transB": trans[1], "transBatchA": batch[0], "transBatchB": batch[1]}
    check_op(runtime, "FusedMatMul", *sets, domain=DOMAIN, alpha=0.125, **how)


GEMM_ACTIVATIONS = (
    "Relu LeakyRelu Sigmoid Tanh HardSigmoid Elu Selu Softplus Softsign ThresholdedRelu ScaledTanh ParametricSoftplus Celu"
).split()


@everywhere
@pytest.mark.parametrize("activation", GEMM_ACTIVATIONS)
def test_fused_gemm(runtime: Runtime, activation: str) -> None:
    b, c = rand(4, 5, seed=1), rand(5, seed=2)
    how = {"activation_alpha": 0.3, "activation_beta": 0.4, "activation_gamma": 1.5}
    check_op(
        runtime,
        "FusedGemm",
        [rand(2, 4), b, c],
        [rand(6, 4), b, c],
        domain=DOMAIN,
        const=[1, 2],
        activation=activation,
        **how,
    )


def test_fused_gemm_with_an_unknown_activation() -> None:
    check_refused(CURRENT, "FusedGemm", [rand(2, 4), rand(4, 5)], domain=DOMAIN, activation="Foo", match="'Foo'")


def quantised(*shape: int, seed: int = 0) -> np.ndarray:
    return rand(*shape, dtype=np.uint8, low=0, high=255, seed=seed)


SCALE, ZERO = np.array(0.05, np.float32), np.array(120, np.uint8)
OUT = [np.array(0.07, np.float32), np.array(110, np.uint8)]


@everywhere
@pytest.mark.parametrize("op", ["QLinearAdd", "QLinearMul"])
def test_qlinear_arithmetic(runtime: Runtime, op: str) -> None:
    sets = [[quantised(n, 4), SCALE, ZERO, quantised(4, seed=1), SCALE, ZERO, *OUT] for n in (2, 5)]
    check_op(runtime, op, *sets, domain=DOMAIN, types=[2])


@everywhere
def test_qlinear_functions(runtime: Runtime) -> None:
    sets = [[quantised(n, 4, 3, 3), SCALE, ZERO, *OUT] for n in (1, 3)]
    check_op(runtime, "QLinearLeakyRelu", *sets, domain=DOMAIN, types=[2], alpha=0.2)
    check_op(runtime, "QLinearGlobalAveragePool", *sets, domain=DOMAIN, types=[2])


@everywhere
def test_qlinear_concat(runtime: Runtime) -> None:
    sets = [[*OUT, quantised(n, 4), SCALE, ZERO, quantised(n, 2, seed=1), SCALE, ZERO] for n in (2, 5)]
    check_op(runtime, "QLinearConcat", *sets, domain=DOMAIN, types=[2], axis=1, const=[0, 1, 3, 4, 6, 7])


@everywhere
@pytest.mark.parametrize("trans", [0, 1])
def test_qgemm(runtime: Runtime, trans: int) -> None:
    b = rand(*((5, 4) if trans else (4, 5)), dtype=np.int8, low=-60, high=60)
    c = rand(5, dtype=np.int32, low=-999, high=999)
    rest = [SCALE, ZERO, b, np.array(0.02, np.float32), np.array(3, np.int8), c, *OUT]
    check_op(
        runtime, "QGemm", *[[quantised(n, 4), *rest] for n in (2, 6)], domain=DOMAIN, types=[2], transB=trans, const=[6]
    )


@everywhere
def test_integer_matmul_to_float(runtime: Runtime) -> None:
    b = rand(4, 5, dtype=np.uint8, low=0, high=255, seed=1)
    rest = [b, SCALE, np.array(0.02, np.float32), ZERO, np.array(3, np.uint8), rand(5)]
    check_op(runtime, "MatMulIntegerToFloat", *[[quantised(n, 4), *rest] for n in (2, 6)], domain=DOMAIN, types=[1])
    more = [b, np.array(0.02, np.float32), np.array(3, np.uint8)]
    check_op(runtime, "DynamicQuantizeMatMul", *[[rand(n, 4), *more] for n in (2, 6)], domain=DOMAIN, types=[1])


# packed weights ------------------------------------------------------------------------------------------------------


@everywhere
@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("zero", ["none", "packed", "float"])
@pytest.mark.parametrize(("k", "block"), [(64, 32), (80, 32), (48, 16)])
def test_weights_in_blocks_of_few_bits(runtime: Runtime, bits: int, zero: str, k: int, block: int) -> None:
    """As ONNX Runtime's quantiser stores the weights of language models; number by number as it documents them."""
    n, blocks = 6, -(-k // block)
    rng = np.random.default_rng(0)
    weights = rng.integers(0, 256, (n, blocks, block * bits // 8), dtype=np.uint8)
    scales = rng.uniform(0.01, 0.1, n * blocks).astype(np.float32)
    inputs = [weights, scales]
    if zero == "packed":
        inputs.append(rng.integers(0, 256, n * -(-blocks * bits // 8), dtype=np.uint8))
    elif zero == "float":
        inputs.append(rng.uniform(0, 15, n * blocks).astype(np.float32))
    matrix = np.zeros((n, k), np.float32)
    for row, column in np.ndindex(n, k):
        at, inside = divmod(column, block)
        number = int(weights[row, at, inside * bits // 8]) >> (inside * bits % 8) & (2**bits - 1)
        point = 2 ** (bits - 1)
        if zero == "packed":
            point = int(inputs[2].reshape(n, -1)[row, at * bits // 8]) >> (at * bits % 8) & (2**bits - 1)
        elif zero == "float":
            point = inputs[2][row * blocks + at]
        matrix[row, column] = (number - point) * scales[row * blocks + at]
    sets = [[rand(*shape, k), *inputs] for shape in ((2, 3), (1, 7))]
    expected = [[s[0] @ matrix.T] for s in sets]
    how = {"K": k, "N": n, "bits": bits, "block_size": block}
    const = list(range(1, 1 + len(inputs)))
    check_op(runtime, "MatMulNBits", *sets, expected=expected, const=const, domain=DOMAIN, **how)


def test_weights_in_blocks_that_do_not_fit_are_refused() -> None:
    w, s = np.zeros((6, 2, 16), np.uint8), np.ones(12, np.float32)
    how = {"K": 64, "N": 5, "bits": 4, "block_size": 32}
    check_refused(CURRENT, "MatMulNBits", [rand(2, 64), w, s], const=[1, 2], domain=DOMAIN, match="blocks of 32", **how)
    how["N"] = 6
    check_refused(CURRENT, "MatMulNBits", [rand(2, 64), w, s], domain=DOMAIN, match="must be constant", **how)


@everywhere
@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
@pytest.mark.parametrize("ceil", [0, 1])
def test_quantised_average_pool(runtime: Runtime, dtype: type, ceil: int) -> None:
    scale, zero = np.array(0.05, np.float32), np.array(3, dtype)
    other = np.array(0.0437, np.float32)  # no mean lies half-way between two numbers
    sets = [[quantised(*shape).astype(dtype), scale, zero, other, zero] for shape in ((1, 2, 6, 6), (2, 2, 9, 8))]
    how = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1], "ceil_mode": ceil}
    kinds = [helper.np_dtype_to_tensor_dtype(np.dtype(dtype))]
    check_op(runtime, "QLinearAveragePool", *sets, const=[1, 2, 3, 4], domain=DOMAIN, types=kinds, **how)


def test_a_layout_of_one_processor_says_what_to_save_instead() -> None:
    from mconv.onnx.advice import what_to_do

    sets = [rand(1, 8, 4, 4), rand(8, 8, 3, 3)]
    match = "a layout of one processor"
    check_refused(CURRENT, "Conv", sets, const=[1], domain="com.microsoft.nchwc", match=match)
    assert "ORT_ENABLE_EXTENDED" in what_to_do({"reason": match})


@everywhere
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("by_column", [False, True], ids=["whole", "by column"])
@pytest.mark.parametrize("kind", [np.int8, np.uint8], ids=["int8", "uint8"])
def test_dynamic_quantize_lstm(runtime: Runtime, direction: str, by_column: bool, kind: type) -> None:
    """One sample: with more, ONNX Runtime quantises the hidden state of as many of them together as it has threads."""
    count, inputs, hidden = 1 + (direction == "bidirectional"), 6, 4
    low, high = (-60, 60) if kind is np.int8 else (60, 180)  # no sum leaves 16 bits, whatever the processor
    weights = [rand(count, n, 4 * hidden, dtype=kind, low=low, high=high) for n in (inputs, hidden)]
    shape = (count, 4 * hidden) if by_column else (count,)
    points = np.full(shape, 0 if kind is np.int8 else 120, kind)
    scales = [rand(*shape, low=0.004, high=0.01, seed=i) for i in range(2)]
    bias, states = rand(count, 8 * hidden), [rand(count, 1, hidden, seed=i) for i in range(2)]
    sets = [
        [rand(length, 1, inputs), *weights, bias, None, *states, None, scales[0], points, scales[1], points]
        for length in (5, 20)
    ]
    how = {"const": [1, 2, 3, 8, 9, 10, 11], "outputs": 3, "types": [1] * 3}
    check_op(runtime, "DynamicQuantizeLSTM", *sets, domain=DOMAIN, direction=direction, hidden_size=hidden, **how)
