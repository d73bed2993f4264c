"""What a measurement comes to: limits, the order of what is wrong, JUnit, figures and the page."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any, Optional

import pytest

from mconv import api
from mconv.bench.figures import figures
from mconv.bench.latency import FAILED, OK, WRONG, Measured, Sized
from mconv.bench.machine import Machine
from mconv.bench.result import MODEL, SERVICE, Bench
from mconv.bench.service import Served
from mconv.bench.usage import Usage
from mconv.errors import MissingDependencyError, OutputExistsError, TooSlowError, UsageError
from mconv.recipe import api as recipes

MACHINE = Machine("a processor", 2, 1 << 30, 0.5)
HOSTILE = "<script>alert(1)</script>$x_1$\x1b[31m"


def sized(status: str, ms: float, relative: Optional[float] = None) -> Sized:
    made = figures([ms / 1e3] * 10)
    return Sized(status, "" if status == OK else f"it is {status}", made, 1e3 / ms, ms, 0.0, relative)


def models(*lanes: Sized, name: str = "x.onnx") -> Bench:
    made = [
        Measured(name, f"Paddle {i}", "oneDNN" if i else "", 0.1, 0.2, 10_000_000, 5_000_000, [lane])
        for i, lane in enumerate(lanes)
    ]
    found = Bench(MODEL, 1, 10, 2, 1, {}, MACHINE, ["a note"], 1.0)
    return replace(found, models=[name], input_sets=[{"x": [1, 4]}], reference="ONNX Runtime 1", contenders=made)


def served(status: str = "ok", label: str = "a", **more: Any) -> Served:
    made = Served(label, f"http://127.0.0.1:1/{label}/prediction", "key-value", status, requests=10, right=10)
    made.seconds, made.tps, made.figures = 1.0, 10.0, figures([0.1] * 10)
    made.server, made.client_cpu_ms = Usage(2, 0.5, 20_000_000), 0.1
    return replace(made, **more)


def services(*lanes: Served) -> Bench:
    return Bench(SERVICE, 2, 5, 1, 1, {}, MACHINE, [], 1.0, sent="5 texts", addresses=list(lanes))


@pytest.mark.parametrize(
    ("found", "limits", "message"),
    [
        (services(served()), {}, None),
        (services(served()), {"max_p99": 100.5, "min_tps": 9.9}, None),
        (services(served()), {"max_p99": 99}, "p99 is 100.0 ms, more than 99"),
        (services(served()), {"min_tps": 11}, "10.0 a second are fewer than 11"),
        (services(served(), served(label="b", tps=1.0)), {"min_tps": 5}, "b: 1.0 a second"),
        (models(sized(OK, 2, 1.0), sized(OK, 8, 4.0)), {"max_p99": 3}, None),  # the fastest counts
        (models(sized(OK, 2, 1.0), sized(OK, 8, 4.0)), {"max_p99": 1}, "Paddle 0 on x.onnx.*p99 is 2.0 ms"),
        (models(sized(WRONG, 1), sized(OK, 8, 1.0)), {}, "a wrong answer: it is wrong"),
        (models(sized(WRONG, 1), sized(OK, 8, 1.0)), {"max_p99": 1}, "a wrong answer: it is wrong"),
        (models(Sized(FAILED, "no such operator"), sized(OK, 8, 1.0)), {}, None),
        (
            services(served("errors", errors=1, reason="late"), served("wrong", wrong=2, reason="wrong: y")),
            {},
            "2 of 10",
        ),
        (services(served("failed", reason="not there")), {"max_p99": 1}, "not there"),
    ],
)
def test_the_verdict(found: Any, limits: Any, message: Optional[str]) -> None:
    failure = api.judge_bench(found, **limits)[1]
    assert (failure is None) if message is None else re.search(message, str(failure))
    if limits and message and "second" in message:
        assert isinstance(failure, TooSlowError) and failure.exit_code == 16


@pytest.mark.parametrize("limits", [{"max_p99": 0}, {"min_tps": -1}, {"max_p99": float("nan")}])
def test_limits_are_above_0(limits: Any) -> None:
    with pytest.raises(UsageError, match="must be above 0"):
        api.judge_bench(services(served()), **limits)
    with pytest.raises(UsageError, match="must be above 0"):  # before anything is measured
        api.judge_bench(None, **limits)


def test_junit_has_a_case_for_each_and_its_figures(tmp_path: Path) -> None:
    found = services(served(), served(label="b", tps=1.0))
    judged, _ = api.judge_bench(found, min_tps=5)
    reported = recipes.of_bench(judged, found.seconds)
    recipes.write_reports(reported, "mconv bench", junit_file=tmp_path / "j.xml", summary_file=tmp_path / "s.md")
    root = ET.parse(tmp_path / "j.xml").getroot()
    cases = {case.get("classname"): case for case in root.iter("testcase")}
    assert set(cases) == {"a", "b"} and root.get("failures") == "1"
    assert all(case.get("file") is None for case in cases.values()), "a service is in no file"
    assert cases["a"].find("failure") is None and "p99 100.0 ms" in (cases["a"].findtext("system-out") or "")
    failure = cases["b"].find("failure")
    assert failure is not None and failure.get("type") == "TooSlowError"
    assert "10.0 a second" in (tmp_path / "s.md").read_text()


@pytest.mark.parametrize("found", [models(sized(OK, 2, 1.0), sized(WRONG, 1)), services(served(), served(label="b"))])
def test_figure_and_page_hold_the_figures(found: Any, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    for name in ("f.svg", "f.png"):
        api.bench_files(found, plot=tmp_path / name)
    api.bench_files(found, html=tmp_path / "p.html")
    svg, page = (tmp_path / "f.svg").read_text(), (tmp_path / "p.html").read_text()
    assert (tmp_path / "f.png").read_bytes().startswith(b"\x89PNG") and ET.fromstring(svg).tag.endswith("svg")
    names = ["Paddle 0", "Paddle 1, oneDNN", "1 (wrong)"] if found.kind == "model" else [">a<", ">b<", "10"]
    assert all(name in svg for name in names)
    assert "<svg" in page and "a processor" in page and not re.search(r"(?:src|href)=\"(?!#)", page)
    assert page == _written(found, tmp_path / "again.html"), "the same figures are the same page"


def _written(found: Any, path: Path) -> str:
    api.bench_files(found, html=path)
    return path.read_text()


@pytest.mark.parametrize("found", [models(sized(OK, 2, 1.0), name=HOSTILE), services(served(label=HOSTILE))])
def test_names_from_outside_stay_text(found: Any, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    if found.kind == "model":
        found.contenders[0].runtime = HOSTILE
    api.bench_files(found, html=tmp_path / "p.html", plot=tmp_path / "f.svg")
    for text in ((tmp_path / "p.html").read_text(), (tmp_path / "f.svg").read_text()):
        assert "<script" not in text and "\x1b" not in text and "$x_1$" in text


def test_files_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    with pytest.raises(UsageError, match=".svg or .png"):
        api.bench_files(plot=tmp_path / "x.pdf")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputExistsError):
        api.bench_files(services(served()), html=tmp_path / "file" / "p.html")
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(MissingDependencyError, match="matplotlib"):
        api.bench_files(html=tmp_path / "x.html")
