"""What a signal does: settled by the console script before anything else is imported, as what Python does by itself, an
exception in the middle of an import, would be a traceback.

Only modules that the interpreter has in itself are imported.
"""

import os
from _signal import SIG_IGN, SIGHUP, SIGINT, SIGTERM, getsignal, signal  # type: ignore[import-not-found]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

# signal → what is said; the exit code is the shell's, 128 and the number
WORDS = {int(SIGINT): "interrupted", int(SIGTERM): "terminated", int(SIGHUP): "hung up"}


def handle(handler: "Any") -> "dict[int, Any]":
    """Have the signals handled; gives what handled them before. What was ignored when the process started (nohup)
    stays so, and outside of the main thread the signals are somebody else's."""
    before = {number: getsignal(number) for number in WORDS}
    before = {number: old for number, old in before.items() if old not in (SIG_IGN, None)}
    try:
        for number in before:
            signal(number, handler)
    except ValueError:  # not the main thread
        return {}
    return before


def end_at_once() -> None:
    """A signal ends the process where it is: before and after the command there is nothing to clean up."""
    handle(_end)


def _end(number: int, frame: object) -> "NoReturn":
    try:
        os.write(2, f"error: {WORDS[number]}\n".encode())
    finally:
        os._exit(128 + number)
