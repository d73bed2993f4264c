"""What happens to a proof where what it takes is not there."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, Union

from mconv.errors import MissingDependencyError, RuntimeUnavailableError
from mconv.proof.verdict import Proof

_T = TypeVar("_T")


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
