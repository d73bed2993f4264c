"""ONNX's own backend tests: what passes must go on passing, and nothing may be wrong.

``suite_passes.txt`` lists the cases that pass with ``--target 3`` in the default Predictor of the installed Paddle,
``suite_passes_2.3.txt`` those that pass with ``--target 2.3`` in the real 2.3.2 (``python -m tests.onnx.suite
--update`` writes them). ``suite_excludes.json`` holds the cases whose expected data are wrong, with the reason.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Callable

import onnx
import pytest

from mconv.onnx.convert import convert
from mconv.onnx.reader import OnnxModel
from mconv.program.stored import write_model
from tests.managed import require
from tests.onnx import suite

HERE = Path(__file__).parent
EXCLUDES: dict[str, str] = json.loads((HERE / "suite_excludes.json").read_text())
PARTS = 8

pytestmark = pytest.mark.skipif(
    not onnx.__version__.startswith("1.17."), reason=f"the lists are of onnx 1.17; {onnx.__version__} is installed"
)


def passes(target: str) -> list[str]:
    return suite.pass_list(target).read_text().split()


def check(names: list[str], target: str, runtime: str, onednn: bool | None = None) -> None:
    require(runtime)
    expected = set(passes(target))
    outcomes = suite.run_part(names, target, runtime, onednn, False)
    lost = [f"{o.name}: {o.status} {o.detail}" for o in outcomes if o.status != "pass" and o.name in expected]
    bad = [
        f"{o.name}: {o.status} {o.detail}"
        for o in outcomes
        if o.status in ("wrong", "failed", "crashed", "bug") and o.name not in EXCLUDES
    ]
    assert not lost and not bad, "\n".join(dict.fromkeys(lost + bad))


def part(i: int, step: int = 1) -> list[str]:
    return [c.name for c in suite.cases()][i :: PARTS * step]


@pytest.mark.parametrize("i", range(PARTS))
def test_every_case_in_the_default_predictor(i: int) -> None:
    check(part(i), "3", "current")


@pytest.mark.parametrize("i", range(2))
def test_a_sample_without_onednn(i: int) -> None:
    check(part(i, 4), "3", "current", onednn=False)


@pytest.mark.runtime
@pytest.mark.parametrize("i", range(2))
def test_a_sample_in_paddle_2_3_2(i: int) -> None:
    check(part(i, 4), "2.3", "paddle-2.3.2")


@pytest.mark.slow
@pytest.mark.parametrize("i", range(PARTS))
def test_every_case_without_onednn(i: int) -> None:
    check(part(i), "3", "current", onednn=False)


@pytest.mark.slow
@pytest.mark.runtime
@pytest.mark.parametrize("i", range(PARTS))
def test_every_case_in_paddle_2_3_2(i: int) -> None:
    check(part(i), "2.3", "paddle-2.3.2")


@pytest.mark.parametrize("name", sorted(EXCLUDES))
def test_what_is_excluded_equals_onnxruntime(name: str, tmp_path: Path, workers: Callable[[str], Any]) -> None:
    """And is not what is stored: an exclude that has become unnecessary has to go."""
    ort = pytest.importorskip("onnxruntime")
    model, sets = suite.load(next(c for c in suite.cases() if c.name == name))
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    feeds = {i.name: value for i, value in zip(model.graph.input, sets[0][0])}
    want = session.run(None, feeds)
    made = convert(OnnxModel(model), "3")
    files = write_model(made.program, made.params.items(), tmp_path)
    got = workers("current").run(*files, feeds).outputs[0]
    for stored, w, g in zip(sets[0][1], want, got):
        assert not suite.agrees(w, g, False)
        assert suite.agrees(stored, g, False)


def test_the_lists_reach_what_is_promised() -> None:
    """85% of all 1,437 cases and 97% of the 1,238 whose types are Paddle's and that a static program can run."""
    names = {c.name for c in suite.cases()}
    listed = passes("3")
    assert len(names) == 1437 and set(listed) <= names and len(set(listed)) == len(listed)
    assert len(listed) >= 0.85 * 1437
    assert not set(listed) & EXCLUDES.keys()
    core = 0
    for case in suite.cases():
        if case.name in set(listed):
            core += suite.is_core(suite.load_model(case))
    assert core >= 0.97 * 1238
