"""mconv runtime, doctor and serve-check, as users run them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from mconv.cli.main import COMMANDS, run
from mconv.runtimes.doctor import NEEDS, diagnose
from mconv.runtimes.recipes import RECIPES
from mconv.runtimes.runtime import RuntimeStatus
from tests.cli.conftest import Run
from tests.golden import case
from tests.managed import require
from tests.proof.test_serve_check import left_behind


def test_runtime_list(mconv: Run, tmp_path: Path) -> None:
    done = mconv("runtime", "list", "--json", MCONV_CACHE=str(tmp_path / "cache"))
    found = json.loads(done.stdout)["runtimes"]
    assert [r["name"] for r in found] == list(RECIPES)
    assert not any(r["installed"] for r in found) and {r["problem"] for r in found} == {"is not installed"}
    text = mconv("runtime", "list", MCONV_CACHE=str(tmp_path / "cache")).stdout
    assert all(name in text for name in RECIPES)
    assert not (tmp_path / "cache").exists()  # looking makes nothing


def test_runtime_that_is_missing(mconv: Run, tmp_path: Path) -> None:
    done = mconv("runtime", "path", "paddle-2.3.2", MCONV_CACHE=str(tmp_path / "cache"))
    assert done.returncode == 8 and done.stdout == ""
    assert done.stderr.splitlines() == [
        "error: the runtime paddle-2.3.2 is not installed",
        "hint: install it with `mconv runtime install paddle-2.3.2`",
    ]
    assert mconv("runtime", "remove", "paddle-9").returncode == 2
    assert mconv("runtime", "remove", "2.6.2", MCONV_CACHE=str(tmp_path / "c")).stdout == "2.6.2: was not installed\n"
    wrong = mconv("runtime", "install", "2.6.2", "--python", tmp_path / "none", MCONV_CACHE=str(tmp_path / "c"))
    assert wrong.returncode == 8 and "not a 64-bit Python" in wrong.stderr


@pytest.mark.runtime
def test_runtime_path(mconv: Run) -> None:
    python = require("paddle-2.6.2").python
    assert mconv("runtime", "path", "paddle-2.6.2").stdout == f"{python}\n"
    assert json.loads(mconv("runtime", "path", "2.6.2", "--json").stdout)["python"] == str(python)


@pytest.mark.long
def test_doctor(mconv: Run, tmp_path: Path) -> None:
    found = json.loads(mconv("doctor", "--json", MCONV_CACHE=str(tmp_path / "cache")).stdout)
    commands = {c["command"]: c for c in found["commands"]}
    assert commands["to-serving"]["works"] is True
    assert commands["serve-check"]["works"] is False
    for command in ("serve", "serve-check"):
        assert commands[command]["works"] is False
        wanted = [f"mconv runtime install {name}" for name in ("paddle-2.3.2", "http", "triton", "paddle-2.6.2")]
        assert commands[command]["install"] == wanted
    assert commands["scaffold"] == {"command": "scaffold", "works": True, "limits": [], "install": []}
    assert commands["to-onnx"]["works"] is True
    assert {p["module"] for p in found["packages"] if p["extra"] is None and p["version"] is None} == set()
    assert "mconv runtime install paddle-2.3.2" in mconv("doctor", MCONV_CACHE=str(tmp_path / "cache")).stdout


def test_interpreters_are_shown_from_the_home_folder(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = diagnose()
    there = dict.fromkeys(found.interpreters, "/home/me/.pyenv/versions/3.10.13/bin/python")
    found = replace(found, interpreters=there)
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setattr("mconv.api.doctor", lambda test=False: found)
    assert run(["doctor"]) == 0
    said = capsys.readouterr().out
    assert "~/.pyenv/versions/3.10.13/bin/python" in said and "/home/me" not in said.partition("state")[2]


@pytest.mark.parametrize(
    ("present", "works"),
    [
        ({"runtime:http"}, {"serve"}),
        ({"runtime:triton"}, {"serve"}),
        ({"runtime:paddle-2.3.2"}, {"serve", "serve-check"}),
        ({"runtime:paddle-2.6.2"}, set()),
    ],
)
def test_doctor_knows_which_servers_there_are(
    present: set[str], works: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [RuntimeStatus(name, "", f"runtime:{name}" in present, None, Path(name), None, 0.0) for name in RECIPES]
    monkeypatch.setattr("mconv.runtimes.doctor.statuses", lambda: found)
    commands = {c.command: c for c in diagnose().commands}
    assert {name for name in ("serve", "serve-check") if commands[name].works} == works
    for name in ("serve", "serve-check"):
        for server in ("http", "triton"):
            told = f"services of --server {server}: needs the runtime {server}" in commands[name].limits
            assert told == (f"runtime:{server}" not in present)
    assert commands["to-onnx"].works and commands["scaffold"].works


def test_doctor_knows_every_command() -> None:
    all_of_them = {name for group in COMMANDS.values() for name in group}
    assert set(NEEDS) == all_of_them - {"doctor", "runtime", "report-bug"}


@pytest.mark.long
def test_doctor_tells_a_broken_package_when_it_tries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x2paddle").mkdir()
    (tmp_path / "x2paddle" / "__init__.py").write_text("raise ImportError('libbroken.so')")
    (tmp_path / "x2paddle-9.dist-info").mkdir()
    (tmp_path / "x2paddle-9.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: x2paddle\nVersion: 9\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("MCONV_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("mconv.runtimes.doctor.PACKAGES", {"x2paddle": (("x2paddle",), "x2paddle")})
    monkeypatch.setattr("mconv.runtimes.doctor.NEEDS", {})
    (looked,) = diagnose().packages
    (tried,) = diagnose(test=True).packages
    assert (looked.version, looked.problem) == ("9", None)
    assert tried.problem == "ImportError: libbroken.so"


def test_serve_check_of_something_else(mconv: Run, tmp_path: Path) -> None:
    done = mconv("serve-check", tmp_path)
    assert done.returncode == 3 and "not a serving_server folder" in done.stderr


@pytest.mark.runtime
def test_serve_check(mconv: Run) -> None:
    require("paddle-2.3.2")
    done = mconv("serve-check", case("2.3.2-mlp").server, "--json", timeout=120)
    report = json.loads(done.stdout)
    assert done.returncode == 0 and report["ok"] is True and len(report["forms"]) == 5


@pytest.mark.runtime
def test_serve_check_killed_leaves_nothing(tmp_path: Path) -> None:
    require("paddle-2.3.2")
    run = subprocess.Popen(
        [sys.executable, "-m", "mconv", "serve-check", str(case("2.3.2-mlp").server)],
        env={**os.environ, "TMPDIR": str(tmp_path)}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert run.stderr is not None
    while "starting the service" not in run.stderr.readline():
        assert run.poll() is None
    deadline = time.time() + 240
    while not any("web_service.py" in line for line in left_behind(str(tmp_path))):  # the service's own processes
        assert time.time() < deadline
        time.sleep(0.05)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    run.stderr.close()
    deadline = time.time() + 120
    while left_behind(str(tmp_path)) and time.time() < deadline:
        time.sleep(0.1)
    assert left_behind(str(tmp_path)) == []
