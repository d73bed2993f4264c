"""What has been done already: by the hash of a step's inputs, options and versions.

Of each step there is a small file in ``OUT/NAME/.mconv/`` with the key under which it was done, what it depended on,
and what its output files looked like. A file of the same size and time of change is taken for the same, as ``make``
does; any other is hashed.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Optional

from mconv.artifacts.hashing import BLAKE3, FileHash, hash_file
from mconv.artifacts.provenance import expand, installed
from mconv.errors import NotAModelError
from mconv.printable import json_text
from mconv.version import __version__

SCHEMA = 2
FOLDER = ".mconv"
_ROOT = Path(__file__).parent.parent
_WITHOUT_EFFECT = ("cli", "recipe")  # rooms that do not change what a step makes
_PACKAGES = {
    "to-static": ("paddlepaddle", "paddlepaddle-gpu", "paddlenlp", "numpy"),
    "onnx2paddle": ("onnx", "numpy", "onnxruntime"),
    "torch2paddle": ("torch", "onnx", "onnxscript", "transformers", "numpy"),
    "transplant": ("torch", "safetensors", "transformers", "paddlepaddle", "paddlepaddle-gpu", "paddlenlp", "numpy"),
    "to-onnx": ("paddle2onnx", "onnx", "onnxruntime", "paddlepaddle", "paddlepaddle-gpu", "numpy"),
    "verify": ("onnxruntime", "torch", "paddlepaddle"),
}
_PACKAGES["convert"] = tuple(
    dict.fromkeys(p for s in ("to-static", "onnx2paddle", "torch2paddle") for p in _PACKAGES[s])
)


def digest(value: Any) -> str:
    """The SHA-256 of a JSON value."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def versions(step: str) -> dict[str, str]:
    """What else than input and options decides what a step makes.

    Args:
        step: its name, or ``transplant`` for a torch2paddle that only moves weights.
    """
    found = {"mconv": f"{__version__} {_code()[:16]}", "python": "{}.{}".format(*sys.version_info)}
    return {**found, **installed(_PACKAGES.get(step, ()))}


@functools.lru_cache(maxsize=1)
def _code() -> str:
    """The hash of mconv's own files: in a checkout, the version alone says little."""
    whole = hashlib.sha256()
    for folder, inner, names in os.walk(_ROOT):
        if folder == str(_ROOT):
            inner[:] = [n for n in inner if n not in _WITHOUT_EFFECT]
        inner.sort()
        for name in sorted(names):
            if name.endswith((".py", ".json")):
                whole.update(f"{os.path.relpath(folder, _ROOT)}/{name}\0".encode())
                with open(os.path.join(folder, name), "rb") as file:
                    whole.update(hashlib.sha256(file.read()).digest())
    return whole.hexdigest()


class Hashes:
    """Hashes of files, remembered with their sizes and times of change."""

    def __init__(self, store: Path):
        self._store = store
        self._known: dict[str, list[Any]] = _read(store) or {}
        self._changed = False

    def of(self, path: Path, algorithm: str = BLAKE3) -> str:
        """The hash of a file.

        Raises:
            NotAModelError: it cannot be read.
        """
        key = f"{algorithm}:{os.path.abspath(path)}"
        try:
            seen = os.stat(path)
        except OSError as e:
            raise NotAModelError(f"{path}: cannot be read ({e.strerror})") from None
        mark = [seen.st_size, seen.st_mtime_ns, seen.st_ino]
        known = self._known.get(key)
        if known is None or known[:3] != mark:
            known = self._known[key] = [*mark, hash_file(path, algorithm=algorithm).digest]
            self._changed = True
        return str(known[3])

    def files(self, files: Iterable[tuple[str, Path]], algorithm: str = BLAKE3) -> list[FileHash]:
        """The hashes of (name, path) files."""
        return [FileHash(n, p.stat().st_size, self.of(p, algorithm), algorithm) for n, p in files]

    def save(self) -> None:
        if self._changed:
            write(self._store, self._known)
            self._changed = False


@dataclass
class State:
    """How one step was done.

    Attributes:
        key: of its ingredients.
        ingredients: what the key was made of, to say what changed.
        depends: files that were found to be part of the source, with their hashes.
        outputs: path in the recipe's folder → size, time of change, hash.
        result: the step's result, as :class:`~mconv.recipe.results.StepResult` has it.
    """

    key: str
    ingredients: dict[str, Any]
    depends: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, list[Any]] = field(default_factory=dict)
    result: dict[str, Any] = field(default_factory=dict)

    def content(self) -> str:
        """A hash of what was made, wherever and whenever: what later steps depend on."""
        return digest({name: mark[2] for name, mark in self.outputs.items() if not _has_times(name)})

    def why_not(self, key: str, ingredients: Mapping[str, Any], folder: Path, hashes: Hashes) -> str:
        """Why the step has to run; nothing where it has not."""
        if key != self.key:
            changed = [n for n in ingredients if ingredients[n] != self.ingredients.get(n)]
            return f"{' and '.join(changed) or 'something'} changed"
        for path, was in self.depends.items():
            if not os.path.isfile(path) or hashes.of(Path(path)) != was:
                return f"{os.path.basename(path)} of the source changed"
        for name, mark in self.outputs.items():
            location = folder / name
            if not location.is_file():
                return f"its output {name} is gone"
            seen = location.stat()
            if (
                [seen.st_size, seen.st_mtime_ns] != mark[:2]
                and not _has_times(name)
                and hash_file(location).digest != mark[2]
            ):
                return f"its output {name} was changed"
        return ""


def _has_times(name: str) -> bool:
    return name.endswith("report.json")


def load_state(path: Path) -> Optional[State]:
    """The state in a file; None where there is none that this version understands."""
    found = _read(path)
    if not found or found.pop("schema", None) != SCHEMA:
        return None
    try:
        return State(**found)
    except TypeError:
        return None


def save_state(path: Path, state: State) -> None:
    write(path, {"schema": SCHEMA, **vars(state)})


def mark(folder: Path, outputs: Iterable[str], known: Mapping[str, str]) -> dict[str, list[Any]]:
    """What the files of the outputs (files or folders in *folder*) look like.

    Args:
        known: path → hash, where it has been computed already.
    """
    found = {}
    for output in outputs:
        location = folder / output
        for name, path in expand([location]):
            key = f"{output}/{name}" if location.is_dir() else output
            seen = path.stat()
            found[key] = [seen.st_size, seen.st_mtime_ns, known.get(key) or hash_file(path).digest]
    return dict(sorted(found.items()))


def _read(path: Path) -> Optional[dict[str, Any]]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def write(path: Path, value: Any) -> None:
    """Write a JSON file that is there whole or not at all; leave it alone where it has this content."""
    text = json_text(value, indent=1, sort_keys=True) + "\n"
    with contextlib.suppress(OSError, UnicodeDecodeError):
        if path.read_text("utf-8") == text:
            return
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f".{path.name}.{os.getpid()}.half")
    half.write_text(text, "utf-8", "backslashreplace")
    os.replace(half, path)


@contextlib.contextmanager
def locked(folder: Path, waiting: Callable[[], Any]) -> Iterator[int]:
    """Hold the recipe's folder, so that two runs do not work on it at once; gives the descriptor of the lock.

    Args:
        waiting: called when another run holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError:
            pass  # the file system knows no locks
        yield lock
    finally:
        os.close(lock)
