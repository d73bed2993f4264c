"""What a run gave, for those who were not there: JUnit XML, a Markdown summary, annotations of GitHub."""

from __future__ import annotations

import os
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Optional, Union

from mconv.errors import MconvError, OutputExistsError
from mconv.recipe import child
from mconv.recipe.results import CACHED, DONE, FAILED, SKIPPED, RecipeResult, RunResult, StepResult, cases

_WORDS = {DONE: "passed", CACHED: "passed (nothing to do)", FAILED: "**failed**", SKIPPED: "not run"}
_MOST_ROWS = 20
# what XML 1.0 cannot hold, not even escaped
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

PathLike = Union[str, "os.PathLike[str]"]


def of_verification(a: PathLike, b: PathLike, found: Any = None, error: Optional[BaseException] = None) -> RunResult:
    """A comparison (:class:`mconv.verbs.verify.Verification`), or the error that it ended with, in the form of a run."""
    step = StepResult("verify", DONE)
    if found is not None:
        step.seconds = found.seconds
        step.proof = {"a": found.a, "b": found.b, "outputs": found.outputs}
        step.warnings = list(found.notes)
    if error is not None:
        step.status, step.error = FAILED, child.describe(error)
    name = f"{os.fspath(a)} against {os.fspath(b)}"
    return RunResult("", [RecipeResult(name, os.fspath(b), None, "", [step])], step.seconds)


def of_bench(judged: Sequence[Any], seconds: float) -> RunResult:
    """What a measurement comes to (:class:`mconv.bench.verdict.Case`), in the form of a run: a step for each case."""
    recipes: dict[str, RecipeResult] = {}
    for case in judged:
        step = StepResult(case.name, DONE, case.seconds, proof={"figures": case.figures})
        if case.error is not None:
            step.status, step.error = FAILED, child.describe(case.error)
        recipes.setdefault(case.group, RecipeResult(case.group, "", None, "", [])).steps.append(step)
    return RunResult("", list(recipes.values()), seconds)


def write(
    result: RunResult, title: str, *, junit_file: Optional[PathLike] = None, summary_file: Optional[PathLike] = None
) -> None:
    """Write the files that were asked for, and GitHub's summary of the job where ``GITHUB_STEP_SUMMARY`` names it.

    Raises:
        OutputExistsError: one cannot be written.
    """
    for path, text in ((junit_file, junit), (summary_file, markdown)):
        if path is not None:
            _write(Path(path), text(result, title), "w")
    job = os.environ.get("GITHUB_STEP_SUMMARY")
    if job and (summary_file is None or os.path.abspath(job) != os.path.abspath(summary_file)):
        _write(Path(job), markdown(result, title) + "\n", "a")  # other steps of the job write there, too


def _write(path: Path, text: str, mode: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, mode, encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
    except OSError as e:
        raise OutputExistsError(f"{path}: cannot be written ({e.strerror})") from None


# JUnit --------------------------------------------------------------------------------------------------------------


def junit(result: RunResult, title: str = "mconv run") -> str:
    """JUnit XML: a suite for each recipe; a case for each step, and one for each output that was compared."""
    root = ET.Element("testsuites", name=title)
    totals = {"tests": 0, "failures": 0, "skipped": 0}
    for recipe in result.recipes:
        suite = ET.SubElement(
            root, "testsuite", name=_clean(recipe.name), time=_seconds(sum(s.seconds for s in recipe.steps))
        )
        counts = dict.fromkeys(totals, 0)
        for step in recipe.steps:
            for case in _cases(recipe, step):
                suite.append(case)
                counts["tests"] += 1
                counts["failures"] += case.find("failure") is not None
                counts["skipped"] += case.find("skipped") is not None
        for name, count in counts.items():
            suite.set(name, str(count))
            totals[name] += count
        suite.set("errors", "0")
    for name, count in totals.items():
        root.set(name, str(count))
    root.set("errors", "0")
    root.set("time", _seconds(result.seconds))
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _cases(recipe: RecipeResult, step: StepResult) -> Iterator[ET.Element]:
    case = ET.Element("testcase", classname=_clean(recipe.name), name=step.name, time=_seconds(step.seconds))
    if recipe.file:
        case.set("file", _clean(os.path.relpath(recipe.file)))
        case.set("line", str(step.line))
    if step.status == FAILED and step.error is not None:
        failure = ET.SubElement(case, "failure", type=step.error["kind"], message=_clean(step.error["message"]))
        failure.text = _clean("\n".join(_detail(step)))
    elif step.status == SKIPPED:
        ET.SubElement(case, "skipped", message=step.reason)
    said = [*step.warnings, *_measured(step)]
    if said:
        ET.SubElement(case, "system-out").text = _clean("\n".join(said))
    yield case
    for row in step.compared:
        one = ET.Element(
            "testcase", classname=_clean(f"{recipe.name}.{step.name}"), name=_clean(_row_name(row)), time="0"
        )
        if not row.get("ok", True):
            ET.SubElement(
                one, "failure", type="VerificationError", message=_clean(row.get("reason") or "differs")
            ).text = _clean(_figures(row))
        yield one


def _measured(step: StepResult) -> list[str]:
    """The figures of a measurement, in words."""
    figures = (step.proof or {}).get("figures")
    return [figures] if figures else []


def _detail(step: StepResult) -> Iterator[str]:
    assert step.error is not None
    yield step.error["message"]
    if step.error.get("hint"):
        yield step.error["hint"]
    bad = [row for row in step.compared if not row.get("ok", True)]
    yield from (f"{_row_name(row)}: {row.get('reason')}; {_figures(row)}" for row in bad)
    if not bad:
        yield from (", ".join(f"{k}: {v}" for k, v in row.items()) for row in step.error.get("rows") or [])


def _row_name(row: Mapping[str, Any]) -> str:
    return f"output {row['name']}" + (f", input set {row['input_set']}" if "input_set" in row else "")


def _figures(row: Mapping[str, Any]) -> str:
    known = [(n, row.get(k)) for n, k in (("max abs", "max_abs"), ("max rel", "max_rel"), ("cosine", "cosine"))]
    return ", ".join(f"{n} {_number(v)}" for n, v in known if v is not None) or "no figures"


def _number(value: Optional[float], form: str = ".3g") -> str:
    if value is None:
        return ""
    return format(float(value), ".8f" if 0.9 < float(value) < 1 else form)


def _seconds(value: float) -> str:
    return f"{value:.3f}"


def _clean(text: object) -> str:
    return _FORBIDDEN.sub("\ufffd", str(text))


# Markdown -----------------------------------------------------------------------------------------------------------


def markdown(result: RunResult, title: str = "mconv run") -> str:
    """A table of the recipes; of what failed, which output and by how much."""
    bad = [r for r in result.recipes if not r.ok]
    partly = sum(r.in_part for r in result.recipes)
    state = f"{len(bad)} of {len(result.recipes)} failed" if bad else "all passed"
    state += f", {partly} in part" if partly else ""
    lines = [
        f"### {title}: {state}",
        "",
        "| | status | steps | furthest apart | by | seconds |",
        "|---|---|---|---|---|---:|",
    ]
    lines += [_line(recipe) for recipe in result.recipes]
    for recipe, step in cases(result):
        if step.status == FAILED and step.error is not None:
            lines += ["", *_failed(recipe, step)]
    measured = [f"- {_cell(r.name)}, {_cell(s.name)}: {_cell(w)}" for r, s in cases(result) for w in _measured(s)]
    if measured:
        lines += ["", *measured]
    notes = [f"- {_cell(r.name)}, {s.name}: {_cell(w)}" for r, s in cases(result) for w in s.warnings]
    if notes:
        lines += ["", "<details><summary>Warnings</summary>", "", *notes, "", "</details>"]
    return "\n".join(lines) + "\n"


def _line(recipe: RecipeResult) -> str:
    steps = ", ".join(
        f"{'**' if s.status == FAILED else ''}{s.name}{'**' if s.status == FAILED else ''}" for s in recipe.steps
    )
    worst = _worst(recipe)
    apart, figure = ("", "") if worst is None else (_code(worst["name"]), _number(worst.get("max_abs")) or "-")
    seconds = sum(s.seconds for s in recipe.steps)
    return f"| {_cell(recipe.name)} | {_WORDS[recipe.status]}{' in part' if recipe.in_part else ''} | {steps} | {apart} | {figure} | {seconds:.1f} |"


def _worst(recipe: RecipeResult) -> Optional[dict[str, Any]]:
    """Of all steps, the output that is furthest apart; failures first."""
    found = [row for step in recipe.steps if (row := step.worst()) is not None]
    return max(found, key=lambda r: (not r.get("ok", True), r.get("max_abs") or 0.0)) if found else None


def _failed(recipe: RecipeResult, step: StepResult) -> Iterator[str]:
    assert step.error is not None
    yield f"#### {_cell(recipe.name)}: {step.name}"
    yield ""
    yield _cell(step.error["message"]) + "  "
    if step.error.get("hint"):
        yield _cell(step.error["hint"]) + "  "
    bad = [row for row in step.compared if not row.get("ok", True)]
    if bad:
        yield ""
        if step.proof and step.proof.get("a"):
            yield f"{_cell(step.proof['a'])} against {_cell(step.proof['b'])}:"
            yield ""
        yield "| output | input set | shape | max abs | max rel | cosine | why |"
        yield "|---|---:|---|---:|---:|---:|---|"
        for row in bad[:_MOST_ROWS]:
            figures = [_number(row.get(k)) for k in ("max_abs", "max_rel", "cosine")]
            cells = [_code(row["name"]), str(row.get("input_set", "")), str(row.get("shape", "")), *figures]
            yield f"| {' | '.join(cells)} | {_cell(row.get('reason') or '')} |"
    elif step.error.get("rows"):
        yield from _table(step.error["rows"])


def _table(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    names = [
        n for n in dict.fromkeys(n for row in rows for n in row) if any(r.get(n) not in (None, "", []) for r in rows)
    ]
    yield ""
    yield f"| {' | '.join(names)} |"
    yield "|" + "---|" * len(names)
    for row in rows[:_MOST_ROWS]:
        yield f"| {' | '.join(_cell(str(row.get(n) if row.get(n) is not None else '')) for n in names)} |"


def _cell(text: str) -> str:
    """Text that stays in its cell and is not taken for markup."""
    text = " ".join(_clean(text).split())
    return re.sub(r"([\\`*_{}\[\]<>#|~])", r"\\\1", text)


def _code(text: str) -> str:
    text = " ".join(_clean(text).split()).replace("|", "\\|")
    return f"`{text}`" if "`" not in text else _cell(text)


# GitHub -------------------------------------------------------------------------------------------------------------


def github_annotations(result: RunResult, title: str = "mconv run") -> list[str]:
    """Workflow commands that mark what failed, and warnings, in the files of a pull request."""
    found = []
    for recipe, step in cases(result):
        path = recipe.file and os.path.relpath(recipe.file, os.environ.get("GITHUB_WORKSPACE") or os.curdir)
        where = f"file={_property(path)},line={step.line}," if path else ""
        head = _property(f"{title}: {recipe.name}: {step.name}")
        if step.status == FAILED and step.error is not None:
            found.append(f"::error {where}title={head}::{_data(chr(10).join(_detail(step)))}")
        found += [f"::warning {where}title={head}::{_data(w)}" for w in step.warnings if step.status != CACHED]
    return found


def wrong_recipe(error: MconvError, title: str = "mconv run") -> list[str]:
    """The annotation of a recipe that cannot be run at all: its message begins with ``FILE:LINE:``."""
    found = re.match(r"(?P<file>.+?\.ya?ml):(?P<line>\d+): (?P<what>.*)", error.message, re.DOTALL)
    if found is None:
        return []
    path = os.path.relpath(found["file"], os.environ.get("GITHUB_WORKSPACE") or os.curdir)
    text = f"{found['what']}\n{error.hint}" if error.hint else found["what"]
    return [f"::error file={_property(path)},line={found['line']},title={_property(title)}::{_data(text)}"]


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def in_github() -> bool:
    """Whether this runs in an action of GitHub."""
    return os.environ.get("GITHUB_ACTIONS") == "true"


__all__ = [
    "github_annotations",
    "in_github",
    "junit",
    "markdown",
    "of_bench",
    "of_verification",
    "write",
    "wrong_recipe",
]
