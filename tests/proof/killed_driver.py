"""Starts a Paddle Serving service twice, as a Python program does, and ends its first process alone, by a signal.

Reads JSON on stdin: what ``started.service`` takes, and ``signals``; prints as JSON which of the ports still took
connections five seconds after each. Status 3: no network of its own can be made here.
"""

import json
import socket
import time

from started import isolated_request, service


def taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def main() -> None:
    request = isolated_request()
    left = []
    for number in request["signals"]:
        with service(request) as started:
            started.send_signal(number)
            started.wait()
            deadline = time.monotonic() + 60
            while any(map(taken, request["ports"])) and time.monotonic() < deadline:
                time.sleep(0.05)
            left.append([port for port in request["ports"] if taken(port)])
    print(json.dumps(left))


if __name__ == "__main__":
    main()
