"""Recipes as functions with typed results: whole chains of what :mod:`mconv.api` does; and the reports of such a run,
in which single comparisons and measurements are told, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Optional, Union

from mconv.errors import MconvError
from mconv.options.running import Init, Run
from mconv.options.taking import takes

if TYPE_CHECKING:
    from mconv.api import Case, Verification
    from mconv.program.paths import PathLike
    from mconv.recipe.initial import Draft
    from mconv.recipe.results import RunResult


@takes(Run)
def run(chosen: Run) -> RunResult:
    """Run recipes: whole chains from a source model to the service.

    Raises:
        MconvError: see :func:`mconv.recipe.runner.run`; a recipe that fails is no error here but in the result.
    """
    from mconv.recipe import runner

    return runner.run(chosen)


@takes(Init)
def init(chosen: Init) -> Draft:
    """Write a recipe to start from.

    Raises:
        MconvError: see :func:`mconv.recipe.initial.init`.
    """
    from mconv.recipe import initial

    return initial.init(chosen)


def schema() -> dict[str, Any]:
    """The JSON Schema of recipes."""
    from mconv.recipe import document

    return document.schema()


def write_reports(
    result: RunResult, title: str, *, junit_file: Optional[PathLike] = None, summary_file: Optional[PathLike] = None
) -> None:
    """Write the JUnit and the Markdown report of a run; see :func:`mconv.recipe.render.write`.

    Raises:
        MconvError: one cannot be written.
    """
    from mconv.recipe import render

    render.write(result, title, junit_file=junit_file, summary_file=summary_file)


def github_annotations(result: Union[RunResult, MconvError], title: str) -> list[str]:
    """The annotations of a run, or of the error that it ended with, for GitHub where it runs there; nothing elsewhere."""
    from mconv.recipe import render

    if not render.in_github():
        return []
    return (
        render.wrong_recipe(result, title)
        if isinstance(result, MconvError)
        else render.github_annotations(result, title)
    )


def as_run(a: PathLike, b: PathLike, found: Optional[Verification] = None, error: Any = None) -> RunResult:
    """A comparison, or the error that it ended with, in the form that the reports are made of."""
    from mconv.recipe import render

    return render.of_verification(a, b, found, error)


def of_bench(judged: Sequence[Case], seconds: float) -> RunResult:
    """A measurement as :func:`mconv.api.judge_bench` judges it, in the form that the reports are made of."""
    from mconv.recipe import render

    return render.of_bench(judged, seconds)
