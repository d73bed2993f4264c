"""Recurrent cells step by step: what Paddle's ``rnn`` operator cannot say (peepholes, clipping, other activations)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Callable, Optional

import numpy as np

from mconv.emit import activation, control
from mconv.emit.elementwise import unary
from mconv.emit.expr import Expr, concat, size
from mconv.emit.known import need_rank
from mconv.errors import UnsupportedError
from mconv.program.builder import Builder
from mconv.program.dtypes import DType
from mconv.program.value import Value

UNROLL = 16  # steps up to which a network of fixed length is written out rather than looped
Activation = Callable[[Expr], Expr]
Product = Callable[[Expr], Expr]


def _emitted(function: Callable[..., Value], *args: float) -> Activation:
    return lambda x: Expr(x.b, function(x.b, x.value, *args))


# name → (function of alpha and beta, default alpha, default beta); None: it takes no such number. The defaults are those
# of ONNX Runtime (1.32): an operator's of the same name, else 0. For ThresholdedRelu it takes 0, too, where ONNX says 1
_ACTIVATIONS: dict[str, tuple[Callable[[float, float], Activation], Optional[float], Optional[float]]] = {
    "tanh": (lambda a, b: Expr.tanh, None, None),
    "sigmoid": (lambda a, b: Expr.sigmoid, None, None),
    "relu": (lambda a, b: _emitted(activation.relu), None, None),
    "softsign": (lambda a, b: lambda x: x / (x.abs() + 1.0), None, None),
    "softplus": (lambda a, b: _emitted(activation.softplus), None, None),
    "affine": (lambda a, b: lambda x: x * a + b, 0.0, 0.0),
    "leakyrelu": (lambda a, b: _emitted(activation.leaky_relu, a), 0.01, None),
    "thresholdedrelu": (lambda a, b: _emitted(activation.thresholded_relu, a), 0.0, None),
    "scaledtanh": (lambda a, b: lambda x: (x * b).tanh() * a, 0.0, 0.0),
    "hardsigmoid": (lambda a, b: _emitted(activation.hard_sigmoid, a, b), 0.2, 0.5),
    "elu": (lambda a, b: _emitted(activation.elu, a), 1.0, None),
}


def activations(names: Sequence[str], alpha: Sequence[float], beta: Sequence[float]) -> list[Activation]:
    """ONNX's activation functions; each takes the next of *alpha* and *beta* when it has such a number.

    Raises:
        UnsupportedError: an unknown name.
    """
    alphas, betas = iter(alpha), iter(beta)
    made = []
    for name in names:
        if name.lower() not in _ACTIVATIONS:
            raise UnsupportedError(f"the activation {name!r} is unknown")
        function, a, b = _ACTIVATIONS[name.lower()]
        a = a if a is None else next(alphas, a)
        b = b if b is None else next(betas, b)
        made.append(function(a or 0.0, b or 0.0))
    return made


@dataclass(frozen=True)
class Cell:
    """One direction of a recurrent layer, its weights in ONNX's order of gates.

    Attributes:
        kind: ``RNN``, ``GRU`` or ``LSTM``.
        w, r: [gates · hidden, input] and [gates · hidden, hidden].
        products: what gives ``x @ wᵀ`` and ``h @ rᵀ`` in their place, where the weights are not plain numbers; not for
            a GRU, which multiplies with parts of them.
        wb, rb: the biases, [gates · hidden] each, or None.
        peephole: [3 · hidden] (input, output, forget), or None.
        functions: the activations, in ONNX's order (f; f, g; f, g, h).
        clip: bound of what goes into the activations, or None.
        linear_before_reset, input_forget: as in ONNX.
    """

    kind: str
    hidden: int
    w: Value
    r: Value
    wb: Optional[Value]
    rb: Optional[Value]
    functions: Sequence[Activation]
    peephole: Optional[Value] = None
    clip: Optional[float] = None
    linear_before_reset: bool = False
    input_forget: bool = False
    reverse: bool = False
    products: Optional[tuple[Product, Product]] = None

    def act(self, which: int, x: Expr) -> Expr:
        return self.functions[which](x if self.clip is None else x.clip(-self.clip, self.clip))

    def inputs(self, b: Builder, x: Value) -> Expr:
        """What the inputs contribute to the gates, for all steps at once: [T, B, gates · hidden]."""
        made = self._times(0, Expr(b, x), self.w)
        biases = [self.wb] if self._late_bias else [self.wb, self.rb]
        for bias in biases:
            made = made if bias is None else made + bias
        return made

    @property
    def _late_bias(self) -> bool:
        return self.kind == "GRU" and self.linear_before_reset

    def gate(self, x: Expr, index: int, count: int = 1) -> Expr:
        """Gates of a [B, gates · hidden] tensor."""
        rank = len(x.shape)
        return x.slice(rank - 1, index * self.hidden, (index + count) * self.hidden)

    def step(self, x: Expr, states: Sequence[Expr]) -> list[Expr]:
        """The states after a step; *x* is that step's part of :meth:`inputs`, [B, gates · hidden]."""
        h = states[0]
        if self.kind == "GRU":
            return [self._gru(x, h, Expr(x.b, self.r).transpose(1, 0))]
        sums = x + self._times(1, h, self.r)
        return [self.act(0, sums)] if self.kind == "RNN" else self._lstm(sums, states[1])

    def _times(self, which: int, x: Expr, weight: Value) -> Expr:
        return x @ Expr(x.b, weight).transpose(1, 0) if self.products is None else self.products[which](x)

    def _gru(self, x: Expr, h: Expr, r: Expr) -> Expr:
        bias = None if self.rb is None or not self._late_bias else Expr(x.b, self.rb)
        early = h @ self.gate(r, 0, 2)
        early = early if bias is None else early + self.gate(bias, 0, 2)
        gates = self.act(0, self.gate(x, 0, 2) + early)
        z, reset = self.gate(gates, 0), self.gate(gates, 1)
        if self.linear_before_reset:
            late = h @ self.gate(r, 2)
            late = (late if bias is None else late + self.gate(bias, 2)) * reset
        else:
            late = (reset * h) @ self.gate(r, 2)
        candidate = self.act(1, self.gate(x, 2) + late)
        return (1.0 - z) * candidate + z * h

    def _lstm(self, gates: Expr, c: Expr) -> list[Expr]:
        raw = [self.gate(gates, i) for i in range(4)]  # i, o, f, c
        peep = None if self.peephole is None else [self.gate(Expr(gates.b, self.peephole), i) for i in range(3)]
        i = self.act(0, raw[0] if peep is None else raw[0] + c * peep[0])
        if self.input_forget:
            f = 1.0 - i
        else:
            f = self.act(0, raw[2] if peep is None else raw[2] + c * peep[2])
        new = f * c + i * self.act(1, raw[3])
        o = self.act(0, raw[1] if peep is None else raw[1] + new * peep[1])
        return [o * self.functions[2](new), new]  # onnxruntime does not clip the cell's state


def run(
    b: Builder, cell: Cell, x: Value, states: Sequence[Value], lengths: Optional[Value]
) -> tuple[Value, list[Value]]:
    """All steps of one direction.

    Args:
        x: [T, B, input].
        states: the initial ones, [B, hidden] each.
        lengths: [B], how many steps of each sample count; the states stay after them and the result is zero.

    Returns:
        the hidden state after every step, [T, B, hidden], and the last states.
    """
    length, batch, _ = need_rank(x, cell.kind)
    projected = cell.inputs(b, x)
    gates = projected.shape[2]
    limit = None if lengths is None else Expr(b, lengths).cast(DType.INT64).reshape(batch, 1)

    def advance(t: Expr, given: Sequence[Value]) -> tuple[list[Value], Value]:
        now = projected.gather(t.reshape(1)).reshape(batch, gates)
        before = [Expr(b, v) for v in given]
        after = cell.step(now, before)
        if limit is None:
            return [v.value for v in after], after[0].value
        alive = (limit > t.reshape(1, 1)).cast(x.dtype)  # [B, 1]
        kept = [old + (new - old) * alive for old, new in zip(before, after)]
        return [v.value for v in kept], (after[0] * alive).value

    if isinstance(length, int) and length <= UNROLL:
        state, steps = list(states), []
        for i in range(length):
            t = length - 1 - i if cell.reverse else i
            state, shown = advance(Expr(b, np.array([t]), DType.INT64), state)
            steps.append(Expr(b, shown).unsqueeze(0))
        return concat(steps[::-1] if cell.reverse else steps, 0).value, state

    def body(i: Value, given: list[Value]) -> tuple[None, list[Value], list[Value]]:
        t = Expr(b, i)
        if cell.reverse:
            t = size(b, length, DType.INT64).reshape() - 1 - t
        after, shown = advance(t, given)
        return None, after, [shown]

    trips = size(b, length, DType.INT64)
    finals, (collected,) = control.loop(b, body, list(states), trips.value)
    collected.shape = (length, *need_rank(states[0], cell.kind))
    if cell.reverse:
        collected = unary(b, "flip", collected, axis=[0])
    return collected, finals
