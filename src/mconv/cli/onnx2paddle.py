"""``mconv onnx2paddle``."""

from __future__ import annotations

from typing import Any

from mconv.cli.output import out
from mconv.cli.parameters import Given, with_options
from mconv.cli.proving import extra, show_report, table_on_failure
from mconv.options.onnx import Onnx2Paddle


@with_options(Onnx2Paddle)
def command(given: Given) -> Any:
    """Convert an ONNX model into a Paddle inference model, and prove it."""
    from mconv import api

    with table_on_failure(), out.progress(f"reading {given['model']}") as say:
        report = api.onnx2paddle(**given, progress=say)
    out.warn(*report.warnings)
    count = sum(row["count"] for row in report.operators)
    made = sum(report.paddle_operators.values())
    paddle = report.target["paddle"]
    out.print(f"{given['out']}: {count} ONNX nodes → {made} operators of Paddle {paddle}{extra(report)}")
    show_report(report)
    return report.to_dict()
