"""The page of a document: well formed, self-contained, with the verdict first, and with no markup of others."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from mconv import api
from mconv.errors import MconvError, NotAModelError, OutputExistsError, UsageError
from mconv.page import document, verdict
from tests.page.samples import HOSTILE, PAGED, Elements, changed, example, layered, row

pytest.importorskip("matplotlib")


def made(*found: dict[str, Any]) -> Elements:
    return Elements(document.page(found))


@pytest.mark.parametrize("command", PAGED)
def test_page_of_every_command_is_whole_and_needs_nothing(command: str) -> None:
    page = made(example(command))
    assert "script" not in page.names and page.names.count("h1") == 1 and page.names.count("main") == 1
    loads = [v for n, v in page.attributes if n in ("src", "href", "xlink:href", "data") and not v.startswith("#")]
    assert not loads and "verdict" in " ".join(v for n, v in page.attributes if n == "class")
    assert ("lang", "en") in page.attributes


@pytest.mark.parametrize("command", PAGED)
def test_no_text_of_a_document_becomes_markup(command: str) -> None:
    """Each text that is not one of mconv's own words (a status, a type) is a hostile name."""
    own = {"service", "model", "passed", "failed", "done", "ok", "tensor", "wrong", "errors", "converted"}
    found = changed(example(command), lambda text: text if text in own else text + HOSTILE)
    if isinstance(found.get("renamed"), dict):
        found["renamed"] = {HOSTILE: HOSTILE}
    page = made(found)
    assert not {"script", "img"} & set(page.names)
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert HOSTILE not in page.text and "alert(1)" in page.text
    assert not re.search("[\x1b\u202e]", page.text)


def test_layers_with_hostile_names() -> None:
    page = made(layered(40, first=20, name=lambda at: f"{HOSTILE}{at}"))
    assert not {"script", "img"} & set(page.names) and "alert(1)" in page.text


@pytest.mark.parametrize(
    ("found", "kind", "said"),
    [
        (example("onnx2paddle"), "good", "Verification passed"),
        (example("convert"), "plain", "Not verified"),
        ({**example("onnx2paddle"), "error": {"message": "it broke", "hint": None}}, "bad", "Failed"),
        (layered(8), "good", "Both compute the same"),
        (layered(8, first=3), "bad", "They compute something else"),
        (example("run"), "good", "All recipes"),
        (example("downgrade"), "plain", "compares nothing"),
        (example("half"), "good", "Verification passed"),
        (example("serve-check"), "good", "answers as the model does"),
        (example("bench"), "good", "all answers are right"),
        ({"error": {"message": "no such file", "hint": "look"}}, "bad", "Failed"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_verdicts(found: dict[str, Any], kind: str, said: str) -> None:
    given = verdict.of(found)
    assert given.kind == kind and said in given.words
    page = made(found)
    assert said in page.text[:300], "the verdict comes first"


@pytest.mark.parametrize(
    ("statuses", "kind", "said"),
    [
        (["passed", "passed"], "good", "All verifications passed"),
        (["passed", "passed in part"], "part", "passed in part"),
        (["passed", "not verified"], "plain", "not verified"),
        (["passed", None], "bad", "1 of 2 were not converted"),
    ],
)
def test_several_sources(statuses: list[str | None], kind: str, said: str) -> None:
    models = [
        {"source": f"m/{HOSTILE}.onnx", "out": "o/m", "ok": s is not None, "exit_code": 0, "kind": "onnx", "verification": s,
         "service": None, "warnings": [], "seconds": 1.0, "reason": "" if s else "damaged"}
        for s in statuses
    ]  # fmt: skip
    found = {"ok": None not in statuses, "out": "o", "models": models}
    assert verdict.of(found).kind == kind and said in verdict.of(found).words
    page = made(found)
    assert not {"script", "img"} & set(page.names) and "convert: 2 models" in page.text


@pytest.mark.parametrize("status", ["passed", "passed in part", "failed", "unproved", "not verified"])
def test_verdict_of_each_status(status: str) -> None:
    found = example("onnx2paddle")
    found["verification"].update(status=status, reason="as it is")
    kinds = {"passed": "good", "passed in part": "part", "unproved": "part", "failed": "bad", "not verified": "plain"}
    assert verdict.of(found).kind == kinds[status] and "as it is" in made(found).text


def test_distribution_is_drawn_for_each_output_and_the_worst_of_many() -> None:
    found = example("onnx2paddle")
    found["verification"]["outputs"] = [row(f"y{at}", 1e-7 * (at + 1)) for at in range(40)]
    page = made(found)
    assert page.names.count("figure") == 12 and "12 of 40 outputs" in page.text


def test_percentages_and_turns_as_people_write_them() -> None:
    found = {**example("quantize"), "limit": 0.1}
    assert "at most 10% is allowed" in made(found).text
    found = {**example("bench"), "rounds": 1}
    assert " in 1 turn, " in made(found).text


@pytest.mark.parametrize(
    ("command", "heading"), [("convert", "known sizes"), ("to-serving", "known sizes"), ("to-onnx", "shape")]
)
def test_sizes_of_a_serving_configuration_are_not_said_to_be_shapes(command: str, heading: str) -> None:
    assert heading in made(example(command)).text.partition("Inputs and outputs")[2][:200]


def test_numbers_that_are_missing_or_not_finite() -> None:
    found = example("onnx2paddle")
    odd = row("y", ok=False, max_abs=None, max_rel=None, cosine=None, argmax_same=None, distribution={"inf": 3, "0": 5})
    found["verification"].update(outputs=[odd, row("z", 0.0, distribution={"0": 8}, allowed=None)], status="failed")
    assert "not" in made(found).text


def test_several_documents_on_one_page_and_files_of_them(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text(json.dumps(example("onnx2paddle")))
    api.page([tmp_path / "report.json", example("bench"), layered(6)], tmp_path / "p.html")
    page = Elements((tmp_path / "p.html").read_text("utf-8"))
    assert page.names.count("h1") == 3 and "Latency of models" in page.text and "Layer by layer" in page.text


@pytest.mark.parametrize(
    "content", ["", "[1]", '{"verification": {}}', '{"recipes": [1]}', '{"outputs": [{"ok": 1}], "matched": 3}']
)
def test_what_is_no_document(content: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(NotAModelError, match="JSON|document of mconv|none of mconv's"):
        api.page(tmp_path / "x.json", tmp_path / "x.html")
    assert not (tmp_path / "x.html").exists()


@pytest.mark.parametrize(
    ("place", "kind"), [("m.onnx", UsageError), ("folder.html", OutputExistsError), ("file/x.html", OutputExistsError)]
)
def test_places_that_cannot_be_written(place: str, kind: type[MconvError], tmp_path: Path) -> None:
    (tmp_path / "folder.html").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(kind, match="--html"):
        document.require(tmp_path / place)


@pytest.mark.parametrize("count", [2, 3, 9])
def test_tensors_are_counted_in_whole_numbers(count: int) -> None:
    page = document.page([layered(count, first=1)])
    (along,) = [found for found in re.findall(r"<svg.*?</svg>", page, re.DOTALL) if ">allowed</text>" in found]
    ticks = re.findall(r">([\d.]+)</text>", along)
    assert ticks and ticks == [str(at) for at in range(count)]


@pytest.mark.parametrize("allowed, said", [(1e-7, True), (1e-3, False)])
def test_the_limit_is_explained_where_it_is_drawn(allowed: float, said: bool) -> None:
    found = {**layered(3), "outputs": [row("y", allowed=allowed)]}
    assert ("Dashed:" in document.page([found])) == said
