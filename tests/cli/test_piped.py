"""Commands in a pipe: ``… --json | mconv COMMAND -``."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from mconv.cli.piped import made_by
from tests.golden import case
from tests.onnx.make import mlp

MODEL = case("2.3.2-mlp").model


def shell(text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a line in bash, which fails when one of its commands does."""
    mconv = f"{shlex.quote(sys.executable)} -m mconv"
    line = "set -o pipefail; " + text.replace("mconv ", f"{mconv} ")
    return subprocess.run(
        ["bash", "-c", line], cwd=folder, env=dict(os.environ), capture_output=True, text=True, timeout=120,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip


def test_from_onnx_to_a_serving_folder(tmp_path: Path) -> None:
    mlp(tmp_path / "m.onnx")
    done = shell("mconv onnx2paddle m.onnx out --no-verify --json | mconv to-serving - --out deploy --json", tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["server"] == "deploy/serving_server"
    assert (tmp_path / "deploy" / "serving_client").is_dir()


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (f"mconv downgrade {MODEL} out --json | mconv inspect -", "out/inference.pdmodel"),
        (f"mconv to-serving {MODEL} --json | mconv inspect -", "Paddle Serving folder"),
        (f"mconv inspect {MODEL} --json | mconv downgrade - out", "Paddle"),
        (f"mconv convert {MODEL} out --no-verify --json | mconv to-serving - --show", "feed_var"),
    ],
)
def test_every_command_takes_what_the_one_before_made(line: str, told: str, tmp_path: Path) -> None:
    done = shell(line, tmp_path)
    assert done.returncode == 0 and told in done.stdout, done.stderr


def test_a_failure_goes_through(tmp_path: Path) -> None:
    """With its own exit code and reason."""
    done = shell("mconv onnx2paddle gone.onnx out --json | mconv to-serving -", tmp_path)
    assert done.returncode == 3
    assert "error: the command before failed: gone.onnx does not exist" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "there is nothing on stdin"),
        ("serving_server/ written", "there is no JSON: serving_server/ written"),
        ("[1]", "another JSON document"),
        ("{}", "a command that makes no model"),
        ('{"server": null, "path": "x"}', "a command that makes no model"),
        ('{"error": {"kind": "os", "message": "x"}}', "the command before failed: x"),
    ],
)
def test_what_is_no_report(text: str, message: str, tmp_path: Path) -> None:
    done = shell(f"printf %s {shlex.quote(text)} | mconv inspect -", tmp_path)
    lines = done.stderr.splitlines()
    assert done.returncode in (1, 2) and message in lines[0] and len(lines) <= 2


def test_a_model_on_both_sides(tmp_path: Path) -> None:
    done = shell("mconv verify - - < /dev/null", tmp_path)
    assert done.returncode == 2 and "both `-`" in done.stderr


@pytest.mark.parametrize(
    ("report", "path"),
    [
        ({"output": {"folder": "o", "program": "inference.pdmodel"}}, "o/inference.pdmodel"),
        ({"output": {"file": "m.onnx", "bytes": 3}}, "m.onnx"),
        ({"program": "o/m.pdmodel", "path": "x"}, "o/m.pdmodel"),
        ({"path": "a/b"}, "a/b"),
        ({"folder": "serving_server"}, "serving_server"),
        ({"ok": True}, None),
    ],
)
def test_reports(report: dict, path: str | None) -> None:
    assert made_by(report) == (None if path is None else Path(path))
