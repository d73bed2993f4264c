"""The subprocess of a worker: started when it is needed, asked, watched, and told of when it dies."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, BinaryIO, Optional, Protocol

import numpy as np

from mconv import budget, watch
from mconv.errors import LimitError
from mconv.program.closing import Closing
from mconv.runtimes.frames import kill_session, read_frame, write_frame
from mconv.runtimes.memory import HINT, says_out_of_memory
from mconv.runtimes.outcome import WorkerError, last_words

_OWN = 1 << 30  # bytes that Paddle itself may take
_PAUSE = 0.1  # seconds between two looks at what it takes
SCRIPT = Path(__file__).with_name("worker_main.py")


class Interpreter(Protocol):
    """The Python that a worker runs in; see :class:`~mconv.runtimes.runtime.Runtime`."""

    @property
    def python(self) -> Path: ...

    @property
    def label(self) -> str: ...

    def environ(self, **more: str) -> dict[str, str]: ...


class WorkerProcess(Closing):
    """A persistent subprocess that answers requests. A crash, an abort, a timeout or an out-of-memory kill of it is a
    :class:`WorkerError`; the next request gets a fresh process.

    Args:
        runtime: where to run.
        threads: threads that Paddle and its libraries may use; 1 makes results repeatable.
        start_timeout: seconds until the process must have answered for the first time.
    """

    script = SCRIPT

    def __init__(self, runtime: Interpreter, *, threads: int = 1, start_timeout: float = 180):
        self.runtime = runtime
        self.threads = threads
        self.start_timeout = start_timeout
        self.starts = 0  # processes started so far
        self._process: Optional[subprocess.Popen[bytes]] = None
        self._log: Optional[BinaryIO] = None
        self._scratch: Optional[tempfile.TemporaryDirectory[str]] = None

    def close(self) -> None:
        """End the subprocess; the worker can be used again afterwards."""
        process, self._process = self._process, None
        if process is not None:
            kill_session(process)
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    with contextlib.suppress(BrokenPipeError):  # the unread request of a process that died
                        stream.close()
            process.wait()
        if self._log is not None:
            self._log.close()
            self._log = None
        if self._scratch is not None:
            self._scratch.cleanup()
            self._scratch = None

    def _start(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        self.close()
        # appended to, so that truncating it between requests is safe
        self._log = tempfile.TemporaryFile("a+b")  # noqa: SIM115 - closed with the process
        # the process is killed in the end and cannot tidy up after itself
        self._scratch = tempfile.TemporaryDirectory(prefix="mconv-worker-")
        self._process = subprocess.Popen(
            [str(self.runtime.python), str(self.script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=self.runtime.environ(
                OMP_NUM_THREADS=str(self.threads),
                MKL_NUM_THREADS=str(self.threads),
                TMPDIR=self._scratch.name,
                GLOG_minloglevel="0",  # whatever this process wants of Paddle's log, the worker's is read
            ),
            start_new_session=True,  # so that a timeout ends everything it started
        )
        self.starts += 1
        return self._process

    def _ask(
        self, request: dict[str, Any], arrays: list[np.ndarray], timeout: float, stage: str, what: str
    ) -> tuple[dict[str, Any], list[np.ndarray]]:
        process = self._start()
        assert process.stdin is not None and process.stdout is not None and self._log is not None
        self._log.truncate(0)
        expired, answered = threading.Event(), threading.Event()
        beyond: list[LimitError] = []
        allowed, deadline = budget.running() + _OWN, time.monotonic() + timeout
        outgrown = budget.outgrown(f"{self.runtime.label} on {what}")

        def watched() -> None:
            while not answered.wait(_PAUSE):
                if time.monotonic() > deadline:
                    expired.set()
                elif watch.resident(process.pid) > allowed:
                    beyond.append(outgrown)
                else:
                    continue
                kill_session(process)
                return

        threading.Thread(target=watched, name="mconv: worker", daemon=True).start()
        try:
            write_frame(process.stdin, request, arrays)
            answer = read_frame(process.stdout)
            while answer is not None and answer[0].get("event") == "loaded":
                stage = "run"
                answer = read_frame(process.stdout)
        except BrokenPipeError:
            answer = None
        except BaseException:
            self.close()  # interrupted in the middle of a frame: the stream is of no more use
            raise
        finally:
            answered.set()
        if answer is None and beyond:
            self.close()
            raise beyond[0]
        if answer is None:
            raise self._obituary(process, expired.is_set(), timeout, stage, what)
        header, values = answer
        if not header["ok"]:
            stage = header["stage"]
            cause = header["error"].strip() if header["kind"] == "input" else last_words(header["error"])
            verb = "load" if stage == "load" else "run"
            short = says_out_of_memory(header["error"])
            raise WorkerError(
                f"{self.runtime.label} ran out of memory on {what}: {cause}"
                if short
                else f"{self.runtime.label} cannot {verb} {what}: {cause}",
                HINT if short else None,
                stage="run" if short else stage,
                log=self.log() + header["error"],
            )
        return header, values

    def _obituary(
        self, process: subprocess.Popen[bytes], expired: bool, timeout: float, stage: str, what: str
    ) -> WorkerError:
        code = process.wait()
        log = self.log()
        self.close()
        name = self.runtime.label
        if expired:
            return WorkerError(
                f"{name} did not finish {what} within {timeout:g} s and was stopped",
                "allow more time with --timeout, or try a smaller input",
                stage=stage,
                timed_out=True,
                log=log,
            )
        words = last_words(log)
        if code == -signal.SIGKILL or code < 0 and says_out_of_memory(log):
            killer = signal.Signals(-code).name
            text = f"{name} ran out of memory on {what}: {words}"
            if killer == "SIGKILL":
                text = f"{name} was ended by the system on {what}: most likely it ran out of memory ({killer})"
            return WorkerError(text, HINT, stage=stage, signal=killer, log=log)
        said = f": {words}" if words else ""
        if code >= 0:
            return WorkerError(f"{name} ended with status {code} on {what}{said}", stage=stage, log=log)
        try:
            killer = signal.Signals(-code).name
        except ValueError:
            killer = f"signal {-code}"
        return WorkerError(f"{name} crashed with {killer} on {what}{said}", stage=stage, signal=killer, log=log)

    def log(self) -> str:
        """What the process has written beside its answers since the last request; nothing where it does not run."""
        if self._log is None:
            return ""
        self._log.seek(0)
        return self._log.read().decode("utf-8", "replace")
