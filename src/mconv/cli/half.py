"""``mconv half``."""

from __future__ import annotations

from typing import Any, Optional

from mconv.budget import size_text
from mconv.cli.output import out
from mconv.cli.parameters import Given, with_options
from mconv.cli.piped import piped
from mconv.errors import VerificationError
from mconv.options.models import Half

_SHOWN = 8  # tensors inside


@with_options(Half)
def command(given: Given) -> Any:
    """Rewrite a Paddle model for half precision on a GPU, and prove it by emulation on the CPU."""
    from mconv import api

    try:
        given["path"] = piped(given["path"])
        report = api.half(**given, progress=out.note)
    except VerificationError as e:
        if e.rows:
            rows = [[r["name"], r["input_set"] + 1, _percent(r["error"]), "no"] for r in e.rows]
            out.table(["output", "set", "error", ""], rows, right=["error"])
        out.instead_of_table(e)
        raise
    out.warn(*report.warnings)
    before, after = report.bytes["before"], report.bytes["after"]
    count, floats = sum(report.half.values()), sum(n for kinds in report.float32.values() for n in kinds.values())
    out.print(f"{report.program}: {report.dtype} for Paddle {report.target}")
    out.print(f"weights {size_text(before)} → {size_text(after)}; {count} operators in half, {report.casts} casts")
    if floats:
        reasons = [f"{n} {op} ({why})" for op, kinds in report.float32.items() for why, n in kinds.items()]
        out.print(f"{floats} stay float32: {', '.join(reasons)}")
    if report.saturated:
        out.print(f"numbers beyond the range became half of its largest: {', '.join(report.saturated[:_SHOWN])}")
    if report.kept:
        out.print(f"beyond the range, kept in float32 by calibration: {', '.join(report.kept)}")
    if report.precise:
        count = sum(len(row.names) for row in report.precise)
        shown = [[_listed(row.names), len(row.names), _percent(row.error)] for row in report.precise[:_SHOWN]]
        out.print(f"{count} operators kept in float32 by calibration, for their rounding:")
        out.table(["what they write", "operators", "error alone"], shown, right=["operators", "error alone"])
    if report.outputs:
        rows = [[row.name, row.input_set + 1, _percent(row.error), "ok" if row.ok else "no"] for row in report.outputs]
        out.table(["output", "set", "error", ""], rows, right=["error"])
        inside = [[t.name, f"{t.largest:.4g}", _percent(t.error), t.reason] for t in report.tensors[:_SHOWN]]
        if inside:
            out.table(["inside", "largest", "error", ""], inside, right=["largest", "error"])
        if report.second is not None:
            found = report.second
            off = (
                f"does not read it: {found.reason}"
                if found.error is None
                else f"reads it, too: {_percent(found.error)} off float32"
            )
            out.print(f"{found.reader} {off}")
        out.print(f"emulated in {report.runtime}: {report.status}", "green")
    return report


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} … {names[-1]}"


def _percent(error: Optional[float]) -> str:
    return "not finite" if error is None else f"{error:.4%}"
