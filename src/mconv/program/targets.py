"""The Paddle versions that a program can be written for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Union

from mconv.errors import UsageError


@dataclass(frozen=True)
class Target:
    """A Paddle release line: what the model will be loaded by.

    Attributes:
        name: what ``--target`` takes.
        paddle: the release whose operator table and runtime stand for the line.
        version: the number that this release writes into ``ProgramDesc.version``.
        has_0d: whether tensors may have no dimension (Paddle 2.5 and later); before, a scalar is ``[1]``.
    """

    name: str
    paddle: str
    version: int
    has_0d: bool

    def __str__(self) -> str:
        return self.name

    def described(self) -> dict[str, Any]:
        """What reports say of it."""
        return {"name": self.name, "paddle": self.paddle}


PADDLE_1_8 = Target("1.8", "1.8.5", 0, False)
PADDLE_2_3 = Target("2.3", "2.3.2", 2003002, False)
PADDLE_2_6 = Target("2.6", "2.6.2", 2006002, True)
PADDLE_3 = Target("3", "3.3.1", 3003001, True)
TARGETS = {t.name: t for t in (PADDLE_1_8, PADDLE_2_3, PADDLE_2_6, PADDLE_3)}  # the oldest first
DEFAULT = PADDLE_2_3  # what Paddle Serving 0.9.0 carries


def get(name: Union[Target, str, float]) -> Target:
    """The target called *name*: ``"2.3"``, or the number 2.3; a target is itself.

    For what is said on a command line, to the API or in a recipe; all else is given the target itself.

    Raises:
        UsageError: there is no such target.
    """
    if isinstance(name, Target):
        return name
    try:
        return TARGETS[name if isinstance(name, str) else f"{name:g}"]
    except (KeyError, TypeError, ValueError):
        raise UsageError(f"unknown target {name!r}", f"targets are {', '.join(TARGETS)}") from None


def version_text(version: int) -> str:
    """``2006002`` → ``2.6.2``; 0, which 1.x before 1.8 and development builds write, → ``(unversioned)``."""
    if not version:
        return "(unversioned)"
    return f"{version // 1000000}.{version // 1000 % 1000}.{version % 1000}"
