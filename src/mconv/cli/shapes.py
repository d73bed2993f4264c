"""``mconv shapes``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from mconv.cli.common import out
from mconv.cli.options import Budget, ForceThere, ModelTimeout, PaddleModel, Target
from mconv.cli.piped import piped

_SHOWN = 12  # tensors in the table


def _point(option: str, what: str) -> Any:
    return typer.Option(
        option, metavar="'NAME[1,3,32,32]'", help=f"The {what} shape of an input. Repeatable; again for a profile more."
    )


def command(
    path: PaddleModel,
    minimum: Annotated[Optional[list[str]], _point("--min", "least")] = None,
    optimum: Annotated[Optional[list[str]], _point("--opt", "usual")] = None,
    maximum: Annotated[Optional[list[str]], _point("--max", "largest")] = None,
    feeds: Annotated[
        Optional[Path], typer.Option("--inputs", metavar="X.NPZ", help="Real inputs, in several sets, instead.")
    ] = None,
    target: Target = "2.3",
    to: Annotated[
        Optional[Path], typer.Option("--out", "-o", metavar="FILE", help="Write it there.  [default: print it]")
    ] = None,
    form: Annotated[
        Optional[str],
        typer.Option(help="paddle, python, serving, triton, paddlex or trtexec.  [default: by the name of --out]"),
    ] = None,
    trt_inputs: Annotated[
        bool, typer.Option("--trt-inputs", help="Only the tensors that TensorRT's parts of the program are fed.")
    ] = False,
    runtime: Annotated[
        Optional[str],
        typer.Option("--runtime", help="Where to run it: a managed runtime or `current`.  [default: the target's]"),
    ] = None,
    timeout: ModelTimeout = 600,
    limit: Budget = None,
    force: ForceThere = False,
) -> Any:
    """The shapes that TensorRT wants to know of every tensor, at the least, usual and largest size of the inputs."""
    from mconv import api

    found = api.shapes(
        piped(path),
        to,
        minimum=minimum or (),
        optimum=optimum or (),
        maximum=maximum or (),
        feeds=feeds,
        target=target,
        form=form,
        trt_inputs=trt_inputs,
        runtime=runtime,
        timeout=timeout,
        limit=limit,
        force=force,
        progress=out.detail,
    )
    if to is None:
        out.text("\n".join(found.texts))
        return found
    ran = f"run in {found.runtime}" if found.runtime else "as declared: no size is open"
    out.print(f"{len(found.profiles[0].shapes)} tensors, {ran}; for Paddle {found.target}")
    for file, profile in zip(found.files, found.profiles):
        out.print(file)
        first = [*profile.inputs, *(n for n in found.border if n not in profile.inputs)]
        rows = [
            [name, *("x".join(map(str, getattr(profile.shapes[name], which))) for which in ("min", "opt", "max"))]
            for name in first[:_SHOWN]
            if name in profile.shapes
        ]
        out.table(["what TensorRT is fed", "min", "opt", "max"], rows)
        if len(first) > _SHOWN:
            out.print(f"… and {len(first) - _SHOWN} more")
    return found
