"""What every subcommand shares: the global options, the frame around it.

A subcommand is ``def command(...)`` in ``mconv/cli/<name>.py`` with typer annotations. It prints for people through
:data:`mconv.cli.output.out` and **returns** its result (a dataclass, a dictionary, or None): the frame prints that as the one JSON
document when ``--json`` was given. ``--json``, ``-v``, ``-q`` and ``--debug`` are added to every subcommand here.
"""

from __future__ import annotations

import functools
import inspect
import logging
import sys
import typing
import warnings
from typing import Annotated, Any, Callable, Union

import typer

from mconv.cli.failing import Stopped
from mconv.cli.grouped import EVERY
from mconv.cli.output import out
from mconv.cli.process import to_stdout, unwinding
from mconv.printable import LONGEST, printable, printable_lines

_GLOBALS: dict[str, Any] = {
    "json_": Annotated[
        bool,
        typer.Option("--json", rich_help_panel=EVERY, help="One JSON document on stdout, everything else on stderr."),
    ],
    "verbose": Annotated[
        int, typer.Option("--verbose", "-v", rich_help_panel=EVERY, count=True, help="Say more; twice for even more.")
    ],
    "quiet": Annotated[
        bool, typer.Option("--quiet", "-q", rich_help_panel=EVERY, help="Say nothing but warnings and errors.")
    ],
    "debug": Annotated[bool, typer.Option("--debug", rich_help_panel=EVERY, help="Show the traceback of an error.")],
}
_DEFAULTS = {"json_": False, "verbose": 0, "quiet": False, "debug": False}


def with_globals(function: Callable[..., Any]) -> Callable[..., Any]:
    """The subcommand's function with the global options added and its return value emitted."""
    signature = inspect.signature(function)
    hints = typing.get_type_hints(function, include_extras=True)
    parameters = [p.replace(annotation=_own(hints.get(p.name, p.annotation))) for p in signature.parameters.values()]
    clash = {p.name for p in parameters} & set(_GLOBALS)
    if clash:
        raise TypeError(f"{function.__module__}: {', '.join(sorted(clash))} are global options, added by the frame")
    for name, annotation in _GLOBALS.items():
        parameters.append(
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=_DEFAULTS[name], annotation=annotation)
        )

    @functools.wraps(function)
    def wrapper(**arguments: Any) -> None:
        chosen = {name: arguments.pop(name) for name in _GLOBALS}
        out.configure(json=chosen["json_"], verbose=chosen["verbose"], quiet=chosen["quiet"], debug=chosen["debug"])
        _configure_logging()
        try:
            with unwinding():
                result = function(**arguments)
                out.emit({} if result is None else result)
                with to_stdout():
                    sys.stdout.flush()
        except (KeyboardInterrupt, BrokenPipeError) as error:
            raise Stopped(error) from error

    del wrapper.__wrapped__
    wrapper.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {p.name: p.annotation for p in parameters}
    return wrapper


def _own(hint: Any) -> Any:
    """The annotation as it was written: Python before 3.11 wraps it in another Optional where the default is None."""
    if typing.get_origin(hint) is typing.Union:
        return next((part for part in typing.get_args(hint) if hasattr(part, "__metadata__")), hint)
    return hint


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return printable_lines(super().format(record))


def _warning(
    message: Union[Warning, str], category: type[Warning], filename: str, lineno: int, line: Any = None
) -> str:
    """A warning of a library, as the module warnings shows it."""
    return printable(f"{filename}:{lineno}: {category.__name__}: {message}", LONGEST) + "\n"


def _configure_logging() -> None:
    warnings.formatwarning = _warning
    level = logging.DEBUG if out.debug or out.verbose > 1 else logging.INFO if out.verbose else logging.WARNING
    logger = logging.getLogger("mconv")
    logger.handlers[:] = [logging.StreamHandler(sys.stderr)]
    logger.handlers[0].setFormatter(_Formatter("%(levelname)s %(name)s: %(message)s"))
    logger.setLevel(logging.ERROR if out.quiet else level)
    logger.propagate = False
