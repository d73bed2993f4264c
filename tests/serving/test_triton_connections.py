"""The connections over which the front of a service for Triton asks for inferences."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from mconv.serving.scaffold import options_from, plan
from tests.serving.generated import X, load, model

pytest.importorskip("aiohttp")
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: x\r\nContent-Length: 4\r\n\r\nbody"


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    planned = plan(*model(X, outputs={"y": (-1, 2)}), options_from({"server": "triton"}))
    return load(planned, tmp_path, "connections.py", monkeypatch)


def asked(connections: Any, *answers: tuple[bytes, ...]) -> tuple[list[Any], list[bytes], int]:
    """What is found for one request after another to a server that sends an answer in these parts (with nothing at the end, it
    closes the connection); what it has been sent, and over how many connections."""

    async def run() -> tuple[list[Any], list[bytes], int]:
        left, sent, opened = list(answers), [], 0

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal opened
            opened += 1
            while left:
                try:
                    head = await reader.readuntil(b"\r\n\r\n")
                except asyncio.IncompleteReadError:
                    break
                sent.append(head + await reader.readexactly(int(head.split(b"Content-Length: ")[1].split()[0])))
                for part in (parts := left.pop(0)):
                    writer.write(part)
                    await writer.drain()
                    await asyncio.sleep(0.01)
                if not (parts and parts[-1]):
                    break
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        upstream, found = connections.Upstream(server.sockets[0].getsockname()[1]), []
        for _ in answers:
            one = upstream.ask(b"/v2/infer?a", [(b"Host", b"x")], b"asked")
            found += await asyncio.gather(asyncio.wait_for(one, 30), return_exceptions=True)
        server.close()
        upstream.close()
        return found, sent, opened

    return asyncio.run(run())


def test_answers_come_in_pieces_over_one_connection(connections: Any) -> None:
    pieces = tuple(ANSWER[index : index + 1] for index in range(len(ANSWER)))
    found, sent, opened = asked(connections, (ANSWER,), pieces, (ANSWER[:-4], b"body"))
    assert found == [(200, [("Content-Type", "x"), ("Content-Length", "4")], b"body")] * 3
    assert sent == [b"POST /v2/infer?a HTTP/1.1\r\nContent-Length: 5\r\nHost: x\r\n\r\nasked"] * 3
    assert opened == 1


@pytest.mark.parametrize(
    "parts",
    [
        (b"",),
        (ANSWER[:-1], b""),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",),
        (b"HTTP/1.1 200 OK\r\n\r\n",),
        (b"HTTP/1.1\r\nContent-Length: 0\r\n\r\n",),
    ],
    ids=["nothing", "cut", "chunks", "no length", "no status"],
)
def test_what_is_no_answer_is_an_error_and_the_next_one_is_asked_anew(
    connections: Any, parts: tuple[bytes, ...]
) -> None:
    (wrong, right), _, opened = asked(connections, parts, (ANSWER,))
    assert isinstance(wrong, ConnectionError) and not isinstance(wrong, connections.NotAsked)
    assert right[2] == b"body" and opened == 2


def test_more_than_the_answer_is_no_answer_to_the_next(connections: Any) -> None:
    found, _, opened = asked(connections, (ANSWER + ANSWER,), (ANSWER.replace(b"body", b"next"),))
    assert [each[2] for each in found] == [b"body", b"next"] and opened == 2


def test_where_nobody_listens_nothing_was_asked(connections: Any) -> None:
    with pytest.raises(connections.NotAsked):
        asyncio.run(connections.Upstream(1).ask(b"/", [], b""))


@pytest.mark.parametrize(
    ("coming", "kept"),
    [(None, True), (True, True), (False, False)],
    ids=["the body is taken", "all of it has come", "half of it has come"],
)
def test_a_client_that_asks_nothing_more_gets_what_it_has_asked_for(coming: Any, kept: bool, connections: Any) -> None:
    """Which is closed at once where more of a body was to come: nobody can answer it."""

    async def run() -> tuple[bool, bool]:
        where: dict[Any, Any] = {}
        server = connections.Server(None, where, 1 << 20)
        one = server()
        transport = mock.Mock(spec=asyncio.Transport)
        one.connection_made(transport)
        await asyncio.sleep(0)
        one._waiter = None  # aiohttp's: a request is at work
        if coming is not None:
            where[transport] = 0.0, mock.Mock(is_eof=lambda: coming)
        found = one.eof_received()
        await asyncio.sleep(0.2)  # it looks again now and then
        assert not transport.close.called
        where[transport] = 0.0, mock.Mock(is_eof=lambda: False)  # the next one in the pipe is half a request
        await asyncio.sleep(0.2)
        closed = transport.close.called
        one.connection_lost(None)
        return found, closed

    assert asyncio.run(run()) == (kept, kept)
