"""Each benchmark has its section in both pages of ``docs/benchmarks.md``, and the same figures in both."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "docs" / name for name in ("benchmarks.md", "benchmarks.zh.md")]
MARKS = {
    path.name: found.groups()
    for path in sorted((ROOT / "bench").glob("*.py"))
    if (found := re.search(r'^BEGIN, END = "(.+)", "(.+)"$', path.read_text(encoding="utf-8"), re.M))
}


def between(page: Path, begin: str, end: str) -> str:
    text = page.read_text(encoding="utf-8")
    assert text.count(begin) == text.count(end) == 1, f"{page.name}: {begin}"
    return text.partition(begin)[2].partition(end)[0]


def test_make_writes_them_all() -> None:
    made = re.findall(r"bench/(\w+\.py) --write docs/benchmarks.md", (ROOT / "Makefile").read_text(encoding="utf-8"))
    assert sorted(made) == sorted(MARKS) and len(made) > 5
    for page in PAGES:
        assert len(re.findall("<!-- .+: begin -->", page.read_text(encoding="utf-8"))) == len(MARKS)


@pytest.mark.parametrize("name", MARKS)
def test_a_section_has_the_same_figures_in_both_languages(name: str) -> None:
    tables = [[s for s in between(page, *MARKS[name]).splitlines() if s.startswith("|")] for page in PAGES]
    assert tables[0] == tables[1] and len(tables[0]) > 2
