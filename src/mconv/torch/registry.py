"""The registry of ATen operators: one function per operator, named by its overloads (``add.Tensor``).

The parameters of a function are those of the operator's schema, by name: tensors come as Values, sizes as ``int`` or
:class:`~mconv.program.dims.Sym`, element types as :class:`~mconv.program.dtypes.DType`, the rest as they are. It gives
a Value, or a tuple or list of Values where the operator has several results.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
from dataclasses import dataclass
from typing import Any, Callable, Optional


@dataclass(frozen=True)
class Converter:
    """A registered function and the names of its parameters after the context."""

    function: Callable[..., Any]
    parameters: frozenset[str]


_converters: dict[str, Converter] = {}


def aten_op(*overloads: str) -> Callable[[Callable[..., Any]], Any]:
    """Register a function as the converter of ``aten`` overloads, called as ``f(ctx, **arguments)``.

    Arguments that the function does not name must have their schema's default, else the node is refused.

    Raises:
        ValueError: an overload has another converter already.
    """

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        names = list(inspect.signature(function).parameters)[1:]
        for overload in overloads:
            known = _converters.get(overload)
            if known is not None and known.function.__qualname__ != function.__qualname__:
                raise ValueError(f"aten.{overload} is converted by {known.function.__qualname__} already")
            _converters[overload] = Converter(function, frozenset(names))
        return function

    return register


def find(overload: str) -> Optional[Converter]:
    """The converter of ``aten.<overload>``, or None."""
    _load()
    return _converters.get(overload)


def known() -> list[str]:
    """The overloads that have a converter, sorted."""
    _load()
    return sorted(_converters)


@functools.cache
def _load() -> None:
    from mconv.torch import ops

    for module in sorted(m.name for m in pkgutil.iter_modules(ops.__path__)):
        importlib.import_module(f"{ops.__name__}.{module}")
