"""Functions that draw random numbers: noted, or replaced by the means of what they draw."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mconv.torch.modes import mode


def noise(*, replace: bool) -> Any:
    """A context manager within which functions that draw random numbers are noted, and replaced with *replace*.

    A normal number becomes its mean, a uniform one the middle, a bit the likelier one, a choice the likeliest, an order
    the one that is there already; nothing is dropped. ``used`` of what it yields has the functions' names.
    """
    known = _means()
    used: list[str] = []

    def answer(func: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
        if func not in known:
            return func(*args, **kwargs)
        name = str(getattr(func, "__name__", func))
        if not _idle(name, args, kwargs) and name not in used:
            used.append(name)
        if not replace:
            return func(*args, **kwargs)
        return known[func](*args, **{k: v for k, v in kwargs.items() if k != "generator"})

    return mode(answer, used=used)


def _idle(name: str, args: tuple, kwargs: dict) -> bool:
    """Whether a dropout drops nothing."""
    training = kwargs.get("training", args[2] if len(args) > 2 else name != "dropout")
    return "dropout" in name and (not training or kwargs.get("p", args[1] if len(args) > 1 else 0.5) == 0)


def _means() -> dict[Any, Callable[..., Any]]:
    import torch
    from torch.nn import functional

    def normal(mean: Any, std: Any = 1.0, size: Any = None, **options: Any) -> Any:
        if size is not None:
            return torch.full(tuple(size), float(mean), **options)
        return mean + torch.zeros_like(std) if isinstance(std, torch.Tensor) else mean + torch.zeros_like(mean)

    def integers(low: Any, *rest: Any, **options: Any) -> Any:
        high, size = rest if len(rest) == 2 else (None, *rest) if rest else (None, options.pop("size"))
        low, high = (0, low) if high is None else (low, high)
        return torch.full(tuple(size), (low + high - 1) // 2, **{"dtype": torch.int64, **options})

    def bits(p: Any, *rest: Any, **options: Any) -> Any:
        return (p > 0.5).to(p.dtype)

    def chosen(p: Any, num_samples: int, replacement: bool = False, **options: Any) -> Any:
        return p.topk(num_samples, -1).indices

    def kept(x: Any, *rest: Any, **options: Any) -> Any:
        return x

    tensor = torch.Tensor
    return {
        torch.randn: torch.zeros,
        torch.randn_like: torch.zeros_like,
        torch.rand: lambda *size, **options: torch.zeros(*size, **options) + 0.5,
        torch.rand_like: lambda x, **options: torch.full_like(x, 0.5, **options),
        torch.normal: normal,
        torch.randint: integers,
        torch.randperm: lambda n, **options: torch.arange(n, **options),
        torch.bernoulli: bits,
        torch.multinomial: chosen,
        torch.dropout: kept,
        functional.dropout: kept,
        tensor.bernoulli: bits,
        tensor.multinomial: chosen,
        tensor.normal_: lambda x, mean=0.0, std=1.0, **options: x.fill_(mean),
        tensor.uniform_: lambda x, low=0.0, high=1.0, **options: x.fill_((low + high) / 2),
        tensor.exponential_: lambda x, rate=1.0, **options: x.fill_(1 / rate),
        tensor.bernoulli_: lambda x, p=0.5, **options: x.copy_(p > 0.5) if hasattr(p, "shape") else x.fill_(p > 0.5),
    }


__all__ = ["noise"]
