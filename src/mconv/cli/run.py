"""``mconv run``."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import Any

from mconv.cli.output import out
from mconv.cli.parameters import Given, taken, with_options
from mconv.errors import MconvError
from mconv.options.running import Run
from mconv.options.verify import Reported
from mconv.printable import printable

TITLE = "mconv run"
_WORDS = {"done": "passed", "cached": "nothing to do", "failed": "FAILED", "skipped": "not run", "running": "…"}
_STYLES = {"done": "green", "cached": "green", "failed": "bold red", "skipped": "dim", "running": "cyan"}


class _Run(Reported, Run):
    """With the files that a function of its own writes."""


@with_options(_Run)
def command(given: Given) -> Any:
    """Run recipes: whole chains from the source model to the service. What is done already is left as it is."""
    from mconv.recipe import api as recipes

    files = taken(given, "junit_file", "summary_file")
    try:
        with _progress() as progress:
            result = recipes.run(**given, progress=progress)
    except MconvError as e:  # a recipe that is wrong
        show_annotations(e, TITLE)
        raise
    for recipe in result.recipes:
        for step in recipe.steps:
            for warning in step.warnings if step.status != "cached" else []:
                out.warn(f"{recipe.name}: {step.name}: {warning}")
    _table(result)
    if result.nothing_done:
        out.print(f"nothing to do: all {len(result.recipes)} recipes are as they should be in {result.out}")
    recipes.write_reports(result, TITLE, **files)
    show_annotations(result, TITLE)
    result.require()
    return result.to_dict()


def show_annotations(result: Any, title: str) -> None:
    """GitHub's workflow commands, on stderr as stdout may carry JSON; nothing elsewhere."""
    from mconv.recipe import api as recipes

    for line in recipes.github_annotations(result, title):
        sys.stderr.write(printable(line) + "\n")
    sys.stderr.flush()


def _table(result: Any) -> None:
    rows = []
    for recipe in result.recipes:
        for step in recipe.steps:
            worst = step.worst()
            apart = "" if worst is None else worst["name"]
            figure = "" if worst is None or worst.get("max_abs") is None else f"{worst['max_abs']:.2e}"
            why = step.error["message"] if step.error else step.reason if step.status == "skipped" else ""
            rows.append([recipe.name, step.name, _word(step), f"{step.seconds:.1f}", apart, figure, why])
    columns = ["recipe", "step", "", "s", "furthest apart", "max abs", "why"]
    out.table(columns, rows, right=["s", "max abs"], drop=["furthest apart", "max abs", "s"], verdict="")


@contextlib.contextmanager
def _progress() -> Iterator[Any]:
    """What is called with every event: a live table on a terminal, a line for each step elsewhere."""
    if out.quiet:
        yield lambda event: None
    elif sys.stderr.isatty():
        with _Live() as live:
            yield live.event
    else:
        yield _line


def _word(done: Any) -> str:
    """What became of a step: of a StepResult, or an Event at its end."""
    word = _WORDS[done.status]
    return word if not done.in_part else "passed in part" if done.status == "done" else f"{word} (passed in part)"


def _line(event: Any) -> None:
    text = event.text
    if event.status == "running":
        out.detail(f"{event.recipe}: {event.step}: {text}")
    elif event.status == "cached":
        out.note(f"{event.recipe}: {event.step}: {_word(event)}")
    else:
        tail = f": {text}" if text and event.status != "done" else ""
        spent = f" ({event.seconds:.1f} s)" if event.seconds else ""
        out.note(f"{event.recipe}: {event.step}: {_word(event)}{spent}{tail}")


_SPENT = 2  # the column of the time
_LEAST_DOING = 10  # columns for what is being done


class _Live:
    """One line for each recipe: its steps with their states, and what it is doing."""

    def __init__(self) -> None:
        from rich.live import Live

        self._states: dict[str, dict[str, Any]] = {}
        self._since: dict[tuple[str, str], float] = {}
        self._live = Live(
            console=out.console(stderr=True), get_renderable=self._render, refresh_per_second=8, transient=True
        )

    def __enter__(self) -> _Live:
        self._live.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._live.__exit__(*error)

    def event(self, event: Any) -> None:
        self._states.setdefault(event.recipe, {})[event.step] = event
        self._since.setdefault((event.recipe, event.step), time.monotonic())

    def _render(self) -> Any:
        from rich.table import Table
        from rich.text import Text

        rows: list[tuple[Any, Any, Any, Any]] = []
        for name, events in list(self._states.items()):
            steps, doing, spent = Text(), "", ""
            for step, event in list(events.items()):
                steps.append(f"{step} ", _STYLES[event.status])
                doing = printable(event.text, 100) if event.status in ("running", "failed") else ""
                if event.status == "running":
                    spent = f"{time.monotonic() - self._since[name, step]:.0f} s"
            rows.append((Text(printable(name)), steps, Text(spent, "dim"), Text(doing, "dim")))
        table = Table(box=None, show_header=False, pad_edge=False)
        for column in range(4):
            table.add_column(no_wrap=True, overflow="ellipsis", justify="right" if column == _SPENT else "left")
        room = (
            out.console(stderr=True).width - sum(max(r[at].cell_len for r in rows) + 2 for at in range(3))
            if rows
            else 0
        )
        for row in rows:
            row[-1].truncate(
                max(room, _LEAST_DOING), overflow="ellipsis"
            )  # or the table would take it from all columns
            table.add_row(*row)
        return table
