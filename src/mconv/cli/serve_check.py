"""``mconv serve-check``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from mconv.cli.common import out
from mconv.cli.piped import piped


def command(
    folder: Annotated[
        Path,
        typer.Argument(help="A serving_server/ folder made by `mconv to-serving`, its service's, or the one above."),
    ],
    service: Annotated[
        Optional[Path],
        typer.Option(metavar="DIR", help="The service to test; by default the one beside the model, if there is one."),
    ] = None,
    inputs: Annotated[
        Optional[Path],
        typer.Option(metavar="FILE.npz", help="The model's inputs, for a service of tensors; random ones by default."),
    ] = None,
    texts: Annotated[
        Optional[Path], typer.Option(metavar="FILE", help="For a service of texts: one text a line; some are built in.")
    ] = None,
    image: Annotated[
        Optional[list[Path]],
        typer.Option(metavar="FILE", help="For a service of pictures: a picture; repeatable; two are built in."),
    ] = None,
    keep: Annotated[
        Optional[Path],
        typer.Option(metavar="DIR", help="Make a service for the check, and keep it there."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", "-f", help="Replace what is in --keep's folder.")] = False,
    runtime: Annotated[str, typer.Option(help="The managed runtime that has Paddle Serving.")] = "paddle-2.3.2",
    ir_optim: Annotated[bool, typer.Option(help="Let Paddle optimise the graph.")] = True,
    timeout: Annotated[float, typer.Option(help="Seconds for the start and for each request.")] = 120.0,
) -> Any:
    """Start the real Paddle Serving pipeline on a converted model and compare its answers with direct inference.

    The generated service beside the model is tested as it is; without one, a service that takes tensors is made.
    """
    from mconv import api

    report = api.serve_check(
        piped(folder),
        service=service,
        inputs=inputs,
        texts=texts,
        images=image or (),
        keep=keep,
        force=force,
        runtime=runtime,
        ir_optim=ir_optim,
        ready_timeout=timeout,
        request_timeout=timeout,
        progress=out.note,
    )
    tested = "" if report.service is None else f", {report.service} (a service of kind {report.kind})"
    out.print(f"{report.folder}{tested}: Paddle {report.paddle}, ready after {report.ready_seconds:.1f} s")
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
    out.table(
        ["request", "", "largest difference", "ms", "why"],
        rows,
        right=["largest difference", "ms"],
        drop=["ms"],
        verdict="",
    )
    if report.onednn is not None and report.onednn.advice:
        out.warn(report.onednn.advice)
    if not report.isolated:
        out.warn(
            "no network namespace could be made: the HTTP gateway of this service, which an earlier mconv has written, listened "
            "on every interface while the check ran; `mconv scaffold --force` writes it again"
        )
    if report.kept is not None:
        out.print(f"the service is in {report.kept}")
    out.emit(report)
    report.require()
    return report
