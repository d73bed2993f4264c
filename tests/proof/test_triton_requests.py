"""What is no request, comes packed or hardly comes is refused by a service in Triton, and keeps nobody from an answer."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import socket
import time
import urllib.error
import urllib.request
import zlib
from pathlib import Path
from typing import Any, Optional
from urllib.parse import urlsplit

import numpy as np
import pytest

from tests.proof.triton_services import DIRECT, scaffold, started, texts_service  # noqa: F401 - a fixture

pytestmark = pytest.mark.runtime


BROKEN = {
    "nothing": b"",
    "no JSON": b"{'inputs': [",
    "a list": b"[1, 2]",
    "no inputs": b"{}",
    "another input": b'{"inputs": [{"name": "x", "datatype": "BYTES", "shape": [1, 1], "data": ["a"]}]}',
    "another type": b'{"inputs": [{"name": "text", "datatype": "FP32", "shape": [1, 1], "data": [1]}]}',
    "another shape": b'{"inputs": [{"name": "text", "datatype": "BYTES", "shape": [2, 1], "data": ["a"]}]}',
    "a negative shape": b'{"inputs": [{"name": "text", "datatype": "BYTES", "shape": [-1, 1], "data": ["a"]}]}',
    "a huge shape": b'{"inputs": [{"name": "text", "datatype": "BYTES", "shape": [9223372036854775807, 1], "data": ["a"]}]}',
    "many lists": b'{"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1, 1], "data": ['
    + b"[]," * 2_000_000
    + b"[]]}]}",
    "an empty text": b'{"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1, 1], "data": [" "]}]}',
    "deep": b'{"inputs": ' + b"[" * 1_000_000,
    "so deep that Triton would end": b'{"inputs": ' + b'[{"a":' * 11_000_000,
    "too many texts": json.dumps(
        {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [500, 1], "data": ["a"] * 500}]}
    ).encode(),
    "a long text": json.dumps(
        {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1, 1], "data": ["a" * 10_000_000]}]}
    ).encode(),
}


def test_broken_and_huge_requests_get_an_answer(texts: Any) -> None:
    ask, known = texts
    for what, body in BROKEN.items():
        for headers, sent in (({}, body), ({"Content-Encoding": "gzip"}, gzip.compress(body, 1))):
            answer = ask.post(sent, headers)
            assert isinstance(answer, str) and answer[0] in "45" and "error" in answer, (what, answer)
    assert ask.peak() < 1500
    text = next(iter(known))
    np.testing.assert_allclose(ask([text])["outputs"][0]["data"], known[text][0], atol=1e-5)
    for path in ("repository/index", "repository/models/model/unload", "repository/models/model/load"):
        with pytest.raises(urllib.error.HTTPError, match="403"):
            DIRECT.open(urllib.request.Request(ask.base + path, b"{}"))


@pytest.mark.parametrize("accepted", [None, "identity", "gzip"])
def test_an_answer_is_packed_only_for_those_who_ask_for_it(texts: Any, accepted: Optional[str]) -> None:
    """curl sends no Accept-Encoding; Python's own client always does."""
    ask, known = texts
    text = next(iter(known))
    inputs = [{"name": "text", "datatype": "BYTES", "shape": [1, 1], "data": [text]}]
    found = urlsplit(ask.url)
    with contextlib.closing(http.client.HTTPConnection(found.hostname, found.port, timeout=60)) as connection:
        body = json.dumps({"inputs": inputs}).encode()
        connection.putrequest("POST", found.path, skip_accept_encoding=True)
        for name, value in (("Content-Length", str(len(body))), ("Accept-Encoding", accepted)):
            if value is not None:
                connection.putheader(name, value)
        connection.endheaders(body)
        reply = connection.getresponse()
        data, packed = reply.read(), reply.getheader("Content-Encoding")
    assert reply.status == 200 and packed == ("gzip" if accepted == "gzip" else None), data
    answer = json.loads(gzip.decompress(data) if packed else data)
    np.testing.assert_allclose(answer["outputs"][0]["data"], known[text][0], atol=1e-5)


@pytest.mark.parametrize("method", ["HEAD", "PUT", "OPTIONS", "DELETE", "TRACE"])
def test_other_methods_are_refused_at_once(texts: Any, method: str) -> None:
    """Triton's own answer to HEAD is none; it was asked again, for a minute."""
    ask, _ = texts
    before = time.monotonic()
    answer = raw(ask, f"{method} /v2/models/model/infer HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 405 ") and time.monotonic() - before < 20
    assert method == "HEAD" or answer.endswith(b'{"error": "GET and POST are answered here"}')


def test_an_address_with_a_host_is_that_of_its_path(texts: Any) -> None:
    ask, _ = texts
    answer = raw(ask, b"GET http://other/v2/models/model/ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")


def raw(ask: Any, sent: bytes) -> bytes:
    with contextlib.closing(http.client.HTTPConnection(ask.base.split("/")[2], timeout=60)) as connection:
        connection.connect()
        connection.sock.sendall(sent)
        found = b""
        while part := connection.sock.recv(1 << 16):
            found += part
    return found


@pytest.mark.parametrize(
    "sent",
    [b"", b"POST /v2/models/model/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{"],
    ids=["nothing", "a body"],
)
def test_what_hardly_comes_keeps_nobody_from_an_answer(texts: Any, sent: bytes) -> None:
    """More connections than there may be: the slowest gives its place to the next, and one that comes has its own."""
    ask, known = texts
    text = next(iter(known))
    host, _, port = ask.base.split("/")[2].partition(":")
    head = b"POST /v2/models/model/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 400000\r\n\r\n"
    with contextlib.ExitStack() as stack:
        upload = stack.enter_context(socket.create_connection((host, int(port)), 60))
        upload.sendall(head + b" " * 200_000)
        ask([text])  # until it is read
        slow = [stack.enter_context(socket.create_connection((host, int(port)), 60)) for _ in range(600)]
        for one in slow:
            with contextlib.suppress(ConnectionError):
                one.sendall(sent)
        for _ in range(5):
            np.testing.assert_allclose(ask([text])["outputs"][0]["data"], known[text][0], atol=1e-5)
        upload.sendall(b" " * 200_000)
        assert upload.recv(1 << 16).startswith(b"HTTP/1.1 ")
        gone = 0
        for one in slow:
            one.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                try:
                    gone += one.recv(10) == b""
                except ConnectionError:
                    gone += 1
        assert 80 < gone < 500, gone


PACKED = gzip.compress(b"{}")


@pytest.mark.parametrize(
    ("encoding", "sent", "status"),
    [
        ("gzip", b"{}", "400"),
        ("gzip", PACKED[:-9], "400"),
        ("deflate", b"{}", "400"),
        ("br", b"{}", "400"),
        ("gzip, gzip", gzip.compress(PACKED), "400"),
        ("gzip", gzip.compress(b" " * (300 << 20), 1), "413"),
    ],
    ids=["no gzip", "cut", "no deflate", "brotli", "twice", "too large"],
)
def test_what_is_not_compressed_as_it_says_is_refused(texts: Any, encoding: str, sent: bytes, status: str) -> None:
    ask, known = texts
    answer = ask.post(sent, {"Content-Encoding": encoding})
    assert isinstance(answer, str) and answer.startswith(status) and "error" in answer, answer
    text = next(iter(known))
    asked = {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1, 1], "data": [text]}]}
    for name, pack in (
        ("gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", lambda d: zlib.compress(d)[2:-4]),
    ):
        answer = ask.post(pack(json.dumps(asked).encode()), {"Content-Encoding": name})
        np.testing.assert_allclose(answer["outputs"][0]["data"], known[text][0], atol=1e-5)


HUGE = {
    "rows": b'"shape": [1000000000, 8]',
    "elements": b'"shape": [1000000000, 1]',
    "written otherwise": b'"sh\\u0061pe": [1000000000, 8]',
    "said twice": b'"shape": [1000000000, 8], "shape": [1, 8]',
    "not in shared memory": b'"parameters": {}, "shape": [1000000000, 8], "parameters": {"shared_memory_region": "r"}',
}


def test_a_shape_takes_no_memory_before_its_elements_are_counted(tmp_path: Path) -> None:
    """Triton ended, or took gigabytes and seconds."""
    with started(scaffold(tmp_path, "mlp")) as ask:
        for what, shape in HUGE.items():
            answer = ask.post(b'{"inputs": [{"name": "x", "datatype": "FP32", "data": [1.0], %s}]}' % shape)
            assert answer.startswith("400") and "shape [1000000000, " in answer, (what, answer)
        assert ask.peak() < 1500
        assert len(ask([{"name": "x", "datatype": "FP32", "shape": [1, 8], "data": [0.5] * 8}])["outputs"][0]["data"])
