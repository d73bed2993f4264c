"""Text from outside made fit for a terminal."""

from __future__ import annotations

import pytest

from mconv.printable import printable


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
