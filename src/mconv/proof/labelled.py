"""Input sets for calibration, and others that are held back to prove with, with labels where the data hold them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import numpy as np

from mconv.errors import UsageError
from mconv.proof.feeds import InputSpec, check_feed, grouped

BATCH = 32  # rows in one run
Feed = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Labelled:
    """An input set, and what each of its rows is, where that is known."""

    feed: Feed
    labels: Optional[np.ndarray] = None

    @property
    def rows(self) -> int:
        return len(next(iter(self.feed.values()))) if self.feed else 0


def load(path: Path, specs: Sequence[InputSpec], label: Optional[str] = None) -> list[Labelled]:
    """The sets of a ``.npz`` file, or of every one in a folder, in runs of up to 32 rows.

    Args:
        path: see :func:`mconv.proof.feeds.load_feeds` for the names in a file.
        label: the array that holds the number of the right class of each row.

    Raises:
        UsageError: there is none, it does not fit the inputs, is empty or NaN, or has no such labels.
    """
    files = sorted(path.glob("*.npz")) if path.is_dir() else [path]
    if not files:
        raise UsageError(f"{path}: holds no .npz", "one array for each input, named after it")
    names = {spec.name for spec in specs}
    known = names if label is None else {*names, label}
    found: list[Labelled] = []
    for file in files:
        sets = grouped(file, known)
        for group in sorted(sets, key=int):
            arrays = sets[group]
            labels = None
            if label is not None:
                if label not in arrays:
                    raise UsageError(f"{file}: holds no labels called {label!r}", f"it has {', '.join(arrays)}")
                labels = arrays.pop(label)
                if labels.dtype.kind not in "iu":
                    raise UsageError(f"{file}: labels {label!r} are {labels.dtype}, not numbers of classes")
            check_numbers(arrays, str(file))
            found += _parts(Labelled(check_feed(arrays, specs, str(file)), labels), specs)
    if not found:
        raise UsageError(f"{path}: holds no inputs", f"it needs {', '.join(sorted(names))}")
    return found


def check_numbers(feed: Feed, where: str) -> None:
    """Refuse what nothing can be calibrated with.

    Raises:
        UsageError: an input is empty, or holds NaN (infinite ones may be masks).
    """
    for name, array in feed.items():
        if not array.size:
            raise UsageError(f"{where}: {name} is empty, {list(array.shape)}", "calibrate with real inputs")
        if array.dtype.kind in "fc" and np.isnan(array).any():
            raise UsageError(f"{where}: {name} holds NaN", "calibrate with real inputs")


def _divisible(whole: Labelled, specs: Sequence[InputSpec]) -> bool:
    """Whether its first dimension is that of a batch: open, and the same in every input."""
    sizes = {len(a) if a.ndim else -1 for a in whole.feed.values()}
    open_ = all(spec.shape and (not isinstance(spec.shape[0], int) or spec.shape[0] < 0) for spec in specs)
    same = len(sizes) == 1 and -1 not in sizes
    return open_ and same and (whole.labels is None or len(whole.labels) == next(iter(sizes)))


def _cut(whole: Labelled, start: int, stop: int) -> Labelled:
    labels = None if whole.labels is None else whole.labels[start:stop]
    return Labelled({name: array[start:stop] for name, array in whole.feed.items()}, labels)


def _parts(whole: Labelled, specs: Sequence[InputSpec]) -> list[Labelled]:
    if whole.rows <= BATCH or not _divisible(whole, specs):
        return [whole]
    return [_cut(whole, start, start + BATCH) for start in range(0, whole.rows, BATCH)]


def held_back(sets: list[Labelled], specs: Sequence[InputSpec]) -> tuple[list[Labelled], list[Labelled]]:
    """The sets to calibrate with, and every fourth, or the last quarter of the rows, to prove with; the second list is
    empty where there is too little to part."""
    if len(sets) >= 4:
        return [s for i, s in enumerate(sets) if i % 4 != 3], [s for i, s in enumerate(sets) if i % 4 == 3]
    if all(_divisible(s, specs) and s.rows >= 4 for s in sets):
        edges = [s.rows - max(1, s.rows // 4) for s in sets]
        return [_cut(s, 0, e) for s, e in zip(sets, edges)], [_cut(s, e, s.rows) for s, e in zip(sets, edges)]
    return sets, []


def accuracy(outputs: Sequence[np.ndarray], sets: Sequence[Labelled]) -> Optional[float]:
    """The share of rows whose largest element is that of their label; None without labels.

    Args:
        outputs: of each set, scores with the classes along the last axis.

    Raises:
        UsageError: the labels have another shape than the scores without that axis.
    """
    right = total = 0
    for scores, one in zip(outputs, sets):
        if one.labels is None:
            return None
        chosen = scores.argmax(-1) if scores.ndim else scores
        labels = one.labels.reshape(chosen.shape) if one.labels.size == chosen.size else None
        if labels is None:
            raise UsageError(
                f"--labels: {list(one.labels.shape)} labels for scores of shape {list(scores.shape)}",
                "one label for each row of the first output",
            )
        if scores.ndim and labels.size and not 0 <= labels.min() <= labels.max() < scores.shape[-1]:
            raise UsageError(
                f"--labels: they go from {labels.min()} to {labels.max()}, the output has classes 0 to {scores.shape[-1] - 1}",
                "labels are counted from 0",
            )
        right += int((chosen == labels).sum())
        total += chosen.size
    return right / total if total else None
