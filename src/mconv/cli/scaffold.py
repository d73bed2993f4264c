"""``mconv scaffold``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from mconv.cli.options import ForceThere
from mconv.cli.piped import piped
from mconv.cli.service_options import show_service, with_service_options


@with_service_options
def command(
    folder: Annotated[Path, typer.Argument(help="A serving_server/ folder made by `mconv to-serving`.")],
    out_dir: Annotated[
        Optional[Path],
        typer.Option("--out", "-o", metavar="DIR", help="The service's folder; default service beside it."),
    ] = None,
    force: ForceThere = False,
    given: Any = None,
) -> Any:
    """Write a Paddle Serving pipeline service around a converted model: texts, pictures or tensors in, JSON out."""
    from mconv import api

    result = api.scaffold(piped(folder), out_dir, force=force, **given)
    show_service(result)
    return result
