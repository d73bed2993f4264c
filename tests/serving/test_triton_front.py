"""The front of a service for Triton, before a Triton that does not live through what it is asked."""

from __future__ import annotations

import http.client
import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mconv.runtimes.ports import free_ports
from mconv.serving.scaffold import options_from, plan
from tests.serving.generated import X, load, model

pytest.importorskip("aiohttp")
pytest.importorskip("grpc")
INFERENCE = '{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}]}'


@pytest.fixture
def front(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """It listens, and so does what reads a request, closes the connection and is replaced; *front.asked* counts that."""
    planned = plan(*model(X, outputs={"y": (-1, 2)}), options_from({"server": "triton"}))
    module = load(planned, tmp_path, "front.py", monkeypatch)

    class Dying(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            assert self.rfile.readline()
            made.asked += 1
            self.request.shutdown(socket.SHUT_RDWR)
            time.sleep(0.3)  # the front has seen that before it is told
            made.losses.add()

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Dying) as upstream:
        threading.Thread(target=upstream.serve_forever, daemon=True).start()
        (port,) = free_ports(1)
        made = module.Front("127.0.0.1", port, upstream.server_address[1], None, None)
        made.asked = 0
        made.start()
        yield made
        made.end(1)
        made.loop.call_soon_threadsafe(made.loop.stop)
        upstream.shutdown()


def test_an_inference_that_ends_it_is_asked_three_times_and_is_told_why(front: Any) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", front.port, timeout=60)
    connection.request("POST", "/v2/models/model/infer", INFERENCE)
    reply = connection.getresponse()
    assert (reply.status, front.asked) == (500, 3)
    assert b"the process that ran the model is not healthy, and so were those before it" in reply.read()
    connection.request("GET", "/v2/models/model")
    reply = connection.getresponse()
    assert (reply.status, reply.read()) == (502, b'{"error": "the server does not answer"}')
    connection.close()
