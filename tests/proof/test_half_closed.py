"""Clients of the real servers that say that they ask nothing more, as `nc -N` does, or how they want to send a body."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from mconv import api
from mconv.runtimes.ports import free_ports
from tests.golden import case
from tests.managed import require

pytestmark = pytest.mark.runtime
RUNTIMES = {"http": "http", "triton": "triton", "paddle-serving": "paddle-2.3.2"}
ANSWERED = re.compile(rb"HTTP/1\.1 200 ")


@pytest.fixture(scope="module", params=RUNTIMES)
def asked(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, bytes, bytes]]:
    """The address of a service that runs, the first line of a request, and its body."""
    server, folder = request.param, tmp_path_factory.mktemp("served")
    require(RUNTIMES[server])
    golden = case("2.3.2-mlp")
    ((name, rows),) = golden.inputs.items()
    rpc, port, health = free_ports(3)
    options = {"server": server, "service": "tensor", "http_port": port}
    if server != "http":
        options.update(rpc_port=rpc, health_port=health)
    api.to_serving(golden.model, out=folder, pipeline=options)
    body: dict[str, Any] = {"key": [name], "value": [json.dumps(rows.tolist())]}
    if server == "triton":
        body = {"inputs": [{"name": name, "datatype": "FP32", "shape": list(rows.shape), "data": rows.tolist()}]}
    with api.serve(folder) as run:
        url = urlsplit(run.serving.url)
        yield (url.hostname, url.port), f"POST {url.path} HTTP/1.".encode(), json.dumps(body).encode()


def told(address: Any, *parts: bytes, pause: float = 0.0) -> bytes:
    """What comes back until the connection is closed, to a client that has closed its side of it."""
    with socket.create_connection(address, 30) as client:
        for part in parts:
            client.sendall(part)
            time.sleep(pause)
        client.shutdown(socket.SHUT_WR)
        found = b""
        while part := client.recv(1 << 16):
            found += part
    return found


@pytest.mark.parametrize("pause", [0.0, 0.3])
@pytest.mark.parametrize("version", [b"0", b"1"])
def test_who_asks_nothing_more_is_answered(asked: Any, version: bytes, pause: float) -> None:
    address, line, body = asked
    head = line + version + b"\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
    before = time.monotonic()
    for count in (1, 3) if version == b"1" else (1,):
        found = told(address, (head + body) * count)
        assert len(ANSWERED.findall(found)) == count or (count, version) == (1, b"0") and b" 200 " in found, found
    assert ANSWERED.search(told(address, head, body, pause=pause)) or version == b"0"
    assert time.monotonic() - before < 50


def test_who_sends_half_and_nothing_more_keeps_nothing(asked: Any) -> None:
    address, line, body = asked
    head = line + b"1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
    before = time.monotonic()
    for sent in (b"", head[:20], head, head + body[:-1]):
        assert not ANSWERED.search(told(address, sent, pause=0.2))
    assert time.monotonic() - before < 50


def test_a_body_that_waits_to_be_wanted(asked: Any) -> None:
    """As curl sends large ones."""
    address, line, body = asked
    with socket.create_connection(address, 30) as client:
        client.sendall(line + b"1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body))
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 100 ")
        client.sendall(body)
        found = b""
        while not ANSWERED.match(found):
            part = client.recv(1 << 16)
            assert part, found
            found += part
