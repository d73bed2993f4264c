"""``mconv to-serving``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from mconv.cli.output import out
from mconv.cli.parameters import Given, with_options
from mconv.cli.piped import piped
from mconv.cli.service_options import show_service
from mconv.errors import UsageError
from mconv.options.declare import SERVICE
from mconv.options.serving import ToServing


@with_options(ToServing, service=True)
def command(
    given: Given,
    service: Given,
    pipeline: Annotated[
        bool,
        typer.Option(
            "--pipeline",
            help="Also write a service around it, for Paddle Serving or --server.",
            rich_help_panel=SERVICE,
        ),
    ] = False,
) -> Any:
    """Convert a Paddle inference model of any era for Paddle Serving."""
    from mconv import api

    if service and not pipeline:
        raise UsageError("options of a service without a service", "add --pipeline")
    if pipeline:
        given["pipeline"] = service
    with out.progress(f"converting {given['path']}"):
        given["path"] = piped(given["path"])
        result = api.to_serving(**given)
    out.warn(*result.warnings)
    for what, count in result.changes.items():
        out.detail(f"{what}: {count}")
    if result.server is None:
        out.text(result.config.rstrip("\n"))
        return result
    out.print(f"{result.server}{_slash(result.server)} and {result.client}{_slash(result.client)} written")
    rows = [["input", v.name, v.alias, *_tensor(v)] for v in result.feeds]
    rows += [["output", v.name, v.alias, *_tensor(v)] for v in result.fetches]
    out.table(["", "variable", "called", "type", "known dims"], rows)
    if result.service is not None:
        show_service(result.service)
    return result


def _slash(path: object) -> str:
    return "" if str(path).endswith("/") else "/"


def _tensor(var: Any) -> list[str]:
    dtype = var.dtype.label if var.dtype is not None else f"type {var.type}"
    return [dtype, "LoD" if var.lod else str(var.shape)]
