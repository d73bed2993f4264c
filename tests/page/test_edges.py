"""The edges beside the rows of a page's graph: each is drawn whole, or counted."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from mconv.page.edges import Lanes, beside, lanes


def followed(found: Lanes) -> set[tuple[int, int]]:
    """The edges that the lines of a graph draw: each is followed from where it begins, row by row."""
    drawn = set()
    for start, row in enumerate(found.rows):
        for lane in (lane for lane, part, begun in row if part == "begins" and begun == start):
            for at in range(start + 1, len(found.rows)):
                parts = [part for other, part, begun in found.rows[at] if other == lane and begun == start]
                assert parts, "a line ends in the middle of nowhere"
                drawn |= {(start, at)} if "read" in parts else set()
                if "past" not in parts:
                    break
    return drawn


def random_graph(count: int, seed: int) -> tuple[list[list[str]], list[list[str]]]:
    chance = random.Random(seed)
    reads = [[f"t{chance.randrange(at)}" for _ in range(chance.randint(0, 2))] if at else ["x"] for at in range(count)]
    return reads, [[f"t{at}"] for at in range(count)]


@pytest.mark.parametrize("seed", range(20))
def test_every_edge_is_drawn_once(seed: int) -> None:
    reads, writes = random_graph(60, seed)
    found = lanes(reads, writes, most=60)
    assert followed(found) == {(int(name[1:]), at) for at, row in enumerate(reads) for name in row if name != "x"}
    assert found.hidden == 0
    for row in found.rows:  # no two lines in one place
        for half in (("begins", "past"), ("read", "past")):
            used = [(lane, start) for lane, part, start in row if part in half]
            assert len({lane for lane, _ in used}) == len(set(used))


def test_a_chain_takes_one_lane_and_what_is_skipped_another() -> None:
    assert lanes([["x"], ["a"], ["b"], ["c"]], [["a"], ["b"], ["c"], ["d"]]).width == 1
    found = lanes([["x"], ["a"], ["b"], ["c", "a"]], [["a"], ["b"], ["c"], ["d"]])
    assert found.width == 2 and followed(found) == {(0, 1), (1, 2), (2, 3), (0, 3)}


@pytest.mark.parametrize("most", [1, 3])
def test_what_has_no_room_is_counted(most: int) -> None:
    reads, writes = random_graph(60, 1)
    found, whole = lanes(reads, writes, most), lanes(reads, writes, 60)
    assert found.width == most and len(followed(found)) + found.hidden == len(followed(whole))


def test_names_that_are_written_anew_or_never() -> None:
    cases: Sequence[tuple[list[list[str]], list[list[str]], set[tuple[int, int]]]] = [
        ([["x"], ["a"], ["a"]], [["a"], ["a"], ["b"]], {(0, 1), (1, 2)}),
        ([["b"], []], [["a"], ["b"]], set()),
        ([], [], set()),
    ]
    for reads, writes, wanted in cases:
        assert followed(lanes(reads, writes)) == wanted


def test_the_lines_of_a_difference_are_marked() -> None:
    found = lanes([["x"], ["a"]], [["a"], ["b"]])
    assert "h4" in beside(found.rows[1], {0}) and "h4" not in beside(found.rows[1], {1})
