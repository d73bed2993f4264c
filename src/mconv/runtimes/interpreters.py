"""Finding a Python interpreter of a wanted version: the user's, PATH, pyenv, uv; or having uv get one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Callable, Optional, Union

from mconv.errors import RuntimeUnavailableError

_PROBE = "import sys, ensurepip, venv; print('%d.%d.%d' % sys.version_info[:3], sys.maxsize > 2**32)"


def probe(python: Union[str, Path]) -> Optional[str]:
    """The version (``3.8.18``) of a 64-bit interpreter that can make virtual environments, else None."""
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONHOME", "PYTHONPATH")}
    try:
        # -I: neither the current folder nor PYTHON* may decide what ensurepip is
        done = subprocess.run([str(python), "-I", "-c", _PROBE], capture_output=True, text=True, timeout=60, env=env)
    except (OSError, subprocess.TimeoutExpired):
        return None
    version, _, wide = done.stdout.strip().partition(" ")
    return version if done.returncode == 0 and wide == "True" else None


def candidates(minor: str) -> Iterator[Path]:
    """Where an interpreter of a minor version (``3.8``) may be, best first; not all of them work."""
    on_path = shutil.which(f"python{minor}")
    if on_path:
        yield Path(on_path)
    roots = [Path(os.environ["PYENV_ROOT"])] if os.environ.get("PYENV_ROOT") else []
    roots.append(Path.home() / ".pyenv")
    for root in roots:
        # 3.8.18 before 3.8.9; names like 3.8-dev or miniconda3-… come last
        found = (root / "versions").glob(f"{minor}.*/bin/python")
        yield from sorted(found, key=lambda p: _numbers(p.parent.parent.name), reverse=True)
    uv = shutil.which("uv")
    if uv:
        try:
            done = subprocess.run(
                [uv, "python", "find", "--no-project", minor], capture_output=True, text=True, timeout=60, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            return
        if done.returncode == 0 and done.stdout.strip():
            yield Path(done.stdout.strip())


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def fetched(minor: str, folder: Path, progress: Callable[[str], None]) -> Path:
    """An interpreter of a minor version that uv has downloaded into *folder*; uv itself is taken from PyPI where there is
    none. ``UV_PYTHON_INSTALL_MIRROR`` names a mirror, pip's configuration that of PyPI.

    Raises:
        RuntimeUnavailableError: that does not work; the message is the last line of what said so.
    """
    uv = shutil.which("uv") or str(folder / "uv" / "bin" / "uv")
    if not os.access(uv, os.X_OK):
        progress("getting uv, which gets Python, from PyPI")
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _call([*pip, "--target", str(folder / "uv"), "uv"], "get uv")
    progress(f"getting Python {minor} with uv")
    env = {"UV_PYTHON_INSTALL_DIR": str(folder), "UV_PYTHON_INSTALL_BIN": "0", "UV_PYTHON_PREFERENCE": "only-managed"}
    _call([uv, "python", "install", minor], f"get Python {minor}", env)
    return Path(_call([uv, "python", "find", "--no-project", minor], f"find Python {minor}", env))


def _call(command: Sequence[str], what: str, env: Optional[dict[str, str]] = None) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=1800, env={**os.environ, **(env or {})})
    except (OSError, subprocess.TimeoutExpired) as e:
        raise RuntimeUnavailableError(f"could not {what}: {e}") from None
    if done.returncode != 0:
        lines = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        raise RuntimeUnavailableError(f"could not {what}: {lines[-1] if lines else f'status {done.returncode}'}")
    return done.stdout.strip()


def _of(minor: str, path: Path) -> Optional[tuple[Path, str]]:
    """An interpreter that works and is of that minor version, with its full version."""
    version = probe(path)
    return None if version is None or version.rpartition(".")[0] != minor else (path.absolute(), version)


def find_interpreter(
    minors: Sequence[str], python: Optional[str] = None, get: Optional[Callable[[str], Path]] = None
) -> tuple[Path, str]:
    """An interpreter of one of the minor versions, the first that works, and its full version.

    Args:
        minors: acceptable minor versions, best first.
        python: the user's choice (a path or a command); nothing else is tried then.
        get: gets one of a minor version where none is found, see :func:`fetched`.

    Raises:
        RuntimeUnavailableError: none works, or the user's choice is of another version.
    """
    wanted = " or ".join(minors)
    if python is not None:
        version = probe(python)
        if version is None:
            raise RuntimeUnavailableError(
                f"{python}: not a 64-bit Python that can make virtual environments (its venv and ensurepip modules)",
                f"give one of version {wanted}",
            )
        if version.rpartition(".")[0] not in minors:
            raise RuntimeUnavailableError(f"{python} is Python {version}; this runtime needs {wanted}")
        return Path(shutil.which(python) or python).absolute(), version
    for minor in minors:
        for path in candidates(minor):
            found = _of(minor, path)
            if found is not None:
                return found
    best, failed = minors[0], ""
    if get is not None:
        try:
            path = get(best)
            found = _of(best, path)
            if found is not None:
                return found
            failed = f"; {path}, which uv got, does not work"
        except RuntimeUnavailableError as e:
            failed = f"; {e.message}"
    mirror = ", or set UV_PYTHON_INSTALL_MIRROR to a mirror that this machine reaches" if failed else ""
    raise RuntimeUnavailableError(
        f"no Python {wanted} found on PATH, in pyenv or through uv{failed}",
        f"install one (`uv python install {best}`, or `pyenv install {best}`), or name it with --python PATH{mirror}",
    )
