"""One budget of memory and work for a command: every reader, unpacking, expansion and fold draws on it before it
allocates or computes.

A few bytes of a damaged or hostile file can ask for any size: a window of 2^40 samples, an archive that unfolds to
terabytes, a shape that is squared seventy times. What asks says how much first, and what is beyond the budget is a
:class:`~mconv.errors.LimitError`, not a full memory::

    budget.file(path)                                    # a file of the model: the budget grows with it
    budget.memory(rows * columns * 8, "a Mel matrix")    # bytes that are about to be allocated
    budget.work(rows * columns * 2, "a Mel matrix")      # elementary operations that are about to be done
    with budget.command("8G"): ...                       # a command's own; within another one, that one holds on

What is drawn is not given back: the budget bounds a command's whole work, not what is in memory at once. It starts
with :data:`BASE` bytes (or what ``--limit`` says) and as many operations times :data:`OPERATIONS`, and grows with each
file that is named to it by :data:`GROWTH` times what the file takes on the disk, so that what a sound model of any
size takes is never near it: only what is out of all proportion to the files is refused.

*what* names who asks, for the message; it may be a function that gives it, where making the text costs something.
Drawing costs well under a microsecond. Nothing has to be drawn for what is small (a kilobyte) unless a loop makes it.

Outside of a command (a converter called by itself) each request is held against :data:`BASE` alone. The budget belongs
to the thread, or task, that opened the command; threads that a command starts draw like code outside of a command,
unless they are run in a copy of its context (:func:`contextvars.copy_context`).
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Callable, Optional, TypeVar, Union

from mconv.errors import LimitError, UsageError

BASE = 1 << 30  # bytes
GROWTH = 16  # times the size of the files
OPERATIONS = 4  # for each byte: what numpy does in about as much time as it takes to fill the memory
RUNNING = 4  # times the limit is what a model may hold while it runs, for the proof

Size = Union[int, str, None]
What = Union[str, Callable[[], str]]
R = TypeVar("R")
_MOST = 1 << 50  # bytes that --limit is recommended for
_SIZE = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,9})?) ?([KMGT]?)(?:i?B)?", re.IGNORECASE | re.ASCII)
_UNITS = "KMGT"


@dataclass
class Budget:
    """What a command may take, and has taken.

    Attributes:
        base: bytes, besides what comes with the files.
        files: bytes on the disk of the files named so far.
        taken: bytes drawn so far.
        done: operations drawn so far.
    """

    base: int = BASE
    files: int = 0
    taken: int = 0
    done: int = 0
    _seen: set[tuple[int, int]] = field(default_factory=set, repr=False)

    @property
    def limit(self) -> int:
        """Bytes that may be taken in all; times :data:`OPERATIONS`, the operations."""
        return self.base + GROWTH * self.files

    @property
    def running(self) -> int:
        """Bytes that a model may hold while it runs."""
        return RUNNING * self.limit

    def memory(self, nbytes: int, what: What) -> None:
        """Draw bytes.

        Raises:
            LimitError: they are more than is left.
        """
        if self.taken + nbytes > self.base + GROWTH * self.files:
            raise self._beyond(_name(what), f"takes {size_text(nbytes)} of memory", self.taken + nbytes)
        self.taken += nbytes

    def work(self, operations: int, what: What) -> None:
        """Draw operations: about one for each element that numpy computes, hundreds for a step of a Python loop.

        Raises:
            LimitError: they are more than is left.
        """
        if self.done + operations > OPERATIONS * (self.base + GROWTH * self.files):
            asks = "is more work than allowed"
            raise self._beyond(_name(what), asks, -(-(self.done + operations) // OPERATIONS))
        self.done += operations

    def file(self, path: Union[str, os.PathLike[str]]) -> None:
        """Let the budget grow with a file of the model; a second time does nothing, what cannot be seen neither.

        Holes in a sparse file do not count.
        """
        with contextlib.suppress(OSError, ValueError):
            found = os.stat(path)
            if (found.st_dev, found.st_ino) not in self._seen:
                self._seen.add((found.st_dev, found.st_ino))
                self.files += min(found.st_size, getattr(found, "st_blocks", found.st_size) * 512)

    def held(self, nbytes: int) -> None:
        """Let the budget grow with a model that the caller has in memory, as it grows with a file."""
        self.files += nbytes

    def _beyond(self, what: str, asks: str, needed: int) -> LimitError:
        limit = self.limit
        had = f", and {size_text(self.taken)} are taken already" if self.taken > limit // 10 else ""
        of = " for files of this size" if self.files else ""
        more = needed - GROWTH * self.files
        hint = f"if it shall: --limit {_rounded_up(more)} or more" if more <= _MOST else "no machine has that much"
        return LimitError(f"{what} {asks}: beyond the limit of {size_text(limit)}{of}{had}", hint)


_current: ContextVar[Optional[Budget]] = ContextVar("mconv_budget", default=None)


def current() -> Optional[Budget]:
    """The budget of the command that runs, or None outside of one."""
    return _current.get()


def memory(nbytes: int, what: What) -> None:
    """Draw bytes that are about to be allocated; see :meth:`Budget.memory`.

    Raises:
        LimitError: they are more than is left.
    """
    (_current.get() or Budget()).memory(nbytes, what)


def work(operations: int, what: What) -> None:
    """Draw operations that are about to be done; see :meth:`Budget.work`.

    Raises:
        LimitError: they are more than is left.
    """
    (_current.get() or Budget()).work(operations, what)


def running() -> int:
    """Bytes that a model may hold while it runs; see :attr:`Budget.running`."""
    return (_current.get() or Budget()).running


def outgrown(what: str) -> LimitError:
    """The error for a model that holds more than :func:`running` while it runs."""
    found = _current.get() or Budget()
    return LimitError(
        f"{what} takes more than {size_text(found.running)} of memory",
        f"if it shall: --limit {_rounded_up(2 * found.limit)} or more; or give it smaller inputs, or --no-verify",
    )


def file(path: Union[str, os.PathLike[str]]) -> None:
    """Let the command's budget grow with a file of the model; see :meth:`Budget.file`."""
    found = _current.get()
    if found is not None:
        found.file(path)


@contextlib.contextmanager
def command(limit: Size = None) -> Iterator[Budget]:
    """A command's budget, for what runs in the ``with``; inside of another one, that one goes on.

    Args:
        limit: bytes (see :func:`size`) in place of :data:`BASE`.

    Raises:
        UsageError: *limit* is no size.
    """
    wanted = size(limit)
    outer = _current.get()
    if outer is not None:
        yield outer
        return
    token = _current.set(Budget(BASE if wanted is None else wanted))
    try:
        yield _current.get()  # type: ignore[misc]
    finally:
        _current.reset(token)


def size(given: Size) -> Optional[int]:
    """A size as ``--limit`` has it: bytes, or a number with K, M, G or T (powers of 1024): ``8G``, ``512M``, ``1.5G``.

    Raises:
        UsageError: it is none.
    """
    if given is None:
        return None
    if isinstance(given, int) and not isinstance(given, bool) and given > 0:
        return given
    match = _SIZE.fullmatch(given.strip()) if isinstance(given, str) else None
    if match is not None:
        number, unit = match.groups()
        power = _UNITS.index(unit.upper()) + 1 if unit else 0
        whole, _, part = number.partition(".")
        found = (int(whole + part) << 10 * power) // 10 ** len(part)
        if found > 0:
            return found
    raise UsageError(f"--limit {given}: not a size", "8G, 512M or a number of bytes")


def size_text(nbytes: int) -> str:
    """A number of bytes for people: ``5.2 GB`` (powers of 1024, as ``--limit`` reads them)."""
    if nbytes < 1 << 10:
        return f"{nbytes} bytes"
    power = min(4, (nbytes.bit_length() - 1) // 10)
    tenths = nbytes * 10 >> 10 * power
    unit = ("kB", "MB", "GB", "TB")[power - 1]
    return f"{tenths // 10}.{tenths % 10} {unit}" if tenths < 10**7 else f"more than 1000000 {unit}"


def _rounded_up(nbytes: int) -> str:
    """The next size that is easily typed."""
    for power, unit in ((1, "K"), (2, "M"), (3, "G")):
        if nbytes <= 1 << 10 * (power + 1):
            return f"{-(-nbytes >> 10 * power)}{unit}"
    return f"{-(-nbytes >> 40)}T"


def _name(what: What) -> str:
    return what if isinstance(what, str) else what()
