"""``mconv to-serving``: a Paddle inference model of any era for Paddle Serving.

Most sources are copied as they are: what a ``.json`` needs, a service, or the official package, is imported where it is
asked for.
"""

from __future__ import annotations

import importlib.util
import os
import sys

from mconv.artifacts.provenance import Ahead
from mconv.errors import UsageError
from mconv.options.serving import OFFICIAL, ToServing
from mconv.program import files, targets
from mconv.program.stored import Era, ModelFiles
from mconv.serving import convert
from mconv.serving.convert import ServingResult, prepare, write


def to_serving(chosen: ToServing) -> ServingResult:
    """A Paddle inference model of any era as ``serving_server/`` and ``serving_client/``.

    Raises:
        MconvError: see :func:`mconv.serving.convert.to_serving`; RuntimeUnavailableError where the official package,
            which is asked for, is nowhere.
    """
    if chosen.pipeline is not None:
        from mconv.serving.service_options import options_from

        options_from(chosen.pipeline)  # refuses what is wrong before the model is opened
    if chosen.engine == OFFICIAL:
        return _official(chosen)
    found = files.locate(chosen.path)
    if found.era is Era.PIR:  # translated first, by a room that serving does not know
        return pir_to_serving(found, chosen)
    return convert.to_serving(chosen)


def _official(chosen: ToServing) -> ServingResult:
    """In this Python where it has the package, else in the managed runtime."""
    from mconv.serving import official

    if importlib.util.find_spec(official.MODULE) is not None and importlib.util.find_spec("paddle") is not None:
        return official.convert(chosen, [sys.executable], os.environ)
    from mconv import runtimes

    runtime = runtimes.find("paddle-2.3.2")
    return official.convert(chosen, [str(runtime.python)], runtime.environ())


def pir_to_serving(found: ModelFiles, chosen: ToServing) -> ServingResult:
    """:func:`mconv.serving.convert.to_serving` for a PIR model, whose program has to be translated first."""
    if chosen.goal is None:
        raise UsageError(
            f"{found.program}: --target same leaves the program alone, and Paddle Serving rejects .json",
            f"--target {targets.DEFAULT} translates it for Paddle Serving 0.9.0",
        )
    from mconv.paddle.load import load

    with Ahead([found.params] if chosen.provenance and not chosen.show else []) as ahead:
        loaded = load(found.program, target=chosen.goal)
        prepared = prepare(found, loaded.program, list(loaded.params.items()), chosen)
        prepared.result.saved_by = loaded.writer
        prepared.result.warnings[:0] = loaded.notes
        if not chosen.show:
            write(prepared, found, chosen, ahead)
    return prepared.result
