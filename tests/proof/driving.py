"""Runs the scripts beside it that start a real Paddle Serving service."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests.managed import require


def drive(script: str, folder: Path, **request: Any) -> Any:
    """What *script* answers, which starts ``web_service.py`` of *folder* in a network of its own.

    Args:
        request: what else the script wants to know.
    """
    where = require("paddle-2.3.2")
    # a short path: the pipeline's processes talk through sockets in it
    with tempfile.TemporaryDirectory(prefix="mconv-test-") as scratch:
        env = {k: v for k, v in where.environ(TMPDIR=scratch).items() if not k.lower().endswith("_proxy")}
        asked = {"python": str(where.python), "env": env, "folder": str(folder), "script": "web_service.py", **request}
        done = subprocess.run(
            [sys.executable, str(Path(__file__).with_name(script))],
            input=json.dumps(asked),
            capture_output=True,
            text=True,
            timeout=300,
        )
    if done.returncode == 3:
        pytest.skip("the kernel allows no network namespace, and nothing may be reached from outside")
    log = folder / "service.log"
    told = log.read_text(errors="replace")[-2000:] if log.exists() else ""
    assert done.returncode == 0, done.stderr[-2000:] + told
    return json.loads(done.stdout)
