"""What there is to run a model in: the runtime of its target, and what happens where there is none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Optional, TypeVar, Union

from mconv import runtimes
from mconv.errors import MissingDependencyError, RuntimeUnavailableError
from mconv.program.program import Program
from mconv.program.targets import TARGETS, Target
from mconv.proof.verdict import Proof
from mconv.runtimes import Runtime

_T = TypeVar("_T")


def runtime_for(target: Target, name: Optional[str] = None) -> Runtime:
    """Where to run a model of *target*: the runtime called *name*, or the managed one of that Paddle, or the Paddle
    that this Python can import.

    Raises:
        RuntimeUnavailableError: neither is installed.
        UsageError, MissingDependencyError: *name* cannot be used.
    """
    if name is not None:
        return runtimes.find(name)
    wanted = f"paddle-{target.paddle}"
    try:
        return runtimes.find(wanted)
    except RuntimeUnavailableError as e:
        try:
            return runtimes.find("current")
        except MissingDependencyError:
            raise RuntimeUnavailableError(f"no Paddle to run it in: {e.message}", e.hint) from None


def written_for(program: Program) -> Target:
    """The oldest target that is not older than the program."""
    known = list(TARGETS.values())
    return next((t for t in known if t.version >= program.version), known[-1])


def proved(proof: Callable[[], Proof], *, must: bool) -> Proof:
    """What *proof* gives; one that is not done where what it takes is not there, unless it *must* be.

    Raises:
        RuntimeUnavailableError, MissingDependencyError: it must be, and cannot.
    """
    done = attempted(proof, must=must)
    return done if isinstance(done, Proof) else Proof.not_done(done)


def attempted(run: Callable[[], _T], *, must: bool) -> Union[_T, RuntimeUnavailableError, MissingDependencyError]:
    """What *run* gives; where what it takes is not there, the error that says so, which is raised where it *must* be."""
    try:
        return run()
    except (RuntimeUnavailableError, MissingDependencyError) as e:
        if must:
            raise
        return e
