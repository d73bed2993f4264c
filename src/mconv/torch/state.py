"""What a module keeps from one call to the next: buffers, and tensors in plain attributes, that ``forward`` changes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass
class _Kept:
    """One tensor, where it is, and a copy of its first value."""

    owner: Any
    attribute: str
    name: str
    tensor: Any
    first: Any


class State:
    """The tensors that *module* has besides its parameters, as they are now.

    Args:
        module: a ``torch.nn.Module`` or ScriptModule.
    """

    def __init__(self, module: Any):
        self.kept = [_Kept(*found, found[-1].detach().clone()) for found in _tensors(module)]
        self.absent = [(owner, name) for owner, name in _nothing(module)]

    def changed(self) -> list[str]:
        """The names of those that are not what they were, a lazily made one among them."""
        names = [k.name for k in self.kept if not _same(getattr(k.owner, k.attribute, None), k.first)]
        return names + [name for owner, name in self.absent if _is_tensor(getattr(owner, name, None))]

    def restore(self) -> None:
        """Put back what was there in the beginning."""
        import torch

        with torch.no_grad():
            for kept in self.kept:
                if not _same(kept.tensor, kept.first):  # written into
                    kept.tensor.copy_(kept.first)
                if not _same(getattr(kept.owner, kept.attribute, None), kept.first):  # replaced
                    setattr(kept.owner, kept.attribute, kept.tensor)
        for owner, name in self.absent:
            if _is_tensor(getattr(owner, name, None)):
                setattr(owner, name, None)


def _tensors(module: Any) -> Iterator[tuple[Any, str, str, Any]]:
    """Owner, attribute, full name and tensor of every buffer and every plain attribute that is a tensor."""
    for path, owner in module.named_modules():
        found = dict(owner.named_buffers(recurse=False))
        found.update((n, v) for n, v in vars(owner).items() if _is_tensor(v))
        for name, tensor in found.items():
            if not (tensor.is_meta or tensor.is_sparse or tensor.is_quantized):
                yield owner, name, f"{path}.{name}" if path else name, tensor


def _nothing(module: Any) -> Iterator[tuple[Any, str]]:
    """Owner and name of the public attributes that are None: what is made at the first call goes there."""
    for _, owner in module.named_modules():
        for name, value in [*vars(owner).items(), *getattr(owner, "_buffers", {}).items()]:
            if value is None and isinstance(name, str) and not name.startswith("_"):
                yield owner, name


def _is_tensor(value: Any) -> bool:
    import torch

    return isinstance(value, torch.Tensor) and not isinstance(value, torch.nn.Parameter)


def _same(now: Any, first: Any) -> bool:
    import torch

    if not isinstance(now, torch.Tensor) or now.shape != first.shape or now.dtype != first.dtype:
        return False
    if first.is_floating_point() or first.is_complex():
        return torch.allclose(now, first, rtol=0, atol=0, equal_nan=True)
    return torch.equal(now, first)
