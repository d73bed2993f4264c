"""Of ``run``, ``init`` and ``runtime install``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Optional

from mconv.options.declare import Options, again, argument, option
from mconv.options.proving import ForTarget, Paged, PathLike, Targeted, TargetLike, logged


def _logged(event: Any) -> None:
    logged(f"{event.recipe}: {event.step}: {event.status}{': ' if event.text else ''}{event.text}")


class Run(Paged):
    """Of ``run``."""

    recipes: Sequence[PathLike] = argument(metavar="RECIPE.yaml…", help="Recipes, or folders of them.", kw_only=False)
    out: PathLike = option(
        default="build",
        flags=["--out", "-o"],
        metavar="DIR",
        help="Each recipe gets a folder there; so does summary.json.",
    )
    jobs: int = option(default=1, flags=["--jobs", "-j"], metavar="N", help="How many recipes run at a time.")
    profile: Optional[str] = option(
        default=None, metavar="NAME", help="Apply this profile to the recipes that have it."
    )
    settings: Sequence[str] = option(
        default=(),
        flags=["--set"],
        metavar="KEY=VALUE",
        help="Change a field of all recipes: target=2.6. Repeatable.",
    )
    executor: str = option(default="local", help="local, or ray: one task of Ray for each recipe.")
    force: bool = option(default=False, flags=["--force", "-f"], help="Do everything again.")
    progress: Callable[[Any], Any] = option(
        default=_logged,
        help="Called with an event for everything that happens.  [default: the logger `mconv`]",
        cli=False,
    )


class Init(ForTarget):
    """Of ``init``."""

    no_target: ClassVar[tuple[Any, ...]] = ()
    model: str = argument(
        help="A model's path or address, package:NAME/PATH, or a spec: file.py:factory, pkg.module:factory.",
        kw_only=False,
    )
    out: Optional[PathLike] = option(
        default=None, flags=["--out", "-o"], metavar="FILE", help="The recipe; - shows it only.  [default: NAME.yaml]"
    )
    show: bool = option(default=False, help="Write nothing.", cli=False)
    target: TargetLike = again(Targeted, "target", help="The Paddle that will load the result: 2.3, 2.6, 3, 1.8.")
    force: bool = option(default=False, flags=["--force", "-f"], help="Replace the file.")


class InstallRuntime(Options):
    """Of ``runtime install``, of one."""

    name: str = argument(help="The runtime, see `mconv runtime list`.", kw_only=False)
    python: Optional[str] = option(default=None, help="An interpreter to use instead of the one found.")
    force: bool = option(default=False, help="Start over.")
    progress: Callable[[str], Any] = option(
        default=logged, help="Called with one line whenever something happens.", cli=False
    )
