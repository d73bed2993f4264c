"""YAML that somebody else wrote is read, or refused with a line, whatever PyYAML raises for it."""

from __future__ import annotations

import pytest

from mconv.yaml_text import NotYaml, parsed


@pytest.mark.parametrize(
    "text",
    [
        "!!int ''", "!!int x", "!!float x", "!!bool x", "!!timestamp x", "2020-13-41", "!!binary '\u00e9'", "!!set [a]",
        "!!omap {a: 1}", "!!pairs [1]", "!!python/object/apply:os.system ['true']", "? [1]\n: 2", "a: *b", "a:\n\tb: 1",
        "\x00", "a: 1\n---\nb: 1", "[" * 5000, "9" * 5000, "{<<: 5}", b"\xff\xfe\x00", b"\x80",
    ],
)  # fmt: skip
def test_what_is_none(text: str | bytes) -> None:
    with pytest.raises(NotYaml) as caught:
        parsed(text)
    assert str(caught.value) and len(str(caught.value).splitlines()) == 1


def test_mappings_that_double_each_other_by_merging(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which PyYAML before 6.0.4 does as often as it is told to."""
    text = "a: &a {b: 1, c: 2, d: 3}\ne: {<<: *a, f: 4}"
    assert parsed(text)["e"] == {"b": 1, "c": 2, "d": 3, "f": 4}
    monkeypatch.setattr("mconv.yaml_text._MOST_MERGED", 3)
    with pytest.raises(NotYaml, match="too many merged keys"):
        parsed(text)


def test_the_line_is_said() -> None:
    with pytest.raises(NotYaml) as caught:
        parsed("a: 1\nb: [\n")
    assert caught.value.line == 3


def test_what_is_one() -> None:
    assert parsed("a: &x {b: 1}\nc: {<<: *x, d: [2.5, ~, true]}") == {
        "a": {"b": 1},
        "c": {"b": 1, "d": [2.5, None, True]},
    }
    assert parsed(b"a: \xc3\xa9") == {"a": "\u00e9"} and parsed("") is None
