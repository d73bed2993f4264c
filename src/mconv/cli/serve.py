"""``mconv serve``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from mconv.cli.output import out
from mconv.cli.parameters import Given, with_options
from mconv.cli.piped import piped
from mconv.cli.process import end_with_parent
from mconv.errors import UsageError
from mconv.options.serving import Serve


@with_options(Serve, path={"default": None})
def command(
    given: Given,
    stop: Annotated[
        bool, typer.Option("--stop", help="Stop the service that runs: the only one, FOLDER's, or the one on --port.")
    ] = False,
) -> Any:
    """Start a service in its managed server and keep it running until Ctrl-C.

    Prints the address and a curl line that asks it, then its log. What ends mconv ends the service, unless --detach.
    """
    from mconv import api

    folder, detach = given.get("path"), given.get("detach", False)
    if stop:
        (ended,) = api.stop_served(folder, given.get("port"))
        out.print(f"stopped: {ended.url} ({ended.folder})")
        return {"stopped": ended}
    if folder is None:
        raise UsageError("which service?", "mconv serve FOLDER")
    if not detach:
        end_with_parent()
    given["path"] = piped(folder)
    run = api.serve(**given, progress=out.note)
    with run:
        serving = run.serving
        out.warn(*serving.notes)
        out.print(f"ready after {serving.ready_seconds:.1f} s: {serving.url}", style="bold green")
        more = [f"RPC {serving.rpc}"] if serving.rpc else []
        more += [f"health {serving.health}"] if serving.health else []
        if more:
            out.print(", ".join(more))
        out.print("try it:")
        out.print(serving.curl, copied=True)
        out.print(f"stop it with: {serving.stop}" if detach else "stop it with Ctrl-C", copied=True)
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
