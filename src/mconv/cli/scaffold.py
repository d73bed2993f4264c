"""``mconv scaffold``."""

from __future__ import annotations

from typing import Any

from mconv.cli.parameters import Given, with_options
from mconv.cli.piped import piped
from mconv.cli.service_options import show_service
from mconv.options.service import Scaffold


@with_options(Scaffold, server={"metavar": "FOLDER"})
def command(given: Given) -> Any:
    """Write a Paddle Serving pipeline service around a converted model: texts, pictures or tensors in, JSON out."""
    from mconv import api

    given["server"] = piped(given["server"])
    result = api.scaffold(**given)
    show_service(result)
    return result
