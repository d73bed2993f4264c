"""``mconv verify``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from mconv.cli.common import out, stdout_for_the_result
from mconv.cli.options import Budget, JUnit, Limit, Summary
from mconv.cli.piped import piped_text
from mconv.cli.proving import show_outputs
from mconv.cli.run import show_annotations
from mconv.errors import MconvError, UsageError, VerificationError

TITLE = "mconv verify"
_SHOWN = 8  # tensors shown before the one that differs


def command(
    a: Annotated[
        str,
        typer.Argument(
            metavar="A",
            help="The reference: a model file or folder of any kind, or a service: http://HOST/NAME/prediction.",
        ),
    ],
    b: Annotated[str, typer.Argument(metavar="B", help="The other: the same kinds.")],
    runtime: Annotated[
        Optional[str],
        typer.Option(help="Where Paddle models run: a managed runtime or `current`.  [default: the program's Paddle]"),
    ] = None,
    runtime_a: Annotated[Optional[str], typer.Option(help="The same for A alone.")] = None,
    inputs: Annotated[
        Optional[list[str]],
        typer.Option("--input", "-i", metavar="'NAME[1,3,?,640]'", help="Shape of a random input. Repeatable."),
    ] = None,
    feeds: Annotated[
        Optional[Path], typer.Option("--inputs", metavar="X.NPZ", help="Inputs, instead of random ones.")
    ] = None,
    tolerance: Limit = None,
    layers: Annotated[
        bool, typer.Option("--layers", help="Find the first tensor inside that differs (by its name in both).")
    ] = False,
    onednn: Annotated[
        Optional[bool], typer.Option("--onednn/--no-onednn", help="Run Paddle with oneDNN.  [default: as it comes]")
    ] = None,
    ir_optim: Annotated[bool, typer.Option("--ir-optim/--no-ir-optim", help="Let Paddle optimise the graph.")] = True,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", help="For loading and running one model, or one request.")
    ] = 600,
    request: Annotated[
        str, typer.Option(metavar="FORM", help="How a service is asked: key-value or tensors.")
    ] = "key-value",
    config: Annotated[
        Optional[Path],
        typer.Option(
            metavar="SERVING_CLIENT_CONF.PROTOTXT",
            help="The names that a service takes.  [default: those of the other side]",
        ),
    ] = None,
    trust: Annotated[
        bool, typer.Option("--trust", help="Unpickle PyTorch files without restrictions: they can run code.")
    ] = False,
    limit: Budget = None,
    junit: JUnit = None,
    summary: Summary = None,
) -> Any:
    """Run two models on the same inputs and compare them, output by output."""
    from mconv import api

    if a == b == "-":
        raise UsageError("A and B are both `-`", "give the other model")
    a, b = piped_text(a), piped_text(b)
    found: Any = None
    failure: Optional[MconvError] = None
    try:
        # PyTorch and the user's code print
        with stdout_for_the_result(), out.progress("opening both") as say:
            found = api.verify(
                a,
                b,
                runtime=runtime,
                runtime_a=runtime_a,
                inputs=inputs or (),
                feeds=feeds,
                tolerance=tolerance,
                layers=layers,
                onednn=onednn,
                ir_optim=ir_optim,
                timeout=timeout,
                request=request,
                config=config,
                trust=trust,
                limit=limit,
                progress=say,
            )
        if not found.ok:
            failure = _failure(found, a, b)
    except MconvError as e:
        failure = e
    reported = api.as_run(a, b, found, failure)
    api.write_reports(reported, TITLE, junit_file=junit, summary_file=summary)
    show_annotations(reported, TITLE)
    if found is None:
        assert failure is not None
        raise failure
    for note in found.notes:
        out.warn(note)
    out.print(f"A: {found.a}   B: {found.b}")
    by_place = [what for what, how in found.matched.items() if how == "position"]
    if by_place:
        out.print(f"{' and '.join(by_place)} have other names in B: matched by position")
    show_outputs(found.outputs)
    if layers:
        _show_layers(found)
    if failure is not None:
        failure.rows = [] if out.human else failure.rows  # type: ignore[attr-defined] # they are in the table
        raise failure
    return found


def _failure(found: Any, a: str, b: str) -> VerificationError:
    bad = [row for row in found.outputs if not row["ok"]]
    reason = found.problems[0] if found.problems else f"output {bad[0]['name']}: {bad[0]['reason']}"
    where = f"; the first tensor that differs is {found.first['name']!r}" if found.first else ""
    rows = [*bad, *([found.first] if found.first else [])]
    return VerificationError(f"{b} computes something else than {a}: {reason}{where}", None, rows)


def _show_layers(found: Any) -> None:
    if found.first is not None:
        out.print(f"\nthe first of {found.compared} tensors inside that differs: {found.first['name']}")
        show_outputs(found.layers[-_SHOWN:])
    elif found.compared:
        worst = max(found.layers, key=lambda row: row["max_abs"] or 0.0)
        out.print(f"\nall {found.compared} tensors inside that both name agree; the one furthest apart:")
        show_outputs([worst])
