"""The zoo: every architecture passes, or is refused for the recorded reason. A few quick ones run everywhere."""

from __future__ import annotations

from typing import Any

import pytest

from mconv.errors import UnsupportedError
from tests.torch import zoo

RECORDED = zoo.recorded()
PASSED = sum(v == "pass" for found in RECORDED.values() for v in found.values())
_exports: dict[str, Any] = {}


def test_every_model_is_recorded() -> None:
    assert list(RECORDED) == list(zoo.MODELS)


def test_nine_in_ten_pass() -> None:
    total = sum(len(found) for found in RECORDED.values())
    assert PASSED >= 0.9 * total
    assert all(v == "pass" or v.startswith("refused: ") for found in RECORDED.values() for v in found.values())


def _found(name: str, paddle: str) -> str:
    try:
        if name not in _exports:
            _exports.clear()  # one at a time: they hold models
            _exports[name] = zoo.exported(name)
        return zoo.outcome(*_exports[name], zoo.RUNTIMES[paddle])
    except UnsupportedError as e:
        return f"refused: {e.message}"


QUICK = ("mlp", "lstm", "unet", "bert", "gpt2_sdpa", "vit", "gat", "s4", "fastspeech", "yolo_nms")


@pytest.mark.parametrize("name", QUICK)
def test_quick(name: str) -> None:
    assert _found(name, "3.3.1") == RECORDED[name]["3.3.1"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "paddle", [pytest.param(p, marks=[pytest.mark.runtime] if p != "3.3.1" else []) for p in zoo.RUNTIMES]
)
@pytest.mark.parametrize("name", zoo.MODELS)
def test_zoo(name: str, paddle: str) -> None:
    assert _found(name, paddle) == RECORDED[name][paddle]
