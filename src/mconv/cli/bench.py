"""``mconv bench``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from mconv.cli.bench_tables import show_models, show_services
from mconv.cli.common import out
from mconv.cli.options import JUnit, Summary
from mconv.errors import UsageError

TITLE = "mconv bench"


def command(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...",
            help="Models (.onnx, Paddle of any era), or addresses of services: [LABEL=]http://…, grpc://HOST:PORT.",
        ),
    ],
    threads: Annotated[
        Optional[int],
        typer.Option(help="Of a framework (default 1), or requests to a service at a time (default 20)."),
    ] = None,
    loops: Annotated[
        Optional[int], typer.Option(help="Timed runs (default 50), or requests of each thread (default 200).")
    ] = None,
    rounds: Annotated[int, typer.Option(help="In how many turns, one source after the other.")] = 5,
    warmup: Annotated[int, typer.Option(help="Runs, or requests of each thread, before any is timed.")] = 3,
    shape: Annotated[
        Optional[list[str]],
        typer.Option(metavar="'NAME[8,128]'", help="Sizes of made-up inputs; each is measured by itself. Repeatable."),
    ] = None,
    inputs: Annotated[Optional[Path], typer.Option(metavar="X.NPZ", help="Inputs, instead of made-up ones.")] = None,
    runtime: Annotated[
        Optional[list[str]],
        typer.Option(help="Models: a managed runtime or `current`. Repeatable.  [default: all that are installed]"),
    ] = None,
    send: Annotated[
        Optional[str], typer.Option(metavar="KIND", help="Services: make up texts, images or tensors.")
    ] = None,
    texts: Annotated[
        Optional[Path], typer.Option(metavar="FILE", help="Services: send its lines, one text in a request.")
    ] = None,
    image: Annotated[
        Optional[list[Path]], typer.Option(metavar="FILE", help="Services: send a picture. Repeatable.")
    ] = None,
    model: Annotated[
        Optional[str], typer.Option(metavar="MODEL", help="Services: make up the inputs of this model.")
    ] = None,
    body: Annotated[
        Optional[Path],
        typer.Option(
            metavar="FILE.JSON", help='Services: send this JSON, with "${text}", "${image}", "${NAME}" filled in.'
        ),
    ] = None,
    request: Annotated[
        Optional[str],
        typer.Option(
            metavar="FORM",
            help="Services: key-value, tensors, open-inference, torchserve, tensorflow-serving or template; by default "
            "as the path says.",
        ),
    ] = None,
    ignore: Annotated[
        Optional[list[str]],
        typer.Option(metavar="NAME", help="Services: a field of the answers that may differ. Repeatable."),
    ] = None,
    allow_remote: Annotated[
        bool, typer.Option("--allow-remote", help="Services: put load on another machine than this one.")
    ] = False,
    tolerance: Annotated[
        Optional[float],
        typer.Option(help="How far a right answer may be off, absolute and relative.  [default: 1e-5, 1e-4]"),
    ] = None,
    timeout: Annotated[float, typer.Option(metavar="SECONDS", help="For loading a model, and for one request.")] = 600,
    max_p99: Annotated[
        Optional[float], typer.Option(metavar="MS", help="Fail where the 99th percentile is above.")
    ] = None,
    min_tps: Annotated[
        Optional[float], typer.Option(metavar="N", help="Fail where right answers a second are fewer.")
    ] = None,
    html: Annotated[Optional[Path], typer.Option(metavar="FILE", help="Write one page with figure and tables.")] = None,
    plot: Annotated[Optional[Path], typer.Option(metavar="X.SVG|PNG", help="Write the figure.")] = None,
    junit: JUnit = None,
    summary: Summary = None,
) -> Any:
    """Measure how fast models run in each runtime, or how much load services bear; a wrong answer is no result."""
    from mconv import api

    common: dict[str, Any] = {"rounds": rounds, "warmup": warmup, "tolerance": tolerance, "timeout": timeout}
    services = [api.is_address(source) for source in sources]
    if any(services) and not all(services):
        raise UsageError("models and services are measured in different ways", "give either models or addresses")
    if all(services):
        _only("models", runtime=runtime)
    else:
        _only(
            "services", send=send, texts=texts, image=image, model=model, body=body, request=request, ignore=ignore,
            allow_remote=allow_remote,
        )  # fmt: skip
    api.bench_files(html=html, plot=plot)  # before minutes of measuring
    with out.progress("measuring") as say:
        if all(services):
            found: Any = api.bench_services(
                sources,
                threads=20 if threads is None else threads,
                loops=200 if loops is None else loops,
                send=send,
                texts=texts,
                images=image or (),
                inputs=inputs,
                body=body,
                model=model,
                shapes=shape or (),
                request=request,
                ignored=ignore or (),
                remote=allow_remote,
                progress=say,
                **common,
            )
        else:
            found = api.bench_models(
                sources,
                threads=1 if threads is None else threads,
                loops=50 if loops is None else loops,
                shapes=shape or (),
                feeds=inputs,
                runtimes=runtime or (),
                progress=say,
                **common,
            )
    (show_services if all(services) else show_models)(found)
    for note in found.notes:
        out.note(note)
    api.bench_files(found, html=html, plot=plot)
    reported, failure = api.judge_bench(found, max_p99=max_p99, min_tps=min_tps)
    api.write_reports(reported, TITLE, junit_file=junit, summary_file=summary)
    if failure is not None:
        out.emit(found)
        raise failure
    return found


def _only(what: str, **given: Any) -> None:
    """Refuse options that are for the other kind of source."""
    wrong = [f"--{re.sub('_', '-', name)}" for name, value in given.items() if value not in (None, False, [])]
    if wrong:
        raise UsageError(f"{' and '.join(wrong)}: for {what}, which these are not")
