"""A model in a runtime, and such that are measured in turns: see ``latency.py``."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional
from unittest import mock

import numpy as np

from mconv import runtimes
from mconv.errors import MconvError
from mconv.program import files
from mconv.runtimes.latency import LatencyWorker, here
from mconv.serving.onednn import EXCEPT, PASSES
from mconv.verbs.fusions import fused

PADDLES = ("2.3.2", "2.6.2", "3.3.1")
MODELS = {
    "bert": "BERT-base, 1 × 128",
    "vit": "ViT-B/16",
    "resnet50": "ResNet-50",
    "mobilenetv3": "MobileNetV3-Large",
    "det": "PP-OCRv4 det, 640 × 640",
    "rec": "PP-OCRv4 rec, 48 × 320",
}
TRANSFORMERS = ("bert", "vit")
OWN, TORCH, UNTRAINED, ONNX, JSON = (
    "Paddle's own export",
    "from PyTorch",
    "from PyTorch, untrained",
    "from ONNX",
    "from .json",
)
NOW, THEN, THEN_TWO = "Paddle 2.3.2", "Paddle 2.3.2, before", "Paddle 2.3.2, before, 2 threads"
# MKL has kernels for AVX2 and AVX-512 and uses them on Intel's processors alone; oneDNN asks for what there is
NOT_INTEL = {"MKL_ENABLE_INSTRUCTIONS": "SSE4_2", "ONEDNN_MAX_CPU_ISA": "AVX2", "DNNL_MAX_CPU_ISA": "AVX2"}
ELSEWHERE = "kernels of other processors"
PROCESSES = 3  # that a lane is measured in


def do(command: Sequence[str], env: Optional[dict[str, str]] = None) -> None:
    """Run a command, relative to this folder; SystemExit where it fails, with what it has said."""
    done = subprocess.run(
        list(command), env=env, cwd=Path(__file__).parent, capture_output=True, text=True, errors="replace"
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: exit code {done.returncode}\n{done.stderr[-2000:]}")


@dataclass
class Lane:
    """A model in a runtime; *best* in milliseconds, None until it ran, or where it cannot."""

    label: str
    paddle: Optional[str]
    path: Path
    engine: str = "predictor"
    onednn: bool = True
    threads: Optional[int] = None
    variables: dict[str, str] = field(default_factory=dict)
    best: Optional[float] = None
    problem: str = ""
    worker: Optional[LatencyWorker] = None

    def open(self, threads: int, feed: dict[str, np.ndarray]) -> None:
        runtime = here(self.engine) if self.paddle is None else runtime_of(self.paddle)
        with mock.patch.dict(os.environ, self.variables):
            self.worker = LatencyWorker(runtime, threads=self.threads or threads)
            self._load(feed)

    def _load(self, feed: dict[str, np.ndarray]) -> None:
        assert self.worker is not None
        tuned = self.onednn and self.paddle == "2.3.2"
        params = None
        path = self.path
        if self.paddle is not None:
            found = files.locate(path)
            path, params = found.program, found.params
        self.worker.open(
            path,
            params,
            engine=self.engine,
            onednn=self.onednn,
            passes=PASSES if tuned else (),
            onednn_except=EXCEPT if tuned else (),
        )
        self.worker.time(feed, 2)

    def turn(self, feed: dict[str, np.ndarray], runs: int, cpu: bool) -> None:
        assert self.worker is not None
        timed = self.worker.time(feed, runs)
        took = (timed.cpu_seconds / runs if cpu else min(timed.seconds)) * 1e3
        self.best = took if self.best is None else min(self.best, took)


@dataclass
class Group:
    """Lanes that are run in turns."""

    title: str
    lanes: list[Lane] = field(default_factory=list)

    def of(self, label: str) -> Optional[float]:
        return next((lane.best for lane in self.lanes if lane.label == label), None)


def runtime_of(paddle: str) -> runtimes.Runtime:
    return runtimes.find("current" if paddle == "3.3.1" else f"paddle-{paddle}")


def run(group: Group, feed: dict[str, np.ndarray], seconds: float, threads: int, cpu: bool) -> None:
    """Measure a group: rounds for about *seconds* for each lane, at least two in each of its processes.

    Where the memory of a process lies makes ViT-B/16 up to 8% slower or faster, for as long as that process lives: each
    lane is loaded into several, one after the other, and has the best of all.
    """
    rounds = 0
    for _ in range(PROCESSES):
        rounds += _in_turns(group, feed, seconds / PROCESSES, threads, cpu)
    figures = ", ".join(f"{lane.label} {lane.best:.1f}" for lane in group.lanes if lane.best)
    print(f"  {group.title} ({rounds} rounds): {figures}", file=sys.stderr)


def _in_turns(group: Group, feed: dict[str, np.ndarray], seconds: float, threads: int, cpu: bool) -> int:
    """Load each lane that can be, and run all in turns; how often."""
    with contextlib.ExitStack() as stack:
        ready = []
        for lane in group.lanes:
            if lane.problem:
                continue
            try:
                lane.open(threads, feed)
            except MconvError as e:
                lane.problem = str(e).splitlines()[0]
                print(f"  {lane.label}: {lane.problem}", file=sys.stderr)
            else:
                ready.append(lane)
            if lane.worker is not None:
                stack.callback(lane.worker.close)
        start, rounds = time.perf_counter(), 0
        while ready and (rounds < 2 or time.perf_counter() - start < seconds * len(ready)):
            for lane in ready[rounds % len(ready) :] + ready[: rounds % len(ready)]:
                lane.turn(feed, 3 if (lane.best or 1e9) < 100 else 1, cpu)
            rounds += 1
        return rounds


def named(measured: list[Group], title: str) -> Group:
    """The group of a title; an empty one where there is none."""
    return next((group for group in measured if group.title == title), Group(title))


@dataclass
class Inside:
    """Where the time goes in Paddle 3.3.1, from oneDNN's own log and from that of Paddle's passes.

    Attributes:
        kernels: milliseconds in oneDNN's kernels, each at its fastest.
        calls: of kernels.
        passes: pass → how often it matched; those that did.
        kinds: what the kernels compute, as oneDNN calls it → milliseconds; the longest first.
    """

    kernels: float
    calls: int
    passes: dict[str, int]
    kinds: dict[str, float]


_EXECUTED = re.compile(r"onednn_verbose,(?:v1,)?(?:primitive,)?exec,cpu,(\w+),.*,([0-9.]+)$", re.MULTILINE)


def look_into(path: Path, feed: dict[str, np.ndarray], threads: int, runs: int = 20) -> Inside:
    found = files.locate(path)
    with (
        mock.patch.dict(os.environ, {"ONEDNN_VERBOSE": "1"}),
        LatencyWorker(runtime_of(PADDLES[-1]), threads=threads) as worker,
    ):
        worker.open(found.program, found.params, onednn=True)
        worker.time(feed, runs)
        worker.time(feed, runs)
        log = worker.log()
    found_kernels = _EXECUTED.findall(log)
    took = [float(ms) for _, ms in found_kernels]
    calls, rest = divmod(len(took), runs)
    if not calls or rest:
        raise SystemExit(f"{path}: {len(took)} kernels in the log of {runs} runs")
    kinds: Counter[str] = Counter()
    for call in range(calls):
        kinds[found_kernels[call][0]] += min(took[call::calls])
    passes = {one.name: one.matched for one in fused(path, "current").passes if one.matched}
    return Inside(sum(kinds.values()), calls, passes, dict(kinds.most_common()))
