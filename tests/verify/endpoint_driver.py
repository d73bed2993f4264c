"""Starts a Paddle Serving service and runs commands against it, in a network that has nothing but a loopback interface.

Reads JSON on stdin: ``python`` (of the runtime), ``env``, ``folder`` and ``script`` of the service, ``ports``, and
``commands`` (lists of arguments); prints ``[code, stdout, stderr]`` of each as JSON. Status 3: no such network here.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import mconv.runtimes

_HERE = str(Path(mconv.runtimes.__file__).parent)
sys.path.insert(0, _HERE)
import serving_main  # noqa: E402

sys.path.remove(_HERE)


def main() -> None:
    if not serving_main.isolate():
        sys.exit(3)
    request = json.load(sys.stdin)
    with open(os.path.join(request["folder"], "service.log"), "wb") as log:
        service = subprocess.Popen(
            [request["python"], request["script"]],
            cwd=request["folder"], env=request["env"], stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        serving_main.wait_until_ready(service, request["ports"], 60)
        results = []
        for command in request["commands"]:
            done = subprocess.run(command, capture_output=True, text=True, timeout=120)
            results.append([done.returncode, done.stdout, done.stderr])
    finally:
        os.killpg(service.pid, signal.SIGKILL)
        service.wait()
    print(json.dumps(results))


if __name__ == "__main__":
    main()
