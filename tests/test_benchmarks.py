"""The benchmarks' own words: what they say of a target, and that each has its section on both pages."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
FIRST, SECOND = ("A", "甲", 1.2), ("B", "乙", 2.5)
# limit, whether at least, the ratios; what is said
VERDICTS = {
    "reached": (3.0, False, [FIRST, SECOND], "- T: reached; all are at most 2.50 (B).", "- 标：达到；全部至多 2.50（乙）。"),
    "missed": (
        2.0, False, [FIRST, SECOND],
        "- T: **not reached** by B (2.50); the others are at most 1.20 (A). As it is.",
        "- 标：**未达到**：乙（2.50）；其余至多 1.20（甲）。本来如此。",
    ),
    "missed by all": (1.0, False, [FIRST], "- T: **not reached** by A (1.20). As it is.", "- 标：**未达到**：甲（1.20）。本来如此。"),
    "as fast": (1.2, True, [FIRST, SECOND], "- T: reached; all are at least 1.20 (A).", "- 标：达到；全部至少 1.20（甲）。"),
    "not as fast": (
        2.0, True, [FIRST, SECOND],
        "- T: **not reached** by A (1.20); the others are at least 2.50 (B). As it is.",
        "- 标：**未达到**：甲（1.20）；其余至少 2.50（乙）。本来如此。",
    ),
    "not measured": (2.0, False, [], "- T: not measured in this run.", "- 标：本次没有测量。"),
}  # fmt: skip


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    return importlib.import_module


@pytest.mark.parametrize("case", VERDICTS)
def test_a_verdict_says_what_was_measured(case: str, bench: Any) -> None:
    limit, faster, cases, english, chinese = VERDICTS[case]
    target = bench("latency_report").Target("T", "标", limit, faster, because=(". As it is", "。本来如此"))
    for en, zh, ratio in cases:
        target.add(en, zh, ratio * 4.0, 4.0)
        target.add(en, zh, None, 4.0)  # what did not run is no case
    assert target.verdict() == (english, chinese)
    assert bool(target.missed()) == ("not reached" in english)


BENCHES = re.findall(r"bench/(\w+)\.py --write|for one in ([\w ]+);", (ROOT / "Makefile").read_text("utf-8"))


@pytest.mark.parametrize("name", sorted({name for found in BENCHES for part in found for name in part.split()}))
def test_each_has_its_section_on_both_pages(name: str, bench: Any, tmp_path: Path) -> None:
    module, section = bench(name), bench("section")
    for page in ("benchmarks.md", "benchmarks.zh.md"):
        (tmp_path / page).write_text((ROOT / "docs" / page).read_text("utf-8"), "utf-8")
    section.write(tmp_path / "benchmarks.md", section.Section("both", "都"), module.BEGIN, module.END)
    for page, said in (("benchmarks.md", "both"), ("benchmarks.zh.md", "都")):
        assert f"{module.BEGIN}\n{said}\n{module.END}" in (tmp_path / page).read_text("utf-8")
