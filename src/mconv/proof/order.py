"""The same rows in another order: what equal scores leave open is no other result.

A detector sorts candidates by their scores. Where some are equal, as in a network that has not been trained, each
runtime has its own order of them, and every output that goes with the candidates is in that order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Optional

import numpy as np

from mconv.proof.compare import Comparison, OutputComparison, Tolerance

_MOST = 2_000  # rows: each is compared with each
TIED = "in another order, where scores are equal"
UNSTABLE = "in another order, as in the source itself where its inputs change by a millionth"
Row = Sequence[np.ndarray]


def settle(comparison: Comparison, wanted: Sequence[Row], got: Sequence[Row], tolerance: Tolerance) -> None:
    """Accept outputs that differ only in the order of rows whose scores are equal: an output with one number for each row
    agrees as it stands, and the rows of all of them together are the same."""
    for index, (a, b) in enumerate(zip(wanted, got)):
        found = [(at, o) for at, o in enumerate(comparison.outputs) if o.input_set == index]
        for group in _groups(found, a, b):
            if any(_is_score(one, x) for one, x, _ in group) and _permuted([(x, y) for _, x, y in group], tolerance):
                _accept(comparison, [o for o, _, _ in group], TIED)


def settle_unstable(
    comparison: Comparison,
    wanted: Sequence[Row],
    got: Sequence[Row],
    again: Sequence[Row],
    tolerance: Tolerance,
) -> None:
    """Accept outputs that differ only in the order of rows, where the source changes the order of the same rows itself.

    Args:
        again: what the source gives to inputs that are a little different.
    """
    for index, (a, b, c) in enumerate(zip(wanted, got, again)):
        found = [(at, o) for at, o in enumerate(comparison.outputs) if o.input_set == index]
        for group, own in zip(_groups(found, a, b), _groups(found, a, c)):
            moved = any(not _equal(x, y, tolerance) for _, x, y in own)
            if (
                moved
                and _permuted([(x, y) for _, x, y in own], tolerance)
                and _permuted([(x, y) for _, x, y in group], tolerance)
            ):
                _accept(comparison, [o for o, _, _ in group], UNSTABLE)


_Member = tuple[
    tuple[int, OutputComparison], np.ndarray, np.ndarray
]  # position and figures; [lots, rows, values] of both


def _groups(found: Sequence[tuple[int, OutputComparison]], a: Row, b: Row) -> list[list[_Member]]:
    """The outputs with as many rows (the second dimension, else the first), where one of them differs."""
    made: list[list[_Member]] = []
    if len(found) != len(a) or len(found) != len(b) or any(x.shape != y.shape for x, y in zip(a, b)):
        return made
    for axis in (1, 0):
        heads = dict.fromkeys(x.shape[: axis + 1] for x in a if x.ndim > axis and 1 < x.shape[axis] <= _MOST and x.size)
        for head in heads:
            members = [
                (one, _rows(x, axis), _rows(y, axis)) for one, x, y in zip(found, a, b) if x.shape[: axis + 1] == head
            ]
            if any(not one[1].ok for one, _, _ in members):
                made.append(members)
    return made


def _is_score(one: tuple[int, OutputComparison], rows: np.ndarray) -> bool:
    """Whether an output agrees as it stands, and has a number for each row that tells rows apart."""
    return one[1].ok and rows.dtype.kind == "f" and rows.shape[2] == 1 and float(np.ptp(rows)) > 0


def _rows(array: np.ndarray, axis: int) -> np.ndarray:
    """[lots, rows, values]."""
    lots = int(np.prod(array.shape[:axis]))
    return array.reshape(lots, array.shape[axis], -1)


def _permuted(pairs: Sequence[tuple[np.ndarray, np.ndarray]], tolerance: Tolerance) -> bool:
    """Whether there is an order of the rows in which all of the pairs agree, for each lot."""
    if any(not np.isfinite(x).all() or not np.isfinite(y).all() for x, y in pairs):
        return False
    lots, count, _ = pairs[0][0].shape
    for lot in range(lots):
        free = np.ones(count, bool)
        for row in range(count):
            worst = np.zeros(count)
            for x, y in pairs:
                worst = np.maximum(worst, _apart(x[lot, row], y[lot], x, tolerance))
            worst = np.where(free, worst, np.inf)
            best = int(worst.argmin())
            if worst[best] > 1:
                return False
            free[best] = False
    return True


def _apart(one: np.ndarray, rows: np.ndarray, whole: np.ndarray, tolerance: Tolerance) -> np.ndarray:
    """How far each of the rows is from *one*, in shares of what is allowed."""
    if one.dtype.kind not in "fc":
        return np.where((rows == one).all(-1), 0.0, np.inf)
    largest = np.array([np.abs(whole).max(initial=0)], np.float64)  # the scale is that of the whole output
    limit = max(float(tolerance.limit(largest, whole.dtype.name)[0]), 1e-30)
    share: np.ndarray = np.max(np.abs(rows.astype(np.float64) - one), -1, initial=0) / limit
    return share


def _equal(x: np.ndarray, y: np.ndarray, tolerance: Tolerance) -> bool:
    if x.dtype.kind not in "fc":
        return bool(np.array_equal(x, y))
    limit = tolerance.limit(x.astype(np.float64), x.dtype.name)
    return bool((np.abs(x.astype(np.float64) - y) <= limit).all())


def _accept(comparison: Comparison, positions: Sequence[tuple[int, OutputComparison]], reason: str) -> None:
    for at, one in positions:
        if not one.ok and one.dtype == one.got_dtype:
            comparison.outputs[at] = replace(one, ok=True, reason=reason)


def nudged(sets: Sequence[dict[str, np.ndarray]]) -> Optional[list[dict[str, np.ndarray]]]:
    """The input sets with all floating point numbers changed by about a millionth; None where there are none."""
    rng = np.random.default_rng(0)
    made = []
    for feed in sets:
        made.append(
            {
                n: (a * (1 + 1e-6 * rng.choice([-1.0, 1.0], a.shape))).astype(a.dtype)
                if a.dtype in (np.float32, np.float64)
                else a
                for n, a in feed.items()
            }
        )
    return made if any(a.dtype in (np.float32, np.float64) for f in sets for a in f.values()) else None
