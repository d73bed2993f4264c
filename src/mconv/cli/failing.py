"""An error as the user is told of it: one line, what to do, the table of what is wrong in particular, and its exit code."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Optional

import typer

from mconv.cli.output import out
from mconv.cli.process import Stop, silence
from mconv.errors import (
    EXIT_BUG,
    EXIT_INTERRUPTED,
    MconvError,
    OutputExistsError,
    PrecisionError,
    RuntimeFailedError,
    UnreachableError,
    VerificationError,
    refused,
)
from mconv.printable import printable

EXIT_PIPE = 141  # the shell's 128 + SIGPIPE
_LONGEST_ROW = 500
_MOST_ROWS = 20


class Stopped(Exception):
    """An interrupt or a closed pipe, on its way past typer, which would answer them itself."""

    def __init__(self, cause: BaseException):
        super().__init__(repr(cause))
        self.cause = cause


# what they run was made by them, or by the command that they check
_RUN_OWN = frozenset(
    ("onnx2paddle", "torch2paddle", "to-static", "to-onnx", "downgrade", "half", "quantize", "edit", "convert",
     "verify", "run", "serve-check")
)  # fmt: skip


def _may_be_ours(code: int, error: Optional[MconvError], typed: Sequence[str]) -> bool:
    """Whether mconv may be at fault, so that a report is worth it; not where a service fails, or nothing answers."""
    if not typed or typed[0] == "report-bug":
        return False
    if code == RuntimeFailedError.exit_code:
        address = any(word.startswith(("http://", "https://", "grpc://")) for word in typed)
        return typed[0] in _RUN_OWN and not address and not isinstance(error, UnreachableError)
    return code in (VerificationError.exit_code, EXIT_BUG) and not isinstance(error, PrecisionError)


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
    told = error if isinstance(error, MconvError) else refused(error)
    if told is not None:
        kind, message, hint, code = type(told).__name__, told.message, told.hint, told.exit_code
    elif hasattr(error, "format_message") and hasattr(error, "exit_code"):  # click's, or typer's own copy of click
        kind, message, hint, code = "UsageError", *_misused(error, command), error.exit_code
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
    if _may_be_ours(code, told, typed):
        out._stderr(f"to report it: mconv report-bug -- {shlex.join(typed)}")
    rows = error.rows if isinstance(error, MconvError) else []
    # outputs that differ have a table of their own, above; with --quiet the line of the error is enough
    if rows and not out.json and not isinstance(error, VerificationError):
        _show_rows(rows)
    failure = {"kind": kind, "message": message, "hint": hint, "exit_code": code, "rows": rows}
    try:
        out.emit({} if told is None else told.result(), failure)
    except BrokenPipeError:
        silence(sys.stdout)
    except OutputExistsError as e:
        out.error(e.message)
    return code


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
            cells = (f"{_heading(k)}: {text(row[k])}" for k in present if row.get(k) not in (None, "", []))
            out._stderr("  " + printable(", ".join(cells), _LONGEST_ROW))
        if rest > 0:
            out._stderr(f"  … {rest} more")
        return
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    present = [k for k in present if k != "todo"]  # a sentence, and the same one for many: below
    for heading in present:
        table.add_column(_heading(heading), overflow="fold")
    for row in rows:
        table.add_row(*[Text("" if row.get(k) in (None, "", []) else text(row[k])) for k in present])
    if rest > 0:
        table.add_row(f"… {rest} more")
    out.console(stderr=True).print(table)
    todo: dict[str, list[str]] = {}
    for row in rows:
        if row.get("todo"):
            todo.setdefault(text(row["todo"]), []).append(text(row["operator"]))
    for what, operators in todo.items():
        out.error_detail(f"{', '.join(dict.fromkeys(operators))}: {what}")


def _heading(key: str) -> str:
    return key.replace("_", " ")


def _misused(error: Any, command: str) -> tuple[str, str]:
    """What the parser's error says, and the help of the command that it is of: of ``mconv runtime run``, not of
    ``mconv runtime``. Its own word for a group without a command is the whole help."""
    context = getattr(error, "ctx", None)
    inner = getattr(context, "command_path", None) or command
    group = getattr(getattr(context, "command", None), "commands", None)
    if type(error).__name__ == "NoArgsIsHelpError" and group:
        return f"{inner}: which command?", f"{inner} {'|'.join(group)}"
    return error.format_message(), f"{inner} --help"
