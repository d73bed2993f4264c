"""Model families of ``transformers``: each passes, or is what the record says. One runs everywhere, all with ``slow``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.torch import families, zoo
from tests.zoo.torch_families import FAMILIES

ROOT = Path(__file__).parents[2]
RECORDED = families.recorded()


def test_every_family_is_recorded() -> None:
    assert list(RECORDED) == list(FAMILIES)
    assert all(list(found) == list(families.RUNTIMES) for found in RECORDED.values())


@pytest.mark.parametrize("paddle", families.RUNTIMES)
def test_of_what_torch_exports_95_in_100_convert(paddle: str) -> None:
    verdicts = [found[paddle] for found in RECORDED.values()]
    verdicts += [found[paddle] for found in zoo.recorded().values() if paddle in found]
    possible = [v for v in verdicts if not v.startswith("no exporter: ")]
    converted = [v for v in possible if v.startswith(families.CONVERTED)]
    assert len(converted) >= 0.95 * len(possible), sorted(set(possible) - set(converted))
    assert all(v.startswith((*families.CONVERTED, "refused: ")) for v in possible)  # and none is wrong
    figures = f"{len(converted)} of {len(possible)} "
    assert figures in (ROOT / "docs" / "coverage.md").read_text(encoding="utf-8")
    assert f"{len(possible)} 个中" in (ROOT / "docs" / "coverage.zh.md").read_text(encoding="utf-8")


def _check(name: str, paddle: str) -> None:
    found = families.outcome(FAMILIES[name].build(), FAMILIES[name], paddle)
    kind = RECORDED[name][paddle].partition(":")[0]
    assert found.partition(":")[0] == kind, found


def test_quick() -> None:
    _check("vit_mae", "3.3.1")


@pytest.mark.slow
@pytest.mark.parametrize(
    "paddle", [pytest.param(p, marks=[pytest.mark.runtime] if p != "3.3.1" else []) for p in families.RUNTIMES]
)
@pytest.mark.parametrize("name", FAMILIES)
def test_families(name: str, paddle: str) -> None:
    _check(name, paddle)


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n, found in RECORDED.items() if "no exporter" in str(found)])
def test_what_no_exporter_takes(name: str) -> None:
    """Fails as soon as one of torch's exporters takes it: then it counts."""
    assert families.unexportable(FAMILIES[name].build(), FAMILIES[name])
