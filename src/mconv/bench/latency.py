"""Latency of models, each in each runtime that can run it: in turns, on the same inputs, with the answers compared.

Each contender is a process of its own with one model loaded, so that its memory and its time on the processor are its
own. A round runs every contender a few times on one input set before the next round begins: what else the machine does
in the meantime hits all of them alike.
"""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Optional

import numpy as np

from mconv.bench.figures import Figures, figures
from mconv.errors import MconvError, RuntimeFailedError
from mconv.extras import install
from mconv.program.files import Era, ModelFiles, load_program
from mconv.proof.compare import Tolerance, compare
from mconv.proof.feeds import as_declared
from mconv.proof.runners import Answers, check_external, lods_of
from mconv.runtimes import Runtime, find
from mconv.runtimes.latency import ENGINES, LatencyWorker, Loaded, here
from mconv.runtimes.outcome import WorkerError
from mconv.serving.onednn import EXCEPT, PASSES

Feed = Mapping[str, np.ndarray]
OK, WRONG, FAILED = "ok", "wrong", "failed"
# what a person is told of the ways to run Paddle
ONEDNN, FC = "oneDNN", "oneDNN + fc passes"


@dataclass(frozen=True)
class Model:
    """A model to be measured.

    Attributes:
        name: as the user gave it.
        onnx: the file, where it is one; files: of a Paddle model.
        inputs: the reference's name of an input → its own; types: its own name → numpy type, where that is another one.
        outputs: per output of the reference, the position of its own; None: the same.
    """

    name: str
    onnx: Optional[Path] = None
    files: Optional[ModelFiles] = None
    inputs: Mapping[str, str] = field(default_factory=dict)
    types: Mapping[str, np.dtype] = field(default_factory=dict)
    outputs: Optional[Sequence[int]] = None

    def given(self, feed: Feed) -> Feed:
        """An input set under its own names, in its own types."""
        own = {self.inputs.get(name, name): array for name, array in feed.items()}
        return {name: a.astype(self.types[name]) if name in self.types else a for name, a in own.items()}


@dataclass(frozen=True)
class Contender:
    """A model in a runtime.

    Attributes:
        runtime: where; engine: which of the runtime's ways to run a model, see :class:`LatencyWorker`.
        onednn, passes: of Paddle.
        how: the same in words; empty where there is only one way.
    """

    model: Model
    runtime: Runtime
    engine: str = "predictor"
    onednn: bool = False
    passes: tuple[str, ...] = ()
    how: str = ""


@dataclass
class Sized:
    """A contender on one input set.

    Attributes:
        status: `ok`, `wrong` where the answer is another one than the reference's, `failed`.
        reason: why not ok.
        figures: of the runs; null where it failed.
        per_second: how many runs one such process does, one after the other.
        cpu_ms: time on the processor for a run, of all threads, in milliseconds.
        max_abs: the largest difference to the reference's answers; null where they cannot be compared.
        relative: how many times as long as the fastest right one; null where this one is not right.
    """

    status: str
    reason: str = ""
    figures: Optional[Figures] = None
    per_second: Optional[float] = None
    cpu_ms: Optional[float] = None
    max_abs: Optional[float] = None
    relative: Optional[float] = None


@dataclass
class Measured:
    """A contender's figures.

    Attributes:
        model: its name.
        runtime: `Paddle 2.3.2`, `ONNX Runtime 1.20.1`, …
        how: `oneDNN`, `oneDNN + fc passes`, or empty.
        load_seconds: to load the model.
        import_seconds: before that, to import the framework.
        peak_bytes: the most resident memory of its process.
        bare_bytes: that of the framework alone.
        sizes: one for each input set.
    """

    model: str
    runtime: str
    how: str
    load_seconds: Optional[float] = None
    import_seconds: Optional[float] = None
    peak_bytes: Optional[int] = None
    bare_bytes: Optional[int] = None
    sizes: list[Sized] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        return all(size.status == FAILED for size in self.sizes)


def contenders(
    model: Model, runtimes: Sequence[Runtime], engines: Sequence[str] = tuple(ENGINES)
) -> tuple[list[Contender], list[str]]:
    """The ways to run a model, and what is missing for others.

    Args:
        runtimes: the Paddles to take.
        engines: the others to take.
    """
    found, notes = [], []
    if model.files is not None:
        for runtime in runtimes:
            if model.files.era is Era.PIR and runtime.name.startswith(("paddle-1.", "paddle-2.")):
                continue
            found.append(Contender(model, runtime))
            if runtime.name.startswith("paddle-1."):
                continue
            found.append(Contender(model, runtime, onednn=True, how=ONEDNN))
            if runtime.name.startswith("paddle-2.3."):  # 2.3 leaves them out, 2.6 has them in its list
                found.append(Contender(model, runtime, onednn=True, passes=PASSES, how=FC))
    for engine in engines:
        if model.onnx is None and (engine == "onnxruntime" or not _for_openvino(model)):
            continue
        if missing := not_installed(engine):
            notes.append(": ".join(missing))
            continue
        found.append(Contender(model, here(engine), engine))
    return found, notes


def not_installed(engine: str) -> Optional[tuple[str, str]]:
    """That one of :data:`ENGINES` is missing, and what to do about it; None where it is there."""
    if importlib.util.find_spec(engine) is not None:
        return None
    extra = f"`{install('verify')}`" if engine == "onnxruntime" else "`pip install openvino`"
    return f"{ENGINES[engine]} is not installed", extra


def _for_openvino(model: Model) -> bool:
    """It reads ``X.pdmodel`` with ``X.pdiparams`` beside it."""
    if model.onnx is not None:
        return True
    files = model.files
    if files is None or files.program.suffix != ".pdmodel" or files.params is None:
        return False
    return files.params == files.program.with_suffix(".pdiparams")


def paddles(names: Sequence[str], installed: Sequence[str]) -> list[Runtime]:
    """The Paddles that models are measured in: those named, else all that are installed, newest last.

    A package for GPUs, which computes on the CPU what the other of its version does, has to be named.

    Raises:
        UsageError, RuntimeUnavailableError: one that is named does not exist, or is not installed.
    """
    if names:
        return [find(name) for name in dict.fromkeys(names)]
    left_out = ("paddle-1.", "paddle-gpu-")
    found = [find(name) for name in installed if name.startswith("paddle-") and not name.startswith(left_out)]
    if importlib.util.find_spec("paddle") is not None:
        found.append(find("current"))
    return found


@dataclass(frozen=True)
class Plan:
    """How it is measured.

    Attributes:
        threads: of each framework.
        warmup: runs on each input set before any is timed, at least one; loops: timed runs; rounds: in how many turns.
        timeout: seconds for loading, and for the runs of one turn.
    """

    threads: int = 1
    warmup: int = 3
    loops: int = 50
    rounds: int = 5
    timeout: float = 600

    def turns(self) -> list[int]:
        """How many runs each round has."""
        rounds = min(self.rounds, self.loops)
        return [self.loops // rounds + (index < self.loops % rounds) for index in range(rounds)]


def measure(
    lanes: Sequence[Contender],
    sets: Sequence[Feed],
    reference: Answers,
    plan: Plan,
    *,
    tolerance: Tolerance = Tolerance(),
    progress: Callable[[str], Any] = lambda text: None,
) -> list[Measured]:
    """Measure all contenders.

    Args:
        sets: what all are given, by the reference's names of the inputs.
        reference: the right answers to *sets*.
        progress: is told what is being done.

    Raises:
        RuntimeFailedError: not one could run any of the sets.
    """
    with contextlib.ExitStack() as stack:
        runners = []
        for lane in lanes:
            progress(f"loading {lane.model.name}: {lane.runtime.name}{', ' + lane.how if lane.how else ''}")
            runner = _Runner(lane, plan, len(sets))
            stack.callback(runner.worker.close)
            runner.open(sets, reference, tolerance)
            runners.append(runner)
        turns = plan.turns()
        for turn, runs in enumerate(turns, 1):
            progress(f"round {turn} of {len(turns)}")
            for index in range(len(sets)):
                # each round begins with another one, so that none always follows the same neighbour
                order = runners[turn % len(runners) :] + runners[: turn % len(runners)]
                for runner in order:
                    runner.time(sets, index, runs)
        made = [runner.result() for runner in runners]
    if all(measured.failed for measured in made):
        reasons = dict.fromkeys(s.reason for m in made for s in m.sizes)
        raise RuntimeFailedError(f"no runtime can run it: {'; '.join(reasons)}")
    _rank(made, len(sets))
    return made


def _rank(made: Sequence[Measured], count: int) -> None:
    """Relative to the fastest right answer; one that is wrong or failed is left out."""
    for index in range(count):
        right = [m.sizes[index] for m in made if m.sizes[index].status == OK]
        fastest = min((s.figures.p50 for s in right if s.figures is not None), default=None)
        for size in right:
            if size.figures is not None and fastest:
                size.relative = size.figures.p50 / fastest


class _Runner:
    """A contender while it is measured."""

    def __init__(self, lane: Contender, plan: Plan, count: int):
        self.lane, self.plan = lane, plan
        self.worker = LatencyWorker(lane.runtime, threads=plan.threads)
        self.label = lane.runtime.label
        self.loaded: Optional[Loaded] = None
        self.peak = 0
        self.sizes = [Sized(OK) for _ in range(count)]
        self.seconds: list[list[float]] = [[] for _ in range(count)]
        self.cpu = [0.0] * count
        self.program = None
        files = lane.model.files
        if files is not None and files.era is not Era.PIR:
            self.program = load_program(files)

    def open(self, sets: Sequence[Feed], reference: Answers, tolerance: Tolerance) -> None:
        """Load the model, warm it up, and compare what it answers."""
        lane, files = self.lane, self.lane.model.files
        path = files.program if files is not None else lane.model.onnx
        assert path is not None
        try:
            if lane.model.onnx is not None:
                check_external(path)
            self.loaded = self.worker.open(
                path,
                None if files is None else files.params,
                engine=lane.engine,
                onednn=lane.onednn,
                passes=lane.passes,
                onednn_except=EXCEPT if lane.passes else (),
                lods=None if files is None else lods_of(files),
                timeout=self.plan.timeout,
            )
        except MconvError as e:
            self._failed(range(len(sets)), e)
            return
        name = ENGINES.get(lane.engine, "Paddle")
        self.label = f"{name} {self.loaded.version}"
        for index in range(len(sets)):
            self._warm(sets, index, reference, tolerance)

    def _warm(self, sets: Sequence[Feed], index: int, reference: Answers, tolerance: Tolerance) -> None:
        if self.sizes[index].status == FAILED:
            return
        try:
            done = self.worker.time(
                self._given(sets[index]), max(1, self.plan.warmup), keep=True, timeout=self.plan.timeout
            )
        except WorkerError as e:
            self._run_failed(index, e)
            return
        positions = self.lane.model.outputs
        if positions is None or len(positions) != len(done.outputs):
            positions = range(len(done.outputs))
        found = compare(
            [reference.outputs[index]],
            [[done.outputs[position] for position in positions]],
            reference.names,
            tolerance=tolerance,
            dtypes=[reference.dtypes[index]],
            got_dtypes=[[done.dtypes[position] for position in positions]],
            scalar_as_one=True,
            same_dtype=False,  # OpenVINO gives int64 as int32 where it can
        )
        if np.isfinite(found.max_abs):
            self.sizes[index].max_abs = found.max_abs
        if not found.ok:
            reasons = [*found.problems, *(f"output {o.name}: {o.reason}" for o in found.outputs if not o.ok)]
            self.sizes[index].status = WRONG
            self.sizes[index].reason = reasons[0] if reasons else "there is nothing to compare"

    def time(self, sets: Sequence[Feed], index: int, runs: int) -> None:
        if self.sizes[index].status == FAILED:
            return
        try:
            done = self.worker.time(self._given(sets[index]), runs, timeout=self.plan.timeout)
        except WorkerError as e:
            self._run_failed(index, e)
            return
        self.seconds[index] += done.seconds
        self.cpu[index] += done.cpu_seconds
        self.peak = max(self.peak, done.peak_bytes)

    def _given(self, feed: Feed) -> Feed:
        given = self.lane.model.given(feed)
        return given if self.program is None else as_declared(given, self.program)

    def _run_failed(self, index: int, error: WorkerError) -> None:
        """A process that is gone took the model with it: its other input sets are lost, too."""
        gone = error.signal is not None or error.timed_out
        self._failed(range(len(self.sizes)) if gone else [index], error)

    def _failed(self, indices: Sequence[int], error: MconvError) -> None:
        for index in indices:
            if self.sizes[index].status != FAILED:
                self.sizes[index] = Sized(FAILED, error.message)
        if all(size.status == FAILED for size in self.sizes):
            self.worker.close()

    def result(self) -> Measured:
        lane, loaded = self.lane, self.loaded
        made = Measured(lane.model.name, self.label, lane.how)
        if loaded is not None:
            made.load_seconds, made.import_seconds = loaded.load_seconds, loaded.import_seconds
            made.peak_bytes, made.bare_bytes = self.peak or None, loaded.bare_bytes or None
        for size, seconds, cpu in zip(self.sizes, self.seconds, self.cpu):
            if size.status != FAILED:
                size.figures = figures(seconds)
                size.per_second = len(seconds) / sum(seconds)
                size.cpu_ms = 1e3 * cpu / len(seconds)
            made.sizes.append(size)
        return made
