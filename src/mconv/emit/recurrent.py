"""Recurrent networks of several layers and directions, as one operator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

from mconv.emit.shape import need_rank, transpose
from mconv.emit.slicing import fill
from mconv.program.builder import Builder
from mconv.program.dtypes import DType
from mconv.program.value import Value

MODES = ("LSTM", "GRU", "RNN_TANH", "RNN_RELU")


def stacked(
    b: Builder,
    mode: str,
    x: Value,
    states: Sequence[Value],
    weights: Sequence[Value],
    biases: Sequence[Value],
    *,
    layers: int,
    bidirectional: bool,
    batch_first: bool = False,
    lengths: Optional[Value] = None,
) -> tuple[Value, list[Value]]:
    """Paddle's ``rnn`` operator, which computes a whole stack as cuDNN does.

    Args:
        mode: one of :data:`MODES`. The gates of an LSTM are i, f, g, o, those of a GRU r, z, n, whose hidden part is
            multiplied after its bias is added.
        x: [length, batch, input], or [batch, length, input] with *batch_first*.
        states: the initial hidden (and for an LSTM cell) state, [layers · directions, batch, hidden].
        weights: for each layer and direction that of the input, [gates · hidden, input], and that of the state.
        biases: for each layer and direction the two biases; empty for none.
        lengths: [batch] int32, how many steps of each sample count; None: all.

    Returns:
        The last layer's hidden states in every step, laid out as *x*, and the last states.
    """
    if batch_first:
        x = transpose(b, x, [1, 0, 2])
    length, batch, width = need_rank(x, mode)
    hidden = need_rank(states[0], mode)[-1]
    directions = 2 if bidirectional else 1
    assert isinstance(hidden, int)
    if not biases:  # the operator of Paddle 2 wants them
        gates = need_rank(weights[0], mode)[0]
        biases = [fill(b, (gates,), 0, x.dtype)] * (2 * layers * directions)
    made, last = b.op(
        "rnn",
        Input=x,
        PreState=list(states),
        WeightList=[*weights, *biases],
        SequenceLength=None if lengths is None else b.cast(lengths, DType.INT32),
        mode=mode,
        hidden_size=hidden,
        input_size=int(width) if isinstance(width, int) else 0,
        num_layers=layers,
        is_bidirec=bidirectional,
        is_test=True,
        dropout_prob=0.0,
        seed=0,
        result={
            "Out": (x.dtype, (length, batch, hidden * directions)),
            "State": [(x.dtype, (layers * directions, batch, hidden)) for _ in states],
        },
    )
    if batch_first:
        made = transpose(b, made, [1, 0, 2])
    return made, list(last)
