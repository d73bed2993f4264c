"""Keeps the lengths of recurrent networks dynamic while torch traces them.

Torch's own shape inference of an LSTM or GRU runs its decomposition, a loop over the steps, which fixes their number.
Here it is replaced by what the shapes are.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any


def _lstm(input: Any, hx: Any, *rest: Any, **options: Any) -> tuple[Any, Any, Any]:
    hidden, cell = hx
    return _steps(input, hidden, _bidirectional(rest, options)), hidden.new_empty(hidden.shape), cell.new_empty(cell.shape)


def _simple(input: Any, hx: Any, *rest: Any, **options: Any) -> tuple[Any, Any]:
    return _steps(input, hx, _bidirectional(rest, options)), hx.new_empty(hx.shape)


def _bidirectional(rest: tuple, options: dict[str, Any]) -> bool:
    # params, has_biases, num_layers, dropout, train, bidirectional, batch_first
    return bool(options.get("bidirectional", rest[5] if len(rest) > 5 else False))


def _steps(input: Any, hidden: Any, bidirectional: bool) -> Any:
    return input.new_empty((*input.shape[:-1], hidden.shape[-1] * (2 if bidirectional else 1)))


@contextlib.contextmanager
def dynamic_lengths() -> Iterator[None]:
    """Within it, torch infers the shapes of ``lstm.input``, ``gru.input`` and ``rnn_*.input`` without a loop."""
    import torch

    aten = torch.ops.aten
    shapes = {
        aten.lstm.input: _lstm,
        aten.gru.input: _simple,
        aten.rnn_tanh.input: _simple,
        aten.rnn_relu.input: _simple,
    }
    saved = {op: dict(op.py_kernels) for op in shapes}
    try:
        for op, function in shapes.items():
            for key in list(op.py_kernels):
                op.py_kernels[key] = function
            op._dispatch_cache.clear()
        yield
    finally:
        for op, kernels in saved.items():
            op.py_kernels.clear()
            op.py_kernels.update(kernels)
            op._dispatch_cache.clear()
