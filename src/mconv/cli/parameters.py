"""The parameters of a command, made of its option class; what was typed, as keywords of the API."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import os
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Optional, Union

import typer

from mconv.cli.output import out
from mconv.options.declare import GROUPS, Declared, Options, declared
from mconv.options.service import Service

Given = dict[str, Any]
_BESIDE = ("html", "plot", "junit_file", "summary_file")  # what is written beside a result, of whichever command


def with_options(
    kind: type[Options],
    *,
    service: bool = False,
    without: Sequence[str] = (),
    **changed: Mapping[str, Any],
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A command with the arguments and options of *kind*. It gets as its parameter ``given`` those that were typed, by
    the keywords of the API; its other parameters are options that the API has not.

    Args:
        service: also with the options of a service, which it gets as its parameter ``service``.
        without: fields that the command line has not.
        changed: field → what of its declaration is another here.
    """
    found = [dataclasses.replace(d, **changed.get(d.name, {})) for d in declared(kind)]
    shown = [d for d in found if d.cli and d.name not in without]
    shown.sort(key=lambda d: (not d.argument, GROUPS.index(d.group)))
    of_service = [d for d in declared(Service) if d.cli] if service else []

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        hints = typing.get_type_hints(function, include_extras=True)
        own = [p for name, p in inspect.signature(function).parameters.items() if name not in ("given", "service")]
        own = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[p.name]) for p in own]
        parameters = [*map(_parameter, shown), *own, *map(_parameter, of_service)]

        def command(**arguments: Any) -> Any:
            given = {"given": _values(shown, arguments)}
            if service:
                given["service"] = _values(of_service, arguments)
            with _files_said(given["given"]):
                return function(**given, **arguments)

        command.__name__, command.__doc__, command.__module__ = "command", function.__doc__, function.__module__
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.examples = kind.examples  # type: ignore[attr-defined]
        command.kind = kind  # type: ignore[attr-defined]
        command.given_of = lambda said: _values(shown, dict(said))  # type: ignore[attr-defined] # parsed → keywords
        command.__annotations__ = {p.name: p.annotation for p in parameters}
        return command

    return decorate


@contextlib.contextmanager
def _files_said(given: Given) -> Iterator[None]:
    """Say which of the files beside the result were written within it, also where it ends with an error."""
    files = [Path(given[name]) for name in _BESIDE if name in given]
    before = list(map(_state, files))
    try:
        yield
    finally:
        out.note(*(f"{file} written" for file, was in zip(files, before) if _state(file) not in (None, was)))


def _state(file: Path) -> Optional[tuple[int, int, int]]:
    """What another file, or the same one written again, has otherwise; None where there is none."""
    try:
        found = file.stat()
    except (OSError, ValueError):  # ValueError: a name that no file can have
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def taken(given: Given, *names: str) -> Given:
    """What was typed of these, taken out of *given*: for another function."""
    return {name: given.pop(name) for name in names if name in given}


def _values(found: Sequence[Declared], arguments: dict[str, Any]) -> Given:
    """What was typed of these, taken out of *arguments*."""
    given = {}
    for d in found:
        value = arguments.pop(d.name)
        if value is None or value in ([], ()) or (not d.argument and value == _default(d)):
            continue
        given[d.name] = value if d.parse is None else d.parse(d.flag, value)
    return given


def _parameter(d: Declared) -> inspect.Parameter:
    kind = _typed(d)
    said: dict[str, Any] = {"help": d.help, "metavar": d.metavar}
    if d.argument:
        made = typer.Argument(**said)
    else:
        flags = list(d.flags) or [_flag(d, kind)]
        made = typer.Option(*flags, rich_help_panel=d.group, **said)
    default = inspect.Parameter.empty if d.default is dataclasses.MISSING else _default(d)
    if default is None:
        kind = Optional[kind]
    return inspect.Parameter(d.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, made])


def _flag(d: Declared, kind: Any) -> str:
    name = d.name.replace("_", "-")
    return f"--{name}/--no-{name}" if kind is bool and d.default is not False else f"--{name}"


def _default(d: Declared) -> Any:
    """As the parser has it: what stands for nothing is None, and everything else what would be typed."""
    if d.default is None or d.default == () or d.default == {}:
        return None
    kind = _typed(d)
    return kind(str(d.default)) if kind in (str, Path) else d.default


def _typed(d: Declared) -> Any:
    """The type of what is typed: ``Optional`` and the wider types of the API are taken off."""
    if d.typed is not None:
        return d.typed
    return _plain(d.hint)


def _plain(hint: Any) -> Any:
    origin, inner = typing.get_origin(hint), [a for a in typing.get_args(hint) if a is not type(None)]
    if hint in (bool, int, float, str, Path):
        return hint
    if origin is os.PathLike:
        return Path
    if origin is Union:
        kinds = {_plain(a) for a in inner}
        return Path if Path in kinds else _only(kinds, hint)
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return list[_only({_plain(a) for a in inner}, hint)]  # type: ignore[misc]
    raise TypeError(f"{hint}: what is typed is of another type, declare it: typed=…")


def _only(kinds: set[Any], hint: Any) -> Any:
    if len(kinds) != 1:
        raise TypeError(f"{hint}: several types, declare one: typed=…")
    return next(iter(kinds))
