"""The verbs of mconv as plain functions with typed results; the command line calls nothing else.

The logic of a verb lives in its room; here it is only named, and rooms that do not know each other are joined.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from typing import TYPE_CHECKING, Any

from mconv.errors import UsageError

if TYPE_CHECKING:
    from mconv.inspection import Inspection
    from mconv.program.params import PathLike
    from mconv.serving.convert import ServingResult


def to_serving(path: PathLike, *, engine: str = "native", **options: Any) -> ServingResult:
    """A Paddle inference model of any era as ``serving_server/`` and ``serving_client/``.

    Args:
        path: a folder, a file or a prefix.
        engine: ``native``, or ``paddle-serving-client``: the official package, in this Python where it can be
            imported, else in the managed runtime ``paddle-2.3.2``.
        options: see :func:`mconv.serving.convert.to_serving`.

    Raises:
        MconvError: see there; RuntimeUnavailableError where the official package is nowhere.
    """
    from mconv.serving import convert, official

    if engine == "native":
        return convert.to_serving(path, **options)
    if engine != official.ENGINE:
        raise UsageError(f"unknown engine {engine!r}", f"engines are native, {official.ENGINE}")
    refused = [
        f"--{name.replace('_', '-')}"
        for name, plain in (("link", False), ("show", False))
        if options.pop(name, plain) != plain
    ]
    if options.pop("target", "same") not in ("same", "2.3"):
        refused.append("--target")
    if refused:
        raise UsageError(f"{official.ENGINE} does not know {', '.join(refused)}", "use --engine native")
    options.pop("fetch_order", None)  # it always sorts; the result says so
    if importlib.util.find_spec(official.MODULE) is not None and importlib.util.find_spec("paddle") is not None:
        return official.convert(path, [sys.executable], os.environ, **options)
    from mconv import runtimes

    runtime = runtimes.find("paddle-2.3.2")
    return official.convert(path, [str(runtime.python)], runtime.environ(), **options)


def inspect(path: PathLike, *, variables: bool = False, text: bool = False) -> Inspection:
    """What a path is: its files, inputs, outputs, parameters, operators, and which Paddle can load it.

    Raises:
        MconvError: it is no model, or a damaged one.
    """
    from mconv import inspection

    return inspection.inspect(path, variables=variables, text=text)
