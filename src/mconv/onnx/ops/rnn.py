"""Recurrent layers: as Paddle's ``rnn`` operator where it computes the same, else step by step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Optional

import numpy as np

from mconv import budget
from mconv.emit import cells, recurrent
from mconv.emit.elementwise import unary
from mconv.emit.expr import Expr, concat
from mconv.emit.shape import fill, transpose
from mconv.emit.weights import computed
from mconv.onnx.context import Context, Result
from mconv.onnx.registry import onnx_op
from mconv.program import dims as D
from mconv.program.dtypes import DType
from mconv.program.schemas import attributes_of
from mconv.program.value import Value

_DEFAULTS = {"RNN": ["Tanh"], "GRU": ["Sigmoid", "Tanh"], "LSTM": ["Sigmoid", "Tanh", "Tanh"]}
_GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
# where the gates of Paddle's operator are among ONNX's (z, r, h and i, o, f, c)
_ORDER = {"RNN": [0], "GRU": [1, 0, 2], "LSTM": [0, 2, 3, 1]}


@dataclass
class Attributes:
    """Those that all recurrent nodes have."""

    activation_alpha: Optional[list[float]] = None
    activation_beta: Optional[list[float]] = None
    activations: Optional[list[str]] = None
    clip: Optional[float] = None
    direction: str = "forward"
    hidden_size: Optional[int] = None
    layout: int = 0
    output_sequence: int = 0


@dataclass
class Layer:
    """What a recurrent node says."""

    kind: str
    attributes: Attributes
    x: Value
    w: Value
    r: Value
    bias: Optional[Value]
    lengths: Optional[Value]
    states: list[Optional[Value]]
    peephole: Optional[Value] = None
    linear_before_reset: bool = False
    input_forget: bool = False
    products: Optional[Sequence[tuple[cells.Product, cells.Product]]] = None  # by direction, for weights of 8 bits

    @property
    def directions(self) -> int:
        return 2 if self.attributes.direction == "bidirectional" else 1

    @property
    def functions(self) -> list[str]:
        """The activations, by direction."""
        return self.attributes.activations or _DEFAULTS[self.kind] * self.directions


def convert_layer(ctx: Context, layer: Layer) -> Result:
    """The node's outputs: every hidden state, and the last states."""
    said = layer.attributes
    if said.direction not in ("forward", "reverse", "bidirectional"):
        raise ctx.refuse(f"the direction {said.direction!r} is unknown")
    gates = _GATES[layer.kind]
    shape = layer.r.shape or ()
    hidden = said.hidden_size or (shape[2] if len(shape) == 3 else None)
    if not isinstance(hidden, int):
        raise ctx.refuse("the hidden size is known only at run time")
    if len(shape) != 3 or shape[0] != layer.directions or shape[1] != gates * hidden or ctx.rank(layer.x) != 3:
        raise ctx.refuse(f"weights of shape {list(shape)} for {said.direction} {layer.kind} of {hidden}")
    if said.layout:
        layer.x = transpose(ctx, layer.x, [1, 0, 2])
        layer.states = [None if s is None else transpose(ctx, s, [1, 0, 2]) for s in layer.states]
    assert layer.x.shape is not None
    length, batch, _ = layer.x.shape
    lengths = layer.lengths
    if lengths is not None and lengths.is_const and isinstance(length, int):
        assert lengths.const is not None
        layer.lengths = None if (np.asarray(lengths.const) == length).all() else lengths
    states = [fill(ctx, (layer.directions, batch, hidden), 0, layer.x.dtype) if s is None else s for s in layer.states]
    mode = _mode(layer)
    if mode is not None:
        out, last = _by_operator(ctx, layer, mode, states, hidden)
    else:
        out, last = _by_steps(ctx, layer, states, hidden)
    y = Expr(ctx, out).reshape(length, batch, layer.directions, hidden)
    y = y.transpose(1, 0, 2, 3) if said.layout else y.transpose(0, 2, 1, 3)
    finals = [Expr(ctx, v) for v in last]
    if layer.lengths is not None and any(s is not None for s in layer.states):
        # of a sequence without a step ONNX Runtime hands out zeros, no initial state
        some = Expr(ctx, layer.lengths).cast(DType.INT64).minimum(1).cast(layer.x.dtype).reshape(1, batch, 1)
        finals = [v * some for v in finals]
    if said.layout:
        finals = [v.transpose(1, 0, 2) for v in finals]
    return (y.value, *[v.value for v in finals])


def _mode(layer: Layer) -> Optional[str]:
    """The mode of Paddle's operator that computes this layer, or None."""
    if layer.peephole is not None or layer.attributes.clip or layer.input_forget or layer.products is not None:
        return None
    names = [n.lower() for n in layer.functions]
    if layer.kind == "RNN":
        modes = {"tanh": "RNN_TANH", "relu": "RNN_RELU"}
        return modes.get(names[0]) if len(set(names)) == 1 else None
    if names != [n.lower() for n in _DEFAULTS[layer.kind]] * layer.directions:
        return None
    if layer.kind == "GRU" and not layer.linear_before_reset:
        return None
    return layer.kind


def _part(ctx: Context, w: Value, direction: int, rows: Sequence[int], hidden: int) -> Value:
    """Blocks of *hidden* rows of one direction's weights, in the order *rows*."""
    assert w.shape is not None
    inner = tuple(w.shape[2:])
    budget.memory(16 * len(rows) * hidden, "an order of weights")
    index = np.concatenate([np.arange(r * hidden, (r + 1) * hidden) for r in rows])
    if w.is_const:
        return computed(ctx, [w], (len(index), *inner), lambda a: a[direction][index], w.dtype)  # type: ignore[arg-type]
    own = Expr(ctx, w).slice(0, direction, direction + 1).reshape(*w.shape[1:])
    if list(index) == list(range(len(index))) and len(index) == w.shape[1]:
        return own.value
    return concat([own.slice(0, r * hidden, (r + 1) * hidden) for r in rows], 0).value


def _by_operator(
    ctx: Context, layer: Layer, mode: str, states: Sequence[Value], hidden: int
) -> tuple[Value, Sequence[Value]]:
    gates, order = _GATES[layer.kind], _ORDER[layer.kind]
    weights, biases = [], []
    for d in range(layer.directions):
        weights += [_part(ctx, w, d, order, hidden) for w in (layer.w, layer.r)]
        if layer.bias is not None:
            biases += [_part(ctx, layer.bias, d, [o + first for o in order], hidden) for first in (0, gates)]
    x, lengths = layer.x, layer.lengths
    if layer.attributes.direction != "reverse":
        form = recurrent.Stack(bidirectional=layer.directions == 2, lengths=lengths)
        return recurrent.stacked(ctx, mode, x, states, weights, biases, form)
    if lengths is None:
        back = unary(ctx, "flip", x, axis=[0])
        out, last = recurrent.stacked(ctx, mode, back, states, weights, biases, recurrent.Stack())
        return unary(ctx, "flip", out, axis=[0]), last
    # only the second of two directions turns each sample around at its own length
    both = [concat([Expr(ctx, s), Expr(ctx, s)], 0).value for s in states]
    form = recurrent.Stack(bidirectional=True, lengths=lengths)
    out, last = recurrent.stacked(ctx, mode, x, both, weights * 2, biases * 2, form)
    second = [Expr(ctx, v).slice(0, 1, 2).value for v in last]
    return Expr(ctx, out).slice(2, hidden, 2 * hidden).value, second


def _by_steps(ctx: Context, layer: Layer, states: Sequence[Value], hidden: int) -> tuple[Value, Sequence[Value]]:
    gates = _GATES[layer.kind]
    names, said = layer.functions, layer.attributes
    per = len(_DEFAULTS[layer.kind])
    if len(names) != per * layer.directions:
        raise ctx.refuse(f"{len(names)} activations for {layer.directions} directions of {layer.kind}")
    functions = cells.activations(names, said.activation_alpha or [], said.activation_beta or [])
    every = list(range(gates))
    outs, lasts = [], []
    for d in range(layer.directions):
        bias, w, r = layer.bias, layer.w, layer.r
        if layer.products is None:
            w, r = (_part(ctx, v, d, every, hidden) for v in (w, r))
        cell = cells.Cell(
            layer.kind,
            hidden,
            w,
            r,
            None if bias is None else _part(ctx, bias, d, every, hidden),
            None if bias is None else _part(ctx, bias, d, [gates + g for g in every], hidden),
            functions[d * per : (d + 1) * per],
            None if layer.peephole is None else _part(ctx, layer.peephole, d, [0, 1, 2], hidden),
            said.clip or None,
            layer.linear_before_reset,
            layer.input_forget,
            said.direction == "reverse" or d == 1,
            None if layer.products is None else layer.products[d],
        )
        own = [_state(ctx, s, d) for s in states]
        out, last = cells.run(ctx, cell, layer.x, own, layer.lengths)
        outs.append(Expr(ctx, out))
        lasts.append([Expr(ctx, v).unsqueeze(0) for v in last])
    joined = concat(outs, 2)
    return joined.value, [concat(parts, 0).value for parts in zip(*lasts)]


def _state(ctx: Context, s: Value, direction: int) -> Value:
    assert s.shape is not None
    dims: list[D.Dim] = list(s.shape[1:])
    return Expr(ctx, s).slice(0, direction, direction + 1).reshape(*dims).value


@onnx_op("RNN", since=1)
@attributes_of(Attributes)
def rnn(
    ctx: Context,
    x: Value,
    w: Value,
    r: Value,
    b: Optional[Value] = None,
    sequence_lens: Optional[Value] = None,
    initial_h: Optional[Value] = None,
    **attributes: Any,
) -> Result:
    return convert_layer(ctx, Layer("RNN", Attributes(**attributes), x, w, r, b, sequence_lens, [initial_h]))


@onnx_op("GRU", since=1)
@attributes_of(Attributes)
def gru(
    ctx: Context,
    x: Value,
    w: Value,
    r: Value,
    b: Optional[Value] = None,
    sequence_lens: Optional[Value] = None,
    initial_h: Optional[Value] = None,
    *,
    linear_before_reset: int = 0,
    **attributes: Any,
) -> Result:
    layer = Layer("GRU", Attributes(**attributes), x, w, r, b, sequence_lens, [initial_h])
    layer.linear_before_reset = bool(linear_before_reset)
    return convert_layer(ctx, layer)


@onnx_op("LSTM", since=1)
@attributes_of(Attributes)
def lstm(
    ctx: Context,
    x: Value,
    w: Value,
    r: Value,
    b: Optional[Value] = None,
    sequence_lens: Optional[Value] = None,
    initial_h: Optional[Value] = None,
    initial_c: Optional[Value] = None,
    p: Optional[Value] = None,
    *,
    input_forget: int = 0,
    **attributes: Any,
) -> Result:
    layer = Layer("LSTM", Attributes(**attributes), x, w, r, b, sequence_lens, [initial_h, initial_c], p)
    layer.input_forget = bool(input_forget)
    return convert_layer(ctx, layer)
