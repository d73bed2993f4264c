"""What a layer returns, as a list of tensors with names."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Optional

from mconv.errors import UnsupportedError


@dataclass
class Flat:
    """The tensors of a result, in the order in which the layer gives them.

    Attributes:
        tensors: them.
        paths: where each was: ``""`` for a single tensor, ``1`` or ``1.0`` in tuples, ``logits`` in a dictionary.
        named: per tensor its name, where a dictionary or a named tuple gives one.
        left_out: what was in the result and is no tensor, with its path.
        numbers: path → a number of Python's; sizes are such, and become tensors when the layer is traced.
    """

    tensors: list[Any] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    named: list[Optional[str]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    numbers: dict[str, Any] = field(default_factory=dict)


def is_tensor(value: Any) -> bool:
    """A tensor, or what stands for one while Paddle traces; every version has a class of its own for that."""
    return hasattr(value, "stop_gradient") and hasattr(value, "shape") and hasattr(value, "dtype")


def flatten(result: Any) -> Flat:
    """Take a result apart: dictionaries in their own order, tuples, lists, named tuples and data classes."""
    flat = Flat()
    _walk(result, "", True, flat, 0)
    return flat


def _walk(value: Any, path: str, named: bool, flat: Flat, depth: int) -> None:
    if depth > 32:
        raise UnsupportedError("the layer's result is nested too deeply")
    if is_tensor(value):
        flat.tensors.append(value)
        flat.paths.append(path)
        flat.named.append(path if named and path else None)
        return
    if isinstance(value, Mapping):
        items = [(str(k), v, named) for k, v in value.items()]
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        items = [(f.name, getattr(value, f.name), named) for f in dataclasses.fields(value)]
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        items = [(n, v, named) for n, v in zip(value._fields, value)]
    elif isinstance(value, (list, tuple)):
        # below a name, numbers are part of names: hidden_states.0
        items = [(str(i), v, named and bool(path)) for i, v in enumerate(value)]
    else:
        if isinstance(value, (bool, int, float)):
            flat.numbers[path] = value
        kind = "None" if value is None else f"a {type(value).__name__}"
        flat.left_out.append(f"{path or 'the result'} ({kind})")
        return
    for key, part, keep in items:
        _walk(part, f"{path}.{key}" if path else key, keep, flat, depth + 1)


def need_outputs(flat: Flat, what: str) -> None:
    """Refuse a result without tensors.

    Raises:
        UnsupportedError: there is none.
    """
    if not flat.tensors:
        raise UnsupportedError(f"{what} returns no tensor: {', '.join(flat.left_out) or 'an empty result'}")
