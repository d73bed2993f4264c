"""A server of bare sockets: what it sends need be no HTTP, of no length, or never end."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import Callable, Union

Sends = Union[bytes, Callable[[socket.socket], None]]


def head(status: str = "200 OK", *lines: str) -> bytes:
    """The head of an answer."""
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode()


def dripping(first: bytes, piece: bytes, seconds: float = 0.05) -> Sends:
    """Sends *first*, then *piece* again and again, until nobody reads any more."""

    def send(connection: socket.socket) -> None:
        connection.sendall(first)
        while True:
            time.sleep(seconds)
            connection.sendall(piece)

    return send


@contextlib.contextmanager
def raw_server(sends: Sends) -> Iterator[str]:
    """Its address, http://127.0.0.1:PORT; each connection gets what is sent once its request's head has come."""
    listening = socket.create_server(("127.0.0.1", 0))

    def answer(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            asked = b""
            while b"\r\n\r\n" not in asked:
                asked += connection.recv(1 << 16)
            if callable(sends):
                sends(connection)
            else:
                connection.sendall(sends)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(1 << 16):  # a close before all is read would reset the connection
                pass

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listening.accept()
                connection.settimeout(20)
                threading.Thread(target=answer, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
