"""``mconv to-onnx``."""

from __future__ import annotations

from typing import Any

from mconv.cli.output import out
from mconv.cli.parameters import Given, with_options
from mconv.cli.piped import piped
from mconv.cli.proving import show_report, table_on_failure
from mconv.options.onnx import ToOnnx


@with_options(ToOnnx)
def command(given: Given) -> Any:
    """Convert a Paddle model of any era into an ONNX model, and prove it."""
    from mconv import api

    with table_on_failure(), out.progress(f"reading {given['path']}") as say:
        given["path"] = piped(given["path"])
        report = api.to_onnx(**given, progress=say)
    out.warn(*report.warnings)
    count, made = sum(report.paddle_operators.values()), sum(row["count"] for row in report.operators)
    out.print(f"{given['out']}: {count} operators of Paddle → {made} ONNX nodes, opset {report.target['opset']}")
    show_report(report)
    return report.to_dict()
