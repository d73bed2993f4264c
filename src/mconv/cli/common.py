"""What every subcommand shares: the output, the global options, the rendering of errors.

A subcommand is ``def command(...)`` in ``mconv/cli/<name>.py`` with typer annotations. It prints for people through
:data:`out` and **returns** its result (a dataclass, a dictionary, or None): the frame prints that as the one JSON
document when ``--json`` was given. ``--json``, ``-v``, ``-q`` and ``--debug`` are added to every subcommand here.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import inspect
import json
import logging
import os
import shlex
import sys
import time
import typing
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Callable, Optional, Union

import typer

from mconv.cli.grouped import EVERY
from mconv.cli.process import Stop, silence, to_stdout, unwinding
from mconv.errors import (
    EXIT_BUG,
    EXIT_INTERRUPTED,
    LimitError,
    MconvError,
    NotAModelError,
    OutputExistsError,
    RuntimeFailedError,
    VerificationError,
)
from mconv.printable import json_text, plain, printable, printable_lines
from mconv.warned import coded

EXIT_PIPE = 141  # the shell's 128 + SIGPIPE
_LONGEST = 2000  # characters of a message, of a line of its table
_LONGEST_ROW = 500
_MOST_ROWS = 20
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


class Output:
    """Where a subcommand prints. Results go to stdout, everything about the way there to stderr.

    Whatever a text holds, a name from a model or a message about a damaged file, it is made printable here: no caller
    has to. What is not a document (:meth:`text`) is one line, but for line feeds at its ends.
    """

    def __init__(self) -> None:
        self.configure()

    def configure(self, *, json: bool = False, verbose: int = 0, quiet: bool = False, debug: bool = False) -> None:
        """Set the mode of this run; called by the frame before the subcommand."""
        self.json = json
        self.verbose = verbose
        self.quiet = quiet
        self.debug = debug
        self.emitted = False
        self._consoles: dict[bool, Any] = {}

    def console(self, *, stderr: bool = False) -> Any:
        """The rich console of stdout or stderr; not wrapped at 80 columns where it is no terminal."""
        if stderr not in self._consoles:
            from rich.console import Console

            stream = sys.stderr if stderr else sys.stdout
            width = None if stream.isatty() else 10_000
            self._consoles[stderr] = Console(
                file=stream, width=width, markup=False, highlight=False, emoji=False, soft_wrap=True
            )
        return self._consoles[stderr]

    @property
    def human(self) -> bool:
        """Whether the result is to be rendered for a person on stdout."""
        return not self.json and not self.quiet

    def print(self, text: str, style: Optional[str] = None) -> None:
        """A line of the human-readable result."""
        body = text.strip("\n")
        before = len(text) - len(text.lstrip("\n"))
        self._print("\n" * before + _one_line(body) + "\n" * (len(text) - before - len(body)), style)

    def text(self, text: str) -> None:
        """A document of several lines as the human-readable result."""
        self._print(printable_lines(text))

    def _print(self, text: str, style: Optional[str] = None) -> None:
        if not self.human:
            return
        with to_stdout():
            if style is None:
                sys.stdout.write(text + "\n")  # spares plain lines the import of rich
            else:
                sys.stdout.flush()
                self.console().print(text, style=style)

    @property
    def terminal(self) -> bool:
        """Whether the result is for a person at a terminal, whose width bounds tables."""
        return self.human and sys.stdout.isatty()

    def table(
        self,
        columns: Sequence[str],
        rows: Sequence[Sequence[object]],
        *,
        title: str = "",
        right: Sequence[str] = (),
        drop: Sequence[str] = (),
        verdict: Optional[str] = None,
    ) -> None:
        """A table of the human-readable result. At a terminal it fits: columns are left out, names and paths shortened.

        Args:
            columns: headings.
            rows: one sequence of cells for each line; anything with a ``str()``, a list for a cell of several lines.
            title: a line above it.
            right: the headings whose cells are set flush right (numbers).
            drop: the headings that a narrow terminal can do without, the first one first.
            verdict: the heading of what became of each row: at a terminal it stands first and is coloured.
        """
        if not self.human:
            return
        from rich.box import SIMPLE_HEAD
        from rich.table import Table
        from rich.text import Text

        cells = [[cell if isinstance(cell, Text) else Text(_cell(cell)) for cell in row] for row in rows]
        headings, console = list(columns), self.console()
        if self.terminal:
            headings, cells = _fitted(headings, cells, console.width, right, drop, verdict)
        table = Table(
            box=SIMPLE_HEAD, title=printable(title) or None, title_justify="left", pad_edge=False, show_edge=False
        )
        for heading in headings:
            number = heading in right  # half a number is none
            table.add_column(heading, justify="right" if number else "left", overflow="fold", no_wrap=number)
        for row in cells:
            table.add_row(*row)
        with to_stdout():
            sys.stdout.flush()
            console.print(table)

    def note(self, text: str) -> None:
        """What is being done; on stderr, so that it never mixes with the result."""
        if not self.quiet:
            self._stderr(text)

    def detail(self, text: str) -> None:
        """What only ``-v`` shows."""
        if self.verbose:
            self._stderr(text)

    def warn(self, text: str) -> None:
        self._stderr(f"warning: {text}", "yellow")

    def error(self, message: str, hint: Optional[str] = None) -> None:
        """``error: …`` and, if there is one, ``hint: …``: one line each."""
        self._stderr(f"error: {message}", "bold red")
        if hint:
            self._stderr(f"hint: {hint}")

    def _stderr(self, text: str, style: Optional[str] = None) -> None:
        # twice: what is escaped is longer than it was
        text = text[: len(text) - len(text.lstrip(" "))] + printable(printable(text, _LONGEST), _LONGEST + 100)
        try:
            if style and sys.stderr.isatty():
                self.console(stderr=True).print(text, style=style)
            else:
                sys.stderr.write(text + "\n")
                sys.stderr.flush()
        except OSError:  # full, or closed: there is nowhere to tell it
            silence(sys.stderr)

    def emit(self, result: object) -> None:
        """Print the result as the JSON document, once; does nothing without ``--json``."""
        if self.json and not self.emitted:
            self.emitted = True
            unicode = (sys.stdout.encoding or "utf-8").lower().replace("_", "-") in ("utf-8", "utf8")
            write = json_text if unicode else functools.partial(json.dumps, allow_nan=False)
            text = write(_with_codes(plain(result), result), indent=2)
            with to_stdout():
                sys.stdout.write(text + "\n")
                sys.stdout.flush()

    @contextlib.contextmanager
    def status(self, text: str) -> Iterator[None]:
        """A spinner on a terminal, one plain line elsewhere."""
        if self.quiet or not sys.stderr.isatty():
            self.note(text)
            yield
        else:
            with self.console(stderr=True).status(_Phase(text)):
                yield

    @contextlib.contextmanager
    def progress(self, text: str) -> Iterator[Callable[[str], None]]:
        """For long work: the function that is given says what is being done; on a terminal in one line that changes,
        elsewhere, with ``-v``, in a line each."""
        if self.quiet or self.verbose or not sys.stderr.isatty():
            yield self.detail
            return
        phase = _Phase(text)

        def say(what: str) -> None:
            phase.text = what

        with self.console(stderr=True).status(phase):
            yield say


out = Output()
_GAP = 3  # columns of a terminal between two of a table
_TELL_BYTES = 10_000_000
_NARROW = 14  # as short as a name may get
_GOOD = ("ok", "done", "passed", "cached", "nothing to do", "unchanged")


def _fitted(
    headings: Sequence[str],
    rows: Sequence[Sequence[Any]],
    width: int,
    right: Sequence[str],
    drop: Sequence[str],
    verdict: Optional[str],
) -> tuple[list[str], list[list[Any]]]:
    """The columns of a table that a terminal of that width has room for, see :meth:`Output.table`."""
    order = list(range(len(headings)))
    if verdict is not None:
        place = headings.index(verdict)
        order.remove(place)
        order.insert(0, place)
    # a column without anything in it says nothing
    order = [i for i in order if not rows or any(row[i].plain for row in rows)]

    def widths() -> dict[int, int]:
        return {i: max(t.cell_len for t in _lines(headings[i], rows, i)) for i in order}

    def excess() -> int:
        return sum(widths().values()) + _GAP * (len(order) - 1) - width

    for heading in drop:
        if excess() <= 0:
            break
        order = [i for i in order if headings[i] != heading]
    cells = [list(row) for row in rows]
    names = [i for i in order if headings[i] not in right and headings[i] != verdict]
    while names and excess() > 0:
        widest = max(names, key=lambda i: widths()[i])
        limit = max(_NARROW, widths()[widest] - excess())
        if limit >= widths()[widest]:
            break
        if widest == order[-1]:  # a reason may take several lines, which the table breaks between words
            names.remove(widest)
            continue
        for row in cells:
            row[widest] = _shortened(row[widest], limit)
        rows = cells
    if verdict is not None:
        for row in cells:
            found = row[headings.index(verdict)]
            good = "yellow" if "in part" in found.plain else "green"
            found.stylize(good if found.plain.startswith(_GOOD) else "dim" if found.plain == "not run" else "bold red")
    return [headings[i] for i in order], [[row[i] for i in order] for row in cells]


def _lines(heading: str, rows: Sequence[Sequence[Any]], place: int) -> list[Any]:
    from rich.text import Text

    return [Text(heading), *(line for row in rows for line in row[place].split("\n", allow_blank=True))]


def _shortened(text: Any, limit: int) -> Any:
    """The beginning and the end of each line: the end of a path tells more than its middle."""
    from rich.text import Text

    def cut(line: str) -> str:
        return line if len(line) <= limit else f"{line[: (limit - 1) // 3]}…{line[-(limit - 1 - (limit - 1) // 3) :]}"

    return Text("\n".join(map(cut, text.plain.split("\n"))), style=text.style)


class _Phase:
    """What is being done, for how long, and how much was written: rendered anew whenever the terminal is."""

    def __init__(self, text: str):
        self.start, self.text, self.before = time.monotonic(), text, _written()

    def __rich__(self) -> Any:
        from rich.text import Text

        written = _written() - self.before
        more = f", {written / 1e6:.0f} MB written" if written >= _TELL_BYTES else ""
        spent = f" ({time.monotonic() - self.start:.0f} s{more})"
        return Text(printable(self.text, 200) + spent, overflow="ellipsis", no_wrap=True)


def _written() -> int:
    """Bytes that this process has written, by whichever call; 0 where the system does not say."""
    try:
        with open("/proc/self/io", "rb") as file:
            return next((int(line.split()[1]) for line in file if line.startswith(b"wchar")), 0)
    except OSError:
        return 0


def _one_line(text: str) -> str:
    """As :func:`printable`, with the blanks at the beginning, which indent."""
    return text[: len(text) - len(text.lstrip(" "))] + printable(text)


def _cell(value: object) -> str:
    return "\n".join(printable(str(v)) for v in value) if isinstance(value, (list, tuple)) else printable(str(value))


def _with_codes(document: Any, result: Any) -> Any:
    """The document with ``coded_warnings``, where the result has warnings."""
    if isinstance(document, dict) and isinstance(getattr(result, "warnings", None), list):
        document["coded_warnings"] = coded(result.warnings)
    return document


class Stopped(Exception):
    """An interrupt or a closed pipe, on its way past typer, which would answer them itself."""

    def __init__(self, cause: BaseException):
        super().__init__(repr(cause))
        self.cause = cause


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
    return printable(f"{filename}:{lineno}: {category.__name__}: {message}", _LONGEST) + "\n"


def _configure_logging() -> None:
    warnings.formatwarning = _warning
    level = logging.DEBUG if out.debug or out.verbose > 1 else logging.INFO if out.verbose else logging.WARNING
    logger = logging.getLogger("mconv")
    logger.handlers[:] = [logging.StreamHandler(sys.stderr)]
    logger.handlers[0].setFormatter(_Formatter("%(levelname)s %(name)s: %(message)s"))
    logger.setLevel(logging.ERROR if out.quiet else level)
    logger.propagate = False


_MAY_BE_OURS = (RuntimeFailedError.exit_code, VerificationError.exit_code, EXIT_BUG)


def render_error(error: BaseException, command: str, typed: Sequence[str] = ()) -> int:
    """Tell the user what happened, in one line; returns the exit code.

    A :class:`MconvError` gives its own message, hint and code; a usage error of the parser code 2; an interrupt 130,
    other signals theirs; a closed pipe 141, silently; what the machine refused (a path that cannot be opened, a full
    disk, no more memory) a code of its kind; anything else is a bug: one line, how to report it, code 70.

    Args:
        typed: the command's arguments, for the line that says how to report what may be mconv's fault.
    """
    if isinstance(error, Stopped):
        error = error.cause
    if isinstance(error, BrokenPipeError):
        silence(sys.stdout)
        return EXIT_PIPE
    if isinstance(error, (KeyboardInterrupt, typer.Abort)):
        out.error(error.message if isinstance(error, Stop) else "interrupted")
        return error.exit_code if isinstance(error, Stop) else EXIT_INTERRUPTED
    told = error if isinstance(error, MconvError) else _environment(error)
    if told is not None:
        kind, message, hint, code = type(told).__name__, told.message, told.hint, told.exit_code
    elif hasattr(error, "format_message") and hasattr(error, "exit_code"):  # click's, or typer's own copy of click
        kind, message, hint, code = "UsageError", error.format_message(), f"{command} --help", error.exit_code
    else:
        first = str(error).strip().splitlines()
        kind, code = "Bug", EXIT_BUG
        message = f"a bug of mconv: {type(error).__name__}: {first[0] if first else '(no message)'}"
        hint = "please report it"
    if out.debug:
        import traceback

        text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        for line in text.splitlines():
            out._stderr(line)
    out.error(message, hint)
    if code in _MAY_BE_OURS and typed and typed[0] != "report-bug":
        out._stderr(f"to report it: mconv report-bug -- {shlex.join(typed)}")
    rows = error.rows if isinstance(error, MconvError) else []
    if rows and not out.json:
        _show_rows(rows)
    failure = {"kind": kind, "message": message, "hint": hint, "exit_code": code, "rows": rows}
    try:
        out.emit({"error": failure})
    except BrokenPipeError:
        silence(sys.stdout)
    except OutputExistsError as e:
        out.error(e.message)
    return code


_OUTPUT = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}


def _environment(error: BaseException) -> Optional[MconvError]:
    """What the machine refused, said as an error of its kind; None for anything else."""
    if isinstance(error, MemoryError):
        return LimitError(
            f"out of memory{': ' if str(error) else ''}{error}", "a machine or a container with more of it can do it"
        )
    if not isinstance(error, OSError) or error.errno is None:
        return None
    named = [os.fspath(n) for n in (error.filename, error.filename2) if isinstance(n, (str, bytes, os.PathLike))]
    where = os.fsdecode(named[0]) if named else ""
    if error.errno in _OUTPUT:
        return OutputExistsError(f"{where or 'the output'}: cannot be written ({error.strerror})")
    return NotAModelError(f"{where}: {error.strerror}") if where else None


def _show_rows(rows: Sequence[Mapping[str, Any]]) -> None:
    """What is unsupported, on stderr: a table on a terminal, one line for each row elsewhere."""

    def text(value: Any) -> str:
        if isinstance(value, (list, tuple)):
            more = f", … {len(value) - 3} more" if len(value) > 3 else ""
            return ", ".join(printable(str(v), 200) for v in value[:3]) + more
        return printable(str(value), 400)

    present = [
        k for k in dict.fromkeys(k for row in rows for k in row) if any(r.get(k) not in (None, "", []) for r in rows)
    ]
    rest = len(rows) - _MOST_ROWS
    rows = rows[:_MOST_ROWS]
    if not sys.stderr.isatty():
        for row in rows:
            cells = (f"{k}: {text(row[k])}" for k in present if row.get(k) not in (None, "", []))
            out._stderr("  " + printable(", ".join(cells), _LONGEST_ROW))
        if rest > 0:
            out._stderr(f"  … {rest} more")
        return
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for heading in present:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*[Text("" if row.get(k) in (None, "", []) else text(row[k])) for k in present])
    if rest > 0:
        table.add_row(f"… {rest} more")
    out.console(stderr=True).print(table)


@contextlib.contextmanager
def stdout_for_the_result() -> Iterator[None]:
    """Within it, what the user's code, a framework and its C++ print goes to stderr."""
    sys.stdout.flush()
    try:
        kept = os.dup(1)
    except OSError:  # closed
        yield
        return
    try:
        os.dup2(2, 1)
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)
