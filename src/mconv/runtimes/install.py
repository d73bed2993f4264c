"""Installing and removing managed runtimes: resumable, locked, checked at the end."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Optional

import numpy as np

from mconv.errors import MconvError, RuntimeUnavailableError
from mconv.runtimes import selfcheck
from mconv.runtimes.interpreters import fetched, find_interpreter, probe
from mconv.runtimes.recipes import Recipe, Step, recipe_for
from mconv.runtimes.runtime import (
    STATE,
    Runtime,
    missing,
    no_folder,
    old_glibc,
    read_state,
    runtime_of,
    runtimes_folder,
)

Progress = Callable[[str], None]
LOG = "install.log"
# settings of the user's pip that would put packages somewhere else than into the runtime
_MISLEADING = ("PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_REQUIRE_VIRTUALENV", "PIP_PYTHON")


def install(
    name: str, *, python: Optional[str] = None, force: bool = False, progress: Progress = lambda line: None
) -> Runtime:
    """Install a runtime, or finish an installation that was interrupted; nothing is done when it is whole.

    Args:
        name: see ``recipes.RECIPES``.
        python: an interpreter to use instead of the one found.
        force: start over.
        progress: called with one line whenever something happens.

    Raises:
        UsageError: there is no such runtime.
        RuntimeUnavailableError: no interpreter, no space, a package cannot be installed, or another
            installation of the same runtime is running.
        RuntimeFailedError: it was installed and does not run the model it is checked by.
    """
    return install_recipe(recipe_for(name), python=python, force=force, progress=progress)


def install_recipe(
    recipe: Recipe, *, python: Optional[str] = None, force: bool = False, progress: Progress = lambda line: None
) -> Runtime:
    """:func:`install` for a recipe that need not be one of mconv's own."""
    with _locked(recipe, progress) as lock:
        if force:
            _remove_folder(recipe)
        if missing(recipe) is None and python is None:
            progress(f"{recipe.name} is already installed")
            return runtime_of(recipe)
        _Installation(recipe, progress, lock).run(python)
    return runtime_of(recipe)


def remove(name: str) -> bool:
    """Delete a runtime; returns whether there was one.

    Raises:
        UsageError: there is no runtime of that name.
        RuntimeUnavailableError: it is being installed at the moment.
    """
    recipe = recipe_for(name)
    if not (runtimes_folder() / recipe.name).exists():
        return False
    with _locked(recipe, lambda line: None):
        return _remove_folder(recipe)


def _remove_folder(recipe: Recipe) -> bool:
    folder = runtimes_folder() / recipe.name
    if not folder.exists():
        return False
    _write_state(folder, {})  # first: what is half deleted must not be taken for whole
    shutil.rmtree(folder)
    return True


@contextlib.contextmanager
def _locked(recipe: Recipe, progress: Progress, wait: float = 1800) -> Iterator[int]:
    """Hold the runtime's lock; the kernel lets go of it when the process dies, however it dies.

    Yields the lock's descriptor: whoever inherits it holds the lock too.
    """
    import fcntl  # not on Windows, where there are no managed runtimes

    folder = runtimes_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        opened = (folder / f".{recipe.name}.lock").open("w")
    except OSError as e:
        raise no_folder(e) from None
    with opened as file:
        deadline, told = time.monotonic() + wait, False
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise RuntimeUnavailableError(
                        f"another process has been installing {recipe.name} for {wait / 60:g} minutes"
                    ) from None
                if not told:
                    progress(f"another process is installing {recipe.name}; waiting for it")
                    told = True
                time.sleep(0.5)
        yield file.fileno()


def _write_state(folder: Path, state: dict[str, Any]) -> None:
    temporary = folder / f"{STATE}.new"
    temporary.write_text(json.dumps(state, indent=2))
    os.replace(temporary, folder / STATE)


class _Installation:
    def __init__(self, recipe: Recipe, progress: Progress, lock: int):
        self.lock = lock
        self.recipe = recipe
        self.runtime = runtime_of(recipe)
        self.folder = runtimes_folder() / recipe.name
        self.env = self.folder / "env"
        self.progress = progress
        self.state = read_state(recipe)

    def save(self, **changes: Any) -> None:
        self.state.update(changes)
        _write_state(self.folder, self.state)

    def run(self, python: Optional[str]) -> None:
        started = time.monotonic()
        too_old = old_glibc(self.recipe)
        if too_old is not None:
            raise RuntimeUnavailableError(too_old, "a newer system, or a container of one (Debian 12, Ubuntu 22.04)")
        self.folder.mkdir(parents=True, exist_ok=True)
        self.save(complete=False)
        self._environment(python)
        for step in self.recipe.steps:
            self._step(step)
        self.progress("checking the installation")
        version = check(self.recipe)
        self.save(complete=True, paddle=version, interrupted=None)
        self.progress(f"{self.recipe.name} is ready ({time.monotonic() - started:.0f} s)")

    def _environment(self, python: Optional[str]) -> None:
        """Make the virtual environment, unless there is one that works and need not be of another Python."""
        known = self.state.get("python_version")
        usable = known is not None and probe(self.runtime.python) == known
        if python is not None:
            path, version = find_interpreter(self.recipe.pythons, python)
            usable = usable and version == known and str(path) == self.state.get("python")
        elif usable:
            return
        else:
            pythons = runtimes_folder().parent / "pythons"
            path, version = find_interpreter(
                self.recipe.pythons, get=lambda minor: fetched(minor, pythons, self.progress)
            )
        if usable:
            return
        if self.env.exists():
            self.progress("removing an environment that cannot be used any more")
            shutil.rmtree(self.env)
        free = shutil.disk_usage(self.folder).free / 1e9
        # pip unpacks beside what it downloads
        if free < 2 * self.recipe.size_gb:
            raise RuntimeUnavailableError(
                f"{self.folder} has {free:.1f} GB free; {self.recipe.name} needs about {2 * self.recipe.size_gb:.1f} GB to install",
                "free some space, or set MCONV_CACHE to a folder on another disk",
            )
        self.progress(f"making an environment with Python {version} ({path})")
        self.state = {}
        self.save(complete=False, python=str(path))
        self._call([str(path), "-m", "venv", str(self.env)], "make a virtual environment")
        self.save(python_version=version, steps={})

    def _step(self, step: Step) -> None:
        done = self.state["steps"]
        mark = step.fingerprint(self.state["python_version"])
        if done.get(step.label) == mark:
            self.progress(f"{step.label}: already there")
            return
        options = list(step.options)
        if self.state.get("interrupted"):
            # killed while it was copying files: what looks installed may lack some
            options.append("--ignore-installed")
        self.progress(f"{step.label}: {' '.join(step.requirements)}")
        self.save(interrupted=step.label)
        command = [str(self.runtime.python), "-m", "pip", "install", "--no-input", "--progress-bar", "off"]
        try:
            self._call([*command, *options, *step.requirements], f"install {step.label}")
        except MconvError:
            self.save(interrupted=None)  # pip itself gave up and undid what it had done
            raise
        self.save(steps={**done, step.label: mark}, interrupted=None)

    def _call(self, command: list[str], what: str) -> None:
        env = self.runtime.environ(PIP_DISABLE_PIP_VERSION_CHECK="1", PYTHONUNBUFFERED="1")
        env = {k: v for k, v in env.items() if k not in _MISLEADING}
        env.pop("LD_PRELOAD", None)  # the shim is for Paddle, not for pip and the compilers it starts
        log = self.folder / LOG
        complaints: list[str] = []
        with log.open("a", encoding="utf-8") as file:
            file.write(f"$ {' '.join(command)}\n")
            # pip outlives an mconv that is killed: until it has ended too, nobody else may begin
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env, text=True,
                errors="replace", pass_fds=(self.lock,),
            )  # fmt: skip
            try:
                assert process.stdout is not None
                for line in process.stdout:
                    file.write(line)
                    text = line.strip()
                    if text.startswith(("Collecting ", "Downloading ", "Installing collected", "Building wheel")):
                        self.progress(f"  {_short(text)}")
                    elif text.startswith("ERROR:") or (text.startswith("Error:") and not complaints):
                        complaints.append(text.partition(":")[2].strip())
                    elif "ensurepip is not available" in text:
                        complaints.append(text)
                code = process.wait()
            finally:
                if process.poll() is None:
                    process.kill()
                    process.wait()
        if code != 0:
            reason = next((c for c in complaints if "Could not find a version" not in c), "") or (
                complaints[0] if complaints else f"status {code}"
            )
            raise RuntimeUnavailableError(
                f"cannot {what} for {self.recipe.name}: {_short(reason, 300)}",
                f"see {log}; the same command goes on where this one stopped",
            )


def _short(text: str, limit: int = 100) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def check(recipe: Recipe) -> Optional[str]:
    """Prove that an installed runtime works: its modules import, and Paddle runs a model to the right numbers.

    Returns:
        The version of Paddle, where the recipe has one.

    Raises:
        RuntimeFailedError: Paddle cannot load or run the model.
        RuntimeUnavailableError: a module cannot be imported, its probe fails, or the numbers are wrong.
    """
    runtime = runtime_of(recipe)
    programs = {f"import {module}": f"cannot import {module}" for module in recipe.imports}
    if recipe.probe:
        programs[recipe.probe] = "does not work"
    for program_text, problem in programs.items():
        # Serving's modules make their logs where they run
        with tempfile.TemporaryDirectory(prefix="mconv-check-") as folder:
            done = subprocess.run(
                [str(runtime.python), "-c", program_text],
                cwd=folder, env=runtime.environ(), capture_output=True, text=True, errors="replace", timeout=300,
            )  # fmt: skip
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
            raise RuntimeUnavailableError(f"the runtime {recipe.name} {problem}: {lines[-1]}")
    if not recipe.runs_models:
        return None
    x = np.linspace(-2, 2, 8, dtype=np.float32).reshape(2, 4)
    with tempfile.TemporaryDirectory(prefix="mconv-check-") as folder, runtime.worker() as worker:
        program, params = selfcheck.write_check_model(Path(folder))
        result = worker.run(program, params, {"x": x})
    difference = float(np.abs(result.outputs[0][0] - selfcheck.expected(x)).max())
    if not difference <= 1e-5:
        raise RuntimeUnavailableError(f"the runtime {recipe.name} computes wrong numbers (off by {difference:g})")
    return result.version
