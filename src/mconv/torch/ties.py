"""Where a model takes or orders numbers that are equal: which of them comes first is open, and each runtime says another."""

from __future__ import annotations

import os
from typing import Any, Optional

from mconv.torch.decisions import caller
from mconv.torch.modes import mode


def ties() -> Any:
    """A context manager that notes where ``topk`` leaves out numbers that are equal to the last one that it takes, and
    where ``sort`` and ``argsort`` order numbers that are equal without being asked for a stable order.

    What it yields has ``found``: lines such as ``net.py:12 takes 10 of 126 numbers, of which 126 are equal``.
    """
    import torch

    asked = {torch.topk, torch.Tensor.topk}
    ordered = {torch.sort, torch.Tensor.sort, torch.argsort, torch.Tensor.argsort}
    found: list[str] = []

    def answer(func: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
        made = func(*args, **kwargs)
        if func in asked:
            look(made.values, *args, **kwargs)
        if func in ordered:
            order(*args, **kwargs)
        return made

    def order(numbers: Any, *rest: Any, stable: Optional[bool] = None, **options: Any) -> None:
        if stable or not numbers.numel():
            return
        dim = options.get("dim", next((r for r in rest if type(r) is int), -1))
        sorted_ones = numbers.sort(dim).values
        neighbours = sorted_ones.diff(dim=dim) == 0
        if bool(neighbours.any()):
            equal = int(neighbours.sum(dim).max()) + 1
            note(f"orders {numbers.shape[dim]} numbers, of which {equal} are equal")

    def note(what: str) -> None:
        text = f"{os.path.basename(caller())} {what}"
        if text not in found:
            found.append(text)

    def look(taken: Any, numbers: Any, k: int, dim: int = -1, largest: bool = True, *rest: Any, **options: Any) -> None:
        if not taken.numel() or taken.shape == numbers.shape:
            return
        last = taken.amin(dim, keepdim=True) if largest else taken.amax(dim, keepdim=True)
        left_out = (numbers == last).sum(dim) > (taken == last).sum(dim)
        if bool(left_out.any()):
            equal = int((numbers == last).sum(dim).max())
            note(f"takes {k} of {numbers.shape[dim]} numbers, of which {equal} are equal")

    return mode(answer, found=found)


__all__ = ["ties"]
