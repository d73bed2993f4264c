"""Classes that a module returns besides tensors, lists and dictionaries: caches, records of one's own.

``torch.export`` takes an object apart only where its class is registered with ``torch.utils._pytree``. One that holds
tensors in its attributes is registered here by those.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

_ORDER = "_mconv_children"  # on an object that was put together: the attributes that were given


def children(node: Any) -> Optional[list[tuple[str, Any]]]:
    """The parts of an object of a class that is registered, or can be: (name, part); None for a leaf.

    The class is registered where it is not. The names of a class that someone else has registered are numbers.
    """
    import torch
    from torch.utils import _pytree

    if node is None or isinstance(node, torch.Tensor):
        return None
    kind = type(node)
    if kind in _registered:
        return _held(node)
    if kind in _pytree.SUPPORTED_NODES:
        parts, _ = _pytree.SUPPORTED_NODES[kind].flatten_fn(node)
        return [(str(i), part) for i, part in enumerate(parts)]
    if not _holds_tensors(node):
        return None
    name = f"{kind.__module__}.{kind.__qualname__}"
    _pytree.register_pytree_node(
        kind,
        _flatten,
        lambda parts, context: _unflatten(kind, parts, context),
        serialized_type_name=f"mconv.{name}",
        to_dumpable_context=lambda context: list(context[0]),
        from_dumpable_context=lambda names: (tuple(names), _Rest({})),
    )
    _registered.add(kind)
    return _held(node)


_registered: set[type] = set()


def _holds_tensors(node: Any, depth: int = 6) -> bool:
    import torch

    if isinstance(node, torch.Tensor):
        return True
    if depth == 0 or isinstance(node, (type, torch.nn.Module, str, bytes)) or callable(node):
        return False
    if isinstance(node, Mapping):
        return any(_holds_tensors(v, depth - 1) for v in node.values())
    if isinstance(node, (list, tuple)):
        return any(_holds_tensors(v, depth - 1) for v in node)
    return any(_holds_tensors(v, depth - 1) for v in getattr(node, "__dict__", {}).values())


def _held(node: Any) -> list[tuple[str, Any]]:
    held = vars(node)
    if _ORDER in held:
        return [(n, held[n]) for n in held[_ORDER]]
    return [(n, v) for n, v in held.items() if _holds_tensors(v)]


def _flatten(node: Any) -> tuple[list[Any], Any]:
    parts = _held(node)
    for _, part in parts:
        for one in part if isinstance(part, (list, tuple)) else [part]:
            children(one)  # registers what lies below
    names = [n for n, _ in parts]
    rest = {n: v for n, v in vars(node).items() if n not in names and n != _ORDER}
    return [v for _, v in parts], (tuple(names), _Rest(rest))


def _unflatten(kind: type, parts: Any, context: Any) -> Any:
    names, rest = context
    node: Any = object.__new__(kind)
    node.__dict__.update(rest.held)
    node.__dict__.update(zip(names, parts))
    node.__dict__[_ORDER] = names
    return node


class _Rest:
    """The attributes that are no tensors; two calls of one module have the same kind of them."""

    def __init__(self, held: dict[str, Any]):
        self.held = held

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Rest) and self.held.keys() == other.held.keys()

    def __hash__(self) -> int:
        return hash(tuple(self.held))

    def __repr__(self) -> str:
        return f"_Rest({list(self.held)})"


__all__ = ["children"]
