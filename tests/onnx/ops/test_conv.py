"""Convolutions: dimensions, groups, padding of every kind, with sizes that change from run to run."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

from tests.onnx.checks import (
    CURRENT,
    check_model,
    check_op,
    check_refused,
    everywhere,
    graph_model,
    node_model,
    rand,
    reference,
)

SIZES = {1: (9, 12), 2: (8, 11), 3: (5, 6)}


def images(k: int, channels: int = 4) -> list[np.ndarray]:
    """Two batches of different sizes."""
    first = SIZES[k][:1] * k
    second = [SIZES[k][1]] * k
    return [rand(2, channels, *first), rand(3, channels, *second)]


@everywhere
@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize(
    "attrs",
    [
        {},
        {"pads": 1},
        {"strides": 2, "pads": 1},
        {"dilations": 2},
        {"auto_pad": "SAME_UPPER", "strides": 2},
        {"auto_pad": "SAME_LOWER", "strides": 2},
        {"auto_pad": "VALID"},
    ],
    ids=str,
)
def test_conv(runtime, k, attrs):
    w, bias = rand(6, 4, *[3] * k), rand(6)
    given = {n: v if isinstance(v, str) else [v] * (2 * k if n == "pads" else k) for n, v in attrs.items()}
    check_op(runtime, "Conv", *[[x, w, bias] for x in images(k)], const=(1, 2), **given)


@everywhere
@pytest.mark.parametrize("groups, out", [(2, 6), (4, 4), (4, 8)])
@pytest.mark.parametrize("k", [1, 2, 3])
def test_groups(runtime, k, groups, out):
    w = rand(out, 4 // groups, *[3] * k)
    check_op(runtime, "Conv", *[[x, w] for x in images(k)], const=(1,), group=groups, pads=[1] * 2 * k)


@everywhere
def test_uneven_padding(runtime):
    w, bias = rand(6, 4, 3, 2), rand(6)
    check_op(runtime, "Conv", *[[x, w, bias] for x in images(2)], const=(1, 2), pads=[0, 1, 2, 0], strides=[2, 1])


@everywhere
@pytest.mark.parametrize("stride", [1, 2])
def test_same_with_dilation(runtime, stride):
    """Paddle's SAME forgets the dilations; onnxruntime has none with them."""
    sets = [[x, rand(6, 4, 3, 3)] for x in images(2)]
    expected = []
    for image, w in sets:
        total = [max((-(-n // stride) - 1) * stride + 5 - n, 0) for n in image.shape[2:]]
        pads = [t // 2 for t in total] + [t - t // 2 for t in total]
        model = node_model("Conv", [[image, w]], pads=pads, strides=[stride] * 2, dilations=[2, 2])
        expected.append(reference(model, {"x0": image, "x1": w}))
    attrs = {"auto_pad": "SAME_UPPER", "strides": [stride] * 2, "dilations": [2, 2]}
    check_op(runtime, "Conv", *sets, const=(1,), expected=expected, **attrs)


@everywhere
def test_double(runtime):
    w = rand(6, 4, 3, 3, dtype=np.float64)
    check_op(runtime, "Conv", *[[x.astype(np.float64), w] for x in images(2)], const=(1,))


@everywhere
@pytest.mark.parametrize("op", ["Conv", "ConvTranspose"])
@pytest.mark.parametrize("k", [1, 2, 3])
def test_weights_at_run_time(runtime, op, k):
    """Others in each run, in the same sizes, which oneDNN does not expect."""
    sets = [[images(k)[0], rand(4, 4, *[3] * k, seed=i), rand(4, seed=i)] for i in range(3)]
    check_op(runtime, op, *sets)


def test_weights_computed_of_constants():
    """What does not change from run to run stays in float32, though no constant."""
    nodes = [helper.make_node("Sum", ["w", "w", "w"], ["v"]), helper.make_node("Conv", ["x", "v"], ["y"])]
    model = graph_model(nodes, {"x": images(2, 64)}, ["y"], constants={"w": rand(128, 64, 3, 3)})
    made = check_model(CURRENT, model, [{"x": x} for x in images(2, 64)])
    assert "cast" not in [op.type for op in made.program.main.ops]


@everywhere
@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize(
    "attrs",
    [
        {},
        {"strides": 2},
        {"strides": 2, "pads": 1, "output_padding": 1},
        {"strides": 2, "output_padding": 1},
        {"dilations": 2},
        {"auto_pad": "SAME_UPPER", "strides": 2},
        {"auto_pad": "SAME_LOWER", "strides": 2},
    ],
    ids=str,
)
def test_conv_transpose(runtime, k, attrs):
    w, bias = rand(4, 3, *[3] * k), rand(3)
    given = {n: v if isinstance(v, str) else [v] * (2 * k if n == "pads" else k) for n, v in attrs.items()}
    check_op(runtime, "ConvTranspose", *[[x, w, bias] for x in images(k)], const=(1, 2), **given)


@everywhere
@pytest.mark.parametrize("groups", [2, 4])
def test_conv_transpose_groups(runtime, groups):
    w = rand(4, 2, 3, 3)
    check_op(runtime, "ConvTranspose", *[[x, w] for x in images(2)], const=(1,), group=groups, strides=[2, 2])


@everywhere
def test_conv_transpose_output_shape(runtime):
    sets = [[rand(n, 4, 5, 6), rand(4, 3, 3, 3), rand(3)] for n in (1, 2)]
    check_op(runtime, "ConvTranspose", *sets, const=(1, 2), strides=[2, 2], output_shape=[10, 13])


def test_output_shape_needs_sizes():
    sets = [[x, rand(4, 3, 3, 3)] for x in images(2)]
    check_refused(CURRENT, "ConvTranspose", *sets, match="run time", const=(1,), output_shape=[10, 13])


@everywhere
@pytest.mark.parametrize("stride", [1, 2])
def test_deform_conv(runtime, stride):
    w, bias = rand(6, 4, 3, 3), rand(6)
    sets = []
    for x in (rand(2, 4, 8, 7), rand(3, 4, 8, 7)):
        oh, ow = (8 + 2 - 3) // stride + 1, (7 + 1 - 3) // stride + 1
        sets.append([x, w, rand(len(x), 2 * 18, oh, ow), bias, rand(len(x), 2 * 9, oh, ow)])
    attrs = {"offset_group": 2, "pads": [1, 1, 1, 0], "strides": [stride, stride]}
    check_op(runtime, "DeformConv", *sets, const=(1, 3), opset=19, **attrs)


@everywhere
def test_padding_between_convolutions(runtime):
    """A convolution, padding and normalisation after each other, as oneDNN's passes see them."""
    nodes = [
        helper.make_node("Conv", ["x", "w", "c"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("BatchNormalization", ["a", "c", "c", "m", "v"], ["n"]),
        helper.make_node("Relu", ["n"], ["r"]),
        helper.make_node("Conv", ["r", "w", "c"], ["b"], auto_pad="SAME_LOWER", strides=[2, 2]),
        helper.make_node("ConvTranspose", ["b", "w", "c"], ["y"], strides=[2, 2], output_padding=[1, 1]),
    ]
    weights = {"w": rand(4, 4, 3, 3), "c": rand(4), "m": rand(4, seed=1), "v": rand(4, low=0.5)}
    model = graph_model(nodes, {"x": images(2)}, ["y"], constants=weights)
    made = check_model(runtime, model, [{"x": x} for x in images(2)])
    types = [op.type for op in made.program.main.ops]
    assert types[1:4] == ["conv2d", "elementwise_add", "batch_norm"]


@everywhere
def test_residual_block(runtime):
    """Convolutions, depthwise ones, normalisation and a residual, all of which the passes fuse."""
    nodes = [
        helper.make_node("Conv", ["x", "w0", "c0"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["r"]),
        helper.make_node("Conv", ["r", "w1"], ["b"], pads=[1, 1, 1, 1], group=4),
        helper.make_node("BatchNormalization", ["b", "s", "o", "m", "v"], ["n"]),
        helper.make_node("Conv", ["n", "w2", "c2"], ["d"], pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["d", "r"], ["e"]),
        helper.make_node("Relu", ["e"], ["y"]),
    ]
    weights = {"w0": rand(4, 4, 3, 3), "w1": rand(4, 1, 3, 3), "w2": rand(4, 4, 3, 3, seed=2), "v": rand(4, low=0.5)}
    weights.update({n: rand(4, seed=i) for i, n in enumerate(["c0", "c2", "s", "o", "m"])})
    model = graph_model(nodes, {"x": images(2)}, ["y"], constants=weights)
    check_model(runtime, model, [{"x": x} for x in images(2)])
