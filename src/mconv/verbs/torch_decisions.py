"""Decisions by values that are shortcuts: one way is right for every input, the other only saves work.

``if not mask.any(): mask = None`` is such a one. A way that is always taken is right by definition for the inputs whose
values take it; for the others the model says it, made to take that way.
"""

from __future__ import annotations

import itertools
import linecache
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Optional

import numpy as np

from mconv.errors import UnsupportedError
from mconv.proof.torch_runner import tensor_of
from mconv.torch.decisions import branches
from mconv.torch.exporting import named_leaves
from mconv.torch.quiet import quiet
from mconv.torch.selected import every_row
from mconv.torch.sources import Source
from mconv.verbs.torch_inputs import Plan
from mconv.verbs.torch_sizes import same

_PLACES = 4  # each has two ways
_SECONDS = 60.0
Feed = dict[str, np.ndarray]


@dataclass
class Settled:
    """The ways to take.

    Attributes:
        plan: with the answers, and with input sets that would take the other ways.
        notes: what a user should know.
        undecided: the locations whose other way gives something else, or was never taken: ``net.py:12``.
    """

    plan: Plan
    notes: list[str]
    undecided: list[str]


@dataclass
class _Ran:
    """What the model did: the answers that its values gave, its outputs; *refused* where it raised an error itself."""

    seen: dict[str, set[bool]]
    outputs: Optional[list[np.ndarray]] = None
    refused: bool = False


def settled(source: Source, plan: Plan) -> Optional[Settled]:
    """Which way to take where the model decides by values; None where it does not, or where no one way is known.

    A way is right for every input where an input set is known whose values take the other one, and with which the
    model, made to take this one, answers the same; and where the other way raises an error, as checks of inputs do.
    """
    if source.program is not None or source.positional:
        return None
    end = time.monotonic() + _SECONDS
    natural: list[tuple[Feed, _Ran]] = []
    for number, feed in enumerate([*plan.sets, *_others(plan)]):
        ran = _run(source, plan, feed, {})
        if ran.outputs is not None:
            natural.append((feed, ran))
        elif number < len(plan.sets):
            return None  # it runs under no such mode
    seen: dict[str, set[bool]] = {}
    for _, ran in natural:
        for location, given in ran.seen.items():
            seen.setdefault(location, set()).update(given)
    if not 0 < len(seen) <= _PLACES:
        return None
    first = natural[0][0]
    checks = {
        location: way
        for location, ways in seen.items()
        for way in ways
        if len(ways) == 1 and _run(source, plan, first, {location: not way}).refused
    }
    for answers in _ways(seen, checks):
        apart = [f for f, ran in natural if any(ran.seen.get(p, {way}) != {way} for p, way in answers.items())]
        shown = {p for p, way in answers.items() if any(ran.seen.get(p, {way}) != {way} for _, ran in natural)}
        if not set(seen) <= shown | set(checks) or time.monotonic() > end:
            continue  # no input is known that would show it
        if all(_agrees(source, plan, feed, answers, ran) for feed, ran in natural):
            more = [f for f in apart if not any(f is one for one in plan.sets)]
            return Settled(replace(plan, sets=[*plan.sets, *more], answers=answers), _notes(answers, checks), [])
    # those that always go one way keep it, though what the other way does is not known
    alone = {location: next(iter(ways)) for location, ways in seen.items() if len(ways) == 1}
    undecided = [location for location in alone if location not in checks]
    for answers in _ways(seen, {**checks, **alone}):
        if len(alone) == len(seen) or all(_agrees(source, plan, feed, answers, ran) for feed, ran in natural):
            same_either_way = {location: way for location, way in answers.items() if location not in undecided}
            notes = _notes(same_either_way, checks)
            return Settled(replace(plan, answers=answers), notes, list(map(os.path.basename, undecided)))
    return None


def loops_hold(source: Source, plan: Plan, locations: Sequence[str]) -> bool:
    """Whether loops over what a mask selects may run over all of its rows: the model, made to do so, answers the same.

    Returns:
        whether an input set shows it, as it leaves rows out.

    Raises:
        UnsupportedError: it answers otherwise.
    """
    shown = False
    for feed in [*plan.sets, *_others(plan)]:
        wanted = _run(source, plan, feed, plan.answers)
        if wanted.outputs is None:
            continue
        with every_row() as rows:
            agrees = _agrees(source, plan, feed, plan.answers, wanted)
        if not agrees:
            where = ", ".join(map(os.path.basename, locations))
            raise UnsupportedError(f"the loop at {where} does something for the rows that its mask leaves out, too")
        shown |= rows.left_out
    return shown


def _notes(answers: Mapping[str, bool], checks: Mapping[str, bool]) -> list[str]:
    same_either_way = [f"{os.path.basename(p)} ({way})" for p, way in answers.items() if p not in checks]
    notes = [
        f"the model checks the values of its inputs at {os.path.basename(p)}, which the result does not" for p in checks
    ]
    if same_either_way:
        ways = ", ".join(same_either_way)
        notes.append(f"decisions by values are taken one way, which gives the same as the other: {ways}")
    return notes


def _ways(seen: Mapping[str, set[bool]], checks: Mapping[str, bool]) -> Iterator[dict[str, bool]]:
    for ways in itertools.product(*((checks[p],) if p in checks else (True, False) for p in seen)):
        yield dict(zip(seen, ways))


def _others(plan: Plan) -> Iterator[Feed]:
    """Inputs that random ones may not be like: all zeros, all ones, all of the other sign."""
    limits = {i.name: i.limit for i in plan.inputs}
    first = plan.sets[-1]
    for value in (0, 1):
        if all(value < (limits[n] or 2) for n, a in first.items() if a.dtype.kind in "iu"):
            yield {n: np.full_like(a, value) if a.dtype.kind in "iub" else a for n, a in first.items()}
    if any(a.dtype.kind == "f" for a in first.values()):
        yield {n: np.negative(a) if a.dtype.kind == "f" else a for n, a in first.items()}


def _run(source: Source, plan: Plan, feed: Feed, answers: Mapping[str, bool]) -> _Ran:
    types = {i.name: i.dtype for i in plan.inputs}
    tensors = {n: tensor_of(np.array(a, order="C"), types[n]) for n, a in feed.items()}
    with branches(answers) as asked, quiet():
        try:
            result: Any = source(tensors)
        except Exception as e:  # noqa: BLE001 - whatever a model does on the way that its values do not take
            return _Ran(asked.seen, refused=_raised(e, asked.codes))
    leaves = [v for _, v in named_leaves(result)]
    return _Ran(asked.seen, [v.detach().float().numpy() for v in leaves if hasattr(v, "detach")])


def _raised(error: BaseException, codes: set[Any]) -> bool:
    """Whether one of the functions that asked raised it by a statement of its own."""
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    if last is None or last.tb_frame.f_code not in codes:
        return False
    line = linecache.getline(last.tb_frame.f_code.co_filename, last.tb_lineno).strip()
    return line.startswith(("raise", "assert"))


def _agrees(source: Source, plan: Plan, feed: Feed, answers: Mapping[str, bool], wanted: _Ran) -> bool:
    found = _run(source, plan, feed, answers).outputs
    assert wanted.outputs is not None
    return found is not None and len(found) == len(wanted.outputs) and all(map(same, wanted.outputs, found))


__all__ = ["Settled", "loops_hold", "settled"]
