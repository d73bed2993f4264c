"""Load: many requests at a time, from one event loop, which takes far less time than threads would.

A "thread" is what the tools of the trade call one: something that sends a request, waits for its answer, and sends the
next one. The client is aiohttp for HTTP, grpcio for RPC; connections are kept.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Callable, Optional, Protocol

from mconv.bench import rpc
from mconv.bench.addresses import Address
from mconv.bench.forms import Message
from mconv.errors import MissingDependencyError
from mconv.extras import install
from mconv.proof.exchange import MAX_ANSWER, MAX_REASON

_MOST_KEPT = 20_000  # different answers
_MOST_BYTES = 1 << 29  # of them
_EVERY = 0.5  # seconds between two notes of the progress


@dataclass
class Outcome:
    """What came of some requests.

    Attributes:
        seconds: of each request that was answered with status 200; since: on the same clock, see *elapsed*.
        answers: (which request, the answer) → how often.
        errors: what went wrong → how often.
        elapsed: seconds from the first request to the last answer.
        cpu_seconds: what this process has taken for it.
    """

    seconds: list[float] = field(default_factory=list)
    answers: Counter[tuple[int, bytes]] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    elapsed: float = 0.0
    cpu_seconds: float = 0.0

    @property
    def requests(self) -> int:
        return len(self.seconds) + sum(self.errors.values())

    def add(self, other: Outcome) -> None:
        """Take in what another turn gave."""
        self.seconds += other.seconds
        self.answers.update(other.answers)
        self.errors.update(other.errors)
        self.elapsed += other.elapsed
        self.cpu_seconds += other.cpu_seconds


class Failure(Exception):
    """A request that got no answer with status 200; *kind* is without what differs from one to the next."""


class Sender(Protocol):
    """Sends requests; an asynchronous context manager."""

    async def send(self, message: Message) -> bytes:
        """The answer.

        Raises:
            Failure: there was none, or another status.
        """

    async def __aenter__(self) -> Sender: ...

    async def __aexit__(self, *arguments: Any) -> None: ...


class HttpSender:
    """Over HTTP, through no proxy and to nowhere else than asked."""

    def __init__(self, address: Address, threads: int, timeout: float):
        try:
            import aiohttp
        except ImportError:
            raise MissingDependencyError(
                "load over HTTP needs aiohttp", f"install it with `{install('bench')}`"
            ) from None
        self.aiohttp = aiohttp
        self.url, self.threads, self.timeout = address.url, threads, timeout
        self.session: Any = None

    async def __aenter__(self) -> HttpSender:
        limit = self.aiohttp.ClientTimeout(total=self.timeout)
        connector = self.aiohttp.TCPConnector(limit=self.threads)
        self.session = self.aiohttp.ClientSession(connector=connector, timeout=limit, trust_env=False)
        return self

    async def __aexit__(self, *arguments: Any) -> None:
        await self.session.close()

    async def send(self, message: Message) -> bytes:
        headers = {"Content-Type": message.content_type}
        try:
            async with self.session.post(self.url, data=message.body, headers=headers, allow_redirects=False) as reply:
                if reply.status != 200:
                    said = _line(await reply.content.read(MAX_REASON))
                    raise Failure(f"HTTP status {reply.status}: {said or reply.reason}")
                body = bytearray()
                async for piece in reply.content.iter_any():  # what is compressed may unfold to anything
                    body += piece
                    if len(body) > MAX_ANSWER:
                        raise Failure(f"an answer of more than {MAX_ANSWER >> 20} MiB")
                return bytes(body)
        except asyncio.TimeoutError:
            raise Failure(f"no answer within {self.timeout:g} s") from None
        except (self.aiohttp.ClientError, OSError) as e:
            cause = getattr(e, "os_error", None) or e
            if isinstance(e, self.aiohttp.ClientConnectorError):  # whose own words are those of the event loop
                errno = getattr(cause, "errno", None)
                raise Failure(f"cannot be reached: {os.strerror(errno) if errno and errno > 0 else cause}") from None
            words = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
            raise Failure(f"{type(e).__name__}: {words}") from None


class RpcSender:
    """Over the RPC of Paddle Serving's pipeline."""

    def __init__(self, address: Address, timeout: float):
        try:
            import grpc
        except ImportError:
            raise MissingDependencyError(
                "load over RPC needs grpcio", f"install it with `{install('bench')}`"
            ) from None
        self.grpc = grpc
        host = f"[{address.host}]" if ":" in address.host else address.host
        self.target, self.timeout = f"{host}:{address.port}", timeout

    async def __aenter__(self) -> RpcSender:
        most = [("grpc.max_receive_message_length", MAX_ANSWER), ("grpc.max_send_message_length", MAX_ANSWER)]
        self.channel = self.grpc.aio.insecure_channel(self.target, options=[*most, ("grpc.enable_http_proxy", 0)])
        self.call = self.channel.unary_unary(rpc.METHOD)
        return self

    async def __aexit__(self, *arguments: Any) -> None:
        await self.channel.close()

    async def send(self, message: Message) -> bytes:
        try:
            answer: bytes = await self.call(message.body, timeout=self.timeout)
            return answer
        except self.grpc.aio.AioRpcError as e:
            if e.code() is self.grpc.StatusCode.DEADLINE_EXCEEDED:
                raise Failure(f"no answer within {self.timeout:g} s") from None
            raise Failure(f"RPC status {e.code().name}: {_line((e.details() or '').encode())}") from None


def sender(address: Address, threads: int, timeout: float) -> Sender:
    """What sends requests to an address.

    Raises:
        MissingDependencyError: the package for it is not installed.
    """
    return RpcSender(address, timeout) if address.scheme == "grpc" else HttpSender(address, threads, timeout)


async def alone(to: Sender, messages: Sequence[Message]) -> list[bytes]:
    """The answer to each request when there is no other.

    Raises:
        Failure: one got none.
    """
    return [await to.send(message) for message in messages]


async def load(
    to: Sender,
    messages: Sequence[Message],
    threads: int,
    loops: int,
    progress: Optional[Callable[[Outcome], Any]] = None,
) -> Outcome:
    """Send *loops* requests from each of *threads*, each its next one when the last one is answered.

    Args:
        messages: which are sent in turn.
        progress: is told now and then what has come so far.
    """
    found, kept = Outcome(), 0

    async def thread(number: int) -> None:
        nonlocal kept
        for loop in range(loops):
            which = (number + loop) % len(messages)
            started = time.perf_counter()
            try:
                answer = await to.send(messages[which])
            except Failure as e:
                found.errors[str(e)] += 1
                continue
            took, key = time.perf_counter() - started, (which, answer)
            # what is different each time would fill the memory: the rest is counted under the last ones
            if key in found.answers:
                found.answers[key] += 1
            elif len(found.answers) < _MOST_KEPT and kept + len(answer) <= _MOST_BYTES:
                found.answers[key] = 1
                kept += len(answer)
            else:
                found.errors["more different answers than can be kept"] += 1
                continue
            found.seconds.append(took)

    async def tell() -> None:
        while progress is not None:
            await asyncio.sleep(_EVERY)
            progress(found)

    teller = asyncio.ensure_future(tell())
    started, used = time.perf_counter(), time.process_time()
    try:
        await asyncio.gather(*(thread(number) for number in range(threads)))
    finally:
        teller.cancel()
    found.elapsed, found.cpu_seconds = time.perf_counter() - started, time.process_time() - used
    return found


def _line(body: bytes) -> str:
    return " ".join(body[:300].decode("utf-8", "replace").split())
