"""Each benchmark has its section in both pages of ``docs/benchmarks.md``, and the same figures in both."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mconv.errors import MconvError
from mconv.serving import onednn

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


# what a benchmark says of what has to hold ---------------------------------------------------------------------------

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


@pytest.mark.parametrize("case", VERDICTS)
def test_a_verdict_says_what_was_measured(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    limit, faster, cases, english, chinese = VERDICTS[case]
    target = importlib.import_module("latency_report").Target(
        "T", "标", limit, faster, because=(". As it is", "。本来如此")
    )
    for en, zh, ratio in cases:
        target.add(en, zh, ratio * 4.0, 4.0)
        target.add(en, zh, None, 4.0)  # what did not run is no case
    assert target.verdict() == (english, chinese)
    assert bool(target.missed()) == ("not reached" in english)


CONFIG = """\
op:
  model:
    concurrency: 2
    {batch}
    local_service_conf: {{thread_num: {threads}, use_mkldnn: {onednn}, {more}}}
"""


def test_a_service_is_run_as_its_config_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    service, report = (importlib.import_module(name) for name in ("latency_service", "latency_report"))
    monkeypatch.setattr(onednn, "_CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.delenv("MKL_DEBUG_CPU_TYPE", raising=False)
    (tmp_path / "cpuinfo").write_text("vendor_id: AuthenticAMD\nflags: fma avx2\n")
    found = []
    for values in (
        {"batch": "", "threads": 2, "onednn": "false", "more": ""},
        {"batch": "batch_size: 8", "threads": 1, "onednn": "true", "more": "mkl_all_processors: true, onednn_fc: true"},
    ):
        (tmp_path / "config.yml").write_text(CONFIG.format(**values))
        found.append(service.Served.read(tmp_path / "model", tmp_path))
    before, now = found
    assert (before.processes, before.threads, before.joined, before.onednn, before.variables) == (2, 2, 1, False, {})
    assert (now.threads, now.joined, now.onednn, now.passes) == (1, 8, True, True)
    assert now.variables == {"MKL_DEBUG_CPU_TYPE": "5"}
    before.rate, before.cpu, now.rate, now.cpu = 4.0, 600.0, 10.0, 200.0
    pair = service.Pair(before, now)
    assert (pair.times(cpu=False), pair.times(cpu=True)) == (2.5, 3.0)
    *_, verdict = report.targets_of({}, {"bert": pair}, {}, False)
    assert verdict.verdict()[0].endswith("reached; all are at least 2.50 (BERT-base, 1 × 128).")
    english, chinese = report._as_served({"bert": pair}, False)
    rows = [
        "| BERT-base, 1 × 128 | before | 2 × 2 threads, no oneDNN, up to 1 joined | 4.00 | 600 | 1.00 |",
        "| BERT-base, 1 × 128 | now | 2 × 1 threads, oneDNN with `fc` passes, up to 8 joined | 10.00 | 200 | 2.50 |",
    ]
    assert all(text.splitlines()[-2:] == rows for text in (english, chinese))


def lanes_of(monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any]:
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    return importlib.import_module("latency_lanes"), importlib.import_module("latency_report")


@pytest.mark.parametrize(
    ("kernels", "missed", "said"),
    [
        (6.3, 0, "(MobileNetV3-Large: 1.50, in its kernels 1.05): reached; all are at most 1.20 (ViT-B/16)."),
        (
            8.4,
            1,
            "(MobileNetV3-Large: 1.50, in its kernels 1.40): **not reached** by MobileNetV3-Large (1.40); the others",
        ),
    ],
)
def test_a_model_is_held_to_onnx_runtime_by_its_kernels_where_those_were_measured(
    kernels: float, missed: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lanes, report = lanes_of(monkeypatch)

    def everywhere(paddle: float, other: float) -> Any:
        figures = (("Paddle 3.3.1", paddle), ("ONNX Runtime", other))
        return [lanes.Group("everywhere", [lanes.Lane(name, None, Path(), best=best) for name, best in figures])]

    results = {"vit": everywhere(12.0, 10.0), "mobilenetv3": everywhere(9.0, 6.0)}
    inside = {"mobilenetv3": lanes.Inside(kernels, 94, {}, {})}
    ort = report.targets_of(results, {}, inside, False)[1]
    assert len(ort.missed()) == missed and said in ort.verdict()[0], ort.verdict()[0]
    (without,) = report.targets_of(results, {}, {}, False)[1].missed()
    assert without[2] == 1.5


def test_the_best_of_several_processes_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each lane is opened as often; one that cannot be opened is not tried again."""
    lanes, _ = lanes_of(monkeypatch)
    opened, closed = [], []

    class Worker:
        def __init__(self, took: float):
            self.took = took

        def time(self, feed: Any, runs: int) -> Any:
            return SimpleNamespace(seconds=[self.took] * runs, cpu_seconds=self.took * runs)

        def close(self) -> None:
            closed.append(self.took)

    def open_(lane: Any, threads: int, feed: Any) -> None:
        opened.append(lane.label)
        if lane.label == "cannot":
            raise MconvError("no such runtime")
        lane.worker = Worker({1: 0.4, 2: 0.2, 3: 0.3}[opened.count(lane.label)])

    monkeypatch.setattr(lanes.Lane, "open", open_)
    group = lanes.Group("Paddle", [lanes.Lane("can", None, Path()), lanes.Lane("cannot", None, Path())])
    lanes.run(group, {}, 0.0, 1, False)
    can, cannot = group.lanes
    assert (can.best, cannot.best, cannot.problem) == (200.0, None, "no such runtime")
    assert sorted(opened) == ["can"] * 3 + ["cannot"] and closed == [0.4, 0.2, 0.3]
