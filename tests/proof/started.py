"""For scripts that start a Paddle Serving service, in a network that has nothing but a loopback interface."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mconv.runtimes

_HERE = str(Path(mconv.runtimes.__file__).parent)
sys.path.insert(0, _HERE)
import serving_main  # noqa: E402

sys.path.remove(_HERE)


def isolated_request() -> dict[str, Any]:
    """What is asked for, JSON on stdin, once the network is made; ends the process with status 3 where it cannot be."""
    if not serving_main.isolate():
        sys.exit(3)
    found: dict[str, Any] = json.load(sys.stdin)
    return found


@contextlib.contextmanager
def service(request: dict[str, Any]) -> Iterator["subprocess.Popen[bytes]"]:
    """The service, ready to be asked; all of its processes are killed in the end.

    Args:
        request: ``python`` (of the runtime), ``env``, ``folder`` and ``script`` of the service, ``ports``.
    """
    with open(os.path.join(request["folder"], "service.log"), "wb") as log:
        started = subprocess.Popen(
            [request["python"], request["script"]],
            cwd=request["folder"], env=request["env"], stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        serving_main.wait_until_ready(started, request["ports"], 60)
        yield started
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGKILL)
        started.wait()
