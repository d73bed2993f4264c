"""The HTTP server of a generated Paddle Serving service: how it ends what it refuses."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mconv.program.dtypes import DType
from tests.serving.generated import load, service, stand_in

HEAD = b"POST /model/prediction HTTP/1.1\r\nHost: x\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
MEGABYTE = 1 << 20
MOST, SILENCE = 20, 4


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """One that takes a megabyte, reads eight of what it refuses, has twenty connections and waits for two seconds."""
    stand_in(monkeypatch)
    made: Any = load(service({"x": (DType.FP32, (-1,))}), tmp_path, "http_server.py", monkeypatch)
    monkeypatch.setattr(made, "MAX_BODY", MEGABYTE)
    monkeypatch.setattr(made, "MAX_SKIPPED", 8 * MEGABYTE)
    monkeypatch.setattr(made, "MAX_CONNECTIONS", MOST)
    monkeypatch.setattr(made, "SILENCE", SILENCE)
    server = made.Server("127.0.0.1", 0, 1, None)
    yield server
    server.shutdown()
    server.server_close()
    server.workers.shutdown()


@pytest.fixture
def port(server: Any) -> int:
    return int(server.server_address[1])


def chunk(size: int) -> bytes:
    return b"%x\r\n%s\r\n" % (size, b"x" * size)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (HEAD + b"Content-Length: 6291456\r\n\r\n" + b"x" * (6 * MEGABYTE), 413),
        (CHUNKED + chunk(6 * MEGABYTE) + b"0\r\n\r\n", 413),
        (CHUNKED + chunk(600_000) * 10 + b"0\r\n\r\n", 413),
        (CHUNKED + chunk(600_000) * 3 + b"zz\r\n", 400),
        (CHUNKED + b"10\r\nxxxx", 400),
        (CHUNKED + b"4\r\nxxxx", 400),
        (CHUNKED + chunk(4) + b"0\r\n" + b"a: b\r\n" * 200, 400),
        (HEAD + b"Content-Length: 10\r\n\r\nxxxx", 400),
        (HEAD + b"\r\n", 411),
        (HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}", 400),
        (HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400),
        (HEAD + b"Transfer-Encoding: xchunked\r\n\r\n", 501),
        (b"POST / HTTP/9.9\r\n\r\n", 505),
        (b"POST /\r\n\r\n", 400),
        (b"BREW /model/prediction HTTP/1.1\r\n\r\n", 501),
        (b"GET /\r\n\r\n", 405),
        (b"\x16\x03\x01\x02\r\n", 400),
        (HEAD + b"a: b\r\n" * 200 + b"\r\n", 431),
        (b"POST /" + b"x" * 70_000, 414),
    ],
    ids=[
        "long",
        "one chunk",
        "chunks",
        "large and damaged",
        "cut short",
        "no end of a chunk",
        "trailers",
        "short",
        "no length",
        "two lengths",
        "two other lengths",
        "another encoding",
        "another version",
        "no version",
        "another method",
        "HTTP 0.9",
        "TLS",
        "many headers",
        "a long line",
    ],
)
def test_a_client_that_is_refused_reads_why(port: int, sent: bytes, status: int) -> None:
    """Far more than a system keeps of what nobody reads: a connection that is closed before has no answer."""
    with socket.create_connection(("127.0.0.1", port), 30) as client:
        client.sendall(sent)
        client.shutdown(socket.SHUT_WR)
        said = b""
        while part := client.recv(1 << 16):
            said += part
    assert said.startswith(b"HTTP/1.1 %d " % status) and b"Connection: close" in said, said[:300]
    assert said.count(b"HTTP/1.1") == 1 and b'{"error"' in said


def closed(one: socket.socket) -> bool:
    one.setblocking(False)
    try:
        return one.recv(1 << 16) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


@pytest.mark.parametrize(
    "sent",
    [b"", HEAD, HEAD + b"Content-Length: 1000\r\n\r\n{", CHUNKED + b"1\r\n{\r\n"],
    ids=["nothing", "half a head", "a body", "chunks"],
)
def test_what_hardly_comes_keeps_nobody_from_an_answer(server: Any, port: int, sent: bytes) -> None:
    """The slowest gives its place to the next, and one that comes has its own."""
    body = b" " * 400_000
    with contextlib.ExitStack() as stack:
        upload = stack.enter_context(socket.create_connection(("127.0.0.1", port), 30))
        upload.sendall(HEAD + b"Content-Length: 400000\r\n\r\n" + body[:200_000])
        deadline = time.monotonic() + 60
        while not any(each.count > 150_000 for each in list(server.arriving)):  # until most of it is read
            assert time.monotonic() < deadline
            time.sleep(0.01)
        slow = [stack.enter_context(socket.create_connection(("127.0.0.1", port), 30)) for _ in range(MOST + 5)]
        for one in slow:
            with contextlib.suppress(ConnectionError):
                one.sendall(sent)
        for _ in range(MOST):
            with socket.create_connection(("127.0.0.1", port), 30) as client:
                client.sendall(HEAD + b"\r\n")
                assert client.recv(1 << 16).startswith(b"HTTP/1.1 411 ")
        upload.sendall(body[200_000:])
        assert upload.recv(1 << 16).startswith(b"HTTP/1.1 400 ")  # it is no JSON
        assert any(map(closed, slow))


def test_a_body_has_so_many_seconds_as_a_whole(port: int) -> None:
    """And not for each byte."""
    with socket.create_connection(("127.0.0.1", port), 30) as client:
        client.sendall(HEAD + b"Content-Length: 1000\r\n\r\n")
        until = time.monotonic() + 5 * SILENCE
        while not closed(client):
            assert time.monotonic() < until
            with contextlib.suppress(ConnectionError):
                client.setblocking(True)
                client.sendall(b" ")
            time.sleep(0.2)
