"""One request over HTTP to a service, and its answer, whatever answers: within a time and a size, from nowhere else than
asked. A service that is measured or compared may be anything that listens at that address.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import socket
import threading
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from typing import Any, Callable, Optional

from mconv.errors import RuntimeFailedError
from mconv.printable import printable

MAX_ANSWER = 256 << 20  # bytes; the lists that they become take several times as much
MAX_REASON = 4096  # bytes that are read of an answer with another status than 200
_PIECE = 1 << 20
_LOCAL = "127.0.0.1", "localhost", "::1"


@dataclass(frozen=True)
class Reply:
    """An answer.

    Attributes:
        status, reason: of its first line.
        body: all of it with status 200, of another its first :data:`MAX_REASON` bytes.
    """

    status: int
    reason: str
    body: bytearray


def exchange(
    url: str,
    label: str,
    body: Optional[bytes] = None,
    *,
    timeout: float,
    most: int = MAX_ANSWER,
    hint: str = "",
    direct: bool = False,
) -> Reply:
    """Ask over HTTP: POST with a body of JSON, GET without one.

    Redirects are answers like others, and this machine is asked through no proxy.

    Args:
        label: what errors call the service.
        timeout: seconds from the first byte that is sent to the last that comes, however slowly they come.
        most: bytes of an answer.
        hint: of the error where it cannot be reached.
        direct: whether other machines, too, are asked through no proxy.

    Raises:
        RuntimeFailedError: it cannot be reached, or does not answer in time, in HTTP, or with so few bytes.
    """
    asked = urllib.request.Request(url, body, {"Content-Type": "application/json"} if body is not None else {})
    with _Limited(timeout, direct) as limited:
        try:
            with limited.open(asked) as reply:
                status, reason = reply.status, reply.reason
                got, length = _read(reply, most if status == 200 else MAX_REASON), reply.length
        except (OSError, http.client.HTTPException, ValueError) as e:
            if limited.late or isinstance(getattr(e, "reason", e), TimeoutError):
                raise _late(label, timeout) from None
            raise RuntimeFailedError(f"{label} {_problem(e)}", hint or None) from None
        if limited.late:  # the connection, once shut down, has ended like one that ends by itself
            raise _late(label, timeout)
    if status == 200 and len(got) > most:
        raise RuntimeFailedError(f"{label} answers more than {most >> 20} MiB")
    if status == 200 and length:
        raise RuntimeFailedError(f"{label} ends its answer {length} bytes before the length that it has told")
    return Reply(status, reason, got)


def _late(label: str, timeout: float) -> RuntimeFailedError:
    return RuntimeFailedError(f"{label} does not answer within {timeout:g} s", "allow more with --timeout")


def _problem(error: Exception) -> str:
    cause = getattr(error, "reason", None) or error
    words = printable(" ".join((getattr(cause, "strerror", None) or str(cause) or type(cause).__name__).split()), 200)
    if isinstance(cause, (http.client.HTTPException, ValueError)) and not isinstance(cause, OSError):
        return f"answers no HTTP: {type(cause).__name__}: {words}"
    return f"cannot be reached: {words}"


def _read(reply: http.client.HTTPResponse, most: int) -> bytearray:
    """One byte more than *most* at the most, in pieces: of itself, http.client holds chunks twice."""
    got = bytearray()
    while len(got) <= most:
        piece = reply.read(min(_PIECE, most + 1 - len(got)))
        if not piece:
            break
        got += piece
    return got


class _Limited:
    """Opens requests, and shuts their connections down when the time is over: the time-out of a socket is that of each
    of its reads, which a byte now and then never reaches."""

    def __init__(self, timeout: float, direct: bool):
        self._timeout, self._direct, self.late = timeout, direct, False
        self._sockets: list[socket.socket] = []
        self._timer = threading.Timer(timeout, self._end)
        self._timer.daemon = True

    def open(self, asked: urllib.request.Request) -> Any:
        opener = urllib.request.OpenerDirector()
        direct = self._direct or urllib.parse.urlsplit(asked.full_url).hostname in _LOCAL
        proxies = urllib.request.ProxyHandler({} if direct else None)
        # without the handlers of redirects, passwords and errors
        for handler in (proxies, _Handler(self._sockets.append)):
            opener.add_handler(handler)
        self._timer.start()
        return opener.open(asked, timeout=self._timeout)

    def _end(self) -> None:
        self.late = True
        for one in list(self._sockets):
            with contextlib.suppress(OSError):
                socket.socket.shutdown(one, socket.SHUT_RDWR)

    def __enter__(self) -> _Limited:
        return self

    def __exit__(self, *arguments: object) -> None:
        self._timer.cancel()


class _Connection(http.client.HTTPConnection):
    """Tells which socket it has opened."""

    def __init__(self, *arguments: Any, note: Callable[[socket.socket], None], **options: Any):
        super().__init__(*arguments, **options)
        self._note = note

    def connect(self) -> None:
        super().connect()
        self._note(self.sock)


class _SecureConnection(_Connection, http.client.HTTPSConnection):
    pass


class _Handler(urllib.request.AbstractHTTPHandler):
    """Opens addresses of both kinds by connections that tell their sockets."""

    http_request = https_request = urllib.request.AbstractHTTPHandler.do_request_

    def __init__(self, note: Callable[[socket.socket], None]):
        super().__init__()
        self._note = note

    def http_open(self, asked: urllib.request.Request) -> Any:
        return self.do_open(functools.partial(_Connection, note=self._note), asked)

    def https_open(self, asked: urllib.request.Request) -> Any:
        return self.do_open(functools.partial(_SecureConnection, note=self._note), asked)
