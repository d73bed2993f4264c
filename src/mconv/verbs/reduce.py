"""The smallest part of a model that still fails: where to cut it is tried, the model is halved until nothing can go.

Nothing here knows a format: a graph is a list of :class:`Step`, a part is where it begins and ends, and somebody else
says whether a part fails in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Optional

from mconv.program.ends import reached

TRIES = 150  # parts of a model that are run; each takes as long as the command that failed


@dataclass(frozen=True)
class Step:
    """One operator of the main graph: what it is, and the tensors that it reads and computes; weights are left out."""

    kind: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]


@dataclass(frozen=True)
class Part:
    """What is between these tensors."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass
class Reduced:
    """A part of a model that fails as the whole does.

    Attributes:
        files: what was written, relative to the folder.
        operators: what is left, in order.
        before: how many operators the whole has.
        tried: how many parts were.
        inputs, outputs: where it was cut.
        weights: ``own`` or ``random``.
        fails: whether it fails as it is written; with random weights it need not.
        failure: how.
    """

    files: list[str]
    operators: list[str]
    before: int
    tried: int
    inputs: list[str]
    outputs: list[str]
    weights: str
    fails: bool
    failure: str
    notes: list[str] = field(default_factory=list)


class Graph:
    """The main graph of a model.

    Args:
        steps: in the order in which they are computed.
        feeds, fetches: the model's inputs and outputs.
        cuttable: the tensors at which a part may begin.
        readable: those at which one may end.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        feeds: Sequence[str],
        fetches: Sequence[str],
        cuttable: Collection[str],
        readable: Collection[str],
    ):
        self.steps, self.feeds, self.fetches = list(steps), list(feeds), list(fetches)
        self.cuttable, self.readable = set(cuttable) | set(feeds), set(readable) | set(fetches)

    def whole(self) -> Optional[Part]:
        """All of it, but for inputs that no output depends on."""
        return self.part(self.fetches, self.feeds)

    def part(self, outputs: Sequence[str], stop: Iterable[str]) -> Optional[Part]:
        """What *outputs* depend on, back to *stop* and the model's inputs; None where it cannot be cut there, or nothing
        would be left."""
        inputs, used = self._reached(outputs, set(stop))
        if not outputs or not used or not inputs:
            return None
        if not self.readable.issuperset(outputs) or not self.cuttable.issuperset(inputs):
            return None
        return Part(tuple(inputs), tuple(outputs))

    def used(self, part: Part) -> list[Step]:
        """The steps of a part."""
        return self._reached(part.outputs, set(part.inputs))[1]

    def window(self, first: int, last: int) -> Optional[Part]:
        """The steps from *first* up to *last*, without what those do not need for the rest of the model."""
        inside = {n for step in self.steps[first:last] for n in step.writes}
        later = {n for step in self.steps[last:] for n in step.reads} | set(self.fetches)
        outputs = [n for n in dict.fromkeys(n for s in self.steps[first:last] for n in s.writes) if n in later]
        before = {n for step in self.steps[:first] for n in step.writes} | set(self.feeds)
        return self.part(outputs, before - inside)

    def _reached(self, outputs: Iterable[str], stop: set[str]) -> tuple[list[str], list[Step]]:
        _, used = reached(self.steps, outputs, stop, lambda step: step.reads, lambda step: step.writes)
        read = {n for step in used for n in step.reads}
        computed = {n for step in used for n in step.writes}
        begins = [*self.feeds, *(n for s in self.steps for n in s.writes if n in stop)]
        return [n for n in dict.fromkeys(begins) if n in read and (n in stop or n not in computed)], used


class _Enough(Exception):
    """No more parts are to be tried."""


def smallest(graph: Graph, whole: Part, fails: Callable[[Part], bool], *, tries: int = TRIES) -> tuple[Part, int]:
    """A part that fails, of which nothing can be taken away at either end or between and still fail; and how many were
    tried. Of *tries* that is as far as it went.

    Args:
        whole: fails.
        fails: whether a part does, in the same way.
    """
    known: dict[Part, bool] = {whole: True}
    best = whole

    def ask(part: Optional[Part]) -> bool:
        nonlocal best
        if part is None:
            return False
        if part not in known:
            if len(known) > tries:
                raise _Enough
            known[part] = fails(part)
            if known[part] and len(graph.used(part)) <= len(graph.used(best)):
                best = part
        return known[part]

    try:
        _halve(graph, ask)
        _thin(graph, ask, lambda: best)
    except _Enough:
        pass
    return best, len(known) - 1


def _halve(graph: Graph, ask: Callable[[Optional[Part]], bool]) -> None:
    """Find the first end at which it fails, then the last beginning: each in as many tries as the model can be halved."""
    end = _first(range(1, len(graph.steps) + 1), lambda j: graph.window(0, j), ask)
    if end is not None:
        _first(range(end - 1, -1, -1), lambda i: graph.window(i, end), ask)


def _first(
    indices: Sequence[int], part: Callable[[int], Optional[Part]], ask: Callable[[Optional[Part]], bool]
) -> Optional[int]:
    """The first of *indices* whose part fails where the last one's does, and those of all behind one that fails; None where
    none does. Those that have no part are passed over."""
    high = next((i for i in range(len(indices) - 1, -1, -1) if part(indices[i]) is not None), -1)
    if high < 0 or not ask(part(indices[high])):
        return None
    low = 0
    while low < high:
        middle = (low + high) // 2
        near = (*range(middle, high), *range(middle - 1, low - 1, -1))
        at = next((i for i in near if part(indices[i]) is not None), None)
        if at is None:
            break
        if ask(part(indices[at])):
            high = at
        else:
            low = at + 1
    return indices[high]


def _thin(graph: Graph, ask: Callable[[Optional[Part]], bool], best: Callable[[], Part]) -> None:
    """One output alone, and a beginning at each tensor between, as long as something goes."""
    while True:
        part = best()
        alone = [p for n in part.outputs if (p := graph.part([n], part.inputs)) is not None]
        for one in sorted(alone, key=lambda p: len(graph.used(p))) if len(part.outputs) > 1 else ():
            if ask(one):
                break
        before = best()
        inside = [n for step in graph.used(before) for n in step.writes if n not in before.outputs]
        for name in reversed(inside):
            if ask(graph.part(before.outputs, {*before.inputs, name})):
                break
        if best() == before:
            for name in inside:  # the output itself may be a part too much
                if ask(graph.part([name], before.inputs)):
                    break
        if best() == part:
            return
