"""``mconv to-static``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from mconv.cli.common import out, stdout_for_the_result
from mconv.cli.options import Arguments, Budget, Feeds, Force, Limit, Target, Timeout, Trust, Where
from mconv.cli.proving import show_report, table_on_failure


def command(
    spec: Annotated[
        str, typer.Argument(help="pkg.module:factory, path/to/file.py:factory, or the folder of a PaddleNLP model.")
    ],
    out_path: Annotated[
        Path,
        typer.Argument(
            metavar="OUT",
            help="The folder for inference.pdmodel, inference.pdiparams, report.json; or a name ending in .pdmodel "
            "or .json for the program, with the others beside it.",
        ),
    ],
    inputs: Annotated[
        Optional[list[str]],
        typer.Option(
            "--input",
            "-i",
            metavar="'NAME:int64[?,128]'",
            help="An input: a parameter of the method, its type and shape; ? stays open. Repeatable.  "
            "[default: guessed]",
        ),
    ] = None,
    weights: Annotated[
        Optional[Path], typer.Option(metavar="X.PDPARAMS", help="The layer's weights, as paddle.save wrote them.")
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict/--no-strict", help="Whether the weights must be exactly the layer's.")
    ] = True,
    arguments: Arguments = None,
    method: Annotated[str, typer.Option(help="The method of the layer to save.")] = "forward",
    target: Target = "2.3",
    form: Annotated[
        Optional[str], typer.Option("--format", help="pdmodel, or json: as Paddle 3 writes it.  [default: pdmodel]")
    ] = None,
    output_names: Annotated[
        Optional[str], typer.Option(metavar="A,B", help="Names for the outputs.  [default: keys of a dictionary]")
    ] = None,
    trust: Trust = False,
    verify: Annotated[
        bool, typer.Option("--verify/--no-verify", help="Run the layer and the result, and compare.")
    ] = True,
    feeds: Feeds = None,
    tolerance: Limit = None,
    runtime: Where = None,
    timeout: Timeout = 600,
    limit: Budget = None,
    force: Force = False,
) -> Any:
    """Save a paddle.nn.Layer as a static inference model that the target loads, and prove it."""
    from mconv import api

    named = out_path.suffix.lstrip(".") if out_path.suffix in (".pdmodel", ".json") else None
    with table_on_failure(), stdout_for_the_result(), out.progress(f"opening {spec}") as say:
        report = api.to_static(
            spec,
            inputs or None,
            out_path,
            arguments=arguments or (),
            params=weights,
            strict=strict,
            trust=trust,
            method=method,
            target=target,
            format=form or named or "pdmodel",
            output_names=None if output_names is None else [n.strip() for n in output_names.split(",")],
            verify=None if verify else False,
            runtime=runtime,
            feeds=feeds,
            tolerance=tolerance,
            folder=named is None,
            force=force,
            timeout=timeout,
            limit=limit,
            progress=say,
        )
    for warning in report.warnings:
        out.warn(warning)
    made = sum(report.paddle_operators.values())
    what = f"{made} operators of Paddle {report.target['paddle']}" if made else "as Paddle writes it"
    out.print(f"{out_path}: {report.source['class']}.{report.source['method']} → {what} ({report.engine})")
    show_report(report)
    return report.to_dict()
