"""``mconv serve-check``."""

from __future__ import annotations

from typing import Any

from mconv.cli.output import out
from mconv.cli.parameters import Given, with_options
from mconv.cli.piped import piped
from mconv.options.serving import ServeCheck


@with_options(ServeCheck)
def command(given: Given) -> Any:
    """Start the real server on a converted model and compare its answers with direct inference.

    The generated service beside the model is tested as it is; without one, a service that takes tensors is made.
    """
    from mconv import api

    given["folder"] = piped(given["folder"])
    report = api.serve_check(**given, progress=out.note)
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
    report.require()
    return report
