"""``mconv bench``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from mconv.cli.common import out
from mconv.errors import VerificationError


def command(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL…|URL…", help="Models (.onnx, Paddle of any era), or addresses of services: http://, grpc://."
        ),
    ],
    shape: Annotated[
        Optional[list[str]],
        typer.Option(metavar="'NAME[8,128]'", help="Sizes of random inputs; each one is measured. Repeatable."),
    ] = None,
    inputs: Annotated[Optional[Path], typer.Option(metavar="X.NPZ", help="Inputs, instead of random ones.")] = None,
    runtime: Annotated[
        Optional[list[str]],
        typer.Option(help="A Paddle to measure in: a managed runtime or `current`. Repeatable.  [default: all]"),
    ] = None,
    threads: Annotated[
        Optional[int],
        typer.Option(help="Threads of a framework, or requests under way at a time.  [default: 1, of a service 20]"),
    ] = None,
    loops: Annotated[
        Optional[int],
        typer.Option(help="Timed runs, or requests of each thread.  [default: 50, of a service 200]"),
    ] = None,
    rounds: Annotated[int, typer.Option(help="In how many turns a model's runs are done.")] = 5,
    warmup: Annotated[int, typer.Option(help="Runs before any is timed.")] = 3,
    tolerance: Annotated[
        Optional[float],
        typer.Option(help="How far a right answer may be off, absolute and relative.  [default: 1e-5, 1e-4]"),
    ] = None,
    timeout: Annotated[float, typer.Option(metavar="SECONDS", help="For loading a model, and for one request.")] = 600,
) -> Any:
    """Measure how fast models run, each in each runtime, or what services bear; a wrong answer is no result."""
    from mconv import api

    with out.progress("measuring") as say:
        found = api.bench_models(
            sources,
            shapes=shape or (),
            feeds=inputs,
            runtimes=runtime or (),
            threads=1 if threads is None else threads,
            loops=50 if loops is None else loops,
            rounds=rounds,
            warmup=warmup,
            tolerance=tolerance,
            timeout=timeout,
            progress=say,
        )
    _show_models(found)
    for note in found.notes:
        out.note(note)
    if found.wrong:
        out.emit(found)
        raise VerificationError(f"{len(found.wrong)} wrong: {found.wrong[0]}")
    return found


def _show_models(found: Any) -> None:
    letters = [chr(ord("A") + i) for i in range(len(found.models))] if len(found.models) < 27 else []
    several = len(found.models) > 1 and letters
    if several:
        for letter, model in zip(letters, found.models):
            out.print(f"{letter}: {model}")
    mark = {model: f"{letter} " for model, letter in zip(found.models, letters)} if several else {}

    def name(lane: Any) -> str:
        how = {"oneDNN + fc passes": "oneDNN, fc"}.get(lane.how, lane.how)
        return f"{mark.get(lane.model, '')}{lane.runtime}{', ' + how if how else ''}"

    out.print(f"right is what {found.reference} answers; threads: {found.threads}, runs: {found.loops}")
    for index, shapes in enumerate(found.input_sets):
        title = ", ".join(f"{n}{list(s)}".replace(" ", "") for n, s in shapes.items())
        lanes = sorted(found.contenders, key=lambda m: _place(m.sizes[index]))
        rows = []
        for lane in lanes:
            size = lane.sizes[index]
            f = size.figures
            cells = ["", "", "", "", ""]
            if f is not None:
                cells = [_ms(f.p50), _ms(f.p90), _ms(f.p99), f"{size.per_second:.3g}", _ms(size.cpu_ms)]
            rows.append([name(lane), *cells, size.status if size.relative is None else f"{size.relative:.2f}"])
        out.print("\n" + title)
        out.table(["", "p50 ms", "p90", "p99", "per s", "CPU ms", "×"], rows, right=_RIGHT)
    out.print("")
    rows = []
    for lane in found.contenders:
        if lane.load_seconds is None:
            rows.append([name(lane), "", "", ""])
            continue
        apart = [s.max_abs for s in lane.sizes if s.max_abs is not None]
        rows.append(
            [name(lane), f"{lane.load_seconds:.2f}", _mb(lane.peak_bytes), f"{max(apart):.2g}" if apart else ""]
        )
    out.table(["", "load s", "memory MB", "largest difference"], rows, right=_RIGHT)
    reasons = {(name(lane), size.reason): None for lane in found.contenders for size in lane.sizes if size.reason}
    for label, reason in reasons:
        out.print(f"{label}: {reason}")


_RIGHT = ("p50 ms", "p90", "p99", "per s", "CPU ms", "×", "load s", "memory MB", "largest difference")


def _place(size: Any) -> tuple[bool, float]:
    return size.relative is None, size.figures.p50 if size.figures is not None else float("inf")


def _ms(value: float) -> str:
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


def _mb(value: Optional[int]) -> str:
    return "" if value is None else f"{value / 1e6:.0f}"
