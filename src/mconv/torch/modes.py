"""Modes of torch: what is called in one is watched, or answered in another way."""

from __future__ import annotations

from typing import Any, Callable, Optional


def mode(answer: Callable[[Any, tuple, dict[str, Any]], Any], **held: Any) -> Any:
    """A context manager within which each function of torch gives what *answer* says.

    Args:
        answer: takes the function, its arguments and its keyword arguments; what it calls is not answered again.
        held: attributes of the context manager, for what is found.
    """
    from torch.overrides import TorchFunctionMode

    class Mode(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Optional[dict] = None) -> Any:
            return answer(func, args, kwargs or {})

    made: Any = Mode()
    made.__dict__.update(held)
    return made


__all__ = ["mode"]
