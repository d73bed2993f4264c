"""What the tests of recipes share: small recipes that run in the Paddle of this Python, and a look at what they left."""

from __future__ import annotations

import os
import resource
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.conftest import mconv
from tests.onnx.make import mlp

__all__ = ["mconv"]
Write = Callable[..., Path]
STEPS = [{"onnx2paddle": {"verify": False}}, "to-serving"]


@pytest.fixture(autouse=True)
def _quiet_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No summaries or annotations for the CI that runs the tests, and a cache of fetched sources of one's own."""
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "GITHUB_WORKSPACE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MCONV_SOURCES", str(tmp_path / "sources"))


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """``write("a", steps=[…])``: a recipe ``a.yaml`` for a small ONNX model ``a.onnx``; fields as given."""

    def make(name: str = "small", *, model: bool = True, **fields: Any) -> Path:
        if model and "source" not in fields:
            mlp(tmp_path / f"{name}.onnx", seed=len(name))
            fields["source"] = f"{name}.onnx"
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump({"steps": STEPS, **fields}, sort_keys=False), encoding="utf-8")
        return path

    return make


def again(command: Sequence[str], folder: Path) -> tuple[float, subprocess.CompletedProcess[str]]:
    """The seconds of the processor and the output of a run that has nothing to do."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done


def states(result: Any) -> list[str]:
    """``["onnx2paddle done", …]`` of the first recipe."""
    return [f"{step.name} {step.status}" for step in result.recipes[0].steps]


def hidden(folder: Path, seconds: float = 60) -> list[Path]:
    """What steps have not finished yet, once those that were left behind have had the time to notice and end."""
    until = time.monotonic() + seconds
    while True:
        found = [
            Path(at) / n
            for at, folders, files in os.walk(folder)
            for n in (*folders, *files)
            if n.startswith(".mconv-")
        ]
        if not found or time.monotonic() > until:
            return found
        time.sleep(0.05)


def tree(folder: Path, *, times: bool = False) -> dict[str, Any]:
    """Every file's content; with *times* also when everything was changed. Reports and logs tell times, and are left out.

    The folder may be written to meanwhile: what is gone when it is looked at is not there (``rglob`` would fail).
    """
    found: dict[str, Any] = {}
    paths = (Path(at) / name for at, folders, files in os.walk(folder) for name in (*folders, *files))
    for path in sorted(path for path in paths if os.path.lexists(path)):
        name = path.relative_to(folder).as_posix()
        if times:
            found[name] = path.stat().st_mtime_ns
        elif (
            path.is_file() and not name.endswith("report.json") and ".mconv" not in name and path.name != "summary.json"
        ):
            with suppress(FileNotFoundError):
                found[name] = path.read_bytes()
    return found
