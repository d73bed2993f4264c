"""Input sets on which sizes that come from data are 0: selections that find nothing, which random inputs do not show."""

from __future__ import annotations

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
        sizes: how many sizes come from data.
        feeds: input sets, each of which makes some of them 0 that no other does.
        labels: for each, what it is and how many sizes it makes 0.
    """

    sizes: int
    feeds: Sequence[Feed] = ()
    labels: Sequence[str] = ()


def selections(program: Program) -> list[str]:
    """The variables of the main block whose size comes from data."""
    names = []
    for op in program.main.ops:
        names += op.output(_SELECTIONS[op.type])[:1] if op.type in _SELECTIONS else []
    return names


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
    files: tuple[Path, Path],
    worker: Worker,
    feed: Mapping[str, np.ndarray],
    *,
    timeout: float = 600,
) -> Optional[Found]:
    """Look for input sets that make sizes 0 in the converted program; None where no size comes from data.

    Args:
        feed: inputs that it takes, by its own names.
        timeout: seconds for one run.
    """
    names = selections(program)
    if not names:
        return None
    dtypes = {p.name: p.dtype for p in program.feeds if p.dtype is not None}
    left = set(range(len(names)))
    feeds: list[Feed] = []
    labels: list[str] = []
    seen: list[Feed] = []
    start = time.perf_counter()
    for label, candidate in candidates(feed, dtypes):
        if not left or time.perf_counter() - start > SECONDS:
            break
        if any(all(np.array_equal(candidate[n], other[n]) for n in candidate) for other in seen):
            continue
        seen.append(candidate)
        try:
            outputs = worker.run(*files, candidate, fetch=names, timeout=timeout).outputs[0]
        except RuntimeFailedError:
            continue
        empty = {i for i, value in enumerate(outputs[-len(names) :]) if not value.size}
        if empty & left:
            feeds.append(candidate)
            labels.append(f"{label}: {len(empty)} of {len(names)} sizes that come from data are 0")
            left -= empty
    return Found(len(names), feeds, labels)
