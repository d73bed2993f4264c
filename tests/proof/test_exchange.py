"""One request over HTTP, answered by what is no service: no HTTP, too much, too slowly, from elsewhere."""

from __future__ import annotations

import time

import pytest

from mconv.errors import RuntimeFailedError
from mconv.proof.exchange import exchange
from tests.raw_server import Sends, dripping, head, raw_server

BODY = b'{"y": [1]}'
LONG = head("200 OK", "Content-Length: 1000000")


@pytest.mark.parametrize("body", [None, b"{}"], ids=["GET", "POST"])
@pytest.mark.parametrize("line", [f"Content-Length: {len(BODY)}", "Connection: close"])
def test_an_answer(body: bytes, line: str) -> None:
    with raw_server(head("200 Fine", line) + BODY) as url:
        reply = exchange(url, "it", body, timeout=20)
    assert (reply.status, reply.reason, reply.body) == (200, "Fine", BODY)


@pytest.mark.parametrize(
    "location", ["http://127.0.0.1:1/", "/elsewhere", "http://[::1", "file:///etc/passwd", "\x80"], ids=repr
)
def test_it_goes_nowhere_else(location: str) -> None:
    with raw_server(head("302 Found", f"Location: {location}", "Content-Length: 4") + b"else") as url:
        reply = exchange(url, "it", b"{}", timeout=20)
    assert (reply.status, reply.body) == (302, b"else")


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        (b"", "cannot be reached: Remote end closed"),
        (b"\x00\xff garbage\r\n\r\n", "answers no HTTP"),
        (b"HTTP/1.1 abc\r\n\r\n", "answers no HTTP"),
        (head("200 OK", "X: " + "a" * 100_000), "answers no HTTP: LineTooLong"),
        (head("200 OK", *["X: a"] * 1000), "answers no HTTP: HTTPException"),
        (head("200 OK", "Transfer-Encoding: chunked") + b"zz\r\n", "answers no HTTP: IncompleteRead"),
        (head("500 No", "Transfer-Encoding: chunked") + b"zz\r\n", "answers no HTTP: IncompleteRead"),
        (head("200 OK", "Content-Length: 100") + BODY, "ends its answer 90 bytes before the length"),
    ],
    ids=lambda value: repr(value[:60]),
)
def test_what_is_no_answer_is_one_line(sent: bytes, message: str) -> None:
    with raw_server(sent) as url, pytest.raises(RuntimeFailedError, match=f"^it {message}") as caught:
        exchange(url, "it", b"{}", timeout=20, hint="is it running?")
    assert "\n" not in caught.value.message and len(caught.value.message) < 200


@pytest.mark.parametrize("line", ["Transfer-Encoding: chunked", "Connection: close"])
def test_no_more_is_read_than_is_wanted(line: str) -> None:
    piece = b"1" * (1 << 18)
    framed = b"%x\r\n%s\r\n" % (len(piece), piece) if "chunked" in line else piece
    with raw_server(dripping(head("200 OK", line), framed, 0)) as url:
        with pytest.raises(RuntimeFailedError, match="it answers more than 2 MiB"):
            exchange(url, "it", b"{}", timeout=20, most=2 << 20)
    with raw_server(dripping(head("500 No", line), framed, 0)) as url:
        reply = exchange(url, "it", b"{}", timeout=20)
    assert reply.status == 500 and 0 < len(reply.body) < 5000


@pytest.mark.parametrize(
    "sends",
    [
        dripping(LONG, b" "),
        dripping(head("500 No", "Content-Length: 1000000"), b" "),
        dripping(b"HTTP/1.1 200 OK\r\nX: ", b"y"),
        dripping(head("100 Continue"), head("100 Continue")),
        dripping(head("200 OK", "Transfer-Encoding: chunked"), b"1\r\n \r\n"),
        dripping(head("200 OK", "Connection: close"), b" "),
        dripping(LONG, b"", 20),
        dripping(b"", b"", 20),
    ],
    ids=["body", "error", "head", "continue", "chunks", "no length", "silent body", "silent"],
)
def test_the_time_is_that_of_the_whole_answer(sends: Sends) -> None:
    started = time.monotonic()
    with raw_server(sends) as url, pytest.raises(RuntimeFailedError, match="it does not answer within 0.5 s"):
        exchange(url, "it", b"{}", timeout=0.5)
    assert time.monotonic() - started < 10
