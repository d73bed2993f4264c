"""Services whose processes are killed under load: what every server has to live through."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Callable, Optional

import numpy as np


def children(parent: int) -> list[int]:
    """The living processes that *parent* has started."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            if int(fields[1]) == parent and fields[0] not in "ZX":
                found.append(int(path.parent.name))
    return sorted(found)


def in_folder(folder: Path) -> list[int]:
    """The processes that are at work in a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cwd"):
        with contextlib.suppress(OSError):
            if path.resolve() == folder.resolve():
                found.append(int(path.parent.name))
    return found


def until(true: Callable[[], Any], seconds: float = 120) -> Any:
    """What is true at last."""
    deadline = time.monotonic() + seconds
    while True:
        found = true()
        if found:
            return found
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)


class Load:
    """Clients that go on asking, each over a connection that is kept; every answer is compared.

    Args:
        port, path: of the service.
        bodies: the requests, which are sent in turn.
        read: what is compared, of an answer: an array.
    """

    def __init__(self, port: int, path: str, bodies: Sequence[bytes], read: Callable[[bytes], Any], clients: int = 8):
        self.port, self.path, self.bodies, self.read = port, path, bodies, read
        self.wanted = [self.one(self.connection(), body) for body in bodies]
        self.answered, self.over = 0, threading.Event()
        self.wrong: list[str] = []
        self.threads = [threading.Thread(target=self.work, args=(index,)) for index in range(clients)]

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=180)

    def one(self, connection: http.client.HTTPConnection, body: bytes) -> Any:
        connection.request("POST", self.path, body, {"Content-Type": "application/json"})
        reply = connection.getresponse()
        text = reply.read()
        assert reply.status == 200, (reply.status, text[:300])
        return self.read(text)

    def work(self, index: int) -> None:
        connection = self.connection()
        while not self.over.is_set():
            index = (index + 1) % len(self.bodies)
            try:
                got = self.one(connection, self.bodies[index])
                np.testing.assert_allclose(got, self.wanted[index], atol=1e-5)
                self.answered += 1
            except (OSError, http.client.HTTPException, AssertionError, ValueError, KeyError) as error:
                self.wrong.append(repr(error)[:500])
                return

    @contextlib.contextmanager
    def going_on(self) -> Iterator[None]:
        """In the background; nothing was lost, nothing was wrong."""
        for thread in self.threads:
            thread.start()
        try:
            yield
        finally:
            self.over.set()
            for thread in self.threads:
                thread.join(180)
        assert self.wrong == [], self.wrong

    def more(self, count: int = 50) -> None:
        """Wait for so many more answers."""
        wanted = self.answered + count
        until(lambda: self.answered >= wanted or self.wrong)
        assert self.wrong == [], self.wrong


def kill_again_and_again(load: Load, parent: int, signals: Sequence[int]) -> None:
    """End each of the processes that *parent* has started, in turn, while the load goes on; each is replaced."""
    at = len(children(parent))
    with load.going_on():
        for turn, number in enumerate(signals):
            load.more()
            victims = children(parent)
            victim = victims[turn % len(victims)]
            os.kill(victim, number)
            until(lambda gone=victim: gone not in children(parent) and len(children(parent)) == at)
        load.more()


def got(port: int, path: str, body: Optional[bytes] = None) -> tuple[int, bytes]:
    """The status and the body of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=180)
    connection.request("GET" if body is None else "POST", path, body, {"Content-Type": "application/json"})
    reply = connection.getresponse()
    found = reply.read()
    connection.close()
    return reply.status, found


def status(port: int, path: str) -> int:
    """Of an answer; 0 where nobody listens."""
    try:
        return got(port, path)[0]
    except OSError:
        return 0


def values(named: dict[str, str]) -> bytes:
    """A request in Paddle Serving's form."""
    return json.dumps({"key": list(named), "value": list(named.values())}).encode()


def tensors(name: str, rng: np.random.Generator, count: int = 12) -> list[bytes]:
    """Requests of a tensor service with one input of rows of 8 numbers: from one row to five."""
    rows = [rng.standard_normal((1 + index % 5, 8)).astype(np.float32).tolist() for index in range(count)]
    return [values({name: json.dumps(each)}) for each in rows]


def first_value(text: bytes) -> Any:
    """The first output of an answer in Paddle Serving's form."""
    found = json.loads(text)
    assert found["err_no"] == 0, found
    return np.array(json.loads(found["value"][0]))
