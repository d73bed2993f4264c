"""``mconv init``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from mconv.cli.common import out
from mconv.errors import UsageError
from mconv.printable import json_text


def command(
    model: Annotated[
        Optional[str],
        typer.Argument(
            help="A model's path or address, package:NAME/PATH, or a spec: file.py:factory, pkg.module:factory."
        ),
    ] = None,
    path: Annotated[
        Optional[Path],
        typer.Option("--out", "-o", metavar="FILE", help="The recipe; - shows it only.  [default: NAME.yaml]"),
    ] = None,
    target: Annotated[str, typer.Option(help="The Paddle that will load the result: 2.3, 2.6, 3, 1.8.")] = "2.3",
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of recipes.")] = False,
    force: Annotated[bool, typer.Option("--force", "-f", help="Replace the file.")] = False,
) -> Any:
    """Write a recipe to start from: look at a model, and guess its inputs and steps."""
    from mconv import api

    if schema:
        if model is not None:
            raise UsageError("--schema prints the schema and looks at no model", "leave one of them away")
        found = api.recipe_schema()
        out.text(json_text(found, indent=2))
        return found
    if model is None:
        raise UsageError("which model?", "mconv init MODEL, or mconv init --schema")
    show = path is not None and str(path) == "-"
    draft = api.init(model, out=None if show else path, show=show, force=force, target=target)
    for note in draft.notes:
        out.warn(note)
    if show:
        out.text(draft.text.rstrip("\n"))
    else:
        out.print(f"{draft.path} written: {', '.join(draft.steps)}")
    return draft
