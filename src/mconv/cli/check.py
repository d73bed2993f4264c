"""``mconv check``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from mconv.cli.common import out
from mconv.errors import AlteredError


def command(
    path: Annotated[
        Path,
        typer.Argument(metavar="OUT", help="A converted folder, its provenance.json, or a prefix such as ./pb_model."),
    ],
    source: Annotated[
        Optional[list[Path]],
        typer.Option(metavar="PATH", help="The source model: compare it, too. Repeatable where there were several."),
    ] = None,
) -> Any:
    """Whether a converted folder is still what its provenance file says."""
    from mconv import api

    with out.progress(f"hashing {path}"):
        found = api.check(path, sources=source or ())
    for note in found.notes:
        out.warn(note)
    for finding in found.findings:
        out.print(finding.line())
    made_by = f"made by mconv {found.versions.get('mconv', '?')} {found.command}"
    if found.ok:
        sources = f", and so {'is' if found.sources == 1 else 'are'} its {found.sources} source files" if source else ""
        out.print(f"{str(found.path.parent)}: all {found.files} files are as they were {made_by}{sources}")
        return found
    try:
        found.require()
    except AlteredError as e:
        e.rows = [] if out.human else e.rows  # they are printed above
        raise
    return found
