"""``mconv torch2paddle``."""

from __future__ import annotations

from typing import Any

from mconv.cli.output import out, stdout_for_the_result
from mconv.cli.parameters import Given, with_options
from mconv.cli.proving import extra, show_report, table_on_failure
from mconv.options.torch import Torch2Paddle


@with_options(Torch2Paddle)
def command(given: Given) -> Any:
    """Convert a PyTorch model into a Paddle inference model, and prove it."""
    from mconv import api

    with table_on_failure(), stdout_for_the_result(), out.progress(f"opening {given['model']}") as say:
        report = api.torch2paddle(**given, progress=say)
    out.warn(*report.warnings)
    if report.transplant is not None:
        return _transplanted(report, given["out"])
    count = sum(row["count"] for row in report.operators)
    made = sum(report.paddle_operators.values())
    kind = "ATen operators" if report.source["via"] == "export" else "ONNX nodes"
    out.print(
        f"{given['out']}: {report.source['class']}, {count} {kind} → {made} operators of Paddle "
        f"{report.target['paddle']}{extra(report)}"
    )
    out.detail(f"through {report.source['how']}")
    show_report(report)
    return report.to_dict()


def _transplanted(report: Any, out_dir: object) -> Any:
    """What ``--into`` has done."""
    done = report.transplant
    told = [r for r in done["tensors"] if r["how"] not in ("", "transposed")]
    for rows, what in ((told, "how"), (done["problems"], "problem")):
        columns = ("pytorch", "shape", "paddle", "paddle_shape", what)
        if rows:
            out.table([c.replace("_", " ") for c in columns], [[str(r.get(c, "")) for c in columns] for r in rows])
    source = report.source
    out.print(
        f"{out_dir}: {done['matched']} of {source['tensors']} tensors → {source['layer']}.{source['method']} "
        f"(rules {', '.join(done['rules'])}) → {sum(report.paddle_operators.values())} operators of Paddle "
        f"{report.target['paddle']} ({report.engine})"
    )
    show_report(report)
    return report.to_dict()
