"""Where a model takes or orders numbers that are equal: which of them comes first is open, and each runtime says another."""

from __future__ import annotations

import os
from typing import Any, Optional

from mconv.torch.decisions import caller


def ties() -> Any:
    """A context manager that notes where ``topk`` leaves out numbers that are equal to the last one that it takes, and
    where ``sort`` and ``argsort`` order numbers that are equal without being asked for a stable order.

    What it yields has ``found``: lines such as ``net.py:12 takes 10 of 126 numbers, of which 126 are equal``.
    """
    import torch
    from torch.overrides import TorchFunctionMode

    asked = {torch.topk, torch.Tensor.topk}
    ordered = {torch.sort, torch.Tensor.sort, torch.argsort, torch.Tensor.argsort}

    class Ties(TorchFunctionMode):
        found: list[str] = []

        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Optional[dict] = None) -> Any:
            kwargs = kwargs or {}
            made = func(*args, **kwargs)
            if func in asked:
                self._look(made.values, *args, **kwargs)
            if func in ordered:
                self._order(*args, **kwargs)
            return made

        def _order(self, numbers: Any, *rest: Any, stable: Optional[bool] = None, **options: Any) -> None:
            if stable or not numbers.numel():
                return
            dim = options.get("dim", next((r for r in rest if type(r) is int), -1))
            sorted_ones = numbers.sort(dim).values
            neighbours = sorted_ones.diff(dim=dim) == 0
            if bool(neighbours.any()):
                equal = int(neighbours.sum(dim).max()) + 1
                self._note(f"orders {numbers.shape[dim]} numbers, of which {equal} are equal")

        def _note(self, what: str) -> None:
            text = f"{os.path.basename(caller())} {what}"
            if text not in self.found:
                self.found.append(text)

        def _look(
            self, taken: Any, numbers: Any, k: int, dim: int = -1, largest: bool = True, *rest: Any, **options: Any
        ) -> None:
            if not taken.numel() or taken.shape == numbers.shape:
                return
            last = taken.amin(dim, keepdim=True) if largest else taken.amax(dim, keepdim=True)
            left_out = (numbers == last).sum(dim) > (taken == last).sum(dim)
            if bool(left_out.any()):
                equal = int((numbers == last).sum(dim).max())
                self._note(f"takes {k} of {numbers.shape[dim]} numbers, of which {equal} are equal")

    made = Ties()
    made.found = []
    return made


__all__ = ["ties"]
