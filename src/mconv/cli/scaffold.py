"""``mconv scaffold``."""

from __future__ import annotations

from typing import Any

from mconv.cli.parameters import Given, with_options
from mconv.cli.piped import piped
from mconv.cli.service_options import show_service
from mconv.options.service import Scaffold


@with_options(Scaffold, path={"metavar": "FOLDER..."})
def command(given: Given) -> Any:
    """Write a service around a converted model, for Paddle Serving or another server: texts, pictures or tensors in, JSON out."""
    from mconv import api

    given["path"] = [piped(each) for each in given["path"]]
    result = api.scaffold(**given)
    show_service(result)
    return result
