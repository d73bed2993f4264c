"""LSTM, GRU and plain recurrent networks, kept whole: several layers, two directions, states given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mconv.emit.recurrent import Stack, projected, stacked
from mconv.program.schemas import attributes_of
from mconv.program.value import Value
from mconv.torch.context import AtenContext
from mconv.torch.registry import aten_op


@dataclass(frozen=True)
class Network:
    """What all of torch's recurrent networks are told beside their tensors."""

    has_biases: bool
    num_layers: int
    dropout: float
    train: bool
    bidirectional: bool
    batch_first: bool


def _converted(
    ctx: AtenContext, mode: str, x: Value, states: Sequence[Value], params: Sequence[Value], network: Network
) -> list[Value]:
    """The outputs of every step, and the last states."""
    if network.train and network.dropout:
        raise ctx.refuse("it is in training mode, where dropout gives other numbers each time")
    form = Stack(network.num_layers, network.bidirectional, network.batch_first)
    count = form.layers * form.directions
    step = len(params) // count
    cells = [params[i : i + step] for i in range(0, step * count, step)]
    weights = [w for cell in cells for w in cell[:2]]
    if step == (4 if network.has_biases else 2):
        made, last = stacked(ctx, mode, x, states, weights, [w for cell in cells for w in cell[2:]], form)
        return [made, *last]
    # with a projection of the hidden state (``proj_size``), whose matrix is the last of each cell's
    zeros = all(_is_zero(node) for node in ctx.node.args[1])
    initial = None if zeros else (states[0], states[1])
    biases = [w for cell in cells for w in cell[2:-1]]
    made, last = projected(ctx, x, initial, weights, biases, [cell[-1] for cell in cells], form)
    return [made, *last]


def _is_zero(node: Any) -> bool:
    """Whether a node makes a tensor of zeros, as ``nn.LSTM`` does where no state is given."""
    name = str(node.target)
    if name in ("aten.zeros.default", "aten.new_zeros.default", "aten.zeros_like.default"):
        return True
    return name in ("aten.full.default", "aten.full_like.default") and node.args[1] == 0


@aten_op("lstm.input")
@attributes_of(Network)
def lstm(ctx: AtenContext, input: Value, hx: Sequence[Value], params: Sequence[Value], **network: Any) -> list[Value]:
    return _converted(ctx, "LSTM", input, hx, params, Network(**network))


def _simple(overload: str, mode: str) -> None:
    @aten_op(overload)
    @attributes_of(Network)
    def convert(ctx: AtenContext, input: Value, hx: Value, params: Sequence[Value], **network: Any) -> list[Value]:
        return _converted(ctx, mode, input, [hx], params, Network(**network))


_simple("gru.input", "GRU")
_simple("rnn_tanh.input", "RNN_TANH")
_simple("rnn_relu.input", "RNN_RELU")
