"""Another order of candidates with equal scores is told apart from wrong values."""

from __future__ import annotations

from typing import Any, Callable

import numpy as np
import pytest

from mconv.proof import order
from mconv.proof.answers import compare_answers
from mconv.proof.compare import Tolerance, compare
from mconv.proof.runners import Answers

SCORES = np.array([[0.9, 0.5, 0.5, 0.5, 0.1], [0.8, 0.8, 0.3, 0.2, 0.2]], np.float32)
RNG = np.random.default_rng(0)
BOXES = RNG.standard_normal((2, 5, 4)).astype(np.float32)
LABELS = np.arange(10).reshape(2, 5)
TIED = np.array([[0, 3, 1, 2, 4], [1, 0, 2, 4, 3]])  # within the ties
WRONG = np.array([[1, 0, 2, 3, 4], [0, 1, 2, 3, 4]])  # across them


def answers(*rows: np.ndarray) -> Answers:
    return Answers([f"y{i}" for i in range(len(rows))], [list(rows)], [[r.dtype.name for r in rows]], "", [0.0])


def taken(ranks: np.ndarray, *rows: np.ndarray) -> list[np.ndarray]:
    return [np.stack([r[b][ranks[b]] for b in range(len(r))]) for r in rows]


def _value(boxes: np.ndarray) -> np.ndarray:
    boxes = boxes.copy()
    boxes[0, 2, 1] += 0.5
    return boxes


@pytest.mark.parametrize(
    ("change", "ok"),
    [
        (lambda: [SCORES, *taken(TIED, LABELS, BOXES)], True),
        (lambda: [SCORES, *taken(WRONG, LABELS, BOXES)], False),
        (lambda: [SCORES, *taken(TIED, LABELS), BOXES], False),  # the labels of other boxes
        (lambda: [SCORES, taken(TIED, LABELS)[0], _value(taken(TIED, BOXES)[0])], False),
        (lambda: [SCORES, LABELS[:, ::-1], BOXES[:, ::-1]], False),
        (lambda: [taken(TIED, SCORES + 1)[0], *taken(TIED, LABELS, BOXES)], False),
    ],
    ids=["tied", "across scores", "torn apart", "one wrong value", "reversed", "other scores"],
)
def test_ties(change: Callable[[], list[np.ndarray]], ok: bool) -> None:
    found = compare_answers(answers(SCORES, LABELS, BOXES), answers(*change()))
    assert found.ok is ok
    if ok:
        assert [o.reason for o in found.outputs] == ["", order.TIED, order.TIED]


def test_without_lots() -> None:
    """Candidates in the first dimension, as after NonMaxSuppression."""
    wanted, got = answers(SCORES[0], BOXES[0]), answers(SCORES[0], BOXES[0][TIED[0]])
    assert compare_answers(wanted, got).ok
    assert not compare_answers(wanted, answers(SCORES[0], BOXES[0][::-1])).ok


def _unstable(again: Any, got: Any) -> bool:
    found = compare([[LABELS, BOXES]], [got], ["labels", "boxes"])
    order.settle_unstable(found, [[LABELS, BOXES]], [got], [again], Tolerance())
    return found.ok


def test_what_the_source_itself_reorders() -> None:
    """Where no output has the scores: the source's own order changes with inputs that are hardly different."""
    moved = taken(WRONG, LABELS, BOXES)
    assert _unstable(moved, taken(TIED, LABELS, BOXES))
    assert not _unstable([LABELS, BOXES], moved)  # its order is certain: another one is wrong
    assert not _unstable(moved, [moved[0], _value(moved[1])])
    assert not _unstable([LABELS, BOXES + 1], moved)


def test_nudged() -> None:
    (made,) = order.nudged([{"x": np.ones(50, np.float32), "ids": np.arange(3)}]) or [{}]
    assert 0 < np.abs(made["x"] - 1).max() < 3e-6 and np.array_equal(made["ids"], np.arange(3))
    assert order.nudged([{"ids": np.arange(3)}]) is None


def test_a_plane_of_one_value_is_no_score() -> None:
    """Rows of an image upside down are wrong, whatever else is the same everywhere."""
    plane, image = np.zeros((1, 6), np.float32), RNG.standard_normal((1, 6, 8)).astype(np.float32)
    assert not compare_answers(answers(plane, image), answers(plane, image[:, ::-1])).ok
