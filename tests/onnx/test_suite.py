"""ONNX's own backend tests: what passes must go on passing, and nothing may be wrong.

``suite_passes.txt`` lists the cases that pass with ``--target 3`` in the default Predictor of the installed Paddle,
``suite_passes_2.3.txt`` those that pass with ``--target 2.3`` in the real 2.3.2 (``python -m tests.onnx.suite
--update`` writes them).
"""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from tests.managed import require
from tests.onnx import suite

HERE = Path(__file__).parent
PARTS = 8

pytestmark = pytest.mark.skipif(
    not onnx.__version__.startswith("1.23."), reason=f"the lists are of onnx 1.23; {onnx.__version__} is installed"
)


def passes(target: str) -> list[str]:
    return suite.pass_list(target).read_text().split()


def check(names: list[str], target: str, runtime: str, onednn: bool | None = None) -> None:
    require(runtime)
    expected = set(passes(target))
    outcomes = suite.run_part(names, target, runtime, onednn, False)
    lost = [f"{o.name}: {o.status} {o.detail}" for o in outcomes if o.status != "pass" and o.name in expected]
    bad = [f"{o.name}: {o.status} {o.detail}" for o in outcomes if o.status in ("wrong", "failed", "crashed", "bug")]
    assert not lost and not bad, "\n".join(dict.fromkeys(lost + bad))


def part(i: int, step: int = 1) -> list[str]:
    return [c.name for c in suite.cases()][i :: PARTS * step]


@pytest.mark.parametrize("i", range(PARTS))
@pytest.mark.long
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


def test_the_lists_reach_what_is_promised() -> None:
    """94% of all 2,033 cases, of which 250 have types that wider ones of Paddle's carry, and 98% of the 1,703 of its types."""
    names = {c.name for c in suite.cases()}
    listed = passes("3")
    assert len(names) == 2033 and set(listed) <= names and len(set(listed)) == len(listed)
    assert len(listed) >= 0.94 * 2033
    core = 0
    for case in suite.cases():
        if case.name in set(listed):
            core += suite.is_core(suite.load_model(case))
    assert core >= 0.98 * 1703
