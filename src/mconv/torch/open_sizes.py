"""Functions whose sizes torch takes as plain numbers, said again so that an open size stays open.

``torch.linspace(-1, 1, height)``, ``torch.tensor(x.shape)`` and ``avg_pool2d(x, x.shape[2:])`` fix what they are given, as their operators have no
room for a symbol. While a module is traced, they are replaced by functions that compute the same of open sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Optional

from mconv.torch.modes import mode


def open_sizes() -> Any:
    """A context manager within which torch traces such functions without fixing a size."""
    known = _replacements()

    def answer(func: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
        made = known[func](*args, **kwargs) if func in known else None
        return func(*args, **kwargs) if made is None else made

    return mode(answer)


def _replacements() -> dict[Any, Callable[..., Any]]:
    """Function → what computes the same; it gives None where there is nothing to replace."""
    import torch
    from torch.nn import functional

    known: dict[Any, Callable[..., Any]] = {torch.linspace: _linspace, functional.affine_grid: _affine_grid}
    known[torch.tensor] = known[torch.as_tensor] = _tensor
    known[torch.Tensor.new_tensor] = _new_tensor
    known[torch.div] = known[torch.divide] = _divide
    known[torch.einsum] = _einsum
    for average, rank in ((torch.avg_pool1d, 1), (torch._C._nn.avg_pool2d, 2), (torch._C._nn.avg_pool3d, 3)):
        known[average] = _whole_pool(rank, "mean")
    for rank in (1, 2, 3):  # a mode does not see what the function of torch.nn.functional calls
        known[getattr(torch, f"max_pool{rank}d")] = _whole_pool(rank, "amax")
        known[getattr(functional, f"max_pool{rank}d")] = _whole_pool(rank, "amax")
    return known


def _is_open(size: Any) -> bool:
    return type(size).__name__ == "SymInt" and not size.node.expr.is_Integer


def _tensor(data: Any, dtype: Any = None, device: Any = None, **options: Any) -> Any:
    """A tensor of numbers, sizes among them, in lists of any depth: each a tensor, then all together."""
    import torch

    numbers: list[Any] = []

    def shape(nested: Any) -> Optional[tuple[int, ...]]:
        """Of nested lists of numbers, which *numbers* takes; None where there is something else in them."""
        if not isinstance(nested, (list, tuple)):
            numbers.append(nested)
            return () if isinstance(nested, (int, float, torch.SymInt)) else None
        shapes = {shape(part) for part in nested}
        inner = shapes.pop() if len(shapes) == 1 else None
        return None if inner is None else (len(nested), *inner)

    found = shape(data)
    if found is None or not any(map(_is_open, numbers)):
        return None
    if dtype is None:
        dtype = torch.get_default_dtype() if any(isinstance(n, float) for n in numbers) else torch.int64
    parts = [torch.scalar_tensor(n, dtype=dtype, device=device) for n in numbers]
    return torch.stack(parts).reshape(found)


def _new_tensor(x: Any, data: Any, *, dtype: Any = None, device: Any = None, **options: Any) -> Any:
    return _tensor(data, x.dtype if dtype is None else dtype, x.device if device is None else device)


def _linspace(start: Any, end: Any, steps: Any = 100, *, out: Any = None, dtype: Any = None, **options: Any) -> Any:
    import torch

    if not _is_open(steps) or out is not None or (dtype is not None and not dtype.is_floating_point):
        return None
    whole = torch.arange(steps, dtype=dtype or torch.get_default_dtype(), device=options.get("device"))
    part = whole / whole.select(0, -1).clamp(min=1)
    return start + (end - start) * part


def _divide(size: Any, by: Any, *, rounding_mode: Optional[str] = None, **options: Any) -> Any:
    """A size divided by a number: a size, where torch makes a tensor of it whose value is known only at run time."""
    return size // by if _is_open(size) and isinstance(by, int) and by > 0 and rounding_mode and not options else None


def _einsum(equation: Any, *operands: Any) -> Any:
    """Products of three and more in the order that is the cheapest at the traced sizes; torch fixes them to find it."""
    import torch

    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = tuple(operands[0])
    opened = [o for o in operands if isinstance(o, torch.Tensor) and any(map(_is_open, o.shape))]
    if len(operands) < 3 or not opened or not isinstance(equation, str):
        return None
    order = None
    if torch.backends.opt_einsum.is_available():
        import opt_einsum  # type: ignore[import-untyped,unused-ignore]

        shapes = [[s.node.hint if _is_open(s) else int(s) for s in o.shape] for o in operands]
        pairs = opt_einsum.contract_path(equation, *shapes, shapes=True, optimize="auto")[0]
        order = [position for pair in pairs for position in pair] if all(len(p) == 2 for p in pairs) else None
    return torch._VF.einsum(equation, operands, path=order)


def _affine_grid(theta: Any, size: Sequence[Any], align_corners: Optional[bool] = None) -> Any:
    """``affine_grid`` of images; torch makes its base of ``linspace``."""
    import torch

    if len(size) != 4 or not any(map(_is_open, size[2:])):
        return None

    def axis(steps: Any) -> Any:
        whole = torch.arange(steps, dtype=theta.dtype, device=theta.device)
        last = whole.select(0, -1)
        if align_corners:
            return whole * 2 / last.clamp(min=1) - 1
        return (whole * 2 + 1) / (last + 1) - 1

    y, x = torch.meshgrid(axis(size[2]), axis(size[3]), indexing="ij")
    base = torch.stack([x, y, torch.ones_like(x)], -1).reshape(1, -1, 3)
    return torch.matmul(base, theta.transpose(1, 2)).reshape(theta.shape[0], size[2], size[3], 2)


def _whole_pool(rank: int, reduction: str) -> Callable[..., Any]:
    """A pooling whose window is the whole image, as a reduction."""

    def pool(x: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, *rest: Any, **options: Any) -> Any:
        window = list(kernel_size) if isinstance(kernel_size, (list, tuple)) else [kernel_size] * rank
        # a divisor or a dilation changes the numbers; flags change nothing where there is one window
        if reduction == "amax" and rest:
            options["dilation"], rest = rest[0], rest[1:]
        plain = all(isinstance(r, bool) or r is None for r in rest) and options.get("divisor_override") is None
        padded = any(padding) if isinstance(padding, (list, tuple)) else padding
        if len(window) != rank or not any(map(_is_open, window)) or padded or not plain:
            return None
        if options.get("return_indices") or options.get("dilation", 1) not in (1, (1,) * rank, [1] * rank):
            return None
        if any(_text(w) != _text(s) for w, s in zip(window, x.shape[-rank:])):
            return None
        return getattr(x, reduction)(dim=list(range(-rank, 0)), keepdim=True)

    return pool


def _text(size: Any) -> str:
    return str(size.node.expr) if type(size).__name__ == "SymInt" else str(size)
