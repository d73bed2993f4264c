"""Normalisations."""

from __future__ import annotations

import numpy as np
import pytest

from tests.onnx.checks import CURRENT, ONEDNN, RUNTIMES, check_op, check_refused, everywhere, in_runtimes, rand

EPSILONS = [1e-5, 1e-2]  # Paddle's operators take none above 1e-3


def pair(*inner: int, dtype=np.float32) -> list[np.ndarray]:
    return [rand(2, *inner, dtype=dtype), rand(3, *inner, dtype=dtype)]


@everywhere
@pytest.mark.parametrize("inner", [(4,), (4, 5), (4, 5, 6), (4, 2, 3, 5), (4, 2, 3, 2, 3)], ids=str)
@pytest.mark.parametrize("epsilon", EPSILONS)
@pytest.mark.parametrize("const", [(1, 2, 3, 4), ()], ids=["stored", "fed"])
def test_batch_norm(runtime, inner, epsilon, const):
    stats = [rand(4), rand(4, seed=1), rand(4, seed=2), rand(4, low=0.5)]
    check_op(runtime, "BatchNormalization", *[[x, *stats] for x in pair(*inner)], const=const, epsilon=epsilon)


@everywhere
def test_batch_norm_double(runtime):
    stats = [rand(4, dtype=np.float64, seed=i, low=0.5) for i in range(4)]
    sets = [[x, *stats] for x in pair(4, 5, dtype=np.float64)]
    check_op(runtime, "BatchNormalization", *sets, const=(1, 2, 3, 4))


@everywhere
def test_batch_norm_per_position(runtime):
    stats = [rand(4, 5, seed=i, low=0.5) for i in range(4)]
    expected = [
        [(stats[0] * (x - stats[2]) / np.sqrt(stats[3] + 1e-5) + stats[1]).astype(np.float32)] for x in pair(4, 5)
    ]
    sets = [[x, *stats] for x in pair(4, 5)]
    check_op(runtime, "BatchNormalization", *sets, expected=expected, opset=7, spatial=0, const=(1, 2, 3, 4))


@everywhere
def test_batch_norm_in_training(runtime):
    stats = [rand(4, seed=i, low=0.5) for i in range(4)]
    sets = [[x, *stats] for x in pair(4, 5)]
    check_op(runtime, "BatchNormalization", *sets, outputs=3, training_mode=1, opset=15, const=(1, 2, 3, 4))


def test_training_that_is_refused():
    stats = [rand(4, seed=i, low=0.5) for i in range(4)]
    sets = [[x, *stats] for x in pair(4, 5)]
    check_refused(CURRENT, "BatchNormalization", *sets, match="training", opset=9, outputs=5)


@everywhere
@pytest.mark.parametrize("inner", [(4, 5), (4, 5, 6), (4, 2, 3, 5)], ids=str)
@pytest.mark.parametrize("epsilon", EPSILONS)
def test_instance_norm(runtime, inner, epsilon):
    sets = [[x, rand(4), rand(4, seed=1)] for x in pair(*inner)]
    check_op(runtime, "InstanceNormalization", *sets, const=(1, 2), epsilon=epsilon)


@in_runtimes(*RUNTIMES, *ONEDNN[:2])
@pytest.mark.parametrize("axis", [0, 1, 2, -1])
@pytest.mark.parametrize("epsilon", EPSILONS)
def test_layer_norm(runtime, axis, epsilon):
    x = rand(3, 4, 5)
    sets = [[x, rand(*x.shape[axis:]), rand(*x.shape[axis:], seed=1)]]
    check_op(runtime, "LayerNormalization", *sets, const=(1, 2), axis=axis, epsilon=epsilon, outputs=3)


@everywhere
@pytest.mark.parametrize("weights", [1, 2])
def test_layer_norm_of_any_length(runtime, weights):
    sets = [[x, *[rand(8, seed=i) for i in range(weights)]] for x in (rand(2, 3, 8), rand(3, 5, 8))]
    check_op(runtime, "LayerNormalization", *sets, const=(1, 2)[:weights])


@everywhere
@pytest.mark.parametrize("shape", [(1,), (1, 5)], ids=str)
def test_layer_norm_with_broadcast_weights(runtime, shape):
    sets = [[x, rand(*shape)] for x in (rand(2, 4, 5), rand(3, 4, 5))]
    axis = 1 if shape == (1, 5) else 2
    expected = []
    for x, scale in sets:
        axes = tuple(range(axis, 3))
        centred = x - x.mean(axes, keepdims=True)
        expected.append([(centred / np.sqrt((centred**2).mean(axes, keepdims=True) + 1e-5) * scale).astype(np.float32)])
    check_op(runtime, "LayerNormalization", *sets, const=(1,), axis=axis, expected=expected)


@everywhere
@pytest.mark.parametrize("inner", [(6,), (6, 5), (6, 5, 4), (6, 2, 3, 2)], ids=str)
@pytest.mark.parametrize("opset", [18, 21])
def test_group_norm(runtime, inner, opset):
    many = 3 if opset == 18 else 6
    sets = [[x, rand(many), rand(many, seed=1)] for x in pair(*inner)]
    expected = []
    for x, scale, bias in sets:
        rows = x.reshape(len(x), 3, -1)
        rows = (rows - rows.mean(-1, keepdims=True)) / np.sqrt(rows.var(-1, keepdims=True) + 1e-5)
        per = [np.repeat(v, 6 // many).reshape(6, *[1] * (x.ndim - 2)) for v in (scale, bias)]
        expected.append([(rows.reshape(x.shape) * per[0] + per[1]).astype(np.float32)])
    check_op(runtime, "GroupNormalization", *sets, const=(1, 2), opset=opset, num_groups=3, expected=expected)


@everywhere
@pytest.mark.parametrize("size", [3, 5, 4])
def test_lrn(runtime, size):
    sets = [[rand(2, 7, 5, 6)], [rand(3, 7, 8, 4)]]
    expected = []
    for (x,) in sets:  # onnxruntime has no even sizes
        near = [np.arange(max(c - (size - 1) // 2, 0), min(c + size // 2 + 1, 7)) for c in range(7)]
        total = np.stack([(x[:, n] ** 2).sum(1) for n in near], 1)
        expected.append([(x / (2 + 0.1 / size * total) ** 0.7).astype(np.float32)])
    check_op(runtime, "LRN", *sets, size=size, alpha=0.1, beta=0.7, bias=2.0, expected=expected)


@everywhere
@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("axis", [1, -1])
def test_lp_norm(runtime, p, axis):
    sets = [[x] for x in pair(4, 5)]
    sets[0][0][0, :, 0] = 0
    check_op(runtime, "LpNormalization", *sets, p=p, axis=axis)


@everywhere
def test_mean_variance(runtime):
    check_op(runtime, "MeanVarianceNormalization", [rand(2, 3, 4, 5)], [rand(3, 3, 6, 5)], opset=13)
