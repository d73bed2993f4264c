"""Loops over the rows that a mask selects, as mixtures of experts have: over all rows where a module is traced.

``for expert in hit.nonzero(): …`` runs as often as there are experts with a token, which no graph can say. What such a
body does for a row that was not selected is nothing, as a rule (its tokens are none), so that the loop may run over every
row. Whether that holds, the model is asked: :func:`mconv.verbs.torch_decisions.loops_hold`.
"""

from __future__ import annotations

from typing import Any

from mconv.torch.decisions import caller
from mconv.torch.modes import mode

_MOST = 512  # rows that are unrolled


def every_row() -> Any:
    """A context manager within which such a loop runs over all rows of its mask.

    What it yields has ``locations``: where such loops are, ``net.py:12``; and ``left_out``: whether at any of them a row was
    not selected, where the values are known.
    """
    import torch

    found = {torch.nonzero, torch.Tensor.nonzero, torch.argwhere, torch.Tensor.argwhere}
    apart = {torch.unbind, torch.Tensor.unbind}  # what iteration calls
    shown = torch.Tensor.__format__

    masks: dict[int, tuple[Any, int]] = {}

    def answer(func: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
        if func in found and len(args) == 1 and not kwargs.get("as_tuple"):
            made = func(*args, **kwargs)
            rows = args[0].shape[0] if args[0].dim() == 1 else None
            if type(rows) is int and rows <= _MOST:
                masks[id(made)] = made, rows  # held, so that no other tensor has this id
            return made
        if func in apart and id(args[0]) in masks and (args[1:] or (kwargs.get("dim", 0),)) == (0,):
            selected, rows = masks[id(args[0])]
            location = caller()
            if location not in loops.locations:
                loops.locations.append(location)
            taken = selected.shape[0]
            loops.left_out |= type(taken) is int and taken < rows
            return tuple(torch.tensor([row]) for row in range(rows))
        if func is shown and args[0].dim() == 0:
            return format(args[0].item(), args[1])  # of a constant, where a module is traced
        return func(*args, **kwargs)

    loops = mode(answer, locations=[], left_out=False)
    return loops


def same_type() -> Any:
    """A context manager within which ``Module.to`` of what is of that type and location already does nothing at all.

    A trace cannot exchange parameters, as ``Module.to`` does even where nothing changes.
    """
    from unittest import mock

    import torch

    original = torch.nn.Module.to

    def to(self: Any, *args: Any, **kwargs: Any) -> Any:
        device, dtype, _, layout = torch._C._nn._parse_to(*args, **kwargs)
        held = [*self.parameters(), *self.buffers()]
        here = device is None or all(t.device.type == device.type for t in held)
        alike = dtype is None or all(t.dtype == dtype for t in held if t.is_floating_point() or t.is_complex())
        return self if here and alike and layout is None else original(self, *args, **kwargs)

    return mock.patch.object(torch.nn.Module, "to", to)


__all__ = ["every_row", "same_type"]
