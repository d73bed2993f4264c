"""Foreign converters in a process of their own: whatever they print, exit with or die of, the answer is honest."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mconv.errors import RuntimeFailedError


@dataclass(frozen=True)
class Ended:
    """How a converter ended.

    Attributes:
        answer: the JSON document that its script wrote to file descriptor 3; empty when it wrote none.
        log: what it printed on stdout and stderr.
        code: its exit status; negative for the signal that killed it.
    """

    answer: dict[str, Any]
    log: str
    code: int

    @property
    def ok(self) -> bool:
        return bool(self.answer.get("ok"))

    def words(self) -> str:
        """What went wrong, in one line: its own error, else its last line, with the signal that killed it."""
        lines = self.log.strip().splitlines()
        said = self.answer.get("error") or (lines[-1] if lines else "without a word")
        return f" ({self.killer}): {said}" if self.killer else f": {said}"

    @property
    def killer(self) -> str:
        """``SIGABRT``, …, or nothing."""
        if self.code >= 0:
            return ""
        try:
            return signal.Signals(-self.code).name
        except ValueError:
            return f"signal {-self.code}"


def run(
    name: str,
    python: Path,
    script: Path,
    request: Mapping[str, Any],
    *,
    folder: Path,
    env: Mapping[str, str],
    timeout: float,
) -> Ended:
    """Run *script* with *python* in a session of its own; it reads *request* as JSON on stdin.

    Args:
        name: what messages call the converter.
        folder: its current folder.
        timeout: seconds, after which it and all that it started is killed.

    Raises:
        RuntimeFailedError: it did not end in time.
    """
    read_end, write_end = os.pipe()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [str(python), "-c", _LAUNCH.format(fd=write_end), str(script)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=dict(env),
            pass_fds=[write_end],
            start_new_session=True,
        )
        os.close(write_end)
        try:
            process.communicate(json.dumps(request).encode(), timeout=timeout)
        except subprocess.TimeoutExpired:
            raise RuntimeFailedError(
                f"{name} did not finish within {timeout:g} s", "allow more with --timeout"
            ) from None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            with os.fdopen(read_end, "rb") as answer:
                text = answer.read()
        log.seek(0)
        said = log.read().decode("utf-8", "replace")
    return Ended(json.loads(text) if text else {}, said, process.returncode)


# the interpreter's own script gives the answer on descriptor 3, whatever the pipe's number is here
_LAUNCH = (
    "import os, runpy, sys; os.dup2({fd}, 3); sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
)
