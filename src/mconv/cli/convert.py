"""``mconv convert``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mconv.cli.output import out, stdout_for_the_result
from mconv.cli.parameters import Given, with_options
from mconv.cli.piped import piped_text
from mconv.cli.proving import show_half, show_proof, table_on_failure
from mconv.errors import UsageError
from mconv.options.convert import Convert
from mconv.options.declare import SERVICE


@with_options(Convert, service=True, source={"typed": list[str], "metavar": "SOURCE..."})
def command(
    given: Given,
    service: Given,
    pipeline: Annotated[
        bool,
        typer.Option(
            "--pipeline",
            help="Also write OUT/service/, a service around it, for Paddle Serving or --server.",
            rich_help_panel=SERVICE,
        ),
    ] = False,
) -> Any:
    """Convert any model into serving_server/ and serving_client/ in one go, and prove it.

    Of several models, or a folder of them, each goes to OUT/NAME/; one that fails does not stop the others.
    """
    from mconv import api

    sources, out_dir = [piped_text(each) for each in given["source"]], given["out"]
    if service and not pipeline:
        raise UsageError(f"{', '.join(sorted(service))} say what a service is like", "--pipeline writes one")
    if pipeline:
        given["pipeline"] = service
    if api.several_sources(sources):
        return _many(api, {**given, "source": sources})
    (source,) = sources
    with table_on_failure(), stdout_for_the_result(), out.progress(f"looking at {source}") as say:
        given["source"] = source
        result = api.convert(**given, progress=say)
    out.warn(*result.warnings)
    made = [p for p in (result.server, result.client, result.service, result.inference) if p]
    out.print(f"{out_dir}: {', '.join(f'{Path(p).name}/' for p in made)} from {source}")
    rows = [
        [kind, v["name"], v["alias"], str(v["dtype"]), str(v["shape"])]
        for kind, variables in (("input", result.inputs), ("output", result.outputs))
        for v in variables
    ]
    out.table(["", "variable", "called", "type", "known dims"], rows)
    show_proof(result.verification)
    show_half(result.half)
    if result.service is not None:
        out.print(f"start the service with `{api.start_command(service.get('server'), result.service)}`")
    for phase, value in result.seconds.items():
        out.detail(f"{phase}: {value:.2f} s")
    return result


def _many(api: Any, given: Given) -> Any:
    with stdout_for_the_result(), out.progress("looking at the sources") as say:
        result = api.convert_many(**given, progress=say)
    for one in result.models:
        for warning in one.warnings:
            out.warn(f"{one.source}: {warning}")
    rows = [
        [
            one.source,
            one.out,
            "converted" if one.ok else "FAIL",
            one.verification or "",
            f"{one.seconds:.1f}",
            one.reason,
        ]
        for one in result.models
    ]
    out.table(["source", "folder", "", "proof", "s", "why"], rows, right=["s"], drop=["folder", "s"], verdict="")
    count = sum(one.ok for one in result.models)
    out.print(f"{given['out']}: {count} of {len(result.models)} converted")
    for one in result.models:
        if one.service is not None:
            out.print(f"start its service with `{api.start_command(given['pipeline'].get('server'), one.service)}`")
    result.require()
    return result
