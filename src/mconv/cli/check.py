"""``mconv check``."""

from __future__ import annotations

from typing import Any

from mconv.cli.output import out
from mconv.cli.parameters import Given, with_options
from mconv.errors import AlteredError
from mconv.options.models import Check


@with_options(Check)
def command(given: Given) -> Any:
    """Whether a converted folder is still what its provenance file says."""
    from mconv import api

    with out.progress(f"hashing {given['path']}"):
        found = api.check(**given)
    out.warn(*found.notes)
    for finding in found.findings:
        out.print(finding.line())
    made_by = f"made by mconv {found.versions.get('mconv', '?')} {found.command}"
    if found.ok:
        sources = (
            f", and so {'is' if found.sources == 1 else 'are'} its {found.sources} source files"
            if "sources" in given
            else ""
        )
        out.print(f"{str(found.path.parent)}: all {found.files} files are as they were {made_by}{sources}")
        return found
    try:
        found.require()
    except AlteredError as e:
        out.instead_of_table(e)  # they are printed above
        raise
    return found
