"""What a run of recipes gave."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Callable, Optional

from mconv.errors import MconvError
from mconv.page.parts import badness
from mconv.page.shown import Shown

DONE, CACHED, FAILED, SKIPPED = "done", "cached", "failed", "skipped"
SCHEMA = 1

Notify = Callable[["Event"], Any]


@dataclass(frozen=True)
class Event:
    """Something that happened: a step began (``running``), said something, or ended with a status."""

    recipe: str
    step: str
    status: str
    text: str = ""
    seconds: float = 0.0
    in_part: bool = False


@dataclass
class StepResult:
    """One step.

    Attributes:
        name: of the step; ``source`` is the finding of the model.
        status: ``done``, ``cached`` (nothing to do: same input, options and versions), ``failed`` or ``skipped``.
        seconds: how long it took when it last ran.
        reason: why it ran, or was skipped.
        outputs: what it made, relative to the recipe's folder.
        proof: what was compared: ``a``, ``b``, ``outputs`` with figures per output and input set, and ``status``.
        warnings: what the user has to know.
        error: ``kind``, ``message``, ``hint``, ``exit_code``, ``rows``.
        line: of the step in the recipe.
    """

    name: str
    status: str
    seconds: float = 0.0
    reason: str = ""
    outputs: list[str] = field(default_factory=list)
    proof: Optional[dict[str, Any]] = None
    warnings: list[str] = field(default_factory=list)
    error: Optional[dict[str, Any]] = None
    line: int = 1

    @property
    def ok(self) -> bool:
        return self.status in (DONE, CACHED)

    @property
    def in_part(self) -> bool:
        """Whether the verdict is ``passed in part``: of the source as it was traced, not of the source as a whole."""
        return self.ok and (self.proof or {}).get("status") == "passed in part"

    @property
    def compared(self) -> list[dict[str, Any]]:
        """The figures of all outputs that were compared."""
        rows: list[dict[str, Any]] = (self.proof or {}).get("outputs") or []
        return rows

    def worst(self) -> Optional[dict[str, Any]]:
        """The output that is furthest from its reference; one that is not ok before all that are."""
        known = [row for row in self.compared if row.get("max_abs") is not None or not row.get("ok", True)]
        return max(known, key=badness, default=None)


@dataclass
class RecipeResult:
    """One recipe: its steps in order. Of what no recipe made, *file* is empty."""

    name: str
    file: str
    profile: Optional[str]
    folder: str
    steps: list[StepResult] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return bool(self.steps) and all(s.ok for s in self.steps)

    @property
    def status(self) -> str:
        if not self.ok:
            return FAILED
        return CACHED if all(s.status == CACHED for s in self.steps) else DONE

    @property
    def in_part(self) -> bool:
        return self.ok and any(s.in_part for s in self.steps)

    def failed(self) -> Optional[StepResult]:
        """The step that failed."""
        return next((s for s in self.steps if s.status == FAILED), None)


@dataclass(repr=False)
class RunResult(Shown):
    """All recipes of one run, in the order given."""

    out: str
    recipes: list[RecipeResult]
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        return all(r.ok for r in self.recipes)

    @property
    def nothing_done(self) -> bool:
        """Whether everything was as it should be already."""
        return all(r.status == CACHED for r in self.recipes)

    def to_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "schema": SCHEMA,
            "ok": self.ok,
            "out": self.out,
            "seconds": round(self.seconds, 3),
            "recipes": [{**asdict(r), "ok": r.ok, "status": r.status} for r in self.recipes],
        }

    def summary(self) -> dict[str, Any]:
        """For ``summary.json``: how things stand. What a run finds done already is no difference in it."""
        whole = self.to_dict()
        del whole["seconds"]
        for recipe in whole["recipes"]:
            for part in (recipe, *recipe["steps"]):
                part["status"] = DONE if part["status"] == CACHED else part["status"]
                part.pop("reason", None)
        return whole

    def require(self) -> None:
        """Raise if a recipe failed.

        Raises:
            MconvError: says how many; its exit code is that of the failures where they have one in common, else 1.
        """
        failed = [(r, s) for r in self.recipes if (s := r.failed()) is not None]
        if not failed:
            return
        recipe, step = failed[0]
        assert step.error is not None
        codes = {s.error["exit_code"] for _, s in failed if s.error}
        count = f"{len(failed)} of {len(self.recipes)} recipes failed"
        which = ", ".join(f"{r.name} ({s.name})" for r, s in failed)
        one = f"{recipe.name}: {step.name}: {step.error['message']}"
        error = MconvError(
            one if len(self.recipes) == 1 else f"{count}: {which}", step.error["hint"] if len(failed) == 1 else None
        )
        error.exit_code = codes.pop() if len(codes) == 1 else 1
        error.report = self
        raise error


def cases(result: RunResult) -> Iterator[tuple[RecipeResult, StepResult]]:
    """Every step of every recipe."""
    for recipe in result.recipes:
        for step in recipe.steps:
            yield recipe, step
