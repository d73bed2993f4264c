"""``mconv downgrade``."""

from __future__ import annotations

from typing import Any

from mconv.cli.output import out
from mconv.cli.parameters import Given, with_options
from mconv.cli.piped import piped
from mconv.cli.proving import show_half
from mconv.options.models import Downgrade
from mconv.printable import shaped


@with_options(Downgrade)
def command(given: Given) -> Any:
    """Make a .pdmodel that an older Paddle loads out of a model of a newer one, .json included."""
    from mconv import api

    with out.progress(f"converting {given['path']}"):
        given["path"] = piped(given["path"])
        result = api.downgrade(**given)
    out.warn(*result.warnings)
    for what, count in result.changes.items():
        out.detail(f"{what}: {count}")
    out.print(f"{result.program}: saved by Paddle {result.saved_by}, now for Paddle {result.target}")
    rows = [["input", t.name, t.dtype, shaped(t.shape)] for t in result.inputs]
    rows += [["output", t.name, t.dtype, shaped(t.shape)] for t in result.outputs]
    out.table(["", "name", "type", "shape"], rows)
    show_half(result.half)
    return result
