"""Managed runtimes in tests: a test that needs one is skipped, with the reason, where it is not installed."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Callable, Optional

import pytest

import mconv
from mconv.errors import MissingDependencyError, RuntimeUnavailableError
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
