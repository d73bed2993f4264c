"""``mconv runtime run``: any command in a managed runtime."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.managed import require

pytestmark = pytest.mark.runtime


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mconv", "runtime", "run", *arguments], capture_output=True, text=True, timeout=120
    )


def test_a_command_has_the_runtimes_python_and_environment() -> None:
    """What `python web_service.py` needs: Paddle Serving, and the preloaded symbol, without which Paddle does not load."""
    where = require("paddle-2.3.2")
    code = "import paddle, paddle_serving_server, sys; print(sys.version_info[:2], sys.executable, sys.argv[1:])"
    done = run("paddle-2.3.2", "--", "python", "-c", code, "--json", "-v")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"(3, 8) {where.python} ['--json', '-v']"
    assert run("paddle-2.3.2", "python", "-c", "raise SystemExit(7)").returncode == 7


def test_what_is_no_command() -> None:
    require("paddle-2.3.2")
    done = run("paddle-2.3.2", "no-such-command\x1b[2J")
    assert done.returncode == 2 and "No such file or directory" in done.stderr and "\x1b" not in done.stderr
    assert run("paddle-2.3.2").returncode == 2 and "no command" in run("paddle-2.3.2", "--").stderr
    done = run("paddle-9.9", "python")
    assert done.returncode == 2 and "paddle-9.9" in done.stderr
