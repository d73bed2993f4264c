"""Where a module makes Python decide by the values of its tensors, which a trace decides once and for all."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

from mconv.torch.modes import mode

_PACKING = ("torch.nn.modules.rnn", "torch.nn.utils.rnn")  # they read the batch's size of packed sequences
_READS = ("__bool__", "__int__", "__float__", "__index__", "item", "tolist", "numpy")


def decisions(call: Callable[[], Any]) -> list[str]:
    """Run *call* and note where a tensor becomes a Python number, outside of torch's own code: ``net.py:12``.

    A size is a plain number already when a module runs, so that what is found depends on values.
    """
    import torch

    read = {getattr(torch.Tensor, name) for name in _READS}
    found: list[str] = []

    def noted(func: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
        if func in read:
            location = caller()
            if location and location not in found:
                found.append(location)
        return func(*args, **kwargs)

    with mode(noted):
        call()
    return found


def branches(answers: Mapping[str, bool]) -> Any:
    """A context manager within which a tensor that Python asks for true or false gives the answer of its location.

    Args:
        answers: location (``/path/net.py:12``) → the answer; at other locations the tensor says it.

    What it yields has ``seen``: location → the answers that tensors gave there, where none was given; and ``codes``: the
    code of the functions that asked.
    """
    import torch

    asks, item = torch.Tensor.__bool__, torch.Tensor.item
    seen: dict[str, set[bool]] = {}
    codes: set[Any] = set()

    def answer(func: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
        if func is not asks and not (func is item and args[0].dtype is torch.bool):
            return func(*args, **kwargs)
        location = caller()
        if location in answers:
            codes.add(sys._getframe(2).f_code)  # behind this function and the mode's
            return answers[location]
        found = func(*args, **kwargs)
        if location and isinstance(found, bool):
            seen.setdefault(location, set()).add(found)
        return found

    return mode(answer, seen=seen, codes=codes)


def caller() -> str:
    """File and line of the innermost frame that is neither torch's nor of our modes."""
    frame = sys._getframe(1)
    while frame is not None:
        path = frame.f_code.co_filename
        name = str(frame.f_globals.get("__name__", ""))
        if name in _PACKING:
            return ""
        if name.partition(".")[0] not in ("torch", "mconv") and not path.startswith("<"):
            return f"{path}:{frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]
    return ""


__all__ = ["branches", "caller", "decisions"]
