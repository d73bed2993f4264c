"""Output that appears whole or not at all, whatever kills the process: where it may appear, and the block that writes it.

How it is made and put there: :mod:`mconv.artifacts.stage`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from mconv.artifacts.stage import PREFIX, Stage, clean, locked
from mconv.errors import OutputExistsError, UsageError
from mconv.printable import require_visible
from mconv.program.paths import PathLike


@contextlib.contextmanager
def staged(
    path: PathLike, *, force: bool = False, file: bool = False, protect: Iterable[PathLike] = ()
) -> Iterator[Path]:
    """Write a folder (or a file) that appears at *path* when the block ends, whole or not at all.

    Args:
        path: the target; parents are made. A symbolic link is followed.
        force: replace what is there. Without it only an empty folder may be there.
        file: the output is a file, not a folder.
        protect: paths that must survive (the source model): no target may hold or be one of them.

    Yields:
        An empty folder to fill, or a path to create the file at; it is called like the target and lies on the same
        file system.

    Raises:
        OutputExistsError: the target is there and *force* is not given, it appeared meanwhile, or cannot be written.
        UsageError: the target is a folder that must not be replaced (``/``, the home or current one, *protect*), or
            a device or pipe.
    """
    with staged_many([path], force=force, file=file, protect=protect) as (only,):
        yield only


@contextlib.contextmanager
def staged_many(
    paths: Sequence[PathLike], *, force: bool = False, file: bool = False, protect: Iterable[PathLike] = ()
) -> Iterator[list[Path]]:
    """As :func:`staged`, for several targets that appear together.

    Of two runs into the same targets one wins all of them.
    """
    targets = check(paths, force=force, file=file, protect=protect)
    parents = sorted({t.parent for t in targets})
    made = [folder for parent in parents for folder in _make_parents(parent)]
    stage = Stage()
    done = False
    try:
        stage.open(targets, file)
        yield [item.new for item in stage.items]
        for item in stage.items:
            if not os.path.lexists(item.new):
                raise FileNotFoundError(errno.ENOENT, "nothing was written", str(item.new))
        with locked(parents):
            stage.commit(force)
        done = True
    except OSError as e:
        if not stage.items or _is_ours(e, stage, targets):
            raise OutputExistsError(f"{targets[0]}: cannot be written ({e.strerror or e})") from e
        raise
    finally:
        stage.close()
        if not done:
            for folder in reversed(made):
                with contextlib.suppress(OSError):  # somebody else's by now
                    folder.rmdir()


def check(
    paths: Sequence[PathLike], *, force: bool = False, file: bool = False, protect: Iterable[PathLike] = ()
) -> list[Path]:
    """Whether output may appear at *paths*, see :func:`staged_many`: asked before what takes long.

    Returns:
        The paths, symbolic links followed.

    Raises:
        OutputExistsError, UsageError: as :func:`staged` does.
    """
    for path in paths:
        _check_kind(Path(path))
    targets = [Path(os.path.realpath(p)) for p in paths]
    keep = [Path(os.path.realpath(p)) for p in protect]
    _check_targets(targets, keep, file)
    for parent in sorted({t.parent for t in targets}):
        if parent.is_dir():
            clean(parent)
    for given, target in zip(paths, targets):
        if not force and _occupied(target, file):
            raise _exists(Path(given))
    return targets


def _is_ours(error: OSError, stage: Stage, targets: list[Path]) -> bool:
    """Whether an error is about the output, not about something that the block did elsewhere."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG):
        return True
    names = [os.fspath(n) for n in (error.filename, error.filename2) if isinstance(n, (str, os.PathLike))]
    locations = [str(item.home) for item in stage.items] + [str(t) for t in targets]
    return any(name.startswith(location) for name in names for location in locations)


def _occupied(target: Path, file: bool) -> bool:
    if not os.path.lexists(target):
        return False
    return file or not target.is_dir() or any(target.iterdir())


def _exists(target: Path) -> OutputExistsError:
    kind = "a folder that is not empty" if target.is_dir() else "a file"
    return OutputExistsError(f"{target}: exists already ({kind})", "--force replaces it")


def _check_kind(path: Path) -> None:
    """Refuse what is or lies among devices and pipes: in the folders of a process, of which ``/dev/stdout`` is one,
    nothing can be made or renamed."""
    absolute = os.path.abspath(path)
    try:
        kind = stat.S_IFMT(os.stat(absolute).st_mode)
    except (OSError, ValueError):  # nothing there yet, or told later
        kind = stat.S_IFREG
    among = absolute.startswith(("/dev/", "/proc/", "/sys/")) and not absolute.startswith("/dev/shm/")
    if among or kind not in (stat.S_IFREG, stat.S_IFDIR):
        raise UsageError(f"{path}: a device or pipe, or a path among them", "name a new folder")


def _check_targets(targets: list[Path], keep: list[Path], file: bool) -> None:
    for i, target in enumerate(targets):
        require_visible(target.name, str(target.parent))
        if target.name.startswith(PREFIX):
            raise UsageError(f"{target}: names beginning with {PREFIX} are for unfinished output")
        for other in targets[i + 1 :]:
            if target == other or target in other.parents or other in target.parents:
                raise UsageError(f"{target} and {other}: two outputs cannot lie in one another")
        here = Path(os.path.realpath(os.curdir))
        homes = {"the current folder": here, "the home folder": Path(os.path.realpath(os.path.expanduser("~")))}
        for what, folder in homes.items():
            if target == folder or target in folder.parents:
                raise UsageError(f"{target}: is or holds {what}, which cannot be replaced", "name a new folder in it")
        if target == target.parent or os.path.ismount(target):
            raise UsageError(f"{target}: the root of a file system cannot be replaced", "name a new folder in it")
        for source in keep:
            if target == source or target in source.parents:
                raise UsageError(f"{target}: is or holds the input {source}", "write the output somewhere else")
        if file and target.is_dir():
            raise UsageError(f"{target}: a folder, a file is to be written there", "name a file in it")


def _make_parents(folder: Path) -> list[Path]:
    """Make a folder and its parents; the ones that were made, outermost first."""
    missing = []
    while not os.path.lexists(folder):
        missing.append(folder)
        folder = folder.parent
    made = []
    try:
        for path in reversed(missing):
            try:
                path.mkdir()
            except FileExistsError:
                continue
            made.append(path)
        if not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "not a folder", str(folder))
    except OSError as e:
        raise OutputExistsError(f"{missing[0] if missing else folder}: cannot be made ({e.strerror})") from None
    return made
