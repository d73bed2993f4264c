"""Names in generated files: whatever they are, each reader gets them back, and nothing in them is obeyed."""

from __future__ import annotations

import ast
import json

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from mconv.errors import UsageError
from mconv.printable import json_text, quoted, require_visible
from mconv.serving.configure import ServingConfig, ServingVar
from mconv.serving.rendering import literal

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
HARD = [
    "\x7f",
    "😀\x01",
    "\u202e",
    "\x85",
    "\u2028\u2029",
    "\ufeff",
    "\U000e0041",
    "a: b #",
    "'\"\\",
    "\x1b[31m",
    "@NAME@",
    "\xa0",
]


@given(TEXT)
@pytest.mark.parametrize("hard", HARD)
def test_literals(hard: str, text: str) -> None:
    for one in (hard, hard + text, text):
        made = quoted(one)
        assert made.isprintable()
        assert ast.literal_eval(made) == one
        assert yaml.safe_load(f"a: {made}\n") == {"a": one}
        assert yaml.safe_load(f"a: {literal([one, {one: one}])}".replace("\n", " ")) == {"a": [one, {one: one}]}
        assert json.loads(json_text([one])) == [one]


@given(TEXT, st.lists(st.integers(-(2**31), 2**31 - 1), max_size=3), st.booleans())
@example("😀\x01", [], True)
def test_the_serving_configuration(text: str, shape: list[int], lod: bool) -> None:
    var = ServingVar(text or "x", text or "y", 1, shape, lod)
    made = ServingConfig([var], [var])
    written = made.to_text()
    assert all(0x20 <= b < 0x7F or b == 0x0A for b in written)
    assert ServingConfig.from_text(written) == made == ServingConfig.from_binary(made.to_binary())


def test_names_that_go_into_files_can_be_seen() -> None:
    assert require_visible("名前 é", "x") == "名前 é"
    with pytest.raises(UsageError, match="cannot be seen"):
        require_visible("a\x7f", "--name")
