"""LSTM, GRU and plain recurrent networks, kept whole: several layers, two directions, states given."""

from __future__ import annotations

from collections.abc import Sequence

from mconv.emit.recurrent import stacked
from mconv.emit.shape import need_rank
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
    step = 4 if has_biases else 2
    cells = 2 * num_layers if bidirectional else num_layers
    if len(params) != step * cells:
        raise ctx.refuse("an LSTM with a projection of its hidden state (proj_size)")
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
    hidden, cell = (need_rank(s, "an LSTM")[-1] for s in hx)
    if hidden != cell:
        raise ctx.refuse("an LSTM with a projection of its hidden state (proj_size)")
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
