"""Which function translates which PIR operation."""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Callable


class Unsupported(Exception):
    """This operation cannot be said in the target's operators; the text is the reason."""


@dataclass(frozen=True)
class Handler:
    """A translation function and what its signature says of it.

    Attributes:
        function: called with the context, the operands by position and the attributes by keyword.
        operands: how many operands it takes (None: any number).
        required: how many of them have no default.
        attrs: the keyword-only parameters, or None when it takes every attribute.
        needed: those of them without a default.
    """

    function: Callable[..., Any]
    operands: int | None
    required: int
    attrs: frozenset[str] | None
    needed: frozenset[str]


_HANDLERS: dict[str, Handler] = {}


def pir_op(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Declare the translation of the PIR operations *names* (without ``pd_op.``; builtin ones with their dialect).

    The function's signature is the schema: after the context, one positional parameter for each operand in PIR's
    order (``None``: left out; a list: a vector), one keyword-only parameter for each attribute. It returns the
    operation's outputs: a Value, a list for a vector, a tuple of those for several; None for an output not needed.
    """

    def declare(function: Callable[..., Any]) -> Callable[..., Any]:
        parameters = list(inspect.signature(function).parameters.values())[1:]
        kinds = inspect.Parameter
        positional = [p for p in parameters if p.kind is kinds.POSITIONAL_OR_KEYWORD]
        keywords = [p for p in parameters if p.kind is kinds.KEYWORD_ONLY]
        handler = Handler(
            function,
            None if any(p.kind is kinds.VAR_POSITIONAL for p in parameters) else len(positional),
            sum(p.default is kinds.empty for p in positional),
            None if any(p.kind is kinds.VAR_KEYWORD for p in parameters) else frozenset(p.name for p in keywords),
            frozenset(p.name for p in keywords if p.default is kinds.empty),
        )
        for name in names:
            full = name if "." in name else f"pd_op.{name}"
            if full in _HANDLERS:
                raise ValueError(f"two functions translate {full}")
            _HANDLERS[full] = handler
        return function

    return declare


def handlers() -> Mapping[str, Handler]:
    """Every declared translation, by the full name of the operation."""
    _load()
    return _HANDLERS


@functools.cache
def _load() -> None:
    from mconv.pir import ops

    for module in pkgutil.iter_modules(ops.__path__):
        importlib.import_module(f"{ops.__name__}.{module.name}")
