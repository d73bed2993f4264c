"""The functions of :mod:`mconv.api`, made of option classes: their signatures, documentation, and what all of them do."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import inspect
import os
import typing
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from mconv import budget, hub
from mconv.errors import MconvError, UsageError, refused
from mconv.options.declare import Options, declared, fields, is_argument
from mconv.printable import LONGEST, printable

if TYPE_CHECKING:
    from typing_extensions import ParamSpec

    P = ParamSpec("P")
O = TypeVar("O")  # noqa: E741 - of options
R = TypeVar("R")


def takes(kind: Callable[P, O]) -> Callable[[Callable[[O], R]], Callable[P, R]]:
    """A function that is given an instance of *kind* as one that takes the fields of *kind* as its parameters.

    Its signature and the list of arguments in its documentation are made of the class. Where the class has a ``limit``,
    the function has a budget of that size, see :mod:`mconv.budget`.
    """
    options = typing.cast("type[Options]", kind)

    def decorate(function: Callable[[O], R]) -> Callable[P, R]:
        @functools.wraps(function)
        def wrapper(*arguments: Any, **given: Any) -> R:
            with _told():
                try:
                    chosen: Any = kind(*arguments, **given)
                except TypeError as e:
                    raise TypeError(f"{function.__name__}() {e}") from None
                _without_nul(chosen)
                with budget.command(chosen.limit) if hasattr(chosen, "limit") else contextlib.nullcontext():
                    _fetch(chosen)
                    return _with_page(function, chosen)

        del wrapper.__wrapped__  # its signature is another
        wrapper.__signature__ = _signature(options, function)  # type: ignore[attr-defined]
        wrapper.__annotations__ = {**{d.name: d.hint for d in declared(options)}}
        wrapper.__doc__ = _documented(function.__doc__ or "", options)
        return wrapper

    return decorate


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Errors as callers want them: what the system refuses is one of mconv, whatever is quoted in it its message is one
    line of a bearable length.

    Raises:
        MconvError: for an OSError or MemoryError; or the one that was raised.
    """
    try:
        yield
    except MconvError as e:
        _one_line(e)
        raise
    except (OSError, MemoryError) as e:
        told = refused(e)
        if told is None:
            raise
        _one_line(told)
        raise told from e


def _one_line(error: MconvError) -> None:
    error.message = printable(error.message, LONGEST)
    error.hint = None if error.hint is None else printable(error.hint, LONGEST)


def _with_page(function: Callable[[Any], R], chosen: Any) -> R:
    """Do it, and write the page that ``html`` asks for, of a result or of the error.

    Raises:
        MconvError: the page cannot be made, which is found out before; or what *function* raises.
    """
    path = getattr(chosen, "html", None)
    if path is None:
        return function(chosen)
    from mconv.page import document

    document.require(path)
    try:
        result = function(chosen)
    except MconvError as e:
        document.write(document.of_error(e), path)
        raise
    document.write(document.of(result), path)
    return result


def _without_nul(chosen: Options) -> None:
    """Refuse what no path and no name can hold: the operating system's calls would end with a bare ValueError.

    Raises:
        UsageError: a text, a path or one of several has a NUL character.
    """
    for f in fields(type(chosen)):
        value = getattr(chosen, f.name)
        for each in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(each, (str, os.PathLike)) and "\0" in str(each):
                raise UsageError(f"{f.name}: {ascii(str(each)[:80])} has a NUL character", "leave it out")


def _fetch(chosen: Options) -> None:
    """Models on the Hugging Face hub become paths on this disk.

    Raises:
        MconvError: see :func:`mconv.hub.fetch`.
    """
    for f in fields(type(chosen)):
        value = getattr(chosen, f.name)
        if not is_argument(f):
            continue
        say = getattr(chosen, "progress", None) or (lambda text: None)
        if hub.is_address(value):
            chosen.settle(f.name, hub.local(value, say))
        elif isinstance(value, list):
            chosen.settle(f.name, [hub.local(each, say) if hub.is_address(each) else each for each in value])


def _signature(kind: type[Options], function: Callable[..., Any]) -> inspect.Signature:
    hints = {d.name: d.hint for d in declared(kind)}
    return inspect.Signature(
        [
            inspect.Parameter(
                f.name,
                inspect.Parameter.POSITIONAL_OR_KEYWORD if f.metadata["position"] else inspect.Parameter.KEYWORD_ONLY,
                default=inspect.Parameter.empty if f.default is dataclasses.MISSING else f.default,
                annotation=hints[f.name],
            )
            for f in fields(kind)
        ],
        return_annotation=function.__annotations__.get("return", inspect.Signature.empty),
    )


def _documented(text: str, kind: type[Options]) -> str:
    """The documentation with ``Args:`` before ``Raises:`` or at its end."""
    text = inspect.cleandoc(text)
    rows = ["Args:", *(f"    {d.name}: {d.help}" for d in declared(kind)), ""]
    before, raises, after = text.partition("Raises:")
    return "\n".join([before.rstrip(), "", *rows, *([f"Raises:{after}"] if raises else [])]).rstrip() + "\n"
