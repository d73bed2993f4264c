"""X2Paddle in its managed runtime: the host side of ``x2paddle_main.py``."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from mconv.errors import RuntimeFailedError, UnsupportedError
from mconv.runtimes.runtime import Runtime, find

RUNTIME = "x2paddle-1.6.0"
SCRIPT = Path(__file__).with_name("x2paddle_main.py")
NEWEST_OPSET = 15  # rules for newer ones are not known to it
_UNSUPPORTED = re.compile(r"^=+ (\w+) =+$", re.MULTILINE)


@dataclass(frozen=True)
class Converted:
    """What X2Paddle wrote.

    Attributes:
        program: the ``.pdmodel``; its parameters lie beside it.
        inputs: the ONNX model's input → the name that X2Paddle was told.
        log: what it printed.
    """

    program: Path
    inputs: dict[str, str]
    log: str


def runtime() -> Runtime:
    """Where X2Paddle is.

    Raises:
        RuntimeUnavailableError: it is not installed.
    """
    return find(RUNTIME)


def convert(
    model: Path, folder: Path, shapes: Mapping[str, Sequence[Optional[int]]], *, timeout: float = 600
) -> Converted:
    """Convert an ONNX file with X2Paddle into *folder*.

    Its network is cut off, and the names in the file do not reach it: it runs them as Python.

    Args:
        shapes: input → dimensions to fix, -1 where open.
        timeout: seconds.

    Raises:
        RuntimeUnavailableError: X2Paddle is not installed.
        UnsupportedError: it has no mapper for an operator (``rows``), or the file holds what it must not be given.
        RuntimeFailedError: it failed in another way.
    """
    where = runtime()
    request = json.dumps({"model": str(model.absolute()), "folder": str(folder), "shapes": dict(shapes)})
    read_end, write_end = os.pipe()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [str(where.python), "-c", _LAUNCH.format(fd=write_end), str(SCRIPT)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=where.environ(PYTHONDONTWRITEBYTECODE="1", HOME=str(folder)),
            pass_fds=[write_end],
            start_new_session=True,
        )
        os.close(write_end)
        try:
            process.communicate(request.encode(), timeout=timeout)
        except subprocess.TimeoutExpired:
            raise RuntimeFailedError(
                f"X2Paddle did not finish within {timeout:g} s", "allow more with --timeout"
            ) from None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            with os.fdopen(read_end, "rb") as answer:
                text = answer.read()
        log.seek(0)
        said = log.read().decode("utf-8", "replace")
    result: dict[str, Any] = json.loads(text) if text else {}
    if not result.get("ok"):
        raise _error(result, said, process.returncode)
    return Converted(Path(result["program"]), result["inputs"], said)


# the interpreter's own script gives the answer on descriptor 3, whatever the pipe's number is here
_LAUNCH = (
    "import os, runpy, sys; os.dup2({fd}, 3); sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
)


def _error(result: dict[str, Any], log: str, code: int) -> Exception:
    if result.get("kind") == "refused":
        return UnsupportedError(f"X2Paddle is not given {result['error']}: it would run it as Python")
    missing = sorted(set(_UNSUPPORTED.findall(log)))
    if missing:
        rows = [
            {"operator": name, "domain": "ai.onnx", "opset": None, "reason": "X2Paddle has no mapper for it", "count": None, "nodes": []}
            for name in missing
        ]  # fmt: skip
        return UnsupportedError(f"X2Paddle has no mapper for {', '.join(missing)}", rows=rows)
    words = result.get("error") or (log.strip().splitlines() or ["without a word"])[-1]
    killer = f" (signal {-code})" if code < 0 else ""
    return RuntimeFailedError(f"X2Paddle failed{killer}: {words}")
