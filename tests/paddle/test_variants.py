"""What Paddle 3 computes otherwise than older ones: its numbers in them, with oneDNN and without, and in ONNX Runtime."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Callable

import pytest

from mconv.runtimes import Worker
from tests.exporters.onnx.checking import agree, exported
from tests.exporters.onnx.test_models import loaded
from tests.managed import require
from tests.paddle.compare import answers, check, converted

VARIANTS = Path(__file__).with_name("variants.py")
TARGETS = {"paddle-2.3.2": "2.3", "paddle-2.6.2": "2.6"}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    require("current")
    folder = tmp_path_factory.mktemp("variants")
    done = subprocess.run([sys.executable, str(VARIANTS), str(folder)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return folder


def _names(saved: Path) -> list[str]:
    names = sorted(p.stem for p in saved.glob("*.json"))
    assert len(names) >= 10
    return names


@pytest.mark.runtime
@pytest.mark.parametrize("onednn", [False, True], ids=["plain", "onednn"])
@pytest.mark.parametrize("runtime", TARGETS)
def test_in_older_paddles(
    runtime: str, onednn: bool, saved: Path, tmp_path: Path, workers: Callable[[str], Worker]
) -> None:
    wrong = {}
    for name in _names(saved):
        out = converted(saved, name, tmp_path / name, TARGETS[runtime])
        wrong[name] = check(saved, name, out, workers(runtime), onednn=onednn)
    assert {n: w for n, w in wrong.items() if w} == {}


def test_as_onnx(saved: Path, tmp_path: Path) -> None:
    for name in _names(saved):
        _made, running = exported(*loaded(saved / f"{name}.json"), tmp_path / f"{name}.onnx", 17)
        for feed, wanted in zip(*answers(saved, name)):
            for want, got in zip(wanted, running.run(None, feed), strict=True):
                agree(want, got)
