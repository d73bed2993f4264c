"""Recurrent layers: directions, states, lengths and what the rnn operator cannot say, at two batches and lengths."""

from __future__ import annotations

import numpy as np
import pytest

from tests.onnx.checks import check_op, everywhere, rand

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
INPUT, HIDDEN = 3, 4
SIZES = [(5, 2), (7, 3)]  # length, batch


def layer(op, direction="forward", *, lengths=False, states=False, bias=True, peephole=False, sizes=SIZES):
    """Input sets of a layer."""
    d, g = 2 if direction == "bidirectional" else 1, GATES[op]
    w, r = rand(d, g * HIDDEN, INPUT, low=-1, high=1), rand(d, g * HIDDEN, HIDDEN, low=-1, high=1)
    b = rand(d, 2 * g * HIDDEN, low=-1, high=1) if bias else None
    p = rand(d, 3 * HIDDEN, low=-1, high=1) if peephole else None
    sets = []
    for length, batch in sizes:
        n = np.array([length, 2, 4][:batch], np.int32) if lengths else None
        h = rand(d, batch, HIDDEN, low=-1, high=1) if states else None
        inputs = [rand(length, batch, INPUT), w, r, b, n, h]
        if op == "LSTM":
            inputs += [rand(d, batch, HIDDEN, seed=3, low=-1, high=1) if states else None, p]
        while inputs[-1] is None:
            inputs.pop()
        sets.append(inputs)
    return sets


def check(runtime, op, sets, **attrs):
    const = tuple(i for i in (1, 2, 3, 7) if i < len(sets[0]) and sets[0][i] is not None)
    check_op(runtime, op, *sets, const=const, outputs=3 if op == "LSTM" else 2, hidden_size=HIDDEN, **attrs)


@everywhere
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("op", list(GATES))
@pytest.mark.parametrize("lengths", [False, True])
@pytest.mark.parametrize("states", [False, True])
def test_layer(runtime, op, direction, lengths, states):
    attrs = {"linear_before_reset": 1} if op == "GRU" else {}
    check(runtime, op, layer(op, direction, lengths=lengths, states=states), direction=direction, **attrs)


@everywhere
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("op", list(GATES))
@pytest.mark.parametrize("how", [{}, {"clip": 0.3}], ids=["operator", "steps"])
def test_sequences_without_a_step(runtime, op, direction, how):
    sets = layer(op, direction, lengths=True, states=True)
    for inputs, n in zip(sets, ([5, 0], [0, 7, 0])):
        inputs[4] = np.array(n, np.int32)
    check(runtime, op, sets, direction=direction, **how)


@everywhere
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("lengths", [False, True])
def test_reset_before_product(runtime, direction, lengths):
    """ONNX's default GRU, which Paddle's operator is not."""
    check(runtime, "GRU", layer("GRU", direction, lengths=lengths, states=True), direction=direction)


@everywhere
@pytest.mark.parametrize("lengths", [False, True])
def test_unrolled(runtime, lengths):
    sizes = [(5, 2), (5, 3)]
    check(runtime, "GRU", layer("GRU", "bidirectional", lengths=lengths, sizes=sizes), direction="bidirectional")


@everywhere
@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
def test_peephole(runtime, direction):
    check(runtime, "LSTM", layer("LSTM", direction, peephole=True, states=True), direction=direction)


@everywhere
@pytest.mark.parametrize("op", list(GATES))
def test_clip(runtime, op):
    check(runtime, op, layer(op), clip=0.3)


@everywhere
@pytest.mark.parametrize("op", list(GATES))
def test_without_bias(runtime, op):
    check(runtime, op, layer(op, bias=False))


@everywhere
def test_input_forget(runtime):
    check(runtime, "LSTM", layer("LSTM"), input_forget=1)


@everywhere
@pytest.mark.parametrize(
    "op, names, numbers",
    [
        ("RNN", ["Relu"], {}),
        ("RNN", ["LeakyRelu"], {"activation_alpha": [0.2]}),
        ("RNN", ["Affine"], {"activation_alpha": [0.5], "activation_beta": [0.1]}),
        ("GRU", ["HardSigmoid", "Softsign"], {"activation_alpha": [0.3], "activation_beta": [0.4]}),
        ("LSTM", ["Sigmoid", "ScaledTanh", "Relu"], {"activation_alpha": [0.7], "activation_beta": [0.9]}),
        ("LSTM", ["HardSigmoid", "Tanh", "Elu"], {"activation_alpha": [0.2, 1.0], "activation_beta": [0.5]}),
    ],
    ids=str,
)
def test_activations(runtime, op, names, numbers):
    check(runtime, op, layer(op), activations=names, **numbers)


@everywhere
@pytest.mark.parametrize("lengths", [False, True])
@pytest.mark.parametrize("name", ["Affine", "LeakyRelu", "ThresholdedRelu", "ScaledTanh", "HardSigmoid", "Elu"])
def test_activations_without_their_numbers(runtime, name, lengths):
    """The defaults are ONNX Runtime's, which are 0 where no operator of that name has one."""
    check(runtime, "RNN", layer("RNN", lengths=lengths), activations=[name])
    check(runtime, "GRU", layer("GRU", lengths=lengths), activations=["Sigmoid", name])
    check(runtime, "LSTM", layer("LSTM", lengths=lengths), activations=["Sigmoid", "Tanh", name])


@everywhere
def test_weights_at_run_time(runtime):
    check_op(runtime, "LSTM", *layer("LSTM", "bidirectional"), outputs=3, hidden_size=HIDDEN, direction="bidirectional")
