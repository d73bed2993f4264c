"""Where a model takes the largest of numbers that are equal: which of them is left open, and each runtime takes others."""

from __future__ import annotations

import os
from typing import Any, Optional

from mconv.torch.decisions import caller


def ties() -> Any:
    """A context manager that notes where ``topk`` leaves out numbers that are equal to the last one that it takes.

    What it yields has ``found``: lines such as ``net.py:12 takes 10 of 126 numbers, of which 126 are equal``.
    """
    import torch
    from torch.overrides import TorchFunctionMode

    asked = {torch.topk, torch.Tensor.topk}

    class Ties(TorchFunctionMode):
        found: list[str] = []

        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Optional[dict] = None) -> Any:
            kwargs = kwargs or {}
            made = func(*args, **kwargs)
            if func in asked:
                self._look(made.values, *args, **kwargs)
            return made

        def _look(
            self, taken: Any, numbers: Any, k: int, dim: int = -1, largest: bool = True, *rest: Any, **options: Any
        ) -> None:
            if not taken.numel() or taken.shape == numbers.shape:
                return
            last = taken.amin(dim, keepdim=True) if largest else taken.amax(dim, keepdim=True)
            left_out = (numbers == last).sum(dim) > (taken == last).sum(dim)
            if bool(left_out.any()):
                equal = int((numbers == last).sum(dim).max())
                location = os.path.basename(caller())
                text = f"{location} takes {k} of {numbers.shape[dim]} numbers, of which {equal} are equal"
                if text not in self.found:
                    self.found.append(text)

    made = Ties()
    made.found = []
    return made


__all__ = ["ties"]
