"""A part of a model between named inputs and outputs, of any format: what is in it, and where it begins."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Optional, TypeVar

from mconv.errors import UsageError

_Operator = TypeVar("_Operator")


def reached(
    operators: Sequence[_Operator],
    outputs: Iterable[str],
    stop: Collection[str],
    reads: Callable[[_Operator], Iterable[str]],
    writes: Callable[[_Operator], Iterable[str]],
) -> tuple[set[str], list[_Operator]]:
    """What the outputs depend on; what is behind one of *stop* is not looked at.

    Args:
        operators: of the main graph, in order.
        reads, writes: the tensors that an operator reads and computes.

    Returns:
        The tensors, the outputs among them, and the operators that compute them, in order.
    """
    needed, used = set(outputs), []
    wanted = needed.difference(stop)
    for operator in reversed(operators):
        if not wanted.isdisjoint(writes(operator)):
            found = set(reads(operator))
            needed |= found
            wanted |= found.difference(stop)
            used.append(operator)
    return needed, used[::-1]


def require_once(option: str, names: Sequence[str]) -> None:
    """Refuse names of which one comes twice, or of which there is none.

    Raises:
        UsageError
    """
    twice = next((n for n in names if list(names).count(n) > 1), None)
    if twice is not None:
        raise UsageError(f"{option}: {twice!r} is named twice")
    if not names:
        raise UsageError(f"{option}: none is named")


def inputs_of(
    wanted: Sequence[str],
    feeds: Sequence[str],
    reached: Collection[str],
    given: Optional[Sequence[str]],
    *,
    named: bool = True,
) -> list[str]:
    """The inputs of the part, in their order.

    Args:
        wanted: its outputs.
        feeds: the model's inputs.
        reached: what the outputs depend on, back to the inputs.
        given: where it is to begin; None: at those of the model's inputs that it depends on.
        named: whether the outputs were named, so that one may depend on no input by mistake.

    Raises:
        UsageError: more inputs are needed, or one is not, or none is.
    """
    found = [name for name in feeds if name in reached] if given is None else list(given)
    missing = [name for name in feeds if name in reached and name not in found]
    if missing:
        raise UsageError(
            f"--inputs {','.join(found)}: the outputs need {', '.join(map(repr, missing))}, too",
            f"--inputs {','.join([*found, *missing])}, or name outputs that do without",
        )
    idle = [name for name in found if name not in reached]
    if idle:
        raise UsageError(f"--inputs: no output depends on {idle[0]!r}", "leave it out")
    if not found and named:
        raise UsageError(
            f"--outputs {','.join(wanted)}: depends on no input", "name what the model computes of its inputs"
        )
    return found
