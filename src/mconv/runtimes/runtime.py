"""Managed runtimes on this machine: where they are, whether they are whole, how to start a process in one."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, Optional

from mconv.errors import MissingDependencyError, RuntimeUnavailableError, UsageError
from mconv.extras import install
from mconv.printable import printable
from mconv.runtimes.recipes import RECIPES, Recipe, recipe_for
from mconv.runtimes.worker import Worker

SHIM = Path(__file__).with_name("shim") / "libdlsym-x86_64.so"
STATE = "runtime.json"
# they would make a runtime's interpreter import packages of another Python
_FOREIGN = ("PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "__PYVENV_LAUNCHER__", "VIRTUAL_ENV")


def runtimes_folder() -> Path:
    """Where managed runtimes live: ``$MCONV_CACHE/runtimes``, or mconv's part of the user's cache folder."""
    own = os.environ.get("MCONV_CACHE")
    if own:
        return Path(own).expanduser().absolute() / "runtimes"
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser().absolute() / "mconv" / "runtimes"


def no_folder(error: OSError) -> RuntimeUnavailableError:
    """The error for a folder of runtimes that the system refuses."""
    where = f"{runtimes_folder()}, where managed runtimes are kept, cannot be used ({error.strerror})"
    return RuntimeUnavailableError(where, "set MCONV_CACHE to a folder of yours")


@dataclass(frozen=True)
class Runtime:
    """A Python with a Paddle in it.

    Attributes:
        name: ``paddle-2.3.2``, …, ``current``, or that of another framework.
        python: its interpreter.
        extra: environment variables that its processes need.
        managed: whether mconv installed it; then PYTHONPATH and its like do not reach it.
    """

    name: str
    python: Path
    extra: Mapping[str, str] = field(default_factory=dict)
    managed: bool = True

    @property
    def label(self) -> str:
        """What messages call it."""
        if self.managed:
            return f"runtime {self.name}"
        return f"the Paddle of {self.python}" if self.name == "current" else self.name

    def environ(self, **more: str) -> dict[str, str]:
        """The environment for a process in this runtime: the CPU only, nothing of another Python."""
        env = dict(os.environ)
        if self.managed:
            env = {k: v for k, v in env.items() if k not in _FOREIGN}
            env["PYTHONNOUSERSITE"] = "1"
        env["CUDA_VISIBLE_DEVICES"] = ""
        env.update(more)
        for key, value in self.extra.items():
            # several libraries may be preloaded; everything else is simply set
            env[key] = f"{value}:{env[key]}" if key == "LD_PRELOAD" and env.get(key) else value
        return env

    def become(self, command: Sequence[str]) -> NoReturn:
        """Replace this process by a command; the runtime's ``python`` and scripts are the first on its PATH.

        Raises:
            UsageError: there is no such command, or it cannot be run.
        """
        env = self.environ()
        env["PATH"] = os.pathsep.join([str(self.python.parent), env.get("PATH", os.defpath)])
        sys.stdout.flush()
        sys.stderr.flush()
        try:
            os.execvpe(command[0], list(command), env)
        except (OSError, ValueError) as e:
            why = getattr(e, "strerror", None) or str(e)
            raise UsageError(f"{printable(command[0], 200)}: {why}", f"a command of {self.name} or of PATH") from None

    def worker(self, *, threads: int = 1) -> Worker:
        """A subprocess that runs models here; a context manager."""
        return Worker(self, threads=threads)


def _glibc() -> Optional[tuple[int, ...]]:
    """The version of glibc; None: another C library."""
    name, version = platform.libc_ver()
    return tuple(int(part) for part in version.split(".") if part.isdigit()) if name == "glibc" else None


def needs_shim(recipe: Recipe) -> bool:
    """Whether Paddle's ``_dl_sym`` has to be given back: a glibc of 2.34 or newer does not have it any more."""
    found = _glibc()
    return recipe.needs_dl_sym and found is not None and found >= (2, 34)


def old_glibc(recipe: Recipe) -> Optional[str]:
    """Why the recipe's packages cannot be loaded by this system's C library; None where they can."""
    found = _glibc()
    if recipe.glibc is None or (found is not None and found >= recipe.glibc):
        return None
    wanted = ".".join(map(str, recipe.glibc))
    have = "another C library" if found is None else f"glibc {'.'.join(map(str, found))}"
    return f"{recipe.name} needs glibc {wanted} or newer; this system has {have}"


def runtime_of(recipe: Recipe) -> Runtime:
    """The runtime of a recipe as it is or would be on disk, whole or not."""
    extra = {"LD_PRELOAD": str(SHIM)} if needs_shim(recipe) else {}
    return Runtime(recipe.name, runtimes_folder() / recipe.name / "env" / "bin" / "python", extra)


def read_state(recipe: Recipe) -> dict[str, Any]:
    """What the installer noted about the runtime; empty when it was never begun.

    Raises:
        RuntimeUnavailableError: the folder of the runtimes cannot be read.
    """
    try:
        state = json.loads((runtimes_folder() / recipe.name / STATE).read_text())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as e:
        raise no_folder(e) from None
    except ValueError:
        return {}  # written by something else: the installation starts over
    return state if isinstance(state, dict) else {}


def missing(recipe: Recipe) -> Optional[str]:
    """Why the runtime cannot be used, or None when it is installed, whole and up to date."""
    state = read_state(recipe)
    if not state:
        return "is not installed"
    if not state.get("complete"):
        return "is only partly installed"
    done = state.get("steps", {})
    python = state.get("python_version", "")
    if any(done.get(step.label) != step.fingerprint(python) for step in recipe.steps):
        return "was installed by another version of mconv, with other packages"
    if not os.access(runtime_of(recipe).python, os.X_OK):
        return f"has lost its interpreter ({state.get('python')})"
    return None


def find(name: str) -> Runtime:
    """The runtime of that name; ``current`` is the Paddle that this very Python can import.

    Raises:
        UsageError: there is no such runtime.
        MissingDependencyError: ``current``, and no paddle here.
        RuntimeUnavailableError: it is not (wholly) installed; the hint is the command that installs it.
    """
    if name == "current":
        if importlib.util.find_spec("paddle") is None:
            raise MissingDependencyError(
                f"paddle is not installed for {sys.executable}",
                f"install it with `{install('paddle')}`, or use a managed runtime (`mconv runtime list`)",
            )
        return Runtime("current", Path(sys.executable), managed=False)
    recipe = recipe_for(name)
    reason = missing(recipe)
    if reason is not None:
        raise RuntimeUnavailableError(
            f"the runtime {recipe.name} {reason}", f"install it with `mconv runtime install {recipe.name}`"
        )
    return runtime_of(recipe)


def for_models(name: Optional[str]) -> dict[str, str]:
    """The environment that tells a server of another runtime in which one models are run; empty for None.

    Raises:
        RuntimeUnavailableError: it is not (wholly) installed.
    """
    if name is None:
        return {}
    where = find(name)
    return {"SERVICE_MODEL_PYTHON": str(where.python), **where.extra}


@dataclass(frozen=True)
class RuntimeStatus:
    """One line of ``mconv runtime list``. *problem* is None when the runtime can be used."""

    name: str
    summary: str
    installed: bool
    problem: Optional[str]
    path: Path
    python: Optional[str]
    size_gb: float

    @property
    def state(self) -> str:
        """As tables say it."""
        return "installed" if self.installed else (self.problem or "").removeprefix("is ")


def statuses() -> list[RuntimeStatus]:
    """The state of every runtime that mconv knows; nothing is started."""
    found = []
    for recipe in RECIPES.values():
        problem = missing(recipe)
        state = read_state(recipe)
        found.append(
            RuntimeStatus(
                recipe.name,
                recipe.summary,
                problem is None,
                problem,
                runtimes_folder() / recipe.name,
                state.get("python_version"),
                recipe.size_gb,
            )
        )
    return found
