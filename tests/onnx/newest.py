"""The node tests of the installed onnx, whatever its version: made by its own code, converted, run in a managed Paddle.

For an environment of its own, with the newest onnx (``test_versions.py``); prints one JSON document:

    python -m tests.onnx.newest 2.3 paddle-2.3.2
    python -m tests.onnx.newest 3 /usr/bin/python3      # an interpreter that has Paddle
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from tests.onnx.suite import agrees, made_constant, not_run


def outcome(case: Any, worker: Any, target: str, folder: Path) -> tuple[str, str]:
    """As in :mod:`tests.onnx.suite`. What is refused because an input comes in at run time is tried as a constant."""
    from mconv.errors import MconvError
    from mconv.onnx.convert import convert
    from mconv.onnx.reader import OnnxModel
    from mconv.program.stored import write_model
    from mconv.runtimes import WorkerError

    reason = not_run(case.model, case.name)
    if reason:
        return "not run", reason
    inputs, expected = ([a if isinstance(a, onnx.TensorProto) else np.asarray(a) for a in s] for s in case.data_sets[0])
    if any(isinstance(a, onnx.TensorProto) for a in [*inputs, *expected]):
        inputs, expected = ([_array(a) for a in s] for s in (inputs, expected))
    made, refused = None, ""
    for source in (lambda: case.model, lambda: made_constant(case.model, inputs)):
        try:
            model = source()
            made = convert(OnnxModel(model), target)
            files = write_model(made.program, made.params.items(), folder)
            break
        except MconvError as e:
            refused = refused or "; ".join([e.message, *(str(r.get("reason")) for r in e.rows or ())])
        except Exception as e:  # noqa: BLE001 - a bug of mconv is a result
            return "bug", f"{type(e).__name__}: {e}"
    if made is None:
        return "refused", refused
    feeds = {}
    free = [(i, a) for i, a in zip(case.model.graph.input, inputs) if i.name in {p.name for p in model.graph.input}]
    for port, (_, value) in zip(made.program.feeds, free):
        value = value.astype(np.float32) if value.dtype.name == "bfloat16" else value
        scalar = value.shape == () and target == "2.3"  # which has no 0-d tensors
        feeds[port.name] = (value.reshape(1) if scalar else value).astype(port.dtype.numpy)
    try:
        got = worker.run(*files, feeds, timeout=300).outputs[0]
    except WorkerError as e:
        return "crashed" if e.signal or e.timed_out else "failed", e.message
    for info, want, have in zip(model.graph.output, expected, got):
        have = have.reshape(()) if want.shape == () and have.shape == (1,) else have
        problem = agrees(want, have, info.name in made.widened)
        if problem:
            return "wrong", f"{info.name}: {problem}"
    return "pass", "" if model is case.model else "with its later inputs as constants"


def _array(value: Any) -> np.ndarray:
    from onnx import numpy_helper

    return numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else value


def outcomes(target: str, runtime: str) -> Iterator[tuple[str, tuple[str, str]]]:
    from onnx.backend.test.case.node import collect_testcases

    from mconv import runtimes

    warnings.simplefilter("ignore")
    own = os.path.isabs(runtime)  # an interpreter that has Paddle
    where = runtimes.Runtime("current", Path(runtime), managed=False) if own else runtimes.find(runtime)
    with where.worker() as worker:
        for case in collect_testcases(None):
            with tempfile.TemporaryDirectory() as folder:
                yield case.name, outcome(case, worker, target, Path(folder))


if __name__ == "__main__":
    print(json.dumps({"onnx": onnx.__version__, "cases": dict(outcomes(*sys.argv[1:]))}))
