"""What a piece of work takes, told without a clock: a machine may be busy. Seconds are measured in bench/."""

from __future__ import annotations

import contextlib
import resource
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable, TypeVar

T = TypeVar("T")
LONG = 120.0  # seconds: far beyond what anything takes that comes to an end


def peak_megabytes() -> float:
    """The largest resident size of this program so far.

    On Linux ``ru_maxrss`` begins with that of the process which started this one (execve keeps it), so the kernel's
    figure for the program itself is read.
    """
    if sys.platform.startswith("linux"):
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def calls(work: Callable[[], T]) -> tuple[T, int]:
    """What *work* gives, and how many functions it has called: the same on every machine."""
    count = 0

    def counted(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(counted)
    try:
        made = work()
    finally:
        sys.setprofile(before)
    return made, count


@contextlib.contextmanager
def ends(seconds: float = LONG) -> Iterator[None]:
    """What is done within it comes to an end; where it does not, the test fails after a long time."""

    def late(number: int, frame: Any) -> None:
        raise AssertionError(f"still not done after {seconds:g} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
