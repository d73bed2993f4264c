"""``provenance.json``: what a converted folder was made from, and with what; written by every conversion.

It holds nothing that differs between two runs with the same input, options and versions: no times, no host names, no
paths but names inside of the source and the output. ``report.json``, which has times, is therefore not covered by it.
:mod:`mconv.artifacts.provenance_check` reads it. The fields: ``docs/provenance.md``.
"""

from __future__ import annotations

import contextlib
import copy
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Optional, Union

from mconv import budget, hub
from mconv.artifacts.described import description
from mconv.artifacts.hashing import FileHash, Following, Thread, hash_file
from mconv.artifacts.passing import Passing
from mconv.errors import NotAModelError
from mconv.printable import json_text, printable
from mconv.program.copying import hard_link
from mconv.program.params import Record, TensorSource
from mconv.program.params_writing import write_combined
from mconv.program.paths import PathLike
from mconv.program.program import Program
from mconv.program.stored import ModelFiles, params_name, write_model
from mconv.version import __version__

SCHEMA = 2  # 1 had SHA-256
NAME = "provenance.json"
_MOST_FILES = 10_000  # of a model's folder; the largest ones have some hundred
NOT_COVERED = ("report.json",)  # has times

Source = Union[PathLike, tuple[str, PathLike]]


def expand(sources: Iterable[Source]) -> list[tuple[str, Path]]:
    """(name, path) of every file; a folder gives the files in it, hidden ones left out, under their names inside.

    Raises:
        NotAModelError: a folder holds more files than that of any model.
    """
    found: dict[tuple[str, Path], None] = {}
    for given in sources:
        name, path = (given[0], Path(given[1])) if isinstance(given, tuple) else ("", Path(given))
        if path.is_dir():
            found.update(
                dict.fromkeys(("/".join(filter(None, (name, p.relative_to(path).as_posix()))), p) for p in _inner(path))
            )
        else:
            found[name or path.name, path] = None
    return sorted(found)


def _inner(folder: Path) -> list[Path]:
    found: list[Path] = []
    for root, folders, names in os.walk(folder):
        folders[:] = [f for f in folders if not _hidden(f)]
        found += [path for n in names if not _hidden(n) and (path := Path(root, n)).is_file()]
        if len(found) > _MOST_FILES:
            raise NotAModelError(f"{folder}: a folder of more than {_MOST_FILES} files, which is no model's")
    return sorted(found)


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == "__pycache__"


def model_sources(found: ModelFiles, params: Iterable[TensorSource]) -> list[Source]:
    """The files of a Paddle model under their names in its folder, with what describes it.

    Args:
        params: its parameters, for their files where each has one.
    """
    single = [source.path for source in params if isinstance(source, Record)] if found.separate else []
    paths = [*found.paths, *single, *description(found)]
    return [(Path(os.path.relpath(p, found.folder)).as_posix(), p) for p in dict.fromkeys(paths)]


class Ahead:
    """Hashes of a model's large files, begun in a thread while the model is still being read and checked.

    Use it as a context around the conversion, and give it to its :class:`Recording`.
    """

    def __init__(self, paths: Iterable[Optional[PathLike]]):
        self._paths = [Path(p) for p in paths if p is not None]
        self._hashes: dict[Path, FileHash] = {}
        self._stop = False
        self._thread = Thread(self._hash) if self._paths else None

    def _hash(self) -> None:
        for path in self._paths:
            self._hashes[path] = hash_file(path, go_on=lambda: not self._stop)

    def hash_file(self, path: Path, name: str, go_on: Callable[[], bool]) -> FileHash:
        """As the function of that name; waits for a hash that was begun."""
        if self._thread is None or path not in self._paths:
            return hash_file(path, name, go_on)
        self._thread.result()
        known = self._hashes[path]
        return FileHash(name, known.bytes, known.digest)

    def __enter__(self) -> Ahead:
        return self

    def __exit__(self, *error: object) -> None:
        self._stop = True
        if self._thread is not None:
            self._thread.join()


def _draw(path: Path, name: str) -> None:
    """Of a sparse file the holes are read as well."""
    budget.file(path)
    with contextlib.suppress(OSError):
        budget.work(path.stat().st_size, lambda: f"hashing {printable(name, 100)}")


class Recording:
    """The record of one conversion: its sources are hashed in a thread while the conversion runs.

    Args:
        command: the subcommand, e.g. ``to-serving``.
        sources: files and folders; ``(name, path)`` where a file is to be called otherwise than its last part.
        target: the Paddle that the result is for.
        options: what changes the bytes of the output, and nothing else; JSON values.
        packages: installed packages that change the bytes, whose versions are noted.
        versions: other versions that do.
        ahead: hashes that were begun before.
        copied: a source that :meth:`passing` copies: it is not read for its hash.

    Use it as a context, so that no thread outlives a failure.

    Raises:
        LimitError: a source is far larger than what it takes on the disk.
    """

    def __init__(
        self,
        command: str,
        sources: Iterable[Source],
        *,
        target: Optional[str] = None,
        options: Optional[Mapping[str, Any]] = None,
        packages: Sequence[str] = (),
        versions: Optional[Mapping[str, str]] = None,
        ahead: Optional[Ahead] = None,
        copied: Optional[PathLike] = None,
    ):
        self.command = command
        self.target = target
        self.options = dict(options or {})
        self.versions = {"mconv": __version__, **installed(packages), **(versions or {})}
        self._sources = expand(sources)
        for name, path in self._sources:
            _draw(path, name)
        self._ahead = ahead or Ahead([])
        self._stop = False
        self._hashes: dict[tuple[str, Path], FileHash] = {}
        self._followed: dict[Path, Following] = {}
        self._copied = Path(copied) if copied is not None else None
        self._passed: Optional[Passing] = None
        self._thread = Thread(self._hash)

    def _hash(self) -> None:
        for name, path in self._sources:
            if self._stop:
                return
            if path != self._copied:
                self._hashes[name, path] = self._ahead.hash_file(path, name, lambda: not self._stop)

    def __enter__(self) -> Recording:
        return self

    def __exit__(self, *error: object) -> None:
        self._stop = True
        self._thread.join()

    def sources(self) -> list[FileHash]:
        """The hashes of the sources, as soon as they are there.

        Raises:
            NotAModelError: one could not be read.
        """
        self._thread.result()
        passed = self._passed.hashes() if self._passed is not None else {}
        for name, path in self._sources:
            if (name, path) not in self._hashes:
                done = passed.get(path)
                self._hashes[name, path] = (
                    FileHash(name, done.bytes, done.digest) if done is not None else hash_file(path, name)
                )
        return [self._hashes[source] for source in self._sources]

    @property
    def paths(self) -> list[Path]:
        """The files of the sources."""
        return [path for _, path in self._sources]

    def following(self, path: PathLike) -> Following:
        """A context in which *path* is written; :meth:`write` then does not read it again."""
        followed = self._followed[Path(path)] = Following(path)
        return followed

    def passing(self, path: PathLike) -> Passing:
        """A context in which *path* is written from what the source *copied* has; neither is then read again."""
        self._passed = Passing(Path(path), self._copied)
        return self._passed

    def rewritten(self, *paths: Optional[Path]) -> None:
        """Files that were hashed while they were written have other contents by now."""
        for path in paths:
            if path is not None:
                self._followed.pop(path, None)

    def continued(self, command: str, step: str, options: Mapping[str, Any]) -> Recording:
        """The record of what a further *step* makes of the result, as one *command*: of the same sources, with the
        options of both; nothing is hashed again."""
        further = copy.copy(self)
        further.command, further.options = command, {self.command: self.options, step: dict(options)}
        return further

    def write_params(
        self, path: Path, items: Iterable[tuple[str, TensorSource]], *, whole: Optional[PathLike] = None
    ) -> None:
        """:func:`~mconv.program.params_writing.write_combined`, hashed meanwhile unless it copies the *whole* of a source."""
        if whole is not None:
            write_combined(path, items)
            return
        with self.following(path) as following:
            write_combined(path, items, following.written)

    def write_model(
        self, program: Program, items: Iterable[tuple[str, TensorSource]], folder: Path, name: str = "inference"
    ) -> tuple[Path, Path]:
        """:func:`mconv.program.stored.write_model`, its parameters hashed meanwhile."""
        with self.following(folder / params_name(name)) as following:
            return write_model(program, items, folder, name, following.written)

    def write(
        self,
        folder: Path,
        *,
        name: str = NAME,
        files: Optional[Mapping[str, Path]] = None,
        copies: Optional[Mapping[str, PathLike]] = None,
        beside: Optional[Mapping[str, Path]] = None,
    ) -> Path:
        """Write the record.

        Args:
            folder: the finished output.
            name: what the record is called in it.
            files: final name → path of the files that it covers; by default all in *folder* but reports.
            copies: final name → the source of which the file is an exact copy: it is not read again.
            beside: ``../NAME`` → a folder that was written beside this one and belongs to it.
        """
        if files is None:
            files = {n: p for n, p in expand([folder]) if n not in (name, *NOT_COVERED)}
        by_path = {p: h for (_, p), h in zip(self._sources, self.sources())}
        passed = self._passed.hashes() if self._passed is not None else {}
        hashed = {**passed, **{p: done for p, f in self._followed.items() if (done := f.result()) is not None}}
        hashed = {p: done for p, done in hashed.items() if p.is_file() and done.bytes == os.path.getsize(p)}
        by_path.update(hashed)
        known = {n: by_path[Path(p)] for n, p in (copies or {}).items() if Path(p) in by_path}
        known.update({n: hashed[Path(p)] for n, p in files.items() if Path(p) in hashed})
        listed = [
            FileHash(n, known[n].bytes, known[n].digest) if n in known else hash_file(p, n)
            for n, p in sorted(files.items())
        ]
        record: dict[str, Any] = {
            "schema": SCHEMA,
            "command": self.command,
            "target": self.target,
            "options": self.options,
            "versions": dict(sorted(self.versions.items())),
            "sources": [h.to_dict() for h in self.sources()],
            "files": [h.to_dict() for h in listed],
        }
        address = next(filter(None, (hub.address_of(Path(p)) for _, p in self._sources)), None)
        if address is not None:
            record["address"] = address
        if beside:
            record["beside"] = {
                where: [hash_file(p, n).to_dict() for n, p in expand([other])] for where, other in beside.items()
            }
        text = json_text(record, indent=2)
        path = folder / name
        path.write_text(text + "\n", "utf-8", "backslashreplace")
        return path


def write_params(
    path: Path,
    items: Iterable[tuple[str, TensorSource]],
    *,
    whole: Optional[PathLike],
    link: bool,
    record: Optional[Recording],
) -> bool:
    """Parameters into their file, as a hard link to the *whole* of a source's where *link* asks for it and it can be.

    Returns:
        Whether it is a link.
    """
    if link and whole is not None and hard_link(Path(whole), path):
        return True
    if record is not None:
        record.write_params(path, items, whole=whole)
    else:
        write_combined(path, items)
    return False


def neighbour(folder: PathLike, other: PathLike, written: Path) -> dict[str, Path]:
    """*beside* for a folder that will lie next to *folder*; nothing where it will be somewhere else.

    Args:
        written: where the other folder is now.
    """
    here, there = Path(os.path.realpath(folder)), Path(os.path.realpath(other))
    return {f"../{there.name}": written} if here.parent == there.parent else {}


def installed(packages: Sequence[str]) -> dict[str, str]:
    """The versions of those of the packages that are installed."""
    if not packages:
        return {}
    import importlib.metadata  # takes a tenth of the start-up

    found = {}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
