"""What all verbs take that convert, and that prove."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Optional, Union

from mconv.errors import UsageError
from mconv.options.declare import (
    CONVERSION,
    INPUT,
    OUTPUT,
    REPORT,
    VERIFICATION,
    Options,
    declared_flag,
    fields,
    one_of,
    option,
)
from mconv.program import targets
from mconv.program.paths import PathLike
from mconv.program.targets import Target

Arguments = Union[Mapping[str, Any], Sequence[str]]  # of a factory: by name, or ``key=value`` texts
TargetLike = Union[Target, str, float]
ABOVE_ZERO = {"exclusiveMinimum": 0}
HALVES = ("fp16", "bf16")


def logged(text: str) -> None:
    """What is being done goes to the logger ``mconv``, as information."""
    import logging

    logging.getLogger("mconv").info("%s", text)


class Bounded(Options):
    """What reads a model has a budget."""

    limit: Optional[Union[str, int]] = option(
        default=None,
        metavar="SIZE",
        typed=str,
        help="Memory that the model may ask for beside its files' size: 8G.  [default: 1G]",
        group=INPUT,
        recipe=False,
    )


class Progress(Options):
    progress: Callable[[str], Any] = option(
        default=logged,
        help="Called with one line for each phase.  [default: the logger `mconv`]",
        cli=False,
        recipe=False,
    )


class Force(Options):
    force: bool = option(
        default=False, flags=["--force", "-f"], help="Replace what is at OUT.", group=OUTPUT, recipe=False
    )


class Paged(Options):
    """What has a page of its result."""

    html: Optional[PathLike] = option(
        default=None,
        metavar="FILE.HTML",
        help="Write one page: verdict, figures, charts; it needs nothing else.",
        group=REPORT,
        recipe=False,
    )


class Runs(Options):
    """What runs a Paddle model."""

    runtime: Optional[str] = option(
        default=None,
        help="Where to verify: a managed runtime or `current`.  [default: the target's]",
        group=VERIFICATION,
        recipe=False,
    )
    timeout: float = option(
        default=600,
        metavar="SECONDS",
        help="For each run of either model.",
        group=VERIFICATION,
        schema=ABOVE_ZERO,
    )


class Feeds(Options):
    feeds: Optional[PathLike] = option(
        default=None,
        flags=["--inputs"],
        metavar="X.NPZ",
        help="Inputs to verify with, instead of random ones.",
        group=VERIFICATION,
        recipe=False,
    )

    @classmethod
    def feeds_option(cls) -> str:
        """The option by which the command takes the inputs, for messages."""
        return next(declared_flag(f) for f in fields(cls) if f.name == "feeds")


class Shaped(Options):
    """What makes inputs up."""

    inputs: Sequence[str] = option(
        default=(),
        flags=["--input", "-i"],
        metavar="'NAME[1,3,?,640]'",
        help="Shape of a random input. Repeatable.",
        group=INPUT,
        recipe=False,
    )


def finite_tolerance(number: float) -> None:
    """Refuse a tolerance that no comparison passes, or every one.

    Raises:
        UsageError: it is not above 0, or not finite.
    """
    if not 0 < number < math.inf:
        raise UsageError(f"--tolerance {number}: must be above 0" + (", and a number" if number > 0 else ""))


class Tolerated(Options):
    tolerance: Optional[float] = option(
        default=None,
        help="How far outputs may be apart, absolute and relative.  [default: 1e-5, 1e-4]",
        group=VERIFICATION,
        schema=ABOVE_ZERO,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tolerance is not None:
            finite_tolerance(self.tolerance)


class Proving(Feeds, Tolerated, Runs, Force, Bounded, Paged, Progress):
    """What all verbs take that convert and prove.

    Raises:
        UsageError: *tolerance* is not above 0, or something says how to verify where *verify* says not to.
    """

    verify: Optional[bool] = option(
        default=None,
        help="Run both models and compare.  [default: if there is a Paddle to run it in]",
        group=VERIFICATION,
        schema={"description": "Run both models and compare. By default true: what that takes must be installed."},
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        said = self.said_of_verifying()
        if self.verify is False and any(said.values()):
            *first, last = said
            raise UsageError(f"{', '.join(first)} and {last} say how to verify, and --no-verify not to")

    @property
    def feeds_file(self) -> Optional[Path]:
        """*feeds*, which is a file."""
        return None if self.feeds is None else Path(self.feeds)

    def said_of_verifying(self) -> dict[str, bool]:
        """The options that only say how to verify, and whether they were given."""
        return {self.feeds_option(): self.feeds is not None, "--runtime": self.runtime is not None}

    @property
    def must_verify(self) -> bool:
        """Whether a proof is asked for, so that what it takes and what is not there is an error."""
        return bool(self.verify) or any(self.said_of_verifying().values())


class ForTarget(Options):
    """What has a ``target``: from here on it is the object.

    Attributes:
        no_target: what a class takes for its target that is none.

    Raises:
        UsageError: there is no such target.
    """

    no_target: ClassVar[tuple[Any, ...]] = (None,)

    if TYPE_CHECKING:  # each class declares it, with its default and help

        @property
        def target(self) -> Optional[TargetLike]: ...

    def __post_init__(self) -> None:
        super().__post_init__()
        given: Any = self.target  # None is what a caller may pass against the type
        if given not in self.no_target:
            self.settle("target", targets.get(given))

    @property
    def goal(self) -> Optional[Target]:
        """The target; None where none is asked for."""
        return self.target if isinstance(self.target, Target) else None


class Targeted(ForTarget):
    """What makes a Paddle model for one release line of Paddle."""

    no_target: ClassVar[tuple[Any, ...]] = ()
    target: TargetLike = option(
        default=targets.DEFAULT,
        typed=str,
        help="The Paddle that will load it: 2.3, 2.6, 3, 1.8.",
        group=CONVERSION,
        recipe=False,
    )

    @property
    def goal(self) -> Target:
        """The target."""
        assert isinstance(self.target, Target)  # settled
        return self.target


class Halving(Options):
    half: Optional[str] = option(
        default=None,
        metavar="fp16|bf16",
        help="Also rewrite the result for half precision on a GPU, proved by emulation, as `mconv half` does.",
        group=CONVERSION,
        choices=HALVES,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("--half", self.half, HALVES)


class Converting(Halving, Targeted, Proving):
    """What all verbs take that make a Paddle model and prove it."""
