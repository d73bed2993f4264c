"""Starts a Paddle Serving service and ends it in the ways that JSON on stdin names; prints what came of each, as JSON.

``drain``: SIGTERM while so many requests are under way. Takes
what ``started.service`` takes, ``ends``, ``url``, ``health`` and a ``body``. Status 3: no network of its own can be made.
"""

import contextlib
import json
import os
import signal
import socket
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

from started import isolated_request, service

OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def ask(url: str, body: "bytes | None" = None) -> "tuple[int, str]":
    try:
        with OPENER.open(urllib.request.Request(url, body, {"Content-Type": "application/json"}), timeout=240) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)


def members(session: int) -> "list[int]":
    """Its living processes, but for the first."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != session:
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(fields[3]) == session and fields[0] != "Z":
                    found.append(int(entry.name))
    return sorted(found)


def taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def main() -> None:
    request = isolated_request()
    url, body = request["url"], request["body"].encode()
    results = []
    for end in request["ends"]:
        with service(request) as started:
            result = {"health": ask(request["health"] + "/health"), "first": ask(url, body)}
            result["metrics"] = ask(request["health"] + "/metrics")[1]
            answers: list = []
            asking = [threading.Thread(target=lambda: answers.append(ask(url, body))) for _ in range(end["drain"])]
            for thread in asking:
                thread.start()
            deadline = time.monotonic() + 120  # until all have been taken
            while f"serving_requests_under_way {end['workers']}" not in ask(request["health"] + "/metrics")[1]:
                if time.monotonic() > deadline:
                    break
                time.sleep(0.01)
            started.send_signal(signal.SIGTERM)
            result["status"] = started.wait(240)
            for thread in asking:
                thread.join()
            time.sleep(0.2)
            result["answers"] = answers
            result["left"] = members(started.pid)
            result["ports"] = [port for port in request["ports"] if taken(port)]
            result["sockets"] = os.listdir(request["env"]["TMPDIR"])
        results.append(result)
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main()
