"""``mconv to-onnx``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from mconv.cli.common import out
from mconv.cli.options import Budget, Feeds, ForceThere, Limit
from mconv.cli.piped import piped
from mconv.cli.proving import show_report, table_on_failure


def command(
    path: Annotated[
        Path, typer.Argument(help="The model: a folder, a file, or a prefix (any era of Paddle, .json included).")
    ],
    onnx: Annotated[Path, typer.Argument(metavar="OUT.ONNX", help="The file to write; a report is put beside it.")],
    opset: Annotated[
        int, typer.Option(metavar="NUMBER", help="The version of ONNX's operators; a newer one where it is needed.")
    ] = 13,
    verify: Annotated[
        Optional[bool],
        typer.Option("--verify/--no-verify", help="Run both models and compare.  [default: if onnxruntime is there]"),
    ] = None,
    inputs: Annotated[
        Optional[list[str]],
        typer.Option(
            "--input", "-i", metavar="'NAME[1,3,?,640]'", help="Shape of a random input to verify with. Repeatable."
        ),
    ] = None,
    feeds: Feeds = None,
    tolerance: Limit = None,
    runtime: Annotated[
        Optional[str],
        typer.Option(
            help="Where the Paddle model runs: a managed runtime or `current`.  [default: the program's Paddle]"
        ),
    ] = None,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", help="For the conversion, and for running the Paddle model.")
    ] = 600,
    limit: Budget = None,
    force: ForceThere = False,
) -> Any:
    """Convert a Paddle model of any era into an ONNX model with paddle2onnx, and prove it."""
    from mconv import api

    with table_on_failure(), out.progress(f"reading {path}") as say:
        report = api.to_onnx(
            piped(path),
            onnx,
            opset=opset,
            verify=verify,
            inputs=inputs or (),
            feeds=feeds,
            tolerance=tolerance,
            runtime=runtime,
            timeout=timeout,
            limit=limit,
            force=force,
            progress=say,
        )
    for warning in report.warnings:
        out.warn(warning)
    count, made = sum(report.paddle_operators.values()), sum(row["count"] for row in report.operators)
    out.print(f"{onnx}: {count} operators of Paddle → {made} ONNX nodes, opset {report.target['opset']}")
    show_report(report)
    return report.to_dict()
