"""LSTM, GRU and simple recurrent networks, of several layers and both directions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Optional

import numpy as np

from mconv.exporters.onnx.context import Context
from mconv.exporters.onnx.errors import Unsupported
from mconv.exporters.onnx.registry import paddle_op
from mconv.program.dtypes import DType
from mconv.program.schemas import attributes_of
from mconv.program.value import Value

# mode → ONNX's operator, the positions of Paddle's gates in ONNX's order, the activation
_MODES: dict[str, tuple[str, tuple[int, ...], Optional[str]]] = {
    "LSTM": ("LSTM", (0, 3, 1, 2), None),  # i, f, g, o → i, o, f, c
    "GRU": ("GRU", (1, 0, 2), None),  # r, z, n → z, r, h
    "RNN_TANH": ("RNN", (0,), "Tanh"),
    "RNN_RELU": ("RNN", (0,), "Relu"),
}


def _gates(ctx: Context, weight: Value, order: Sequence[int]) -> Value:
    """The rows of a weight or bias in ONNX's order of gates; computed now where it is stored."""
    rows = (weight.shape or (0,))[0]
    if not isinstance(rows, int) or rows % len(order):
        raise Unsupported(f"a weight of {rows} rows for {len(order)} gates")
    hidden = rows // len(order)
    if weight.is_const and weight.dtype is not DType.BF16:
        parts = np.split(np.asarray(weight.const), len(order))
        return ctx.const(np.concatenate([parts[i] for i in order]), weight.dtype)
    pieces = ctx.split(weight, [hidden] * len(order), 0)
    return ctx.concat([pieces[i] for i in order], 0)


def _together(ctx: Context, values: Sequence[Value], stack: bool) -> Value:
    """Values along a new first axis (*stack*), or one behind the other."""
    if all(v.is_const and v.dtype is not DType.BF16 for v in values):
        arrays = [np.asarray(v.const) for v in values]
        return ctx.const(np.stack(arrays) if stack else np.concatenate(arrays), values[0].dtype)
    if stack:
        values = [ctx.unsqueeze(v, [0]) for v in values]
    return ctx.concat(values, 0)


def network(
    ctx: Context,
    mode: str,
    x: Value,
    states: Sequence[Value],
    weights: Sequence[Value],
    lengths: Optional[Value],
    layers: int,
    directions: int,
) -> tuple[Value, list[Value]]:
    """The last layer's hidden states [length, batch, directions · hidden], and the last states.

    Args:
        states: initial ones, [layers · directions, batch, hidden] each.
        weights: for each layer and direction that of the input and that of the state; then, in the same order, biases.

    Raises:
        Unsupported: there is no such mode, or the weights are not as many.
    """
    if mode not in _MODES:
        raise Unsupported(f"mode {mode!r}")
    operator, order, activation = _MODES[mode]
    cells = layers * directions
    if len(weights) not in (2 * cells, 4 * cells):
        raise Unsupported(f"{len(weights)} weights for {layers} layers of {directions} directions")
    width = _last(weights[1])
    given = None if lengths is None else ctx.cast(lengths, DType.INT32)
    ends: list[list[Value]] = [[] for _ in states]
    for layer in range(layers):
        own = range(layer * directions, (layer + 1) * directions)
        w = _together(ctx, [_gates(ctx, weights[2 * c], order) for c in own], True)
        r = _together(ctx, [_gates(ctx, weights[2 * c + 1], order) for c in own], True)
        bias = None
        if len(weights) == 4 * cells:
            both = [[_gates(ctx, weights[2 * cells + 2 * c + k], order) for k in (0, 1)] for c in own]
            bias = _together(ctx, [_together(ctx, pair, False) for pair in both], True)
        initial = [s if layers == 1 else ctx.slice(s, [own[0]], [own[-1] + 1], [0]) for s in states]
        made = ctx.op(
            operator,
            x,
            w,
            r,
            bias,
            given,
            *initial,
            hidden_size=width,
            direction="bidirectional" if directions == 2 else "forward",
            linear_before_reset=1 if operator == "GRU" else None,
            activations=None if activation is None else [activation] * directions,
            outputs=1 + len(states),
        )
        y = made[0]  # [length, directions, batch, hidden]
        if directions == 1:
            x = ctx.squeeze(y, [1])
        else:
            x = ctx.op("Reshape", ctx.transpose(y, [0, 2, 1, 3]), [0, 0, directions * width])
        for end, state in zip(ends, made[1:]):
            end.append(state)
    return x, [ctx.concat(end, 0) for end in ends]


@dataclass(frozen=True)
class Stack:
    """What both say of their layers; sizes are known from the weights."""

    dropout_prob: float = 0.0
    is_bidirec: bool = False
    input_size: int = 0
    hidden_size: int = 0
    num_layers: int = 1

    @property
    def shape(self) -> tuple[int, int]:
        """How many layers and directions there are."""
        return self.num_layers, 2 if self.is_bidirec else 1


@paddle_op("rnn", outputs=["Out", "State"])
@attributes_of(Stack)
def rnn(
    ctx: Context,
    Input: Value,
    PreState: list[Value],
    WeightList: list[Value],
    SequenceLength: Optional[Value] = None,
    *,
    mode: str = "RNN_TANH",
    **attributes: Any,
) -> tuple[Value, list[Value]]:
    return network(ctx, mode, Input, PreState, WeightList, SequenceLength, *Stack(**attributes).shape)


@paddle_op("cudnn_lstm", outputs=["Out", "LastH", "LastC"])
@attributes_of(Stack)
def cudnn_lstm(
    ctx: Context,
    Input: Value,
    InitH: Value,
    InitC: Value,
    WeightList: list[Value],
    SequenceLength: Optional[Value] = None,
    **attributes: Any,
) -> tuple[Value, Value, Value]:
    """``fluid.layers.lstm``; its weights in one flat variable are as cuDNN of the GPU lays them out, which is nobody's
    business here."""
    shape = Stack(**attributes).shape
    out, (h, c) = network(ctx, "LSTM", Input, [InitH, InitC], WeightList, SequenceLength, *shape)
    return out, h, c


_ACTIVATIONS = ("Identity", "Sigmoid", "Tanh", "Relu")


@paddle_op("gru_unit", outputs=["Hidden"])
def gru_unit(
    ctx: Context,
    Input: Value,
    HiddenPrev: Value,
    Weight: Value,
    Bias: Optional[Value] = None,
    *,
    activation: int = 2,
    gate_activation: int = 1,
    origin_mode: bool = False,
) -> Value:
    """One step: the input is projected already, [batch, 3 · hidden] in the order u, r, c; the weight is [hidden, 3 · hidden]."""
    size = _last(HiddenPrev)
    if not size:
        raise Unsupported("the size of the state is known only at run time")
    x = Input if Bias is None else ctx.op("Add", Input, Bias)
    gates_x, cell_x = ctx.split(x, [2 * size, size], 1)
    flat = ctx.reshape(Weight, [-1])
    gates_w = ctx.reshape(ctx.slice(flat, [0], [2 * size * size], [0]), [size, 2 * size])
    cell_w = ctx.reshape(ctx.slice(flat, [2 * size * size], [3 * size * size], [0]), [size, size])
    gates = ctx.op(_ACTIVATIONS[gate_activation], ctx.op("Add", gates_x, ctx.op("MatMul", HiddenPrev, gates_w)))
    update, reset = ctx.split(gates, [size, size], 1)
    inner = ctx.op("MatMul", ctx.op("Mul", reset, HiddenPrev), cell_w)
    cell = ctx.op(_ACTIVATIONS[activation], ctx.op("Add", cell_x, inner))
    rest = ctx.op("Sub", ctx.const(1.0, update.dtype), update)
    keep, new = (update, rest) if origin_mode else (rest, update)
    made: Value = ctx.op("Add", ctx.op("Mul", keep, HiddenPrev), ctx.op("Mul", new, cell))
    return made


def _last(x: Value) -> int:
    size = (x.shape or (0,))[-1]
    return size if isinstance(size, int) else 0


@paddle_op("lstm_unit", outputs=["C", "H"])
def lstm_unit(ctx: Context, X: Value, C_prev: Value, *, forget_bias: float = 0.0) -> tuple[Value, Value]:
    """One step on what is projected already: [batch, 4 · hidden] in the order i, f, o, g."""
    size = _last(C_prev)
    if not size:
        raise Unsupported("the size of the state is known only at run time")
    i, f, o, g = ctx.split(X, [size] * 4, 1)
    f = ctx.op("Sigmoid", ctx.op("Add", f, forget_bias))
    cell = ctx.op("Add", ctx.op("Mul", f, C_prev), ctx.op("Mul", ctx.op("Sigmoid", i), ctx.op("Tanh", g)))
    return cell, ctx.op("Mul", ctx.op("Sigmoid", o), ctx.op("Tanh", cell))
