"""``mconv report-bug``."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, Any, Optional

import typer

from mconv.cli.output import out, stdout_for_the_result
from mconv.cli.parameters import Given, with_options
from mconv.errors import UsageError
from mconv.options.report_bug import ReportBug

# command → the function of the API that does it again, into a folder of its own
AGAIN = {
    "onnx2paddle": "onnx2paddle", "torch2paddle": "torch2paddle", "to-onnx": "to_onnx", "downgrade": "downgrade",
    "half": "half", "quantize": "quantize", "edit": "edit", "convert": "convert", "verify": "verify",
}  # fmt: skip


@with_options(ReportBug)
def command(
    given: Given,
    failed: Annotated[
        Optional[list[str]],
        typer.Argument(metavar="-- COMMAND…", help="The command that failed, as it was typed, behind `--`."),
    ] = None,
) -> Any:
    """Write what a report of a failure needs: versions, the command, the smallest model that still fails. Nothing is sent."""
    from mconv import api

    words = [w for i, w in enumerate(failed or []) if not (i == 0 and w == "mconv")]
    parsed = _parsed(words)
    with stdout_for_the_result(), out.progress("looking at the command") as say:
        made = api.report_bug(**given, **parsed, command=words, progress=say)
    out.warn(*made.warnings)
    if made.failure is not None:
        out.print(f"{made.command}: {made.failure}")
    if made.reduced is not None:
        left = made.reduced
        out.print(
            f"reduced from {left.before} operators to {len(left.operators)} ({', '.join(left.operators[:5])}) in {left.tried} "
            f"runs; {left.weights} weights"
        )
    out.table(["file", "bytes", "holds"], [[f.name, f.bytes, f.holds] for f in made.files], right=["bytes"])
    out.print(f"{made.out} is written, nothing was sent: look through it, then attach it to an issue")
    return made


def _parsed(words: Sequence[str]) -> dict[str, Any]:
    """What was said of the options of a command that can be run again; nothing of another.

    Raises:
        UsageError: there is no such command, its options do not parse, or it takes several sources.
    """
    from mconv import api
    from mconv.cli.main import COMMANDS, load, module_of

    if not words:
        return {}
    name = words[0]
    if name not in {n for group in COMMANDS.values() for n in group}:
        raise UsageError(f"mconv has no command {name!r}", "mconv report-bug -- onnx2paddle model.onnx out")
    if name not in AGAIN:
        return {}
    function = import_module(module_of(name)).command
    parser = typer.main.get_command(load(name))
    said = dict(parser.make_context(name, list(words[1:])).params)
    given = function.given_of(said)
    if name == "convert":  # it takes several sources
        sources = list(given["source"])
        if api.several_sources(sources):
            raise UsageError("report-bug looks at one source at a time", "name the one that fails alone")
        (given["source"],) = sources
    return {"kind": function.kind, "given": given, "call": getattr(api, AGAIN[name])}
