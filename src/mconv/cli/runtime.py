"""``mconv runtime``: managed environments with other versions of Paddle."""

from __future__ import annotations

from typing import Annotated, Any, Optional

import typer

from mconv.cli.output import out
from mconv.errors import UsageError

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Managed Paddle runtimes: install, list, remove, path, run."
)


@app.command("install")
def install(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="See `mconv runtime list`, e.g. paddle-2.3.2.")],
    python: Annotated[
        Optional[str], typer.Option(metavar="PATH", help="The interpreter to use, instead of the one found.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", "-f", help="Start over, even if it is installed.")] = False,
) -> Any:
    """Install runtimes, or finish an installation that was interrupted; those already there are left alone."""
    from mconv import api

    installed = [api.install_runtime(name, python=python, force=force, progress=out.note) for name in names]
    for runtime in installed:
        out.print(f"{runtime.name}: {runtime.python}")
    return {"runtimes": [{"name": r.name, "python": r.python, "environment": dict(r.extra)} for r in installed]}


@app.command("list")
def list_() -> Any:
    """List the runtimes that mconv can install, and which of them are."""
    from mconv import api

    found = api.list_runtimes()
    rows = [
        [
            s.name,
            s.state,
            s.python or "",
            f"{s.size_gb:.1f} GB",
            s.summary,
        ]
        for s in found
    ]
    out.table(["runtime", "state", "Python", "size", "what it is"], rows, right=["size"], drop=["Python"])
    return {"runtimes": found}


@app.command("remove")
def remove(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="The runtimes to delete from the cache.")],
) -> Any:
    """Delete runtimes."""
    from mconv import api

    removed = {name: api.remove_runtime(name) for name in names}
    for name, existed in removed.items():
        out.print(f"{name}: {'removed' if existed else 'was not installed'}")
    return {"removed": [name for name, existed in removed.items() if existed]}


@app.command("path")
def path(name: Annotated[str, typer.Argument(help="A runtime.")]) -> Any:
    """Print the interpreter of an installed runtime (and, with --json, the environment that it needs)."""
    from mconv import api

    runtime = api.find_runtime(name)
    out.print(str(runtime.python))
    return {"name": runtime.name, "python": runtime.python, "environment": dict(runtime.extra)}


@app.command("run", context_settings={"allow_interspersed_args": False})
def run(
    name: Annotated[str, typer.Argument(help="A runtime.")],
    command: Annotated[
        list[str], typer.Argument(metavar="COMMAND...", help="A command and its arguments, such as python FILE.")
    ],
) -> Any:
    """Run a command in an installed runtime, whose python is the first on PATH; the exit code is the command's."""
    from mconv import api

    given = command[1:] if command[0] == "--" else command
    if not given:
        raise UsageError("there is no command to run", f"mconv runtime run {name} -- python FILE")
    api.run_in_runtime(name, given)
