"""What there is to run a model in: the runtime of its target."""

from __future__ import annotations

from typing import Optional

from mconv import runtimes
from mconv.errors import MissingDependencyError, RuntimeUnavailableError
from mconv.program.program import Program
from mconv.program.targets import TARGETS, Target
from mconv.runtimes import Runtime


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
