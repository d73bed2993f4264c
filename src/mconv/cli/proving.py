"""What the commands that convert and prove show: inputs and outputs, the figures of the proof, also of one that failed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Optional

from mconv.cli.output import out
from mconv.errors import MconvError, UnprovedError
from mconv.printable import shaped


def show_report(report: Any) -> None:
    """The end of what a conversion says: the inputs and outputs, how long the phases took, the proof."""
    show_ports(report)
    for key, value in report.seconds.items():
        out.detail(f"{key}: {value:.2f} s")
    show_proof(report.verification)
    show_half(report.half)


def show_half(half: Optional[dict[str, Any]]) -> None:
    """What ``--half`` made: one line."""
    if half is not None:
        off = "" if half["error"] is None else f", {half['error']:.4%} off by emulation in {half['runtime']}"
        before, after = half["bytes"]["before"] / 1e6, half["bytes"]["after"] / 1e6
        out.print(
            f"{half['dtype']}: {half['operators']} operators, {before:.1f} MB → {after:.1f} MB{off}: {half['status']}"
        )


def extra(report: Any) -> str:
    """What was computed, fused and expanded on the way, in brackets; empty where nothing was."""
    told = [f"{report.folded} computed"] if report.folded else []
    told += [f"{number} {name} fused" for name, number in report.fused.items()]
    told += [f"{number} {name} expanded" for name, number in report.expanded.items()]
    return f" ({', '.join(told)})" if told else ""


def show_ports(report: Any) -> None:
    """The inputs and outputs of a report: one line each."""
    rows = [["input", *_port(p)] for p in report.inputs] + [["output", *_port(p)] for p in report.outputs]
    out.table(["", "name", "type", "shape"], rows)


def _port(port: dict[str, Any]) -> list[str]:
    name = port["name"]
    if port["paddle_name"] != port["name"]:
        name += f" → {port['paddle_name']}"
    return [name, str(port["paddle_dtype"]), shaped(port["shape"])]


def show_proof(proof: Optional[dict[str, Any]]) -> None:
    """The verification of a report: one line, and the table per output where there is one.

    Where a layer got its weights from a model that was compared too, that comparison follows.
    """
    _show_one(proof)
    if proof is not None and "source" in proof:
        _show_one(proof["source"])


def _show_one(proof: Optional[dict[str, Any]]) -> None:
    if proof is None or (proof["status"] == "not verified" and not proof["reason"]):
        out.print("not verified (--no-verify)")
        return
    if proof["status"] in ("not verified", "unproved"):
        return  # the warning, or the error, has said it
    result = proof["paddle"] or proof["runtime"]
    compared = f"{proof['reference']} against {result}" if proof["reference"] else result
    shapes = " and ".join(", ".join(f"{n} {shape}" for n, shape in feed.items()) for feed in proof["input_sets"])
    verdict = f"verification {proof['status']}"
    if proof["status"] == "passed in part":
        verdict = f"verification passed in part ({proof['reason']})"
    kind, *sets = proof["inputs"].split("; ")
    out.print(f"{verdict}: {compared}; {kind} inputs {shapes}")
    for text in sets:
        out.print(text)
    if proof["outputs"]:
        show_outputs(proof["outputs"])


def show_outputs(rows: list[dict[str, Any]]) -> None:
    """One line for each output and input set: the figures, and whether they are within the tolerance."""
    table = []
    for row in rows:
        figures = [_figure(row["max_abs"]), _figure(row["max_rel"]), _figure(row["cosine"], ".8f")]
        argmax = {None: "", True: "same", False: "differs"}[row["argmax_same"]]
        cells = [row["name"], str(row["shape"]), row["dtype"], *figures, argmax]
        if out.terminal:  # the verdict by itself, in front
            table.append(["ok" if row["ok"] else "FAIL", *cells, row["reason"] or ""])
        else:
            table.append([*cells, ", ".join(filter(None, ("ok", row["reason"]))) if row["ok"] else row["reason"]])
    columns, right = (
        ["output", "shape", "type", "max abs", "max rel", "cosine", "argmax"],
        ["max abs", "max rel", "cosine"],
    )
    if out.terminal:
        drop = ["type", "argmax", "max rel", "shape", "cosine"]
        out.table(["", *columns, "why"], table, right=right, drop=drop, verdict="")
    else:
        out.table([*columns, ""], table, right=right)


def _figure(value: Optional[float], form: str = ".2e") -> str:
    return "-" if value is None else format(value, form)


@contextlib.contextmanager
def table_on_failure() -> Iterator[None]:
    """Show the figures of a conversion that failed its proof; then the error needs not have them as rows."""
    try:
        yield
    except MconvError as e:
        failed = e.report
        if isinstance(e, UnprovedError):
            for warning in failed.warnings if failed is not None else ():
                out.warn(warning)
        elif failed is not None:
            show_proof(failed.verification)
            out.instead_of_table(e)  # they are in the table
        raise
