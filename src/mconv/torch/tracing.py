"""Keeps sizes dynamic where torch's own tracing would fix them.

Torch infers the shapes of an LSTM or GRU by running its decomposition, a loop over the steps, which fixes their
number; that of ``max_pool1d`` asks for sizes as plain numbers. Here both are replaced by what the shapes are.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any


def _lstm(input: Any, hx: Any, *rest: Any, **options: Any) -> tuple[Any, Any, Any]:
    hidden, cell = hx
    return (
        _steps(input, hidden, _bidirectional(rest, options)),
        hidden.new_empty(hidden.shape),
        cell.new_empty(cell.shape),
    )


def _simple(input: Any, hx: Any, *rest: Any, **options: Any) -> tuple[Any, Any]:
    return _steps(input, hx, _bidirectional(rest, options)), hx.new_empty(hx.shape)


def _bidirectional(rest: tuple, options: dict[str, Any]) -> bool:
    # params, has_biases, num_layers, dropout, train, bidirectional, batch_first
    return bool(options.get("bidirectional", rest[5] if len(rest) > 5 else False))


def _steps(input: Any, hidden: Any, bidirectional: bool) -> Any:
    return input.new_empty((*input.shape[:-1], hidden.shape[-1] * (2 if bidirectional else 1)))


def _max_pool1d(
    x: Any, kernel_size: Any, stride: Any = (), padding: Any = (0,), dilation: Any = (1,), ceil_mode: bool = False
) -> Any:
    import torch

    def pair(value: Any, other: int) -> list[int]:
        return [other, *([value] if isinstance(value, int) else value)]

    rows = pair(stride, 1) if isinstance(stride, int) or len(stride) else pair(kernel_size, 1)
    made = torch.ops.aten.max_pool2d_with_indices.default(
        x.unsqueeze(-2), pair(kernel_size, 1), rows, pair(padding, 0), pair(dilation, 1), ceil_mode
    )
    return made[0].squeeze(-2)


@contextlib.contextmanager
def dynamic_sizes() -> Iterator[None]:
    """Within it, torch traces recurrent networks and ``max_pool1d`` without fixing sizes."""
    import torch
    from torch._decomp import decomposition_table

    aten = torch.ops.aten
    shapes = {
        aten.lstm.input: _lstm,
        aten.gru.input: _simple,
        aten.rnn_tanh.input: _simple,
        aten.rnn_relu.input: _simple,
        aten.max_pool1d.default: _max_pool1d,
    }
    composite = torch._C.DispatchKey.CompositeImplicitAutograd
    saved_kernels = {op: dict(op.py_kernels) for op in shapes}
    saved_table = {op: decomposition_table[op] for op in shapes if op in decomposition_table}
    try:
        for op, function in shapes.items():
            for key in {composite, *op.py_kernels}:
                op.py_kernels[key] = function
            decomposition_table[op] = function
            op._dispatch_cache.clear()
        yield
    finally:
        for op, kernels in saved_kernels.items():
            op.py_kernels.clear()
            op.py_kernels.update(kernels)
            decomposition_table.pop(op, None)
            op._dispatch_cache.clear()
        decomposition_table.update(saved_table)
