"""A benchmark's section of ``docs/benchmarks.md``, and of its Chinese page beside it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn, Optional


class Section(NamedTuple):
    """The same figures in both languages, without the marks."""

    english: str
    chinese: str

    @classmethod
    def of(cls, english: str, table: str, chinese: str, rest: tuple[str, str] = ("", "")) -> Section:
        """A section whose *table* is the same in both languages, between what is said before it and the *rest*."""
        return cls(*(f"{before}\n\n{table}\n\n{after}".rstrip() for before, after in zip((english, chinese), rest)))


def write(path: Path, section: Section, begin: str, end: str) -> None:
    """Replace what is between the marks in *path* and in the Chinese page beside it; ValueError where there are none."""
    for page, text in zip((path, path.with_suffix(".zh.md")), section):
        head, found, rest = page.read_text(encoding="utf-8").partition(begin)
        _, ended, tail = rest.partition(end)
        if not (found and ended):
            raise ValueError(f"{page}: no {begin} … {end}")
        page.write_text(f"{head}{begin}\n{text}\n{end}{tail}", encoding="utf-8")


def finish(section: Section, failed: Sequence[str], path: Optional[Path], begin: str, end: str) -> NoReturn:
    """Print a section, put it into *path* where there is one, and end: with status 1 where a target is missed."""
    print(section.english)
    if path is not None:
        write(path, section, begin, end)
    for line in failed:
        print(f"missed: {line}", file=sys.stderr)
    sys.exit(1 if failed else 0)
