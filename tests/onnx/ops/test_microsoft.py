"""Operators of com.microsoft."""

from __future__ import annotations

import numpy as np
import pytest

from tests.onnx.checks import CURRENT, Place, check_op, check_refused, everywhere, rand

DOMAIN = "com.microsoft"


@everywhere
@pytest.mark.parametrize("op", ["Gelu", "FastGelu", "QuickGelu"])
def test_gelu(place: Place, op: str) -> None:
    check_op(place, op, [rand(2, 3, 8)], [rand(4, 5, 8)], domain=DOMAIN)


@everywhere
@pytest.mark.parametrize("op", ["BiasGelu", "FastGelu"])
def test_gelu_with_bias(place: Place, op: str) -> None:
    bias = rand(8, seed=1)
    check_op(place, op, [rand(2, 3, 8), bias], [rand(4, 5, 8), bias], domain=DOMAIN, const=[1])


@everywhere
@pytest.mark.parametrize("trans", [(0, 0), (1, 0), (0, 1), (1, 1)], ids=str)
@pytest.mark.parametrize("batch", [(0, 0), (1, 0), (0, 1)], ids=str)
def test_fused_matmul(place: Place, trans: tuple, batch: tuple) -> None:
    def operand(rows: int, columns: int, n: int, swapped: int, moved: int) -> np.ndarray:
        matrix = (columns, rows) if swapped else (rows, columns)
        return rand(*((matrix[0], n, matrix[1]) if moved else (n, *matrix)))

    sets = [[operand(3, 4, n, trans[0], batch[0]), operand(4, 5, n, trans[1], batch[1])] for n in (2, 6)]
    how = {"transA": trans[0], "transB": trans[1], "transBatchA": batch[0], "transBatchB": batch[1]}
    check_op(place, "FusedMatMul", *sets, domain=DOMAIN, alpha=0.125, **how)


@everywhere
@pytest.mark.parametrize("activation", ["Relu", "LeakyRelu", "Sigmoid", "Tanh"])
def test_fused_gemm(place: Place, activation: str) -> None:
    b, c = rand(4, 5, seed=1), rand(5, seed=2)
    how = {"activation_alpha": 0.1} if activation == "LeakyRelu" else {}
    check_op(
        place,
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
def test_qlinear_arithmetic(place: Place, op: str) -> None:
    sets = [[quantised(n, 4), SCALE, ZERO, quantised(4, seed=1), SCALE, ZERO, *OUT] for n in (2, 5)]
    check_op(place, op, *sets, domain=DOMAIN, types=[2])


@everywhere
def test_qlinear_functions(place: Place) -> None:
    sets = [[quantised(n, 4, 3, 3), SCALE, ZERO, *OUT] for n in (1, 3)]
    check_op(place, "QLinearLeakyRelu", *sets, domain=DOMAIN, types=[2], alpha=0.2)
    check_op(place, "QLinearGlobalAveragePool", *sets, domain=DOMAIN, types=[2])


@everywhere
def test_qlinear_concat(place: Place) -> None:
    sets = [[*OUT, quantised(n, 4), SCALE, ZERO, quantised(n, 2, seed=1), SCALE, ZERO] for n in (2, 5)]
    check_op(place, "QLinearConcat", *sets, domain=DOMAIN, types=[2], axis=1, const=[0, 1, 3, 4, 6, 7])


@everywhere
@pytest.mark.parametrize("trans", [0, 1])
def test_qgemm(place: Place, trans: int) -> None:
    b = rand(*((5, 4) if trans else (4, 5)), dtype=np.int8, low=-60, high=60)
    c = rand(5, dtype=np.int32, low=-999, high=999)
    rest = [SCALE, ZERO, b, np.array(0.02, np.float32), np.array(3, np.int8), c, *OUT]
    check_op(
        place, "QGemm", *[[quantised(n, 4), *rest] for n in (2, 6)], domain=DOMAIN, types=[2], transB=trans, const=[6]
    )


@everywhere
def test_integer_matmul_to_float(place: Place) -> None:
    b = rand(4, 5, dtype=np.uint8, low=0, high=255, seed=1)
    rest = [b, SCALE, np.array(0.02, np.float32), ZERO, np.array(3, np.uint8), rand(5)]
    check_op(place, "MatMulIntegerToFloat", *[[quantised(n, 4), *rest] for n in (2, 6)], domain=DOMAIN, types=[1])
    more = [b, np.array(0.02, np.float32), np.array(3, np.uint8)]
    check_op(place, "DynamicQuantizeMatMul", *[[rand(n, 4), *more] for n in (2, 6)], domain=DOMAIN, types=[1])
