"""Managed runtimes in tests: a test that needs one is skipped, with the reason, where it is not installed."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Callable, Optional

import pytest

import mconv
from mconv.errors import MissingDependencyError, RuntimeUnavailableError
from mconv.proof.runners import PaddleRunner
from mconv.runtimes import Runtime, Worker, find

ROOT = Path(__file__).parent.parent
SOURCES = Path(mconv.__file__).parent.parent
SAVE_MODELS = Path(__file__).parent / "runtimes" / "save_models.py"


def require(name: str) -> Runtime:
    """The runtime, or the end of the test."""
    try:
        return find(name)
    except (RuntimeUnavailableError, MissingDependencyError) as e:
        pytest.skip(str(e).replace("\n", "; "))


@pytest.fixture(scope="session")
def workers() -> Iterator[Callable[[str], Worker]]:
    """``workers("paddle-2.3.2")``: a worker of that runtime, started once for all tests of this process."""
    started: dict[str, Worker] = {}

    def get(name: str) -> Worker:
        if name not in started:
            started[name] = require(name).worker()
        return started[name]

    yield get
    for worker in started.values():
        worker.close()


# one process per runtime ----------------------------------------------------------------------------------------------


class Pool:
    """Processes of workers that have done their work, kept for the next worker of the same runtime and environment: to
    import Paddle takes longer than to run what a test has.

    Attributes:
        on: whether it takes and gives; off in the tests of the workers themselves.
    """

    MOST, USES = 3, 100  # processes that wait, and workers that one serves (Paddle keeps some memory of each model)

    def __init__(self) -> None:
        self.on = True
        self._waiting: dict[tuple[object, ...], tuple[object, ...]] = {}
        self._uses: dict[int, int] = {}
        self._start, self._close = Worker._start, Worker.close

    @staticmethod
    def _key(worker: Worker) -> tuple[object, ...]:
        environment = {k: v for k, v in worker.runtime.environ().items() if k != "PYTEST_CURRENT_TEST"}
        return type(worker), worker.runtime.python, worker.threads, tuple(sorted(environment.items()))

    def start(self, worker: Worker) -> subprocess.Popen[bytes]:
        """In place of ``Worker._start``."""
        if worker._process is None and self.on:
            kept = self._waiting.pop(self._key(worker), None)
            if kept is not None:
                worker._process, worker._log, worker._scratch = kept  # type: ignore[assignment]
        return self._start(worker)

    def leave(self, worker: Worker) -> None:
        """In place of closing a worker that has come to its end in order: one that broke off has no process any more."""
        process = worker._process
        if not self.on or process is None or process.poll() is not None:
            worker.close()
            return
        key, used = self._key(worker), self._uses.get(process.pid, 0) + 1
        if key in self._waiting or used >= self.USES:
            worker.close()
            return
        self._uses[process.pid] = used
        self._waiting[key] = process, worker._log, worker._scratch
        worker._process = worker._log = worker._scratch = None
        if len(self._waiting) > self.MOST:
            self._end(next(iter(self._waiting)))

    def _end(self, key: tuple[object, ...]) -> None:
        gone = Worker(Runtime("gone", Path()))
        gone._process, gone._log, gone._scratch = self._waiting.pop(key)  # type: ignore[assignment]
        gone.close()

    def close(self) -> None:
        for key in list(self._waiting):
            self._end(key)


@contextmanager
def pooled() -> Iterator[Pool]:
    """In it, workers that end in order leave their processes to the next ones."""
    made = Pool()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Worker, "_start", lambda worker: made.start(worker))
        patch.setattr(Worker, "__exit__", lambda worker, *_: made.leave(worker))
        patch.setattr(PaddleRunner, "__exit__", lambda runner, *_: made.leave(runner.worker))
        try:
            yield made
        finally:
            made.close()


@pytest.fixture(scope="session", autouse=True)
def pool() -> Iterator[Pool]:
    """:func:`pooled`, in all tests of this process."""
    with pooled() as made:
        yield made


def run_in(
    where: Runtime, *arguments: object, cwd: Optional[Path] = None, timeout: float = 600
) -> subprocess.CompletedProcess[str]:
    """Run a runtime's interpreter with these arguments; it finds mconv and the tests."""
    return subprocess.run(
        [str(where.python), *map(str, arguments)],
        cwd=cwd,
        env=where.environ(PYTHONPATH=f"{SOURCES}:{ROOT}", OMP_NUM_THREADS="1"),
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def save_model(runtime: str, kind: str, folder: Path) -> Path:
    """Have a runtime's own Paddle save a model (``bert``, ``mlp``) as ``<folder>/model.*``; returns the prefix."""
    where = require(runtime)
    prefix = folder / "model"
    subprocess.run(
        [str(where.python), str(SAVE_MODELS), kind, str(prefix)],
        env=where.environ(),
        check=True,
        capture_output=True,
        timeout=300,
    )
    return prefix
