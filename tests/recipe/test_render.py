"""What others see of a run: JUnit XML, the summary of a CI job, annotations; out of tolerance, which output by how much."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from mconv.recipe import api as recipes
from mconv.recipe.render import github_annotations, junit, markdown
from mconv.recipe.results import Event, RecipeResult, RunResult, StepResult
from tests.cli.conftest import Run
from tests.onnx.make import mlp
from tests.recipe.conftest import Write
from tests.verbs.test_onnx2paddle import doubling

PLUGIN = """import mconv
@mconv.onnx_op('Double', domain='com.acme', since=1)
def double(ctx, x, *, times: float = 2.0):
    return ctx.op('scale', X=x, scale=times, bias=0.0, bias_after_scale=True)
"""
STEP = {"onnx2paddle": {"plugins": ["ops.py"]}}
NOW = {"target": "3", "verification": {"runtime": "current"}}


@pytest.fixture
def wrong(write: Write, tmp_path: Path) -> Path:
    """A recipe whose conversion really computes something else: the plugin doubles, the model's definition triples."""
    doubling(tmp_path / "wrong.onnx", by=3.0)
    (tmp_path / "ops.py").write_text(PLUGIN)
    return write("wrong", source="wrong.onnx", steps=["to-serving"], **NOW).with_name("wrong.yaml")


def three_ways(tmp_path: Path) -> list[dict[str, Any]]:
    """Where a difference shows: in the conversion's own comparison, or in a step of its own."""
    return [
        {"steps": [STEP, "to-serving"], "failed": "onnx2paddle"},
        {
            "steps": [{"onnx2paddle": {**STEP["onnx2paddle"], "verify": False}}, "to-serving", "verify"],
            "failed": "verify",
        },
    ]


@pytest.mark.runtime
@pytest.mark.parametrize("way", [0, 1], ids=["in the conversion", "in verify"])
@pytest.mark.long
def test_out_of_tolerance_fails_and_says_which_output_and_by_how_much(
    way: int, wrong: Path, write: Write, tmp_path: Path, mconv: Run
) -> None:
    """Must-show 3: the run fails, and the job's summary names the output and the figure."""
    chosen = three_ways(tmp_path)[way]
    write("wrong", source="wrong.onnx", steps=chosen["steps"], **NOW)
    write("good", steps=["onnx2paddle", "to-serving"], **NOW)
    job = tmp_path / "job.md"
    job.write_text("what another step wrote\n")
    done = mconv(
        "run", "wrong.yaml", "good.yaml", "--junit", "r/junit.xml", "--summary", "r/summary.md",
        GITHUB_STEP_SUMMARY=str(job), GITHUB_ACTIONS="true", GITHUB_WORKSPACE=str(tmp_path), timeout=120,
    )  # fmt: skip
    assert done.returncode == 10, done.stderr
    text = (tmp_path / "r" / "summary.md").read_text()
    assert "1 of 2 failed" in text and f"#### wrong: {chosen['failed']}" in text
    row = next(line for line in text.splitlines() if line.startswith("| `y` | 0 |"))
    figure = float(row.split("|")[4])
    assert 0.1 < figure < 10 and "good | passed" in text and re.search(r"ONNX Runtime .* against Paddle", text)
    assert job.read_text() == f"what another step wrote\n{text}\n"
    (annotation,) = [line for line in done.stderr.splitlines() if line.startswith("::error ")]
    line = (tmp_path / "wrong.yaml").read_text().splitlines()[:6].index("- to-serving") if way else None
    assert annotation.startswith("::error file=wrong.yaml,line=") and "output y, input set 0" in annotation
    assert line is None or line > 0
    root = ET.parse(tmp_path / "r" / "junit.xml").getroot()
    assert root.get("failures") == root.findall("testsuite")[0].get("failures") != "0"
    failing = [c for c in root.iter("testcase") if c.find("failure") is not None]
    assert failing[0].get("name") == chosen["failed"]
    assert any(
        c.get("name") == "output y, input set 0" and "max abs" in (c.find("failure").text or "") for c in failing
    )  # type: ignore[union-attr]
    assert root.findall("testsuite")[1].get("failures") == "0"
    # a larger tolerance, said in the recipe or for this run, lets it pass
    done = mconv("run", "wrong.yaml", "--set", "verification.tolerance=100", timeout=120)
    assert done.returncode == 0, done.stderr


def test_verify_writes_them_too(tmp_path: Path, mconv: Run) -> None:
    mlp(tmp_path / "a.onnx", y="scores")
    mlp(tmp_path / "b.onnx", y="scores", bend=0.01)
    options = ["--junit", "j.xml", "--summary", "s.md"]
    done = mconv(
        "verify", "a.onnx", "b.onnx", *options, GITHUB_ACTIONS="true", GITHUB_STEP_SUMMARY=str(tmp_path / "job.md")
    )
    assert done.returncode == 10 and "::error file=" in done.stderr
    text = (tmp_path / "s.md").read_text()
    assert "### mconv verify: 1 of 1 failed" in text and "| `scores` | 0 |" in text
    assert (tmp_path / "job.md").read_text().strip() == text.strip()
    root = ET.parse(tmp_path / "j.xml").getroot()
    assert int(root.get("failures") or 0) == 3 and root.get("tests") == "3"  # the comparison, and two input sets
    done = mconv("verify", "a.onnx", "a.onnx", *options)
    assert done.returncode == 0 and ET.parse(tmp_path / "j.xml").getroot().get("failures") == "0"
    assert "all passed" in (tmp_path / "s.md").read_text()
    done = mconv("verify", "a.onnx", "nothing.onnx", *options)
    assert done.returncode == 3 and "NotAModelError" in (tmp_path / "j.xml").read_text()
    assert mconv("verify", "a.onnx", "a.onnx", "--junit", "a.onnx/j.xml").returncode == 6


def made(error: str = "it | broke\n::error::`x` <b>", name: str = "a") -> RunResult:
    rows = [{"operator": "Foo|Bar", "count": 2, "nodes": ["n1", "n2"], "reason": None}]
    failure = {"kind": "UnsupportedError", "message": error, "hint": "do\x00 this", "exit_code": 5, "rows": rows}
    steps = [
        StepResult("onnx2paddle", "failed", 1.5, error=failure, warnings=["100% sure\x1b[0m"], line=4),
        StepResult("to-serving", "skipped", reason="an earlier step failed", line=5),
    ]
    return RunResult("out", [RecipeResult(name, f"{name}.yaml", None, f"out/{name}", steps)], 1.5)


def test_hostile_texts_stay_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    result = made()
    root = ET.fromstring(junit(result))
    failure = root.find(".//failure")
    assert failure is not None and failure.get("message") == "it | broke\n::error::`x` <b>".replace("\n", "\n")
    assert "do\ufffd this" in (failure.text or "") and root.get("skipped") == "1"
    text = markdown(result)
    assert "<b>" not in text and "it \\| broke ::error::\\`x\\` \\<b\\>" in text and "Foo\\|Bar" in text
    lines = github_annotations(result)
    assert [line.split(" ")[0] for line in lines] == ["::error", "::warning"] and all(
        "\n" not in line for line in lines
    )
    assert "line=4" in lines[0] and "%0A" in lines[0] and "100%25 sure" in lines[1]


@pytest.mark.parametrize("status", ["done", "cached"])
def test_a_part_that_passed_is_no_whole(status: str, capsys: pytest.CaptureFixture) -> None:
    from mconv.cli import run as command

    proof = {"status": "passed in part", "a": "PyTorch", "b": "Paddle", "outputs": []}
    step = StepResult("torch2paddle", status, proof=proof)
    recipe = RecipeResult("a", "a.yaml", None, "build/a", [StepResult("source", "done"), step])
    text = markdown(RunResult("build", [recipe]))
    assert "all passed, 1 in part" in text and " in part |" in text
    command._line(Event("a", step.name, step.status, in_part=step.in_part))
    assert "passed in part" in capsys.readouterr().err
    step.proof = {**proof, "status": "passed"}
    assert "in part" not in markdown(RunResult("build", [recipe]))


def test_figures_of_both_kinds() -> None:
    rows = [
        {
            "name": "p",
            "input_set": 1,
            "shape": [2, 3],
            "max_abs": 0.25,
            "max_rel": 1.5,
            "cosine": 0.98,
            "ok": False,
            "reason": "too far",
        },
        {
            "name": "q",
            "input_set": 0,
            "shape": [2],
            "max_abs": None,
            "max_rel": None,
            "cosine": None,
            "ok": False,
            "reason": "shape",
        },
        {
            "name": "r",
            "input_set": 0,
            "shape": [2],
            "max_abs": 1e-7,
            "max_rel": 0.0,
            "cosine": 1.0,
            "ok": True,
            "reason": "",
        },
    ]
    result = made()
    step = result.recipes[0].steps[0]
    step.proof = {"a": "A", "b": "B", "outputs": rows}
    worst = step.worst()
    assert worst is not None and worst["name"] == "q"  # what cannot be compared is worse than what is far apart
    text = markdown(result)
    assert "| `p` | 1 | [2, 3] | 0.25 | 1.5 | 0.98000000 | too far |" in text
    assert "| `q` | 0 | [2] |  |  |  | shape |" in text and "| `r` |" not in text
    assert len(list(ET.fromstring(junit(result)).iter("testcase"))) == 5
    json.dumps(result.to_dict(), allow_nan=False)


def test_the_summary_is_the_same_when_nothing_changed(write: Write, tmp_path: Path) -> None:
    path = write("a")
    first, second = (recipes.run([path], out=tmp_path / "out") for _ in range(2))
    assert first.summary() == second.summary() and first.to_dict() != second.to_dict()
    assert second.to_dict()["recipes"][0]["status"] == "cached"
