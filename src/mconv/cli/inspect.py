"""``mconv inspect``."""

from __future__ import annotations

from typing import Annotated, Any, Optional

import typer

from mconv.cli.output import out
from mconv.cli.parameters import Given, with_options
from mconv.cli.piped import piped
from mconv.options.models import Inspect
from mconv.printable import shaped
from mconv.warned import Warned

_SHOWN = 12  # operators listed without --ops


@with_options(Inspect)
def command(given: Given, ops: Annotated[bool, typer.Option("--ops", help="List every operator.")] = False) -> Any:
    """Say what a model is: files, inputs, outputs, operators, and which Paddle loads it."""
    from mconv import api

    given["path"] = piped(given["path"])
    report = api.inspect(**given)
    if report.text is not None:
        out.text(report.text)
        return report
    what = "Paddle Serving folder, " if report.serving else ""
    saved = (
        f"IR {report.version}, written by {report.saved_by}" if report.kind == "onnx" else f"Paddle {report.saved_by}"
    )
    out.print(f"{report.path}: {what}{report.era}, {saved}")
    if report.opsets:
        out.print("opsets: " + ", ".join(f"{domain} {version}" for domain, version in report.opsets.items()))
    listed = report.files if len(report.files) <= 4 else [*report.files[:3]]
    for file in listed:
        out.print(f"  {file.path.name}  {size(file.bytes)}")
    if len(report.files) > len(listed):
        rest = report.files[len(listed) :]
        out.print(f"  … and {len(rest)} more files  {size(sum(f.bytes for f in rest))}")
    rows = [
        [kind, t.name, *_tensor(t)] for kind, ts in (("input", report.inputs), ("output", report.outputs)) for t in ts
    ]
    aliased = report.serving
    out.print("")
    out.table(["", "name", "type", "shape", *(["alias"] if aliased else [])], [r if aliased else r[:4] for r in rows])
    by_type = ", ".join(f"{size(count)} {dtype}" for dtype, count in report.parameter_bytes.items())
    out.print(f"\nparameters: {report.parameters}" + (f" ({by_type})" if by_type else ""))
    _operators(report, ops)
    if report.variables is not None:
        rows = [["stored" if t.stored else "", t.name, *_tensor(t)[:2]] for t in report.variables]
        out.print("")
        out.table(["", "variable", "type", "shape"], rows)
    if report.targets:
        out.print("")
        out.table(["target", "loads it", "why not", "after mconv"], [_target(t) for t in report.targets])
    if report.fusions is not None:
        _fusions(report.fusions)
    for text in report.notes:
        if isinstance(text, Warned):
            out.warn(text)
        else:
            out.print(f"note: {text}")
    return report


def _operators(report: Any, all_of_them: bool) -> None:
    count = sum(report.operators.values())
    blocks = f" in {report.blocks} blocks" if report.blocks > 1 else ""
    if all_of_them:
        out.print("")
        out.table(["operator", "count"], list(report.operators.items()), right=["count"])
        return
    shown = [f"{name} ×{number}" for name, number in list(report.operators.items())[:_SHOWN]]
    if len(report.operators) > _SHOWN:
        shown.append(f"… {len(report.operators) - _SHOWN} more kinds (--ops)")
    out.print(f"operators: {count}{blocks}: " + ", ".join(shown))


def _fusions(fusions: Any) -> None:
    how = "with oneDNN" if fusions.onednn else "without oneDNN"
    extra = f" and {', '.join(fusions.appended)}" if fusions.appended else ""
    matched = [p for p in fusions.passes if p.matched]
    out.print(
        f"\nfusions in Paddle {fusions.paddle} ({how}{extra}): {len(matched)} of {len(fusions.passes)} passes match"
    )
    if matched:
        out.print("")
        out.table(["pass", "matches"], [[p.name, p.matched] for p in matched], right=["matches"])


def _tensor(tensor: Any) -> list[str]:
    return [tensor.dtype or "?", shaped(tensor.shape), tensor.alias or ""]


def _target(report: Any) -> list[Any]:
    after: Optional[str] = {None: "", True: "yes", False: f"no: {report.obstacle}"}[report.convertible]
    return [report.target, "yes" if report.loads else "no", report.reasons, after or ""]


def size(count: int) -> str:
    """Bytes for people: ``440.1 MB``."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError("unreachable")
