"""LSTM, GRU and plain recurrent networks, kept whole: several layers, two directions, states given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mconv.emit.recurrent import projected, stacked
from mconv.program.value import Value
from mconv.torch.context import AtenContext
from mconv.torch.registry import aten_op


def _converted(
    ctx: AtenContext,
    mode: str,
    x: Value,
    states: Sequence[Value],
    params: Sequence[Value],
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
) -> list[Value]:
    """The outputs of every step, and the last states."""
    if train and dropout:
        raise ctx.refuse("it is in training mode, where dropout gives other numbers each time")
    cells = 2 * num_layers if bidirectional else num_layers
    step = len(params) // cells
    if step != (4 if has_biases else 2):
        return _projected(ctx, x, states, params, step, num_layers, bidirectional, batch_first)
    weights = [w for i in range(cells) for w in params[step * i : step * i + 2]]
    biases = [w for i in range(cells) for w in params[step * i + 2 : step * i + step]]
    made, last = stacked(
        ctx,
        mode,
        x,
        states,
        weights,
        biases,
        layers=num_layers,
        bidirectional=bidirectional,
        batch_first=batch_first,
    )
    return [made, *last]


def _projected(
    ctx: AtenContext,
    x: Value,
    states: Sequence[Value],
    params: Sequence[Value],
    step: int,
    layers: int,
    bidirectional: bool,
    batch_first: bool,
) -> list[Value]:
    """With a projection of the hidden state (``proj_size``), whose matrix is the last of each cell's."""
    cells = [params[i : i + step] for i in range(0, len(params), step)]
    zeros = all(_is_zero(node) for node in ctx.node.args[1])
    made, last = projected(
        ctx,
        x,
        None if zeros else (states[0], states[1]),
        [w for cell in cells for w in cell[:2]],
        [w for cell in cells for w in cell[2:-1]],
        [cell[-1] for cell in cells],
        layers=layers,
        bidirectional=bidirectional,
        batch_first=batch_first,
    )
    return [made, *last]


def _is_zero(node: Any) -> bool:
    """Whether a node makes a tensor of zeros, as ``nn.LSTM`` does where no state is given."""
    name = str(node.target)
    if name in ("aten.zeros.default", "aten.new_zeros.default", "aten.zeros_like.default"):
        return True
    return name in ("aten.full.default", "aten.full_like.default") and node.args[1] == 0


@aten_op("lstm.input")
def lstm(
    ctx: AtenContext,
    input: Value,
    hx: Sequence[Value],
    params: Sequence[Value],
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
) -> list[Value]:
    return _converted(
        ctx, "LSTM", input, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first
    )


def _simple(overload: str, mode: str) -> None:
    def convert(
        ctx: AtenContext,
        input: Value,
        hx: Value,
        params: Sequence[Value],
        has_biases: bool,
        num_layers: int,
        dropout: float,
        train: bool,
        bidirectional: bool,
        batch_first: bool,
    ) -> list[Value]:
        return _converted(
            ctx, mode, input, [hx], params, has_biases, num_layers, dropout, train, bidirectional, batch_first
        )

    convert.__qualname__ = overload
    aten_op(overload)(convert)


_simple("gru.input", "GRU")
_simple("rnn_tanh.input", "RNN_TANH")
_simple("rnn_relu.input", "RNN_RELU")
