"""``mconv serve``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from mconv.cli.common import out
from mconv.cli.piped import piped
from mconv.cli.process import end_with_parent
from mconv.errors import UsageError


def command(
    folder: Annotated[
        Optional[Path],
        typer.Argument(
            help="A service made by `mconv convert --pipeline` or `mconv scaffold`, its serving_server/, or the folder above.",
            show_default=False,
        ),
    ] = None,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Where to listen; 0.0.0.0: on every interface.")
    ] = "127.0.0.1",
    port: Annotated[
        Optional[int],
        typer.Option(metavar="N", help="The port of HTTP; by default what the service's config.yml says."),
    ] = None,
    service: Annotated[
        Optional[Path],
        typer.Option(metavar="DIR", help="The service to start; by default the one beside the model."),
    ] = None,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return when it is ready, and leave it running.")
    ] = False,
    stop: Annotated[
        bool, typer.Option("--stop", help="Stop the service that runs: the only one, FOLDER's, or the one on --port.")
    ] = False,
    log: Annotated[
        Optional[Path],
        typer.Option(metavar="FILE", help="Write its log there; by default into mconv's cache."),
    ] = None,
    timeout: Annotated[float, typer.Option(help="Seconds that the start may take.")] = 120.0,
) -> Any:
    """Start a service in the managed Paddle Serving and keep it running until Ctrl-C.

    Prints the address and a curl line that asks it, then its log. What ends mconv ends the service, unless --detach.
    """
    from mconv import api

    if stop:
        (ended,) = api.stop_served(folder, port)
        out.print(f"stopped: {ended.url} ({ended.folder})")
        return {"stopped": ended}
    if folder is None:
        raise UsageError("which service?", "mconv serve FOLDER")
    if not detach:
        end_with_parent()
    run = api.serve(
        piped(folder), host=host, port=port, service=service, detach=detach, log=log, ready_timeout=timeout,
        progress=out.note,
    )  # fmt: skip
    with run:
        serving = run.serving
        for note in serving.notes:
            out.warn(note)
        out.print(f"ready after {serving.ready_seconds:.1f} s: {serving.url}", style="bold green")
        more = [f"RPC {serving.rpc}"] if serving.rpc else []
        more += [f"health {serving.health}"] if serving.health else []
        if more:
            out.print(", ".join(more))
        out.print("try it:")
        out.print(serving.curl)
        out.print(f"stop it with: {serving.stop}" if detach else "stop it with Ctrl-C")
        out.print(f"process {serving.pid}, log {serving.log}")
        out.emit(serving)
        if detach:
            run.leave()
            return serving
        try:
            run.wait(out.note)
        except KeyboardInterrupt:
            out.note("stopping; once more ends it at once")
            run.stop()
            out.note("stopped")
    return serving
