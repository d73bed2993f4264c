"""``bench/to_onnx.py``: what it judges, and the figures that it has left in docs/benchmarks.md."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    for name in ("to_onnx", "to_serving", "section"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return importlib.import_module("to_onnx")


def timings(bench: ModuleType, ours: float, peak: float) -> dict[str, Any]:
    found = {name: bench.Timing() for name in bench.NAMES}
    for name, seconds in zip(bench.NAMES, (0.2, 1.0, ours, 15.0)):
        found[name].wall, found[name].cpu, found[name].peak = [seconds] * 3, [seconds] * 3, [peak] * 3
    return found


@pytest.mark.parametrize(
    ("ours", "peak", "missed"),
    [(1.3, 80, []), (1.5, 80, ["2.50 times cp"]), (1.3, 250, ["250 MB at the peak"]), (1.9, 200, ["4.50", "200 MB"])],
)
def test_a_target_that_is_missed_is_a_status(
    bench: ModuleType, ours: float, peak: float, missed: list[str],
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(bench, "measure", lambda rounds: timings(bench, ours, peak))
    monkeypatch.setattr(sys, "argv", ["to_onnx.py"])
    with pytest.raises(SystemExit) as end:
        bench.main()
    told = capsys.readouterr()
    assert end.value.code == (1 if missed else 0)
    assert [line.startswith(f"missed: {text}") for line, text in zip(told.err.splitlines(), missed)] == [True] * len(
        missed
    )
    assert "| `paddle2onnx` | 15.00 |" in told.out


def test_a_section_is_written_in_both_languages(bench: ModuleType, tmp_path: Path) -> None:
    page = tmp_path / "b.md"
    for path in (page, tmp_path / "b.zh.md"):
        path.write_text(f"# B\n## x\n{bench.BEGIN}\nold\n{bench.END}\nafter\n", encoding="utf-8")
    section = bench.report(timings(bench, 1.3, 80), 3)
    for _ in range(2):
        with pytest.raises(SystemExit, match="0"):
            bench.finish(section, [], page, bench.BEGIN, bench.END)
    rows = []
    for path, word in ((page, "whole"), (tmp_path / "b.zh.md", "中位数")):
        text = path.read_text(encoding="utf-8")
        assert text.startswith(f"# B\n## x\n{bench.BEGIN}\n") and text.endswith(f"\n{bench.END}\nafter\n")
        assert word in text and "old" not in text
        rows.append([line for line in text.split("\n") if line.startswith("|")])
    assert rows[0] == rows[1] and len(rows[0]) == 6
    with pytest.raises(ValueError, match="no <!-- other"):
        importlib.import_module("section").write(page, section, "<!-- other", bench.END)


def test_the_figures_that_are_documented(bench: ModuleType) -> None:
    text = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    section = text.partition(bench.BEGIN)[2].partition(bench.END)[0]
    rows = {m[1]: float(m[2]) for m in re.finditer(r"^\| `([^`]+)` \|.*\| (\d+) \|$", section, re.M)}
    times = re.search(r"takes ([\d.]+) × `cp`", section)
    assert set(rows) == set(bench.NAMES) and rows["mconv to-onnx"] < bench.MAX_MB < rows["paddle2onnx"]
    assert times is not None and float(times[1]) <= bench.MAX_RATIO == 2
