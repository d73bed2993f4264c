"""Finding interpreters: PATH, pyenv, uv, the user's choice, and none at all."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mconv.errors import RuntimeUnavailableError
from mconv.runtimes.interpreters import candidates, fetched, find_interpreter, probe

MINOR = "{}.{}".format(*sys.version_info[:2])
FULL = "{}.{}.{}".format(*sys.version_info[:3])


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without any interpreter; its one folder on PATH is returned."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("PYENV_ROOT", raising=False)
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def real(path: Path) -> Path:
    return script(path, f'exec "{sys.executable}" "$@"')


def test_on_path(bare: Path) -> None:
    python = real(bare / f"python{MINOR}")
    assert find_interpreter([MINOR]) == (python, FULL)


def test_a_command_that_only_looks_like_python_is_passed_over(bare: Path, tmp_path: Path) -> None:
    script(bare / f"python{MINOR}", "echo 'pyenv: version not selected' >&2; exit 127")
    python = real(tmp_path / ".pyenv" / "versions" / f"{MINOR}.7" / "bin" / "python")
    assert find_interpreter([MINOR])[0] == python


def test_pyenv_newest_first(bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "own"))
    for patch in (9, 18, 2):
        real(tmp_path / "own" / "versions" / f"{MINOR}.{patch}" / "bin" / "python")
    assert [p.parent.parent.name for p in candidates(MINOR)] == [f"{MINOR}.{patch}" for patch in (18, 9, 2)]


def test_uv(bare: Path, tmp_path: Path) -> None:
    python = real(tmp_path / "uv" / "python")
    script(bare / "uv", f'[ "$1 $2" = "python find" ] && echo {python}')
    assert find_interpreter([MINOR])[0] == python


def test_the_preferred_version_wins(bare: Path) -> None:
    real(bare / f"python{MINOR}")
    assert find_interpreter(["2.9", MINOR])[1] == FULL


def test_none(bare: Path) -> None:
    with pytest.raises(
        RuntimeUnavailableError, match="no Python 3.8 or 3.7 found on PATH, in pyenv or through uv"
    ) as caught:
        find_interpreter(["3.8", "3.7"])
    assert "uv python install 3.8" in (caught.value.hint or "") and "--python" in (caught.value.hint or "")


def test_the_users_choice(bare: Path, tmp_path: Path) -> None:
    assert find_interpreter([MINOR], sys.executable)[1] == FULL
    with pytest.raises(RuntimeUnavailableError, match=rf"is Python {FULL}; this runtime needs 3\.1"):
        find_interpreter(["3.1"], sys.executable)
    with pytest.raises(RuntimeUnavailableError, match="not a 64-bit Python"):
        find_interpreter([MINOR], str(tmp_path / "nothing"))


def test_an_interpreter_without_venv_does_not_count(bare: Path) -> None:
    broken = script(bare / "python", "echo \"ModuleNotFoundError: No module named 'ensurepip'\" >&2; exit 1")
    assert probe(broken) is None


def test_where_there_is_none_uv_gets_one(bare: Path, tmp_path: Path) -> None:
    """A uv that finds nothing until it has installed something, where it is told to."""
    text = (
        'case "$1 $2" in\n"python install") /bin/mkdir -p "$UV_PYTHON_INSTALL_DIR"; '
        f'printf \'#!/bin/sh\\nexec "{sys.executable}" "$@"\\n\' > "$UV_PYTHON_INSTALL_DIR/python"; '
        '/bin/chmod 755 "$UV_PYTHON_INSTALL_DIR/python";;\n'
        '*) [ -x "$UV_PYTHON_INSTALL_DIR/python" ] && echo "$UV_PYTHON_INSTALL_DIR/python";;\nesac'
    )
    script(bare / "uv", text)
    said: list[str] = []
    with pytest.raises(RuntimeUnavailableError):
        find_interpreter([MINOR])  # as doctor asks: nothing is downloaded
    found = find_interpreter([MINOR], get=lambda minor: fetched(minor, tmp_path / "pythons", said.append))
    assert found == (tmp_path / "pythons" / "python", FULL) and said == [f"getting Python {MINOR} with uv"]


@pytest.mark.parametrize(
    "text", ["echo 'error: no network' >&2; exit 2", '[ "$2" = install ] && exit 0; echo /nowhere']
)
def test_where_uv_cannot_either_a_hint_says_what_to_do(bare: Path, tmp_path: Path, text: str) -> None:
    script(bare / "uv", text)
    with pytest.raises(RuntimeUnavailableError) as caught:
        find_interpreter(["3.8"], get=lambda minor: fetched(minor, tmp_path / "pythons", lambda line: None))
    why = (
        "could not get Python 3.8: error: no network" if "network" in text else "/nowhere, which uv got, does not work"
    )
    assert caught.value.message.endswith(why) and "UV_PYTHON_INSTALL_MIRROR" in (caught.value.hint or "")
