"""``mconv init``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from mconv.cli.output import out
from mconv.cli.parameters import Given, with_options
from mconv.errors import UsageError
from mconv.options.running import Init
from mconv.printable import json_text


@with_options(Init, model={"default": None})
def command(
    given: Given, schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of recipes.")] = False
) -> Any:
    """Write a recipe to start from: look at a model, and guess its inputs and steps."""
    from mconv.recipe import api as recipes

    model = given.get("model")
    if schema:
        if model is not None:
            raise UsageError("--schema prints the schema and looks at no model", "leave one of them away")
        found = recipes.schema()
        out.text(json_text(found, indent=2))
        return found
    if model is None:
        raise UsageError("which model?", "mconv init MODEL, or mconv init --schema")
    show = str(given.get("out")) == "-"
    if show:
        del given["out"]
    draft = recipes.init(**given, show=show)
    out.warn(*draft.notes)
    if show:
        out.text(draft.text.rstrip("\n"))
    else:
        out.print(f"{draft.path} written: {', '.join(draft.steps)}")
    return draft
