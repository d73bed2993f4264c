"""``mconv onnx2paddle``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from mconv.cli.common import out
from mconv.cli.options import Budget, Constants, Feeds, Force, Limit, OutFolder, Target, Verify, Where
from mconv.cli.proving import show_report, table_on_failure


def command(
    model: Annotated[Path, typer.Argument(help="The .onnx file; external data beside it is found.")],
    out_dir: OutFolder,
    inputs: Annotated[
        Optional[list[str]],
        typer.Option(
            "--input", "-i", metavar="'NAME[1,3,?,640]'", help="Another shape for an input; ? stays open. Repeatable."
        ),
    ] = None,
    const: Constants = None,
    target: Target = "2.3",
    engine: Annotated[
        str, typer.Option(help="native, or x2paddle: X2Paddle in its managed runtime, as a second opinion.")
    ] = "native",
    verify: Verify = None,
    feeds: Feeds = None,
    tolerance: Limit = None,
    runtime: Where = None,
    plugin: Annotated[
        Optional[list[Path]], typer.Option(metavar="MY_OPS.PY", help="Converters of your own; repeatable.")
    ] = None,
    timeout: Annotated[float, typer.Option(metavar="SECONDS", help="For each run of either model, or X2Paddle.")] = 600,
    limit: Budget = None,
    force: Force = False,
) -> Any:
    """Convert an ONNX model into a Paddle inference model, and prove it."""
    from mconv import api

    with table_on_failure(), out.progress(f"reading {model}") as say:
        report = api.onnx2paddle(
            model,
            out_dir,
            inputs=inputs or (),
            constants=const or (),
            target=target,
            engine=engine,
            verify=verify,
            runtime=runtime,
            feeds=feeds,
            tolerance=tolerance,
            plugins=plugin or (),
            force=force,
            timeout=timeout,
            limit=limit,
            progress=say,
        )
    for warning in report.warnings:
        out.warn(warning)
    count = sum(row["count"] for row in report.operators)
    made = sum(report.paddle_operators.values())
    extra = [f"{report.folded} computed"] if report.folded else []
    extra += [f"{number} {name} fused" for name, number in report.fused.items()]
    extra += [f"{number} {name} expanded" for name, number in report.expanded.items()]
    done = f" ({', '.join(extra)})" if extra else ""
    out.print(f"{out_dir}: {count} ONNX nodes → {made} operators of Paddle {report.target['paddle']}{done}")
    show_report(report)
    return report.to_dict()
