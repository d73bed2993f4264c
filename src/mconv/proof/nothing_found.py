"""Input sets on which sizes that come from data are 0: selections that find nothing, which random inputs do not show."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import numpy as np

from mconv.errors import RuntimeFailedError
from mconv.program.dtypes import DType
from mconv.program.program import Program
from mconv.runtimes import Worker

Feed = dict[str, np.ndarray]

# operators whose result is as large as their data say → the output that has that size
_SELECTIONS = {
    "where_index": "Out",
    "masked_select": "Y",
    "unique": "Out",
    "unique_consecutive": "Out",
    "multiclass_nms": "Out",
    "multiclass_nms2": "Out",
    "multiclass_nms3": "Out",
    "matrix_nms": "Out",
    "generate_proposals": "RpnRois",
    "generate_proposals_v2": "RpnRois",
}
# the numbers that inputs are filled with, mild ones first: what is extreme makes results that say little
_FLOATS = (0.0, -1.0, 1.0, -10.0, 10.0, -1e4, 1e4)
SECONDS = 30.0  # what a search may take


@dataclass(frozen=True)
class Found:
    """What a search gave.

    Attributes:
        sizes: how many sizes come from data; where control flow selects, the model's outputs stand for what it selects.
        feeds: input sets, each of which makes some of them 0 that no other does.
        labels: for each, what it is and how many sizes it makes 0.
        always: how many sizes are 0 on every input set that was compared already.
        deaths: what the converted program does not survive: what it is, the input set, what it died of.
        shown: how many outputs were seen without elements where control flow selects.
    """

    sizes: int
    feeds: Sequence[Feed] = ()
    labels: Sequence[str] = ()
    always: int = 0
    deaths: Sequence[tuple[str, Feed, RuntimeFailedError]] = ()
    shown: int = 0


def selections(program: Program) -> list[str]:
    """The variables of the main block whose size comes from data."""
    names = []
    for op in program.main.ops:
        names += op.output(_SELECTIONS[op.type])[:1] if op.type in _SELECTIONS else []
    return names


def inside(program: Program) -> int:
    """How many sizes come from data in the blocks of control flow, whose variables cannot be fetched."""
    return sum(op.type in _SELECTIONS for block in program.blocks[1:] for op in block.ops)


def _open_outputs(program: Program) -> list[int]:
    """The positions of the outputs that have an open size."""
    return [i for i, port in enumerate(program.fetches) if -1 in (port.shape or ())]


def candidates(feed: Mapping[str, np.ndarray], dtypes: Mapping[str, DType]) -> Iterator[tuple[str, Feed]]:
    """Input sets of the same shapes that hold one number, in all inputs or in one of them, with what they are called."""
    plain = [n for n in feed if dtypes[n] not in (DType.BF16, DType.COMPLEX64, DType.COMPLEX128)]
    groups = [plain, *([n] for n in plain)] if len(plain) > 1 else [plain]
    for number in _FLOATS:
        for names in groups:
            filled = {n: np.full_like(feed[n], _fitting(number, feed[n])) for n in names}
            where = "all inputs are" if len(names) == len(feed) > 1 else f"{', '.join(names)} is"
            yield f"{where} {number:g}", {**feed, **filled}


def _fitting(number: float, like: np.ndarray) -> float:
    """The number as the input's type and range have it: indices stay among those that were drawn."""
    if like.dtype.kind == "b":
        return bool(number > 0)
    if like.dtype.kind in "iu":
        return int(like.max(initial=0)) if number > 0 else int(like.min(initial=0)) if number < 0 else 0
    return float(np.clip(number, np.finfo(like.dtype).min, np.finfo(like.dtype).max))


def search(
    program: Program,
    files: tuple[Path, Optional[Path]],
    worker: Worker,
    fed: Sequence[Mapping[str, np.ndarray]],
    *,
    timeout: float = 600,
) -> Optional[Found]:
    """Look for input sets that make sizes 0 in the converted program; None where no size comes from data.

    Args:
        fed: input sets that it takes, by its own names; the first one says of which shapes to make others.
        timeout: seconds for one run.
    """
    names = selections(program)
    # what is selected in a block shows where it reaches an output
    outputs = _open_outputs(program) if inside(program) else []
    count = len(names) + len(outputs)
    if not count:
        return None
    dtypes = {p.name: p.dtype for p in program.feeds if p.dtype is not None}
    left = set(range(count))
    always: set[int] = set()
    feeds: list[Feed] = []
    labels: list[str] = []
    seen: list[Feed] = []
    deaths: list[tuple[str, Feed, RuntimeFailedError]] = []
    start = time.perf_counter()

    def empty(sets: Sequence[Mapping[str, np.ndarray]]) -> set[int]:
        """Which of the sizes are 0 on all of the sets."""
        rows = worker.run(*files, [dict(s) for s in sets], fetch=names, timeout=timeout).outputs
        positions = [*range(len(program.fetches), len(program.fetches) + len(names)), *outputs]
        return {i for i, index in enumerate(positions) if not any(row[index].size for row in rows)}

    with contextlib.suppress(RuntimeFailedError):  # the comparison runs them, too, and says what it dies of
        always = empty(fed)
    for label, candidate in candidates(fed[0], dtypes):
        if not left or time.perf_counter() - start > SECONDS:
            break
        if any(all(np.array_equal(candidate[n], other[n]) for n in candidate) for other in seen):
            continue
        seen.append(candidate)
        try:
            found = empty([candidate])
        except RuntimeFailedError:
            try:
                worker.run(*files, candidate, timeout=timeout)  # as it is, without more to fetch
            except RuntimeFailedError as e:
                deaths.append((label, candidate, e))
            continue
        if found & left:
            feeds.append(candidate)
            labels.append(f"{label}: {len(found)} of {count} sizes that come from data are 0")
            left -= found
    shown = sum(i not in left or i in always for i in range(len(names), count))
    return Found(count, feeds, labels, len(always), deaths, shown)
