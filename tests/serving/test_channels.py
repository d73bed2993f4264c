"""How requests get from process to process in a generated service, with Paddle Serving's own pipeline."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from mconv.serving.rendering import render
from tests.managed import require


@pytest.mark.runtime
def test_channels(tmp_path: Path) -> None:
    """Every request arrives once, whatever its size, and nobody who sends one has to wait; where Ops share a channel, or it
    has a limit, it is the pipeline's own."""
    where = require("paddle-2.3.2")
    (tmp_path / "channels.py").write_text(render("channels.py"))
    driver = Path(__file__).with_name("channels_driver.py")
    done = subprocess.run(
        [str(where.python), str(driver), str(tmp_path)],
        env=where.environ(TMPDIR=str(tmp_path), SERVING_LOG_PATH=str(tmp_path)),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "replaced": True,
        "manager": None,
        "empty": True,
        "waiting": 50,
        "names": ["@DAGExecutor answered"],
        "answered": True,
        "sizes": True,
        "left": [0, 0],
        "general": [True, True],
        "together": ["a", "b"],
    }
