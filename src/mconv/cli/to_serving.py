"""``mconv to-serving``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from mconv.cli.common import out
from mconv.cli.options import Budget, FeedAlias, FetchAlias, ForceThere, Link
from mconv.cli.piped import piped
from mconv.cli.service_options import show_service, with_service_options
from mconv.errors import UsageError


@with_service_options
def command(
    path: Annotated[
        Path, typer.Argument(help="The model: a folder, a file, or a prefix such as ./pb_model (any era of Paddle).")
    ],
    out_dir: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="Where serving_server/ and serving_client/ are put.")
    ] = Path("."),
    serving_server: Annotated[Path, typer.Option(metavar="NAME", help="The server's folder.")] = Path("serving_server"),
    serving_client: Annotated[Path, typer.Option(metavar="NAME", help="The client's folder.")] = Path("serving_client"),
    target: Annotated[
        str, typer.Option(help="The Paddle that will load it: 1.8, 2.3, 2.6, 3; `same` leaves the program alone.")
    ] = "2.3",
    fetch_order: Annotated[
        str, typer.Option(help="model: the model's own order of outputs; sorted: by name, as the official tool does.")
    ] = "model",
    feed_alias: FeedAlias = None,
    fetch_alias: FetchAlias = None,
    show: Annotated[bool, typer.Option("--show", help="Print the configuration and write nothing.")] = False,
    link: Link = False,
    engine: Annotated[
        str, typer.Option(help="native, or paddle-serving-client: the official package, to compare.")
    ] = "native",
    provenance: Annotated[
        bool,
        typer.Option("--provenance/--no-provenance", help="Write provenance.json, which hashes the model's files."),
    ] = True,
    limit: Budget = None,
    force: ForceThere = False,
    pipeline: Annotated[
        bool, typer.Option("--pipeline", help="Also write a pipeline service; the options below are for it.")
    ] = False,
    service_dir: Annotated[Path, typer.Option(metavar="NAME", help="The service's folder.")] = Path("service"),
    given: Any = None,
) -> Any:
    """Convert a Paddle inference model of any era for Paddle Serving."""
    from mconv import api

    options: dict[str, Any] = {
        "out": out_dir,
        "serving_server": serving_server,
        "serving_client": serving_client,
        "feed_alias": aliases("--feed-alias", feed_alias),
        "fetch_alias": aliases("--fetch-alias", fetch_alias),
        "limit": limit,
        "force": force,
        "target": target,
        "fetch_order": fetch_order,
        "link": link,
        "show": show,
        "service_dir": service_dir,
        "provenance": provenance,
    }
    if given and not pipeline:
        raise UsageError("options of a service without a service", "add --pipeline")
    with out.progress(f"converting {path}"):
        result = api.to_serving(piped(path), engine=engine, pipeline=given if pipeline else None, **options)
    for warning in result.warnings:
        out.warn(warning)
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


def aliases(option: str, given: Optional[list[str]]) -> dict[str, str]:
    """``["old=new", …]`` as a dictionary; a variable's name may hold ``=``, an alias not."""
    found: dict[str, str] = {}
    for text in given or []:
        old, sign, new = text.rpartition("=")
        if not sign or not old or not new:
            raise UsageError(f"{option}: {text!r} is not of the form old=new")
        if found.setdefault(old, new) != new:
            raise UsageError(f"{option}: {old!r} is given twice")
    return found
