"""``mconv to-static``: a layer, traced by its own Paddle, translated for the target, proved against the live layer."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from mconv.artifacts import provenance
from mconv.artifacts.destination import Destination
from mconv.dygraph import source, weights
from mconv.dygraph.live import Live
from mconv.errors import UsageError
from mconv.factory.inputs import Call
from mconv.factory.loading import arguments_of, read_of
from mconv.options.layers import ToStatic
from mconv.proof.report import Report
from mconv.verbs import static_files
from mconv.verbs.frame import Frame
from mconv.verbs.saving import Subject, layer_of, made_by, save


def to_static(chosen: ToStatic) -> Report:
    """Save a layer as a static inference model that the target loads.

    Args:
        chosen: *layer* is a ``paddle.nn.Layer``, or a SPEC: ``pkg.module:factory``, ``file.py:factory``, a PaddleNLP folder.
            *input_spec* as for ``paddle.jit.to_static``: InputSpec objects, ``name:dtype[dims]`` texts; None: that of a
            layer which ``to_static`` has been called on, or a guess.
            *path* as for ``paddle.jit.save``: the prefix of the files to write, ``pb_model`` for ``pb_model.pdmodel``,
            ``pb_model.pdiparams`` and ``pb_model.report.json``.

    The layer is left as it was: its mode (it is saved in evaluation mode), its methods and its weights (except that
    *params* replaces them).

    Raises:
        NotAModelError: the SPEC makes no layer.
        UsageError: the inputs, the weights or the options do not fit.
        UntrustedError: the weights would run code.
        MissingDependencyError: Paddle or PaddleNLP is not installed.
        RuntimeFailedError: the layer fails on inputs of these types and shapes, or the result cannot be run.
        UnsupportedError: Paddle cannot trace the layer, or the target lacks operators; ``rows`` lists them.
        VerificationError: the result computes something else; it is kept in ``PATH.failed-verification``.
        OutputExistsError: there is something at *path*.
    """
    if chosen.path is None:
        raise UsageError("path: where to write the model is not said")
    path = Path(chosen.path)
    to = Destination.of_folder(path) if chosen.folder else static_files.destination(path, chosen.form)
    return converted(chosen, to).report


def converted(chosen: ToStatic, destination: Destination) -> Frame[Report]:
    """The same with the files somewhere else, for a command of several steps."""
    layer, goal = chosen.layer, chosen.goal
    report = Report("to-static", "paddle.jit", {}, goal.described())
    frame = Frame(report, chosen, destination)
    protect = [chosen.params, *read_of(layer)]
    frame.check(protect)
    live = _live(layer, chosen, report)

    def record(call: Call) -> provenance.Recording:
        return _recording(layer, live, call, chosen, report)

    return save(Subject(live, frame, record, protect), chosen.input_spec, chosen)


def _recording(layer: Any, live: Live, call: Call, chosen: ToStatic, report: Report) -> provenance.Recording:
    """What the files were made from. Of a layer that lives in memory only its class is known, and of a module that
    imports others only its own file."""
    sources: list[provenance.Source] = [] if chosen.params is None else [chosen.params]
    made = type(live.layer).__name__
    if isinstance(layer, str):
        path, colon, factory = layer.rpartition(":")
        module = sys.modules.get(path)
        if colon and os.path.isfile(path):
            sources.append(path)
            made = f"{os.path.basename(path)}:{factory}"
        elif os.path.isdir(layer):
            sources.append(layer)
        else:
            made = layer
            if module is not None and module.__file__ is not None:
                sources.append(module.__file__)
    options = {
        "layer": made,
        "method": live.method,
        "arguments": report.source["arguments"],
        "inputs": [str(i) for i in call.inputs],
        "format": chosen.format,
        "output_names": None if chosen.output_names is None else list(chosen.output_names),
        "strict": chosen.strict,
    }  # fmt: skip
    return provenance.Recording("to-static", sources, target=chosen.goal.name, options=options, **made_by(live))


def _live(layer: Any, chosen: ToStatic, report: Report) -> Live:
    arguments, method, params = chosen.arguments, chosen.method, chosen.params
    given = arguments_of(arguments)
    paddle = source.import_paddle()
    if isinstance(layer, str):
        report.source["spec"] = layer
    made = layer_of(layer, given, trust=chosen.trust)
    live = Live(made, method)
    report.source.update({"class": live.kind, "method": method, "arguments": {k: repr(v) for k, v in given.items()}})
    report.versions["source paddle"] = paddle.__version__
    if params is not None:
        stored = weights.read(Path(params), trust=chosen.trust)
        report.warnings += weights.put(made, stored, str(params), strict=chosen.strict)
        report.source["weights"] = str(params)
    return live


__all__ = ["Report", "to_static"]
