"""``mconv run``: several recipes, and what is left of them."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

from mconv.errors import OutputExistsError, UsageError
from mconv.options.running import Run
from mconv.recipe import cache
from mconv.recipe.executors import executor as find_executor
from mconv.recipe.load import has_profile, load_each
from mconv.recipe.results import RunResult
from mconv.recipe.run import Job

SUMMARY = "summary.json"


def run(chosen: Run) -> RunResult:
    """Run recipes; what has been done already is left as it is.

    Returns:
        What each step gave; a failure is no error here but in the result.

    Raises:
        NotAModelError, UsageError: a recipe is none, is wrong, or two have one name.
        MissingDependencyError: recipes cannot be checked, or Ray is missing.
    """
    start = time.perf_counter()
    where = find_executor(chosen.executor)
    if chosen.jobs < 1:
        raise UsageError(f"--jobs {chosen.jobs}: at least 1")
    files = _files([Path(r) for r in chosen.recipes])
    profile = chosen.profile
    if profile is not None and not any(has_profile(f, profile) for f in files):
        raise UsageError(f"--profile {profile}: none of the recipes has it")
    folder = Path(os.path.abspath(chosen.out))
    loaded = (each for f in files for each in load_each(f, profile=profile, settings=chosen.settings))
    planned = [Job(recipe, folder, chosen.force) for recipe in loaded]
    seen: dict[str, Path] = {}
    for job in planned:
        other = seen.setdefault(job.recipe.name, job.recipe.file)
        if other != job.recipe.file:
            raise UsageError(
                f"{other} and {job.recipe.file}: both are called {job.recipe.name!r}", "give one a `name:`"
            )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise OutputExistsError(f"{folder}: cannot be made ({e.strerror})", "--out names another folder") from None
    result = RunResult(str(folder), where(planned, chosen.jobs, chosen.progress), time.perf_counter() - start)
    try:
        cache.write(folder / SUMMARY, result.summary())
    except OSError as e:
        raise OutputExistsError(f"{folder / SUMMARY}: cannot be written ({e.strerror})") from None
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
