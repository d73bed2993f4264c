"""``mconv half``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from mconv.cli.common import out
from mconv.cli.options import Budget, Force, ModelTimeout, PaddleModel, Verify
from mconv.cli.piped import piped
from mconv.errors import VerificationError

_SHOWN = 8  # tensors inside


def command(
    path: PaddleModel,
    out_dir: Annotated[
        Path, typer.Argument(metavar="OUT", help="The folder for inference.pdmodel and inference.pdiparams.")
    ],
    dtype: Annotated[str, typer.Option(help="fp16 or bf16.")] = "fp16",
    target: Annotated[
        Optional[str], typer.Option(help="The Paddle that will load it: 2.3, 2.6, 3.  [default: the program's]")
    ] = None,
    keep: Annotated[
        Optional[list[str]],
        typer.Option(metavar="NAME", help="An operator or a variable that stays float32. Repeatable."),
    ] = None,
    io: Annotated[str, typer.Option(help="float or half: the type of inputs and outputs.")] = "float",
    calibrate: Annotated[
        Optional[Path],
        typer.Option(metavar="X.NPZ", help="Real inputs: what leaves the range or loses too much stays float32."),
    ] = None,
    weights_only: Annotated[
        bool, typer.Option("--weights-only", help="Half the size, computed in float32: it runs everywhere.")
    ] = False,
    verify: Verify = None,
    feeds: Annotated[
        Optional[Path],
        typer.Option("--inputs", metavar="X.NPZ", help="Inputs to prove it with, instead of random ones."),
    ] = None,
    inputs: Annotated[
        Optional[list[str]],
        typer.Option("--input", "-i", metavar="'NAME[1,3,?,640]'", help="Shape of a random input. Repeatable."),
    ] = None,
    tolerance: Annotated[
        Optional[float],
        typer.Option(help="The largest error, as a part of an output's largest value.  [default: 5e-3; bf16: 4e-2]"),
    ] = None,
    runtime: Annotated[
        Optional[str],
        typer.Option("--runtime", help="Where to emulate it: a managed runtime or `current`.  [default: the target's]"),
    ] = None,
    timeout: ModelTimeout = 600,
    limit: Budget = None,
    force: Force = False,
) -> Any:
    """Rewrite a Paddle model for half precision on a GPU, and prove it by emulation on the CPU."""
    from mconv import api

    try:
        report = api.half(
            piped(path),
            out_dir,
            dtype=dtype,
            target=target,
            keep=keep or (),
            io=io,
            calibrate=calibrate,
            feeds=feeds,
            inputs=inputs or (),
            weights_only=weights_only,
            verify=verify,
            tolerance=tolerance,
            runtime=runtime,
            timeout=timeout,
            limit=limit,
            force=force,
            progress=out.note,
        )
    except VerificationError as e:
        out.table(
            ["output", "set", "error", ""],
            [[r["name"], r["input_set"], _percent(r["error"]), "no"] for r in e.rows],
            right=["error"],
        )
        e.rows = [] if out.human else e.rows
        raise
    for warning in report.warnings:
        out.warn(warning)
    before, after = report.bytes["before"], report.bytes["after"]
    count, floats = sum(report.half.values()), sum(n for kinds in report.float32.values() for n in kinds.values())
    out.print(f"{report.program}: {report.dtype} for Paddle {report.target}")
    out.print(f"weights {before / 1e6:.1f} MB → {after / 1e6:.1f} MB; {count} operators in half, {report.casts} casts")
    if floats:
        reasons = [f"{n} {op} ({why})" for op, kinds in report.float32.items() for why, n in kinds.items()]
        out.print(f"{floats} stay float32: {', '.join(reasons)}")
    if report.saturated:
        out.print(f"numbers beyond the range became half of its largest: {', '.join(report.saturated[:_SHOWN])}")
    if report.kept:
        out.print(f"kept in float32 by calibration: {', '.join(report.kept)}")
    if report.outputs:
        rows = [[row.name, row.input_set, _percent(row.error), "ok" if row.ok else "no"] for row in report.outputs]
        out.table(["output", "set", "error", ""], rows, right=["error"])
        inside = [[t.name, f"{t.largest:.4g}", _percent(t.error), t.reason] for t in report.tensors[:_SHOWN]]
        if inside:
            out.table(["inside", "largest", "error", ""], inside, right=["largest", "error"])
        out.print(f"emulated in {report.runtime}: {report.status}", "green")
    return report


def _percent(error: Optional[float]) -> str:
    return "not finite" if error is None else f"{error:.4%}"
