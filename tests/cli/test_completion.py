"""Completion in the real shells: installed into a home of its own, then Tab in an interactive shell."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mconv.cli import main as frame
from tests.cli.conftest import Run

SHELLS = ["bash", "zsh", "fish"]
_ESCAPES = re.compile(r"\x1b(\[[0-9;?]*[A-Za-z]|\][^\x07]*\x07|[=>()][AB012]?)|[\x07\r]")


def environment(home: Path) -> dict[str, str]:
    """Of a user who has mconv on the PATH."""
    bin_ = home / "bin"
    bin_.mkdir(exist_ok=True)
    script = bin_ / "mconv"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -m mconv "$@"\n')
    script.chmod(0o755)
    path = f"{bin_}:{os.environ['PATH']}"
    return {**os.environ, "HOME": str(home), "ZDOTDIR": str(home), "PATH": path, "TERM": "xterm", "LC_ALL": "C.UTF-8"}


def typed(shell: list[str], home: Path, keys: str, until: str, timeout: float = 40) -> str:
    """What the terminal of an interactive shell shows after *keys*, typed at its prompt ``ready>``, up to the regular
    expression *until*."""
    pid, fd = pty.fork()
    if pid == 0:
        os.chdir(home)
        os.execvpe(shell[0], shell, environment(home))
    shown, sent = "", False
    deadline = time.monotonic() + timeout
    try:
        while time.monotonic() < deadline:
            if select.select([fd], [], [], 0.2)[0]:
                try:
                    shown += os.read(fd, 65536).decode(errors="replace")
                except OSError:
                    break
            elif not sent and "ready>" in shown:  # and nothing more comes: it waits for input
                os.write(fd, keys.encode())
                sent = True
            if sent and re.search(until, _ESCAPES.sub("", shown)):
                break
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        os.close(fd)
    return _ESCAPES.sub("", shown)


@pytest.fixture
def installed(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    """A shell with mconv's completion installed as a user does it, and its home."""
    shell = request.param
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell} on this machine")
    home = tmp_path / "home"
    home.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "mconv", "--install-completion", shell],
        env=environment(home), capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0 and str(home) in done.stdout, done.stderr
    (home / "my_model.onnx").write_text("")
    return shell, home


INTERACTIVE = {"bash": ["bash", "-i"], "zsh": ["zsh", "-i"]}


@pytest.mark.parametrize("installed", ["bash", "zsh"], indirect=True, ids=str)
@pytest.mark.parametrize(
    ("keys", "shows"),
    [
        ("mconv to-se\t", r"mconv to-serving"),
        ("mconv to-serving --fetch-o\t", r"--fetch-order"),
        ("mconv inspect my_m\t", r"inspect my_model\.onnx"),  # a path
        ("mconv runtime ins\t", r"runtime install"),
    ],
)
def test_tab(installed: tuple[str, Path], keys: str, shows: str) -> None:
    shell, home = installed
    with (home / f".{shell}rc").open("a") as file:
        file.write("\nPS1='ready> '\n")
    assert re.search(shows, typed(INTERACTIVE[shell], home, keys, shows))


@pytest.mark.parametrize("installed", ["fish"], indirect=True, ids=str)
def test_fish(installed: tuple[str, Path]) -> None:
    _, home = installed

    def complete(line: str) -> list[str]:
        done = subprocess.run(
            ["fish", "-c", f"complete --do-complete '{line}'"], cwd=home, env=environment(home), capture_output=True, text=True
        )  # fmt: skip
        return [row.partition("\t")[0] for row in done.stdout.splitlines()]

    assert complete("mconv to-se") == ["to-serving"]
    assert "--fetch-order" in complete("mconv to-serving --fetch")
    assert complete("mconv inspect my_m") == ["my_model.onnx"]


def test_powershell_script(mconv: Run) -> None:
    """PowerShell itself is on no Debian: what it would run is looked at, and asked as it asks."""
    for shell in ("powershell", "pwsh"):
        script = mconv("--show-completion", shell).stdout
        assert "Register-ArgumentCompleter -Native -CommandName mconv" in script and "_MCONV_COMPLETE" in script
    done = mconv(
        _MCONV_COMPLETE="complete_powershell",
        _TYPER_COMPLETE_ARGS="mconv to-se",
        _TYPER_COMPLETE_WORD_TO_COMPLETE="to-se",
    )
    assert done.stdout.splitlines() == [f"to-serving:::{frame.COMMANDS['Serve']['to-serving']}"]


@pytest.mark.parametrize("shell", SHELLS)
def test_scripts_are_shown(mconv: Run, shell: str) -> None:
    done = mconv("--show-completion", shell)
    assert done.returncode == 0 and f"complete_{shell}" in done.stdout
    assert mconv(f"--show-completion={shell}").stdout == done.stdout


def test_the_shell_is_found(mconv: Run) -> None:
    done = mconv("--show-completion", SHELL="/usr/bin/zsh")  # of the shell that runs the tests, or else of $SHELL
    assert done.returncode == 0 and "_MCONV_COMPLETE" in done.stdout


def test_bad_requests(mconv: Run, tmp_path: Path) -> None:
    done = mconv("--install-completion", "tcsh")
    assert done.returncode == 2 and done.stderr.splitlines()[0] == (
        "error: --install-completion: tcsh is no shell that it knows"
    )
    assert mconv("--show-completion", "bash", "zsh").returncode == 2
    (tmp_path / "file").write_text("")
    done = mconv("--install-completion", "bash", HOME=str(tmp_path / "file"))
    assert done.returncode == 6 and "Traceback" not in done.stderr


def test_all_commands_are_offered_and_only_one_is_imported(mconv: Run) -> None:
    done = mconv(_MCONV_COMPLETE="complete_bash", COMP_WORDS="mconv ", COMP_CWORD="1")
    known = [n for group in frame.COMMANDS.values() for n in group if frame.available(n)]
    assert done.stdout.split() == known
    code = (
        "import sys, mconv.cli.main as m\ntry:\n    m.run([])\nfinally:\n"
        "    print([n for n in sys.modules if n.startswith('mconv.cli.')], file=sys.stderr)"
    )
    env = {**os.environ, "_MCONV_COMPLETE": "complete_bash", "COMP_WORDS": "mconv verify --", "COMP_CWORD": "2"}
    told = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert "--layers" in told.stdout.split()
    assert "mconv.cli.verify" in told.stderr and "mconv.cli.to_static" not in told.stderr
