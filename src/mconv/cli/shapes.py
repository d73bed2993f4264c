"""``mconv shapes``."""

from __future__ import annotations

from typing import Any

from mconv.cli.output import out
from mconv.cli.parameters import Given, with_options
from mconv.cli.piped import piped
from mconv.options.models import Shapes

_SHOWN = 12  # tensors in the table


@with_options(Shapes)
def command(given: Given) -> Any:
    """The shapes that TensorRT wants to know of every tensor, at the least, usual and largest size of the inputs."""
    from mconv import api

    given["path"] = piped(given["path"])
    found = api.shapes(**given, progress=out.detail)
    if "out" not in given:
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
