"""Starts a Paddle Serving service twice, as a Python program does, and ends its first process alone, by a signal.

Runs in a network that has nothing but a loopback interface; status 3: no such network here. Reads JSON on stdin:
``python`` (of the runtime), ``env``, ``folder`` and ``script`` of the service, ``ports``, ``signals``; prints as JSON
which of the ports still took connections five seconds after each.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import mconv.runtimes

_HERE = str(Path(mconv.runtimes.__file__).parent)
sys.path.insert(0, _HERE)
import serving_main  # noqa: E402

sys.path.remove(_HERE)


def taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def main() -> None:
    if not serving_main.isolate():
        sys.exit(3)
    request = json.load(sys.stdin)
    left = []
    for number in request["signals"]:
        with open(os.path.join(request["folder"], "service.log"), "wb") as log:
            service = subprocess.Popen(
                [request["python"], request["script"]],
                cwd=request["folder"], env=request["env"], stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        try:
            serving_main.wait_until_ready(service, request["ports"], 60)
            service.send_signal(number)
            service.wait()
            deadline = time.monotonic() + 5
            while any(map(taken, request["ports"])) and time.monotonic() < deadline:
                time.sleep(0.05)
            left.append([port for port in request["ports"] if taken(port)])
        finally:
            try:
                os.killpg(service.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            service.wait()
    print(json.dumps(left))


if __name__ == "__main__":
    main()
