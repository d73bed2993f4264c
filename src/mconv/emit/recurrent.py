"""Recurrent networks of several layers and directions, as one operator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

import numpy as np

from mconv.emit.expr import Expr, arange, size
from mconv.emit.known import need_rank
from mconv.emit.linear import matmul
from mconv.emit.shape import fill, transpose
from mconv.emit.slicing import concat, slice_, split
from mconv.emit.weights import computed
from mconv.errors import UnsupportedError
from mconv.program.builder import Builder
from mconv.program.dtypes import DType
from mconv.program.value import Value

MODES = ("LSTM", "GRU", "RNN_TANH", "RNN_RELU")


@dataclass(frozen=True)
class Stack:
    """The form of a stack of recurrent layers.

    Attributes:
        batch_first: its sequences are [batch, length, …], else [length, batch, …].
        lengths: [batch] int32, how many steps of each sample count; None: all.
    """

    layers: int = 1
    bidirectional: bool = False
    batch_first: bool = False
    lengths: Optional[Value] = None

    @property
    def directions(self) -> int:
        return 2 if self.bidirectional else 1


def stacked(
    b: Builder,
    mode: str,
    x: Value,
    states: Sequence[Value],
    weights: Sequence[Value],
    biases: Sequence[Value],
    form: Stack,
) -> tuple[Value, list[Value]]:
    """Paddle's ``rnn`` operator, which computes a whole stack as cuDNN does.

    Args:
        mode: one of :data:`MODES`. The gates of an LSTM are i, f, g, o, those of a GRU r, z, n, whose hidden part is
            multiplied after its bias is added.
        x: [length, batch, input], or [batch, length, input] with *form.batch_first*.
        states: the initial hidden (and for an LSTM cell) state, [layers · directions, batch, hidden].
        weights: for each layer and direction that of the input, [gates · hidden, input], and that of the state.
        biases: for each layer and direction the two biases; empty for none.

    Returns:
        The last layer's hidden states in every step, laid out as *x*, and the last states.
    """
    layers, directions, lengths = form.layers, form.directions, form.lengths
    if form.batch_first:
        x = transpose(b, x, [1, 0, 2])
    length, batch, width = need_rank(x, mode)
    hidden = need_rank(states[0], mode)[-1]
    assert isinstance(hidden, int)
    if not biases:  # the operator of Paddle 2 wants them
        gates = need_rank(weights[0], mode)[0]
        biases = [fill(b, (gates,), 0, x.dtype)] * (2 * layers * directions)
    made, *last = b.op_outputs(
        "rnn",
        Input=x,
        PreState=list(states),
        WeightList=[*weights, *biases],
        SequenceLength=None if lengths is None else b.cast(lengths, DType.INT32),
        mode=mode,
        hidden_size=hidden,
        input_size=int(width) if isinstance(width, int) else 0,
        num_layers=layers,
        is_bidirec=form.bidirectional,
        is_test=True,
        dropout_prob=0.0,
        seed=0,
        results={
            "Out": (x.dtype, (length, batch, hidden * directions)),
            "State": [(x.dtype, (layers * directions, batch, hidden)) for _ in states],
        },
    )
    if form.batch_first:
        made = transpose(b, made, [1, 0, 2])
    return made, last


def projected(
    b: Builder,
    x: Value,
    states: Optional[tuple[Value, Value]],
    weights: Sequence[Value],
    biases: Sequence[Value],
    projections: Sequence[Value],
    form: Stack,
) -> tuple[Value, list[Value]]:
    """An LSTM whose hidden state is a product of its output with a matrix: PyTorch's ``proj_size``.

    With m = o · tanh(c) in place of the hidden state P·m, the weight of the state is R·P, and what is left is an LSTM
    of Paddle's operator. Only the first step knows no m: the initial state goes in there as an input of its own.

    Args:
        states: the initial hidden, [layers · directions, batch, projection], and cell state; None: zeros.
        weights: for each layer and direction that of the input, [4 · hidden, input], and that of the state,
            [4 · hidden, projection]; constants.
        biases: as for :func:`stacked`.
        projections: for each layer and direction [projection, hidden]; constants.

    Raises:
        UnsupportedError: weights that are no constants.
    """
    if not all(w.is_const for w in (*weights, *projections)):
        raise UnsupportedError("an LSTM with a projection whose weights are computed at run time")
    layers, directions, lengths = form.layers, form.directions, form.lengths
    if form.batch_first:
        x = transpose(b, x, [1, 0, 2])
    length, batch, _ = need_rank(x, "LSTM")
    hidden = need_rank(projections[0], "LSTM")[1]
    finals: list[list[Value]] = [[], []]
    for layer in range(layers):
        cells = range(layer * directions, (layer + 1) * directions)
        own = [_without_projection(b, weights[2 * c], weights[2 * c + 1], projections[c]) for c in cells]
        zero = fill(b, (directions, batch, hidden), 0, x.dtype)
        given = [zero, zero]
        if states is not None:
            hidden_states = [slice_(b, states[0], [0], [c], [c + 1]) for c in cells]
            x, own = _with_initial(b, x, hidden_states, own, [weights[2 * c + 1] for c in cells], lengths)
            given = [zero, slice_(b, states[1], [0], [cells[0]], [cells[-1] + 1])]
        made, last = stacked(
            b,
            "LSTM",
            x,
            given,
            [w for pair in own for w in pair],
            biases[2 * cells[0] : 2 * cells[-1] + 2],
            Stack(1, form.bidirectional, lengths=lengths),
        )
        parts = split(b, made, [hidden] * directions, 2) if form.bidirectional else [made]
        x = concat(b, [matmul(b, m, projections[c], trans_y=True) for m, c in zip(parts, cells)], 2)
        ends = split(b, last[0], [1] * directions, 0) if form.bidirectional else [last[0]]
        finals[0] += [matmul(b, m, projections[c], trans_y=True) for m, c in zip(ends, cells)]
        finals[1].append(last[1])
    out = transpose(b, x, [1, 0, 2]) if form.batch_first else x
    return out, [concat(b, part, 0) for part in finals]


def _without_projection(b: Builder, w: Value, r: Value, p: Value) -> tuple[Value, Value]:
    shape = (need_rank(r, "LSTM")[0], need_rank(p, "LSTM")[1])
    return w, computed(b, [r, p], shape, lambda r, p: (r.astype(np.float64) @ p).astype(r.dtype), r.dtype)  # type: ignore[arg-type]


def _with_initial(
    b: Builder,
    x: Value,
    hidden: Sequence[Value],
    weights: Sequence[tuple[Value, Value]],
    recurrent: Sequence[Value],
    lengths: Optional[Value],
) -> tuple[Value, list[tuple[Value, Value]]]:
    """*x* with the initial hidden states of each direction as inputs of its first step, and the weights for that."""
    length, _, width = need_rank(x, "LSTM")
    step = arange(b, length, DType.INT64).reshape(length, 1, 1)
    inputs, own = [x], []
    for d, state in enumerate(hidden):
        if d == 0:
            start = Expr(b, np.zeros((1, 1, 1)), DType.INT64)
        elif lengths is None:
            start = size(b, length, DType.INT64).reshape(1, 1, 1) - 1
        else:
            start = Expr(b, lengths).cast(DType.INT64).reshape(1, need_rank(x, "LSTM")[1], 1) - 1
        inputs.append((Expr(b, state) * step.equals(start).cast(x.dtype)).value)
    sizes = [need_rank(s, "LSTM")[2] for s in hidden]
    for d, ((w, r), v) in enumerate(zip(weights, recurrent)):

        def joined(w: np.ndarray, v: np.ndarray, d: int = d) -> np.ndarray:
            blocks = [v if i == d else np.zeros((len(v), int(n)), v.dtype) for i, n in enumerate(sizes)]  # type: ignore[arg-type]
            return np.concatenate([w, *blocks], 1)

        shape = (need_rank(w, "LSTM")[0], width + sum(sizes))
        own.append((computed(b, [w, v], shape, joined, w.dtype), r))  # type: ignore[arg-type]
    return concat(b, inputs, 2), own
