"""What the command line has to do with its process: its three streams and the signals that stop it.

Imported by the console script before everything but :mod:`mconv.cli.signals`, so it imports next to nothing itself.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any, NoReturn

from mconv.cli.signals import WORDS, end_at_once, handle
from mconv.errors import OutputExistsError


class Stop(KeyboardInterrupt):
    """A signal that ends the command: raised where it works, so that everything is cleaned up on the way out.

    Attributes:
        number: of the signal.
    """

    def __init__(self, number: int = signal.SIGINT):
        super().__init__(number)
        self.number = number

    @property
    def exit_code(self) -> int:
        return 128 + self.number

    @property
    def message(self) -> str:
        return WORDS.get(self.number, "stopped")


@contextlib.contextmanager
def unwinding() -> Iterator[None]:
    """Within it a signal raises :class:`Stop` in the main thread. Only the first one: what it sets off is to come to its
    end, though a SIGINT breaks that off, too."""
    before, hook = handle(_raise), sys.unraisablehook

    def again(found: Any) -> None:
        """Where the signal came in a callback that may not raise (of the garbage collector, say), it is sent once more."""
        if not isinstance(found.exc_value, Stop):
            hook(found)
            return
        signal.signal(found.exc_value.number, _raise)
        timer = threading.Timer(0.02, os.kill, (os.getpid(), found.exc_value.number))
        timer.daemon = True
        timer.start()

    sys.unraisablehook = again
    try:
        yield
    finally:
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler)


def _raise(number: int, frame: Any) -> NoReturn:
    for other in WORDS:
        if other != signal.SIGINT and signal.getsignal(other) is _raise:
            signal.signal(other, _nothing)  # SIG_IGN would be passed on to children
    raise Stop(number)


def _nothing(number: int, frame: Any) -> None: ...


def end_with_parent() -> None:
    """Have Linux send SIGTERM when the shell or program that started this process is gone, however it went; not under
    nohup, which asks for the contrary."""
    if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN or not sys.platform.startswith("linux"):
        return
    import ctypes

    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)


def prepare_streams() -> None:
    """Make the three streams usable whatever they are.

    A closed one becomes ``/dev/null`` (opened for the other direction, so that using it is still an error): the next
    file that is opened would have its number, and what a library prints would end in that. A character that the
    encoding of a stream lacks is written as an escape.
    """
    for number, how in ((0, os.O_WRONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, how)
    for name, number in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        if stream is None:  # Python found it closed
            stream = open(number, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - it is stdout
            setattr(sys, name, stream)
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def collect_less_often() -> None:
    """Of itself Python looks for circles among all that there is after each few hundred objects that are made: a tenth of
    what a conversion takes, most of it for what is imported and stays."""
    gc.set_threshold(10_000, 20, 20)


def silence(stream: Any) -> None:
    """Have what a stream still holds go nowhere: the interpreter would complain of it at the end."""
    try:
        target = os.open(os.devnull, os.O_WRONLY)
        os.dup2(target, stream.fileno())
        os.close(target)
    except (OSError, ValueError, AttributeError):
        pass  # it has no descriptor: nothing is flushed at the end


@contextlib.contextmanager
def to_stdout() -> Iterator[None]:
    """Within it, stdout is written.

    Raises:
        BrokenPipeError: nobody reads it.
        OutputExistsError: it is full or closed.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as e:
        silence(sys.stdout)
        raise OutputExistsError(f"stdout: cannot be written ({e.strerror or e})") from None


def leave(code: int) -> NoReturn:
    """End the process with *code*, whatever its streams and threads are in the middle of."""
    end_at_once()
    try:
        sys.stdout.flush()
    except OSError:
        silence(sys.stdout)
    watch = sys.modules.get("mconv.watch")
    if watch is not None and watch.abandoned():
        os._exit(code)  # a thread is still in native code: nothing may be taken down under it
    gc.freeze()  # the interpreter would look through all that was imported for circles, a fifth of a short command
    sys.exit(code)
