"""Text from outside made fit for a terminal."""

from __future__ import annotations

import json
from typing import Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mconv.printable import counted, json_text, percent, printable, printable_lines, three_digits


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("plain 中文 ü", "plain 中文 ü"),
        ("two\n  lines\r\n", "two lines"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\x7fb\x85c", "a\\x7fb c"),  # U+0085 ends a line
        ("\u202eright to left\u2066", "\\u202eright to left\\u2066"),
        ("\U000e0001tag", "\\U000e0001tag"),
        ("\udc80", "\\udc80"),
    ],
)
def test_nothing_that_a_terminal_obeys_is_left(text: str, wanted: str) -> None:
    assert printable(text) == wanted
    assert printable(text).isprintable()


def test_a_long_text_is_cut() -> None:
    assert printable("x" * 1000, 10) == "x" * 10 + "… (990 more characters)"
    assert printable("x" * 10, 10) == "x" * 10


def test_lines_stay_where_they_are_wanted() -> None:
    assert printable_lines("a:\n  - b\x1b[0m\r\n\tc") == "a:\n  - b\\x1b[0m\\x0d\n\\x09c"


@given(st.dictionaries(st.text(st.characters()), st.text(st.characters()), max_size=3))
def test_json_holds_what_it_should_and_shows_nothing_else(value: dict[str, str]) -> None:
    for indent in (None, 2):
        text = json_text(value, indent)
        assert json.loads(text) == value
        assert all(c.isprintable() or c == "\n" for c in text)


def test_json_keeps_what_can_be_read() -> None:
    assert json_text({"名前": "😀 é", "x": "\x7f\u202e\U000e0041"}) == (
        '{"名前": "😀 é", "x": "\\u007f\\u202e\\udb40\\udc41"}'
    )


@pytest.mark.parametrize(
    ("value", "wanted"),
    [(None, ""), (0, "0"), (0.02641, "0.0264"), (41.54, "41.5"), (99.96, "100"), (999.6, "1000"), (10224.3, "10224")],
)
def test_measurements_are_never_in_powers_of_ten(value: Optional[float], wanted: str) -> None:
    assert three_digits(value) == wanted


@pytest.mark.parametrize(
    ("share", "wanted"),
    [
        (0.0, "0.0%"),
        (1.0, "100.0%"),
        (12.5, "1250.0%"),
        (0.0123, "1.2%"),
        (0.001, "0.1%"),
        (4e-4, "0.04%"),
        (1e-9, "1e-07%"),
    ],
)
def test_percent(share: float, wanted: str) -> None:
    assert percent(share) == wanted


def test_one_is_no_plural() -> None:
    assert [counted(number, "row") for number in (0, 1, 2)] == ["0 rows", "1 row", "2 rows"]
