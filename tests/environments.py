"""Virtual environments with other packages or another Python than this one, kept between runs in mconv's cache folder."""

from __future__ import annotations

import fcntl
import hashlib
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

import pytest

from mconv.errors import RuntimeUnavailableError
from mconv.runtimes.interpreters import find_interpreter
from mconv.runtimes.runtime import runtimes_folder

ROOT = Path(__file__).parents[1]
CORE = ("blake3", "numpy", "onnx", "protobuf", "pyyaml", "rich", "typer<0.29")


def environment(name: str, requirements: Sequence[str], minor: Optional[str] = None) -> Path:
    """The interpreter of an environment with *requirements*, made when it is not there.

    Args:
        minor: a version of Python such as ``3.9``; default this one. The test is skipped where none is found.
    """
    base = sys.executable
    if minor is not None:
        try:
            base = str(find_interpreter([minor])[0])
        except RuntimeUnavailableError as e:
            pytest.skip(e.message)
    version = minor or f"{sys.version_info.major}.{sys.version_info.minor}"
    digest = hashlib.sha256("\n".join(requirements).encode()).hexdigest()[:8]
    folder = runtimes_folder().parent / "tests" / f"{name}-py{version}-{digest}"
    python = folder / "bin" / "python"
    done = folder / "complete"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(f"{folder}.lock", "w") as lock:  # tests of other processes wait for the one that makes it
        fcntl.flock(lock, fcntl.LOCK_EX)
        if done.exists():
            return python
        subprocess.run([base, "-m", "venv", "--clear", str(folder)], check=True, timeout=300)
        command = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", "--prefer-binary"]
        made = subprocess.run([*command, *requirements], capture_output=True, text=True, timeout=1500)
        assert made.returncode == 0, made.stderr[-2000:]
        done.touch()
    return python


def run(python: Path, code: str, *arguments: str) -> Any:
    """What *code* printed as JSON, run with mconv's sources and nothing else of this environment."""
    done = subprocess.run(
        [str(python), "-c", code, *arguments],
        capture_output=True, text=True, timeout=300, env={"PYTHONPATH": str(ROOT / "src"), "PATH": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)
