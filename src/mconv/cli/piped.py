"""``-`` as a model: what the command before in a pipe has made, told by its ``--json`` report on stdin."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Union

from mconv import errors
from mconv.errors import MconvError, UsageError
from mconv.printable import printable

HELP = "`-` takes what the command before made: `mconv onnx2paddle m.onnx out --json | mconv to-serving -`"
_LIMIT = 256 << 20  # characters


def piped(source: Union[str, Path]) -> Path:
    """*source*, or for ``-`` the model that the report on stdin says was made.

    Raises:
        UsageError: there is no report on stdin, or one of a command that makes no model.
        MconvError: the command before failed; of the same kind and with the same exit code.
    """
    if str(source) != "-":
        return Path(source)
    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError("`-` reads the report of another command, and stdin is a terminal", HELP)
    text = sys.stdin.read(_LIMIT)
    try:
        report = json.loads(text)
    except (ValueError, RecursionError):
        what = "nothing" if not text.strip() else f"no JSON: {printable(text[:80])}"
        raise UsageError(f"`-` reads the report of another command, and there is {what} on stdin", HELP) from None
    if not isinstance(report, dict):
        raise UsageError("`-` reads the report of another command, and stdin holds another JSON document", HELP)
    if isinstance(report.get("error"), dict):
        raise _again(report["error"])
    made = made_by(report)
    if made is None:
        raise UsageError("the report on stdin is of a command that makes no model", HELP)
    return made


def piped_text(source: str) -> str:
    """:func:`piped` for a source that may be something else than a path."""
    return str(piped(source)) if source == "-" else source


def made_by(report: dict[str, Any]) -> Any:
    """The path of the model that a report is about; None where it names none."""
    output = report.get("output")
    if isinstance(output, dict) and isinstance(output.get("file"), str):
        return Path(output["file"])  # to-onnx
    if isinstance(output, dict) and isinstance(output.get("folder"), str) and isinstance(output.get("program"), str):
        return Path(output["folder"], output["program"])  # onnx2paddle, torch2paddle, to-static
    if isinstance(report.get("server"), str):
        return Path(report["server"])  # to-serving, convert
    if "server" in report:
        return None  # to-serving --show
    for key in ("program", "path", "folder"):  # downgrade; inspect; serve-check
        if isinstance(report.get(key), str):
            return Path(report[key])
    return None


def _again(error: dict[str, Any]) -> MconvError:
    kind = getattr(errors, str(error.get("kind")), MconvError)
    known = isinstance(kind, type) and issubclass(kind, MconvError)
    return (kind if known else MconvError)(f"the command before failed: {error.get('message')}")


__all__ = ["HELP", "made_by", "piped", "piped_text"]
