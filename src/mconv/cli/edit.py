"""``mconv edit``."""

from __future__ import annotations

from typing import Any

from mconv.cli.output import out
from mconv.cli.parameters import Given, with_options
from mconv.cli.piped import piped
from mconv.cli.proving import show_report, table_on_failure
from mconv.options.edit import Edit


@with_options(Edit)
def command(given: Given) -> Any:
    """Change a model's sizes, names, inputs, outputs or files, and prove that the rest is the same."""
    from mconv import api

    with table_on_failure(), out.progress(f"reading {given['path']}") as say:
        given["path"] = piped(given["path"])
        report = api.edit(**given, progress=say)
    out.warn(*report.warnings)
    out.print(f"{report.output.get('file') or report.output['folder']}: {_told(report)}")
    show_report(report)
    return report.to_dict()


def _told(report: Any) -> str:
    """What was done, in one line."""
    gone = report.removed
    told = [f"{name} = {size}" for name, size in report.sizes.items()]
    told += [f"{name} has one value" for name in report.constants]
    told += [f"{old} → {new}" for old, new in report.renamed.items()]
    told += [f"without input {name}" for name in gone["inputs"] if name not in report.constants]
    told += [f"without output {name}" for name in gone["outputs"]]
    counts = [
        (gone["operators"], "operators less"),
        (report.folded, "of them folded"),
        (gone["parameters"], "weights less"),
    ]
    told += [f"{count} {what}" for count, what in counts if count]
    if "opset" in report.target:
        told.append(f"opset {report.target['opset']}")
    told.append(f"weights {report.weights}")
    return ", ".join(told)
