"""``mconv doctor``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from mconv.cli.output import out
from mconv.extras import DISTRIBUTION


def command(
    test: Annotated[
        bool,
        typer.Option("--test", help="Import every package and run a model in every runtime, instead of only looking."),
    ] = False,
) -> Any:
    """Say what is installed, which commands work, and what to install for the rest."""
    from mconv import api

    with out.status("looking at this installation"):
        found = api.doctor(test=test)
    out.print(f"Python {found.python}, {found.system}")
    out.print(f"runtimes in {found.cache} ({found.cache_free_gb} GB free)\n")
    rows = [
        [p.package, p.problem or p.version or "missing", f"{DISTRIBUTION}[{p.extra}]" if p.extra else "core"]
        for p in found.packages
    ]
    out.table(["package", "version", "part of"], rows)
    out.print("")
    rows = [
        [
            s.name,
            s.state,
            _from_home(found.interpreters[s.name]) or "no Python of its version found",
        ]
        for s in found.runtimes
    ]
    out.table(["runtime", "state", "interpreter it would use"], rows)
    out.print("")
    rows = [[c.command, "yes" if c.works else "no", "\n".join(c.limits), "\n".join(c.install)] for c in found.commands]
    out.table(["command", "works", "what is missing", "install"], rows)
    return found


def _from_home(path: Optional[str]) -> Optional[str]:
    """``~/…`` for what lies in the home folder: a terminal of 80 columns has room for it."""
    home = Path.home()
    return path if path is None or home not in Path(path).parents else f"~/{Path(path).relative_to(home).as_posix()}"
