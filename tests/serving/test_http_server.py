"""The HTTP server of a generated Paddle Serving service: how it ends what it refuses."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mconv.program.dtypes import DType
from tests.serving.generated import load, service, stand_in

HEAD = b"POST /model/prediction HTTP/1.1\r\nHost: x\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
MEGABYTE = 1 << 20


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[int]:
    """Of a server that takes a megabyte, and reads eight of what it refuses."""
    stand_in(monkeypatch)
    made: Any = load(service({"x": (DType.FP32, (-1,))}), tmp_path, "http_server.py", monkeypatch)
    monkeypatch.setattr(made, "MAX_BODY", MEGABYTE)
    monkeypatch.setattr(made, "MAX_SKIPPED", 8 * MEGABYTE)
    server = made.Server("127.0.0.1", 0, 1, None)
    yield server.server_address[1]
    server.shutdown()
    server.server_close()
    server.workers.shutdown()


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
    assert said.count(b"HTTP/1.1") == 1
