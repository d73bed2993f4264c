"""The host side of a measurement: a process with one model in one runtime, run as often as it is told."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import numpy as np

from mconv.runtimes.runtime import Runtime
from mconv.runtimes.worker import Worker

# what appears as the runtime of an engine that this Python imports
ENGINES = {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}


@dataclass(frozen=True)
class Loaded:
    """A model that is loaded.

    Attributes:
        version: of the framework.
        import_seconds: time to import the framework, load_seconds: to load the model and to prepare it.
        bare_bytes: resident memory of the process before the model was loaded; 0 where the system does not say.
    """

    version: str
    import_seconds: float
    load_seconds: float
    bare_bytes: int


@dataclass(frozen=True)
class Timed:
    """Some runs on one input set.

    Attributes:
        seconds: of each run.
        cpu_seconds: what they have taken together, on all threads.
        peak_bytes: the most resident memory that the process has had so far; 0 where the system does not say.
        names, dtypes, outputs: what the last run gave; *outputs* is empty unless it was to be kept.
    """

    seconds: list[float]
    cpu_seconds: float
    peak_bytes: int
    names: list[str]
    dtypes: list[str]
    outputs: list[np.ndarray]


class LatencyWorker(Worker):
    """A process that measures one model; a context manager.

    Args:
        runtime: where; see :func:`here` for what is no Paddle.
        threads: threads that the framework may use for one run.
    """

    script = Path(__file__).with_name("latency_main.py")
    what = "the model"

    def open(
        self,
        program: Path,
        params: Optional[Path] = None,
        *,
        engine: str = "predictor",
        onednn: bool = False,
        passes: Sequence[str] = (),
        onednn_except: Sequence[str] = (),
        lods: Optional[Mapping[str, int]] = None,
        timeout: float = 300,
    ) -> Loaded:
        """Load a model.

        Args:
            program: ``.pdmodel``, ``__model__``, ``.json`` or ``.onnx``.
            params: the combined parameters of a Paddle model.
            engine: ``predictor``, ``onnxruntime`` or ``openvino``.
            onednn, passes, onednn_except, lods: of Paddle, see :meth:`mconv.runtimes.Worker.run`.
            timeout: seconds.

        Raises:
            WorkerError: it cannot be loaded.
        """
        self.what = str(program)
        model = {
            "program": str(program.absolute()),
            "params": None if params is None else str(params.absolute()),
            "ir_optim": True,
            "onednn": onednn,
            "memory_optim": True,
            "passes": list(passes),
            "onednn_except": list(onednn_except),
            "threads": self.threads,
            "lods": dict(lods or {}),
        }
        header, _ = self._ask({"command": "open", "engine": engine, "model": model}, [], timeout, "load", self.what)
        return Loaded(header["version"], header["import_seconds"], header["load_seconds"], header["bare_bytes"])

    def time(self, feed: Mapping[str, np.ndarray], runs: int, *, keep: bool = False, timeout: float = 300) -> Timed:
        """Run the model that is loaded.

        Args:
            feed: name → array.
            runs: how often, at least once.
            keep: whether the outputs are wanted.
            timeout: seconds for all runs together.

        Raises:
            WorkerError: it failed, or took too long; the process is to be closed then.
        """
        arrays = [np.asarray(a) for a in feed.values()]
        request = {"command": "time", "names": list(feed), "runs": runs, "keep": keep}
        header, outputs = self._ask(request, arrays, timeout, "run", self.what)
        return Timed(
            header["seconds"],
            header["cpu_seconds"],
            header["peak_bytes"],
            header["names"],
            header["dtypes"],
            outputs,
        )


def here(engine: str) -> Runtime:
    """This Python, for an engine that is no Paddle."""
    return Runtime(ENGINES[engine], Path(sys.executable), managed=False)
