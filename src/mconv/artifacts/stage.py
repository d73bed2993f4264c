"""The hidden folders in which output is made, and the renames that put it in its place.

A run works in a hidden folder beside the target, ``.mconv-XXXXXXXX``, and holds a lock on a file in it as long as it
lives; a run that finds such a folder without a living owner cleans it up. The last step exchanges the finished
output with what is there. A plan of the renames is written first: a run that finds the plan of a killed one completes
or undoes it.

Nothing is flushed to the disk: this guards against dying processes, not against a loss of power.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import logging
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Optional

from mconv.artifacts.renaming import exchange, move_new
from mconv.errors import OutputExistsError

PREFIX = ".mconv-"
_GONE = PREFIX + "gone-"
_PLAN = "plan.json"
_LOCK = "lock"
_NEWBORN = 60.0  # seconds in which a run surely gets from making its folder to locking it
_TRIES = 100  # other runs that take a new folder for a leftover
_PATIENCE = 30.0  # seconds to wait for other runs, which hold the lock for a few renames only
_log = logging.getLogger(__name__)


def _random() -> str:
    return os.urandom(4).hex()  # the module secrets takes 4 ms to import


class _Item:
    """One target: its home is the hidden folder, ``new`` the output to come, ``old`` what it replaced."""

    def __init__(self, home: Path, target: Path):
        self.home = home
        self.target = target
        self.new = home / "new" / target.name
        self.old = home / "old" / target.name
        self.inode = -1  # of the finished output

    @classmethod
    def stored(cls, path: str, home: str, inode: int) -> _Item:
        """From a plan."""
        item = cls(Path(home), Path(path))
        item.inode = inode
        return item


class Stage:
    """The hidden folders of one run, one for each parent of a target, with their locks."""

    def __init__(self) -> None:
        self.homes: dict[Path, tuple[Path, int]] = {}
        self.items: list[_Item] = []

    def open(self, targets: list[Path], file: bool) -> None:
        """Make the hidden folders; what is made when it fails, or is interrupted, :meth:`close` removes."""
        items = []
        for target in targets:
            if target.parent not in self.homes:
                self._home(target.parent)
            item = _Item(self.homes[target.parent][0], target)
            if not file:
                item.new.mkdir()
            items.append(item)
        self.items = items

    def _home(self, parent: Path) -> None:
        """Make a locked hidden folder."""
        for _ in range(_TRIES):
            home = parent / (PREFIX + _random())
            lock = -1
            try:
                home.mkdir(0o700)
                lock = os.open(home / _LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
                if _flock(lock) is not False and os.fstat(lock).st_nlink:
                    (home / "new").mkdir()
                    (home / "old").mkdir()
                    self.homes[parent] = home, lock
                    return
                os.close(lock)  # taken for a leftover before it was locked
            except FileExistsError:
                continue
            except BaseException as e:
                if home.is_dir() and self.homes.get(parent) is None:
                    _remove(home)
                if lock >= 0:
                    os.close(lock)
                if not isinstance(e, FileNotFoundError) or not parent.is_dir():
                    raise
                # taken for a leftover before it had its lock
        raise OutputExistsError(f"{parent}: cannot be written (no folder can be made in it)")

    def commit(self, force: bool) -> None:
        """Put all outputs in place; on a failure none. The parents are locked.

        The first output's rename decides: a run killed before it is undone by the next, one killed after it is
        completed. The others' predecessors are moved away before, so that old and new never stand side by side.
        """
        for item in self.items:
            item.inode = os.lstat(item.new).st_ino
        plan = json.dumps([[str(i.target), str(i.home), i.inode] for i in self.items])
        for home, _ in self.homes.values():
            half = home / (_PLAN + ".half")
            half.write_text(plan, encoding="utf-8")
            half.rename(home / _PLAN)
        first, *others = self.items
        try:
            if force:
                for item in others:
                    _take_away(item)
            _put(first, force)
            for item in others:
                move_new(item.new, item.target)
        except BaseException as e:
            for item in reversed(self.items):
                _undo(item)
            if isinstance(e, FileExistsError):
                raise OutputExistsError(
                    f"{e.filename2 or e.filename}: appeared while this was running", "--force replaces it"
                ) from None
            raise

    def close(self) -> None:
        """Remove the hidden folders and give up their locks."""
        for home, lock in self.homes.values():
            _remove(home)
            os.close(lock)


def _flock(fd: int, patience: float = 0.0) -> Optional[bool]:
    """Lock a file; False when another process holds it, None where the file system knows no locks."""
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except OSError as e:
            if e.errno not in (errno.EWOULDBLOCK, errno.EAGAIN, errno.EINTR):
                return None
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.005)


@contextlib.contextmanager
def locked(parents: Iterable[Path]) -> Iterator[None]:
    """Hold the parent folders themselves locked, so that sets of renames do not interleave."""
    held = []
    try:
        for parent in parents:  # sorted: two runs cannot wait for each other
            fd = os.open(parent, os.O_RDONLY)
            held.append(fd)
            if _flock(fd, _PATIENCE) is False:
                raise OutputExistsError(
                    f"{parent}: another process has held it locked for {_PATIENCE:.0f} seconds", "try again"
                )
        yield
    finally:
        for fd in held:
            os.close(fd)


def _put(item: _Item, force: bool) -> None:
    """Put the new output at its target, and what was there where the old belongs."""
    if force and os.path.lexists(item.target):
        with contextlib.suppress(FileNotFoundError):  # gone meanwhile
            if exchange(item.new, item.target):
                os.rename(item.new, item.old)
                return
        _take_away(item)
    move_new(item.new, item.target)


def _take_away(item: _Item) -> None:
    try:
        os.rename(item.target, item.old)
    except FileNotFoundError:
        return
    except OSError as e:
        if e.errno == errno.EXDEV:  # a folder of a lower layer of an overlay cannot be moved
            raise OutputExistsError(f"{item.target}: this file system cannot replace it", "remove it yourself") from e
        raise


def _is(path: Path, inode: int) -> bool:
    return os.path.lexists(path) and os.lstat(path).st_ino == inode


def _undo(item: _Item) -> None:
    """Bring one target back to what it was before :meth:`Stage.commit`."""
    if _is(item.target, item.inode):
        if os.path.lexists(item.new):  # exchanged, and the old not put aside yet
            os.rename(item.new, item.old)
        os.rename(item.target, item.new)
    if os.path.lexists(item.old) and not os.path.lexists(item.target):
        os.rename(item.old, item.target)


def clean(parent: Path) -> None:
    """Complete, undo or remove what killed runs left in *parent*; living ones are not touched."""
    try:
        names = os.listdir(parent)
    except OSError as e:
        raise OutputExistsError(f"{parent}: cannot be written ({e.strerror})") from None
    for name in names:
        home = parent / name
        if not name.startswith(PREFIX) or not home.is_dir() or home.is_symlink():
            continue
        if name.startswith(_GONE):
            _discard(home)
            continue
        try:
            lock = os.open(home / _LOCK, os.O_RDWR)
        except FileNotFoundError:
            with contextlib.suppress(FileNotFoundError):  # another run has cleaned it
                if time.time() - home.stat().st_mtime > _NEWBORN:
                    _remove(home)
            continue
        except PermissionError:
            continue  # another user's
        try:
            if _flock(lock):
                _recover(home)
                _remove(home)
        finally:
            os.close(lock)


def _recover(home: Path) -> None:
    """Bring the targets of a run that died between its renames to all new or all old."""
    items = _planned(home)
    if not items:
        return  # it died before the first rename or after the last
    with locked(sorted({item.target.parent for item in items})):
        first, *others = items
        if _is(first.new, first.inode):
            for item in items:
                _undo(item)
        elif _is(first.target, first.inode):
            for item in others:
                if _is(item.new, item.inode):
                    with contextlib.suppress(FileExistsError):  # somebody made it since
                        move_new(item.new, item.target)


def _planned(home: Path) -> list[_Item]:
    """The items of a plan; none where there is none, or one that no run has written: it may not reach anything but
    hidden folders and what lies beside each of them."""
    try:
        plan = json.loads((home / _PLAN).read_text(encoding="utf-8"))
        items = [_Item.stored(*entry) for entry in plan]
    except (OSError, ValueError, TypeError, RecursionError):
        return []
    sound = all(
        isinstance(item.inode, int)
        and item.home.name.startswith(PREFIX)
        and item.home.parent == item.target.parent
        and item.target.name not in ("", "..")
        for item in items
    )
    return items if sound and home in [item.home for item in items] else []


def _remove(home: Path) -> None:
    """Remove a hidden folder. Its name goes first: the plan holds no longer, and anybody may finish the removal."""
    gone = home.with_name(f"{_GONE}{_random()}")
    home.rename(gone)
    _discard(gone)


def _discard(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)  # another run may be removing it, too
    if os.path.lexists(folder):
        _log.warning("%s: cannot be removed", folder)
