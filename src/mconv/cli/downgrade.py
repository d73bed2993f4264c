"""``mconv downgrade``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from mconv.cli.common import out
from mconv.cli.options import Budget, Force, Link, Target
from mconv.cli.piped import piped


def command(
    path: Annotated[
        Path, typer.Argument(help="The model: a folder, a file (.json, .pdmodel, __model__) or a prefix of them.")
    ],
    out_dir: Annotated[
        Path, typer.Argument(metavar="OUT", help="The folder for inference.pdmodel and inference.pdiparams.")
    ],
    target: Target = "2.3",
    output_names: Annotated[
        Optional[str], typer.Option(metavar="A,B,…", help="Names for the outputs, in order.")
    ] = None,
    name: Annotated[str, typer.Option(help="What the two files are called.")] = "inference",
    link: Link = False,
    limit: Budget = None,
    force: Force = False,
) -> Any:
    """Make a .pdmodel that an older Paddle loads out of a model of a newer one, .json included."""
    from mconv import api

    names = None if output_names is None else [n.strip() for n in output_names.split(",")]
    with out.progress(f"converting {path}"):
        result = api.downgrade(
            piped(path), out_dir, target=target, output_names=names, name=name, link=link, limit=limit, force=force
        )
    for warning in result.warnings:
        out.warn(warning)
    for what, count in result.changes.items():
        out.detail(f"{what}: {count}")
    out.print(f"{result.program}: saved by Paddle {result.saved_by}, now for Paddle {result.target}")
    rows = [["input", t.name, t.dtype, str(list(t.shape))] for t in result.inputs]
    rows += [["output", t.name, t.dtype, str(list(t.shape))] for t in result.outputs]
    out.table(["", "name", "type", "shape"], rows)
    return result
