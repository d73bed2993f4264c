"""What the commands that prove a conversion share: their options, and the table where the proof failed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Optional

import typer

from mconv.errors import MconvError

Verify = Annotated[
    Optional[bool],
    typer.Option(
        "--verify/--no-verify", help="Run both models and compare.  [default: if there is a Paddle to run it in]"
    ),
]
Feeds = Annotated[
    Optional[Path], typer.Option("--inputs", metavar="X.NPZ", help="Inputs to verify with, instead of random ones.")
]
Limit = Annotated[
    Optional[float],
    typer.Option("--tolerance", help="How far outputs may be apart, absolute and relative.  [default: 1e-5, 1e-4]"),
]
Where = Annotated[
    Optional[str],
    typer.Option("--runtime", help="Where to verify: a managed runtime or `current`.  [default: the target's]"),
]
Timeout = Annotated[float, typer.Option("--timeout", metavar="SECONDS", help="For running the result.")]
Force = Annotated[bool, typer.Option("--force", "-f", help="Replace what is at OUT.")]


@contextlib.contextmanager
def table_on_failure() -> Iterator[None]:
    """Show the figures of a conversion that failed its proof; then the error needs not have them as rows."""
    from mconv.cli.onnx2paddle import show_proof

    try:
        yield
    except MconvError as e:
        failed = getattr(e, "report", None)
        if failed is not None:
            show_proof(failed.verification)
            e.rows = []  # type: ignore[attr-defined] # they are in the table
        raise
