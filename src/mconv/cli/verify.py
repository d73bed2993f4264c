"""``mconv verify``."""

from __future__ import annotations

from typing import Any, Optional

from mconv.cli.output import out, stdout_for_the_result
from mconv.cli.parameters import Given, taken, with_options
from mconv.cli.piped import piped_text
from mconv.cli.proving import show_outputs
from mconv.cli.run import show_annotations
from mconv.errors import MconvError, UsageError, VerificationError
from mconv.options.verify import Reported, Verify

TITLE = "mconv verify"
_SHOWN = 8  # tensors shown before the one that differs


class _Verify(Reported, Verify):
    """With the files that a function of its own writes."""


@with_options(_Verify)
def command(given: Given) -> Any:
    """Run two models on the same inputs and compare them, output by output."""
    from mconv import api
    from mconv.recipe import api as recipes

    if given["a"] == given["b"] == "-":
        raise UsageError("A and B are both `-`", "give the other model")
    a, b = given["a"], given["b"] = piped_text(given["a"]), piped_text(given["b"])
    files = taken(given, "junit_file", "summary_file")
    found: Any = None
    failure: Optional[MconvError] = None
    try:
        # PyTorch and the user's code print
        with stdout_for_the_result(), out.progress("opening both") as say:
            found = api.verify(**given, progress=say)
        if not found.ok:
            failure = _failure(found, a, b)
    except MconvError as e:
        failure = e
    reported = recipes.as_run(a, b, found, failure)
    recipes.write_reports(reported, TITLE, **files)
    show_annotations(reported, TITLE)
    if found is None:
        assert failure is not None
        raise failure
    out.warn(*found.notes)
    out.print(f"A: {found.a}   B: {found.b}")
    by_position = [what for what, how in found.matched.items() if how == "position"]
    if by_position:
        out.print(f"{' and '.join(by_position)} have other names in B: matched by position")
    show_outputs(found.outputs)
    if given.get("layers"):
        _show_layers(found)
    if found.reduced is not None:
        left = found.reduced
        out.print(
            f"reduced from {left.before} operators to {len(left.operators)} ({', '.join(left.operators[:5])}): {given['reduce']}"
        )
    if failure is not None:
        out.instead_of_table(failure)  # they are in the table
        failure.report = found
        raise failure
    return found


def _failure(found: Any, a: str, b: str) -> VerificationError:
    rows = [*found.bad(), *([found.first] if found.first else [])]
    return VerificationError(f"{b} computes something else than {a}: {found.reason()}", None, rows)


def _show_layers(found: Any) -> None:
    if found.first is not None:
        out.print(f"\nthe first of {found.compared} tensors inside that differs: {found.first['name']}")
        position = next(at for at, row in enumerate(found.layers) if not row["ok"])
        show_outputs(found.layers[max(0, position + 1 - _SHOWN) : position + 1])
    elif found.compared:
        worst = max(found.layers, key=lambda row: row["max_abs"] or 0.0)
        out.print(f"\nall {found.compared} tensors inside that both name agree; the one furthest apart:")
        show_outputs([worst])
