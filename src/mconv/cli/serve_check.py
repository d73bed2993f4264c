"""``mconv serve-check``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from mconv.cli.common import out


def command(
    folder: Annotated[Path, typer.Argument(help="A serving_server/ folder made by `mconv to-serving`.")],
    inputs: Annotated[
        Optional[Path], typer.Option(metavar="FILE.npz", help="The model's inputs; random ones by default.")
    ] = None,
    keep: Annotated[
        Optional[Path],
        typer.Option(metavar="DIR", help="Keep the generated service (config.yml, web_service.py) there."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", "-f", help="Replace what is in --keep's folder.")] = False,
    runtime: Annotated[str, typer.Option(help="The managed runtime that has Paddle Serving.")] = "paddle-2.3.2",
    ir_optim: Annotated[bool, typer.Option(help="Let Paddle optimise the graph.")] = True,
    timeout: Annotated[float, typer.Option(help="Seconds for the start and for each request.")] = 120.0,
) -> Any:
    """Start the real Paddle Serving pipeline on a converted model and compare its answers with direct inference."""
    from mconv import api

    report = api.serve_check(
        folder,
        inputs=inputs,
        keep=keep,
        force=force,
        runtime=runtime,
        ir_optim=ir_optim,
        ready_timeout=timeout,
        request_timeout=timeout,
        progress=out.note,
    )
    out.print(f"{report.folder}: Paddle {report.paddle}, ready after {report.ready_seconds:.1f} s")
    rows = [
        [
            f.form,
            "ok" if f.ok else "FAIL",
            "" if f.max_abs is None else f"{f.max_abs:.3g}",
            f"{f.seconds[-1] * 1e3:.1f}",
            f.reason,
        ]
        for f in report.forms
    ]
    out.table(["request", "", "largest difference", "ms", "why"], rows, right=["largest difference", "ms"])
    if not report.isolated:
        out.warn("no network namespace could be made: the HTTP gateway listened on every interface while the check ran")
    if report.kept is not None:
        out.print(f"the service is in {report.kept}")
    out.emit(report)
    report.require()
    return report
