"""Which function translates which PIR operation."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Callable

from mconv.printable import printable
from mconv.program.plugins import load_families
from mconv.program.typecheck import fits, name_of

UNKNOWN = "mconv does not know this operation"


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

    What the annotations say of operands and attributes is what the file has to give.
    """

    function: Callable[..., Any]
    operands: int | None
    required: int
    attrs: frozenset[str] | None
    needed: frozenset[str]

    def check(self, operands: Sequence[Any], attrs: Mapping[str, Any]) -> None:
        """Hold what the file gives against the annotations.

        Raises:
            Unsupported: an operand or attribute is of another type.
        """
        names, hints = _hints(self.function)
        for name, operand in zip(names, operands):
            if not fits(operand, hints[name]):
                raise Unsupported(f"the operand {name} is {_kind(operand)} in the file")
        for name, value in attrs.items():
            if name in hints and not fits(value, hints[name]):
                raise Unsupported(f"the attribute {name} is {printable(repr(value), 60)}, not {name_of(hints[name])}")


@functools.cache
def _hints(function: Callable[..., Any]) -> tuple[list[str], dict[str, Any]]:
    """The operands that have a name, and the annotations of all parameters."""
    hints = typing.get_type_hints(function)
    parameters = list(inspect.signature(function).parameters.values())[1:]
    positional = [p.name for p in parameters if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    named = {p.name for p in parameters if p.kind is not inspect.Parameter.VAR_KEYWORD}
    return positional, {name: hint for name, hint in hints.items() if name in named}


def _kind(operand: Any) -> str:
    return "missing" if operand is None else "a vector" if isinstance(operand, list) else "a tensor"


_HANDLERS: dict[str, Handler] = {}


def paddle_op(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
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
    from mconv.paddle import ops

    load_families(ops)
