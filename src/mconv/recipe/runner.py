"""``mconv run``: several recipes, and what is left of them."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

from mconv.errors import OutputExistsError, UsageError
from mconv.program.params import PathLike
from mconv.recipe import cache
from mconv.recipe.executors import executor as find_executor
from mconv.recipe.load import has_profile, load
from mconv.recipe.results import Notify, RunResult
from mconv.recipe.run import Job

SUMMARY = "summary.json"


def run(
    recipes: Sequence[PathLike],
    *,
    out: PathLike = "build",
    jobs: int = 1,
    profile: Optional[str] = None,
    settings: Sequence[str] = (),
    force: bool = False,
    executor: str = "local",
    progress: Notify = lambda event: None,
) -> RunResult:
    """Run recipes; what has been done already is left as it is.

    Args:
        recipes: YAML files, or folders of them.
        out: each recipe gets a folder in it; so do ``summary.json`` and what is remembered.
        jobs: how many recipes run at a time.
        profile: a profile to apply to those recipes that have it; at least one must.
        settings: ``key.inner=value`` texts that change single fields of all recipes.
        force: do everything again.
        executor: ``local`` or ``ray``.
        progress: called with an :class:`~mconv.recipe.results.Event` for everything that happens.

    Returns:
        What each step gave; a failure is no error here but in the result.

    Raises:
        NotAModelError, UsageError: a recipe is none, is wrong, or two have one name.
        MissingDependencyError: recipes cannot be checked, or Ray is missing.
    """
    start = time.perf_counter()
    where = find_executor(executor)
    if jobs < 1:
        raise UsageError(f"--jobs {jobs}: at least 1")
    files = _files([Path(r) for r in recipes])
    if profile is not None and not any(has_profile(f, profile) for f in files):
        raise UsageError(f"--profile {profile}: none of the recipes has it")
    place = Path(os.path.abspath(out))
    planned = [Job(load(f, profile=profile, settings=settings), place, force) for f in files]
    seen: dict[str, Path] = {}
    for job in planned:
        other = seen.setdefault(job.recipe.name, job.recipe.file)
        if other != job.recipe.file:
            raise UsageError(
                f"{other} and {job.recipe.file}: both are called {job.recipe.name!r}", "give one a `name:`"
            )
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise OutputExistsError(f"{place}: cannot be made ({e.strerror})", "--out names another folder") from None
    result = RunResult(str(place), where(planned, jobs, progress), time.perf_counter() - start)
    try:
        cache.write(place / SUMMARY, result.summary())
    except OSError as e:
        raise OutputExistsError(f"{place / SUMMARY}: cannot be written ({e.strerror})") from None
    return result


def _files(given: Sequence[Path]) -> list[Path]:
    found: list[Path] = []
    for path in given:
        if path.is_dir():
            inner = sorted(p for p in path.iterdir() if p.suffix in (".yaml", ".yml"))
            if not inner:
                raise UsageError(f"{path}: holds no recipe (*.yaml)")
            found += inner
        else:
            found.append(path)
    if not found:
        raise UsageError("no recipe given", "mconv run recipes/NAME.yaml")
    return list(dict.fromkeys(Path(os.path.abspath(p)) for p in found))
