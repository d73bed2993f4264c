"""Native code under watch: a model that runs in this process, or a process that runs one, within bounds of time and
memory.

A loop without end inside of C++ cannot be interrupted from Python, and what it allocates no budget sees. So the model
runs in a thread of its own, and the thread that asked for it waits, looks at the clock and at what the process holds,
and answers to signals. Beyond a bound it raises :class:`~mconv.errors.LimitError`. What does not stop then is left
behind: :func:`abandoned` tells the command line to end the process without waiting for it.
"""

from __future__ import annotations

import contextvars
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional, TypeVar

from mconv import budget
from mconv.errors import LimitError

SECONDS = 600.0  # for one run of a model; what --timeout is by default
_PAUSE = 0.02  # seconds between two looks; longer after the first second
_GRACE = 5.0  # seconds for stopping
R = TypeVar("R")

_left: list[threading.Thread] = []


def call(
    function: Callable[[], R],
    what: str,
    *,
    seconds: float = SECONDS,
    stop: Optional[Callable[[], Any]] = None,
    first: Callable[[], Any] = lambda: None,
) -> R:
    """What *function* returns, or raises, run in a thread of its own in a copy of this context.

    Args:
        what: what runs, for the message: "ONNX Runtime 1.32 on m.onnx".
        seconds: how long it may take.
        stop: what makes it end early, where there is such a thing.
        first: called in the thread before it.

    Raises:
        LimitError: it takes longer, or more memory than :func:`mconv.budget.running` says.
    """
    done = threading.Event()
    result: list[Any] = []

    def work() -> None:
        try:
            first()
            result.extend((function(), None))
        except BaseException as e:  # noqa: BLE001 - raised where it was asked for
            result.extend((None, e))
        finally:
            done.set()

    context = contextvars.copy_context()
    thread = threading.Thread(target=context.run, args=(work,), name=f"mconv: {what[:40]}", daemon=True)
    start, before = time.monotonic(), resident()
    thread.start()
    try:
        while not done.wait(_PAUSE if time.monotonic() - start < 1 else 10 * _PAUSE):
            problem = beyond(what, start, seconds, resident() - before)
            if problem is not None:
                raise problem
    except BaseException:
        if stop is not None:
            stop()
        thread.join(_GRACE if stop is not None else 0.1)
        if thread.is_alive():
            _left.append(thread)
        raise
    thread.join()
    found, error = result
    if error is not None:
        raise error
    return found


def beyond(what: str, start: float, seconds: float, held: int) -> Optional[LimitError]:
    """The error where something has run since *start* (of the monotonic clock) and holds so many bytes; None within the
    bounds."""
    if time.monotonic() - start > seconds:
        return LimitError(
            f"{what} was not done after {seconds:g} s", "allow more with --timeout, or give it smaller inputs"
        )
    return budget.outgrown(what) if held > budget.running() else None


def abandoned() -> bool:
    """Whether something that was to be stopped runs on."""
    return any(thread.is_alive() for thread in _left)


def resident(process: Optional[int] = None) -> int:
    """Bytes of memory that a process (this one) holds; 0 where the system does not tell."""
    try:
        pages = int(Path(f"/proc/{process or 'self'}/statm").read_bytes().split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
