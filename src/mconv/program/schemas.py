"""Functions whose signature is the schema of an operator, and the attributes that several of them share."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Callable, Collection
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


def _default(f: dataclasses.Field[Any]) -> Any:
    if f.default_factory is not dataclasses.MISSING:
        return f.default_factory()
    return inspect.Parameter.empty if f.default is dataclasses.MISSING else f.default


def attributes_of(other: Callable[..., Any], *, but: Collection[str] = ()) -> Callable[[F], F]:
    """Let a function that passes ``**attributes`` on to *other* have the attributes of that one, beside its own.

    Args:
        other: a function, whose keyword-only parameters are attributes, or a dataclass or TypedDict, whose fields are.
        but: those of *other* that it has not.
    """
    hints = typing.get_type_hints(other)
    if isinstance(other, type):
        defaults = {f.name: _default(f) for f in dataclasses.fields(other)} if dataclasses.is_dataclass(other) else {}
        kind, empty = inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.empty
        every = [inspect.Parameter(name, kind, default=defaults.get(name, empty)) for name in hints]
    else:
        every = [p for p in inspect.signature(other).parameters.values() if p.kind is p.KEYWORD_ONLY]
    taken = [p.replace(annotation=hints[p.name]) for p in every if p.name not in but]

    def declare(function: F) -> F:
        own = inspect.signature(function).parameters
        kept = [p for p in own.values() if p.kind is not p.VAR_KEYWORD]
        added = [p for p in taken if p.name not in own]
        function.__signature__ = inspect.Signature([*kept, *added])  # type: ignore[attr-defined]
        function.__annotations__.update({p.name: p.annotation for p in added})
        return function

    return declare
