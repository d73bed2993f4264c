"""What subcommands print through: for people on stdout, notes and progress on stderr, or the one document of ``--json``."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import sys
import time
from collections.abc import Iterator, Sequence
from shutil import get_terminal_size
from typing import Any, Callable, Optional

from mconv.cli.process import silence, to_stdout
from mconv.cli.tables import fits, fitted, least, stacked
from mconv.errors import MconvError
from mconv.printable import LONGEST, json_text, plain, printable, printable_lines
from mconv.warned import coded


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
            width, height = (None, None) if stream.isatty() else (10_000, 25)
            if stream.isatty() and os.environ.get("TERM", "").lower() in ("dumb", "unknown"):
                width, height = get_terminal_size()  # rich takes 80 columns of such a one
            self._consoles[stderr] = Console(
                file=stream, width=width, height=height, markup=False, highlight=False, emoji=False, soft_wrap=True
            )
        return self._consoles[stderr]

    @property
    def human(self) -> bool:
        """Whether the result is to be rendered for a person on stdout."""
        return not self.json and not self.quiet

    def print(self, text: str, style: Optional[str] = None, *, copied: bool = False) -> None:
        """A line of the human-readable result; at a terminal broken between words, unless it is there to be *copied*."""
        body = text.strip("\n")
        before = len(text) - len(text.lstrip("\n"))
        line = _one_line(body)
        if self.terminal and not copied:
            line = _wrapped(line)
        self._print("\n" * before + line + "\n" * (len(text) - before - len(body)), style)

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
        widths = [(0, heading in right) for heading in headings]  # half a number is none
        if self.terminal:
            full = headings, cells
            headings, cells = fitted(headings, cells, console.width, right, drop, verdict)
            widths = least(headings, cells, right)
            if not fits(widths, console.width):
                with to_stdout():
                    sys.stdout.flush()
                    for line in stacked(*full, printable(title), verdict):
                        console.print(line, soft_wrap=False)
                return
        table = Table(
            box=SIMPLE_HEAD, title=printable(title) or None, title_justify="left", pad_edge=False, show_edge=False
        )
        edges = (0, len(headings) - 1)
        for index, (heading, (width, whole)) in enumerate(zip(headings, widths)):
            side: Any = "right" if heading in right else "left"
            room = max(0, width - (index in edges))  # rich adds to it the space beside the column, which the edges lack
            table.add_column(heading, justify=side, overflow="fold", no_wrap=whole, min_width=room)
        for row in cells:
            table.add_row(*row)
        with to_stdout():
            sys.stdout.flush()
            console.print(table)

    def note(self, *texts: str) -> None:
        """What is being done; on stderr, so that it never mixes with the result."""
        for text in () if self.quiet else texts:
            self._stderr(text, wrap=True)

    def detail(self, text: str) -> None:
        """What only ``-v`` shows."""
        if self.verbose:
            self._stderr(text)

    def warn(self, *texts: str) -> None:
        for text in texts:
            self._stderr(f"warning: {text}", "yellow", wrap=True)

    def error(self, message: str, hint: Optional[str] = None) -> None:
        """``error: …`` and, if there is one, ``hint: …``: one line each."""
        self._stderr(f"error: {message}", "bold red", wrap=True)
        if hint:
            self._stderr(f"hint: {hint}", wrap=not hint.startswith("mconv "))

    def instead_of_table(self, error: MconvError) -> None:
        """Rows of an error that a table has shown already are not shown again."""
        error.rows = [] if self.human else error.rows

    def error_detail(self, text: str) -> None:
        """More of an error, below its table."""
        self._stderr(text, wrap=True)

    def _stderr(self, text: str, style: Optional[str] = None, *, wrap: bool = False) -> None:
        """A line; *wrap* it between words at a terminal, where it is to be read and not to be copied."""
        # twice: what is escaped is longer than it was
        text = text[: len(text) - len(text.lstrip(" "))] + printable(printable(text, LONGEST), LONGEST + 100)
        if wrap and sys.stderr.isatty():
            text = _wrapped(text)
        try:
            if style and sys.stderr.isatty():
                self.console(stderr=True).print(text, style=style)
            else:
                sys.stderr.write(text + "\n")
                sys.stderr.flush()
        except OSError:  # full, or closed: there is nowhere to tell it
            silence(sys.stderr)

    def emit(self, result: object, error: Optional[dict[str, Any]] = None) -> None:
        """Print the result as the JSON document, once; does nothing without ``--json``.

        Args:
            error: what the command ended with, beside the result.
        """
        if self.json and not self.emitted:
            self.emitted = True
            unicode = (sys.stdout.encoding or "utf-8").lower().replace("_", "-") in ("utf-8", "utf8")
            write = json_text if unicode else functools.partial(json.dumps, allow_nan=False)
            document = _with_codes(plain(result), result)
            text = write(document if error is None else {**document, "error": plain(error)}, indent=2)
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
            console = self.console(stderr=True)
            with console.status(_Phase(text, console.width)):
                yield

    @contextlib.contextmanager
    def progress(self, text: str) -> Iterator[Callable[[str], None]]:
        """For long work: the function that is given says what is being done; on a terminal in one line that changes,
        elsewhere, with ``-v``, in a line each."""
        if self.quiet or self.verbose or not sys.stderr.isatty():
            yield self.detail
            return
        console = self.console(stderr=True)
        phase = _Phase(text, console.width)

        def say(what: str) -> None:
            phase.text = what

        with console.status(phase):
            yield say


out = Output()
_TELL_BYTES = 10_000_000
_WORDS = re.compile(r"(?:`[^`]*`|[^ ])+")
_SPINNER = 2  # columns before a phase


class _Phase:
    """What is being done, for how long, and how much was written: rendered anew whenever the terminal is."""

    def __init__(self, text: str, width: int):
        """
        Args:
            width: of the terminal; a longer text is cut, and not the time behind it.
        """
        self.start, self.text, self.before, self.width = time.monotonic(), text, _written(), width

    def __rich__(self) -> Any:
        from rich.text import Text

        written = _written() - self.before
        more = f", {written / 1e6:.0f} MB written" if written >= _TELL_BYTES else ""
        spent = f" ({time.monotonic() - self.start:.0f} s{more})"
        text = Text(printable(self.text, 200))
        text.truncate(max(1, self.width - len(spent) - _SPINNER), overflow="ellipsis")
        return Text(text.plain + spent, overflow="ellipsis", no_wrap=True)


def _written() -> int:
    """Bytes that this process has written, by whichever call; 0 where the system does not say."""
    try:
        with open("/proc/self/io", "rb") as file:
            return next((int(line.split()[1]) for line in file if line.startswith(b"wchar")), 0)
    except OSError:
        return 0


def _wrapped(line: str) -> str:
    """The line broken between words where the terminal would break it in the middle of one; a command in backquotes, which
    is copied, and a word that is longer than the line stay whole."""
    width = get_terminal_size().columns
    if len(line) * 2 <= width:
        return line
    from rich.cells import cell_len

    if cell_len(line) <= width:
        return line
    indent = line[: len(line) - len(line.lstrip(" "))]
    lines: list[str] = []
    for word in _WORDS.findall(line):
        if lines and (cell_len(f"{lines[-1]} {word}") <= width or cell_len(word) > width):
            lines[-1] += f" {word}"
        else:
            lines.append(indent + word)
    return "\n".join(lines)


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
