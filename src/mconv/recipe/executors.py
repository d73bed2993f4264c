"""Where recipes run: in processes of this machine, or on a Ray cluster."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Sequence
from typing import Any, Callable

from mconv.errors import MissingDependencyError, RuntimeFailedError, UsageError
from mconv.extras import install
from mconv.recipe.results import FAILED, Event, Notify, RecipeResult, StepResult
from mconv.recipe.run import SOURCE, Job, run_recipe

Executor = Callable[[Sequence[Job], int, Notify], list[RecipeResult]]


def local(jobs: Sequence[Job], count: int, notify: Notify) -> list[RecipeResult]:
    """Up to *count* recipes at a time; their steps are processes, the threads here only wait for them."""
    with concurrent.futures.ThreadPoolExecutor(max(1, min(count, len(jobs)))) as pool:
        waiting = [pool.submit(run_recipe, job, notify) for job in jobs]
        try:
            return [future.result() for future in waiting]
        except BaseException:
            for future in waiting:
                future.cancel()
            raise


def ray(jobs: Sequence[Job], count: int, notify: Notify) -> list[RecipeResult]:
    """One task of Ray for each recipe, on the cluster that ``RAY_ADDRESS`` names or on one that is started here.

    The recipes, their sources and the output are on a file system that all machines share.

    Raises:
        MissingDependencyError: Ray is not installed.
        RuntimeFailedError: it does not start.
    """
    try:
        import ray as package
    except ImportError:
        raise MissingDependencyError("--executor ray needs Ray, which is not installed", install("ray")) from None
    started = not package.is_initialized()
    try:
        if started:
            package.init(log_to_driver=False, include_dashboard=False, configure_logging=False)
    except Exception as e:  # whatever Ray raises
        raise RuntimeFailedError(f"Ray does not start: {' '.join(str(e).split())[:300]}") from e
    try:
        task = package.remote(num_cpus=1, max_retries=0)(_collected)
        names = {}
        for index, job in enumerate(jobs):
            notify(Event(job.recipe.name, SOURCE, "running", "waiting for Ray"))
            names[task.remote(job)] = index
        found: dict[int, RecipeResult] = {}
        waiting = list(names)
        while waiting:
            ready, waiting = package.wait(waiting)
            for reference in ready:
                job = jobs[names[reference]]
                try:
                    result, events = package.get(reference)
                except Exception as e:  # noqa: BLE001 - the worker died; told in the result
                    result, events = _lost(job, e), []
                for event in events:
                    notify(event)
                found[names[reference]] = result
        return [found[i] for i in range(len(jobs))]
    finally:
        if started:
            package.shutdown()


def _collected(job: Job) -> tuple[RecipeResult, list[Event]]:
    events: list[Event] = []
    return run_recipe(job, lambda e: events.append(e) if e.status != "running" else None), events


def _lost(job: Job, error: Exception) -> RecipeResult:
    told: dict[str, Any] = {
        "kind": "RuntimeFailedError", "message": f"Ray lost the recipe: {' '.join(str(error).split())[:300]}",
        "hint": None, "exit_code": 9, "rows": [],
    }  # fmt: skip
    made = RecipeResult(job.recipe.name, str(job.recipe.file), job.recipe.profile, str(job.folder))
    made.steps.append(StepResult(SOURCE, FAILED, error=told))
    return made


EXECUTORS: dict[str, Executor] = {"local": local, "ray": ray}


def executor(name: str) -> Executor:
    """The executor of this name.

    Raises:
        UsageError: there is none.
    """
    if name not in EXECUTORS:
        raise UsageError(f"unknown executor {name!r}", f"executors are {', '.join(EXECUTORS)}")
    return EXECUTORS[name]
