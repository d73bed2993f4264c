"""``mconv quantize``."""

from __future__ import annotations

from typing import Any, Optional

from mconv.budget import size_text
from mconv.cli.output import out
from mconv.cli.parameters import Given, with_options
from mconv.cli.piped import piped
from mconv.errors import VerificationError
from mconv.options.quantize import Quantize
from mconv.printable import counted


@with_options(Quantize)
def command(given: Given) -> Any:
    """Quantise a model to 8 bits, calibrated on data and proved on others."""
    from mconv import api

    try:
        given["path"] = piped(given["path"])
        report = api.quantize(**given, progress=out.note)
    except VerificationError as e:
        if e.rows:
            _outputs(e.rows)
        out.instead_of_table(e)
        raise
    out.warn(*report.warnings)
    before, after = report.bytes["before"], report.bytes["after"]
    small = [row for row in report.layers if row.int8]
    out.print(f"{report.program}: int8 for Paddle {report.target}")
    out.print(f"weights {size_text(before)} → {size_text(after)}; {len(small)} of {len(report.layers)} layers in int8")
    tried = ", ".join(f"{name} {_percent(error)}" for name, error in report.methods.items() if error is not None)
    out.print(f"ranges by {report.method}" + (f" ({tried})" if tried else ""))
    floats = [row for row in report.layers if not row.int8]
    if floats:
        rows = [[row.name, row.operator, f"{row.largest:.4g}", _percent(row.error)] for row in floats]
        out.table(["stays float32", "operator", "largest", "error alone"], rows, right=["largest", "error alone"])
    _outputs([vars(row) for row in report.outputs])
    if report.accuracy:
        out.print(f"right answers: {report.accuracy['float32']:.2%} in float32, {report.accuracy['int8']:.2%} in int8")
    if report.int8 is not None and report.int8.operators:
        made = ", ".join(f"{n} {op}" for op, n in report.int8.operators.items())
        right = "" if report.int8.accuracy is None else f", {report.int8.accuracy:.2%} right"
        out.print(
            f"int8 kernels in {report.int8.runtime}: {made}; {_percent(report.int8.error)} off the emulation{right}"
        )
    judged = counted(report.proof, "row") + (" held back" if report.held_back else "")
    out.print(f"proved on {judged} in {report.runtime}: {report.status}", "green")
    return report


def _outputs(rows: list[dict[str, Any]]) -> None:
    out.table(
        ["output", "error", "same largest", ""],
        [[r["name"], _percent(r["error"]), _percent(r["agreement"], ""), "ok" if r["ok"] else "no"] for r in rows],
        right=["error", "same largest"],
    )


def _percent(share: Optional[float], none: str = "not finite") -> str:
    return none if share is None else f"{share:.2%}"
