"""``mconv convert``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from mconv.cli.common import out, stdout_for_the_result
from mconv.cli.options import (
    Arguments,
    Budget,
    CarryState,
    Constants,
    Deterministic,
    FeedAlias,
    Feeds,
    FetchAlias,
    Force,
    Limit,
    Target,
    Timeout,
    Trust,
    Verify,
    Where,
)
from mconv.cli.piped import piped_text
from mconv.cli.proving import show_proof, table_on_failure
from mconv.cli.service_options import with_service_options
from mconv.cli.to_serving import aliases
from mconv.errors import UsageError


@with_service_options
def command(
    source: Annotated[
        str,
        typer.Argument(
            help="Any model: .onnx, a Paddle model of any era, .pt2, TorchScript, a Hugging Face or PaddleNLP folder, "
            "pkg.module:factory, path/to/file.py:factory."
        ),
    ],
    out_dir: Annotated[
        Path, typer.Argument(metavar="OUT", help="The folder for serving_server/, serving_client/ and report.json.")
    ],
    inputs: Annotated[
        Optional[list[str]],
        typer.Option(
            "--input",
            "-i",
            metavar="'NAME:int64[batch,128]'",
            help="An input's shape, and its type where the source does not say; a word or ? stays open. Repeatable.",
        ),
    ] = None,
    weights: Annotated[
        Optional[Path], typer.Option("--weights", "-w", metavar="FILE", help="For a factory: its weights.")
    ] = None,
    arguments: Arguments = None,
    framework: Annotated[
        Optional[str], typer.Option(help="torch or paddle: what a factory makes.  [default: told by its file]")
    ] = None,
    task: Annotated[Optional[str], typer.Option(help="For a Hugging Face folder, see torch2paddle.")] = None,
    trust: Trust = False,
    const: Constants = None,
    carry_state: CarryState = False,
    deterministic: Deterministic = False,
    target: Target = "2.3",
    feed_alias: FeedAlias = None,
    fetch_alias: FetchAlias = None,
    pipeline: Annotated[
        bool, typer.Option("--pipeline", help="Also write OUT/service/, a Paddle Serving pipeline service around it.")
    ] = False,
    keep_inference: Annotated[
        bool, typer.Option("--keep-inference", help="Also leave the inference model between, in OUT/inference/.")
    ] = False,
    verify: Verify = None,
    feeds: Feeds = None,
    tolerance: Limit = None,
    runtime: Where = None,
    timeout: Timeout = 600,
    limit: Budget = None,
    force: Force = False,
    given: Any = None,
) -> Any:
    """Convert any model into serving_server/ and serving_client/ in one go, and prove it."""
    from mconv import api

    if given and not pipeline:
        raise UsageError(f"{', '.join(sorted(given))} say what a service is like", "--pipeline writes one")
    with table_on_failure(), stdout_for_the_result(), out.progress(f"looking at {source}") as say:
        result = api.convert(
            piped_text(source),
            out_dir,
            inputs=inputs or (),
            constants=const or (),
            carry_state=carry_state,
            deterministic=deterministic,
            weights=weights,
            arguments=arguments or (),
            framework=framework,
            task=task,
            trust=trust,
            target=target,
            feed_alias=aliases("--feed-alias", feed_alias),
            fetch_alias=aliases("--fetch-alias", fetch_alias),
            pipeline=given if pipeline else None,
            keep_inference=keep_inference,
            verify=verify,
            feeds=feeds,
            tolerance=tolerance,
            runtime=runtime,
            timeout=timeout,
            limit=limit,
            force=force,
            progress=say,
        )
    for warning in result.warnings:
        out.warn(warning)
    made = [p for p in (result.server, result.client, result.service, result.inference) if p]
    out.print(f"{out_dir}: {', '.join(f'{Path(p).name}/' for p in made)} from {source}")
    rows = [
        [side, v["name"], v["alias"], str(v["dtype"]), str(v["shape"])]
        for side, variables in (("input", result.inputs), ("output", result.outputs))
        for v in variables
    ]
    out.table(["", "variable", "called", "type", "known dims"], rows)
    show_proof(result.verification)
    if result.service is not None:
        out.print(f"start the service with `mconv serve {shlex.quote(str(out_dir))}/`")
    out.print(", ".join(f"{name} {value:.2f} s" for name, value in result.seconds.items()))
    return result
