"""YAML that somebody else wrote is read, or refused with a line, whatever PyYAML raises for it."""

from __future__ import annotations

from typing import Any

import pytest

from mconv.yaml_text import NotYaml, parsed


@pytest.mark.parametrize(
    "text",
    [
        "!!int ''", "!!int x", "!!float x", "!!bool x", "!!timestamp x", "2020-13-41", "!!binary '\u00e9'", "!!set [a]",
        "!!omap {a: 1}", "!!pairs [1]", "!!python/object/apply:os.system ['true']", "? [1]\n: 2", "a: *b", "a:\n\tb: 1",
        "a: " + "1:" * 600 + "1", "a: " + "1:" * 600 + "1.5", "!!int '" + "7" * 2000 + "'",
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


_LONG = "a:\n" + "- word\n" * 20_000  # beyond what PyYAML's own Python reads


def test_a_long_text_says_the_same_and_is_not_read_in_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two megabytes took eight seconds."""

    def slow(*_: object) -> None:
        raise AssertionError("PyYAML's scanner")

    text = _LONG + "b: &x {c: 1, d: 1:30}\ne: {<<: *x, f: [2.5, ~, true]}\n"
    wanted = parsed_in_python(text, monkeypatch)
    monkeypatch.setattr("yaml.scanner.Scanner.scan_plain", slow)
    assert parsed(text) == wanted == parsed(text.encode())
    assert wanted["e"] == {"c": 1, "d": 90, "f": [2.5, None, True]}


def parsed_in_python(text: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    with monkeypatch.context() as without:
        without.delattr("yaml.CSafeLoader")
        return parsed(text)


@pytest.mark.parametrize(
    "text",
    ["[" * 5000, "- " * 5000, "? " * 5000, "{a: " * 5000, "!!int ''", "!!python/object/apply:os.system ['true']", "x: *no",
     "x: \ud800", "x: \x00", "1:" * 100_000 + "1", "x: [\n"],
)  # fmt: skip
def test_a_long_text_that_is_none(text: str) -> None:
    """Deep ones killed the process, in PyYAML's binding to libyaml."""
    with pytest.raises(NotYaml) as caught:
        parsed(_LONG + "b: " + text if not text.startswith("x") else _LONG + text)
    assert str(caught.value) and len(str(caught.value).splitlines()) == 1


def test_more_than_anybody_writes() -> None:
    with pytest.raises(NotYaml, match="9000004 bytes are more than 8 MB"):
        parsed("a: " + "x" * 9_000_001)
