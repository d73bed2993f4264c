"""Managed environments with other versions of Paddle, and workers that run models in them."""

from __future__ import annotations

from mconv.runtimes.outcome import RunResult, WorkerError
from mconv.runtimes.runtime import Runtime, RuntimeStatus, find, for_models, runtimes_folder, statuses
from mconv.runtimes.worker import Worker

__all__ = [
    "RunResult",
    "Runtime",
    "RuntimeStatus",
    "Worker",
    "WorkerError",
    "find",
    "for_models",
    "runtimes_folder",
    "statuses",
]
