"""What there is to know of a server: which files are a service of it, how it is started, where it is asked, and how it
says that it is ready. Only data: what starts it is in :mod:`mconv.runtimes`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Optional, Protocol

from mconv.serving.input_modules import MODULES

# by which every interface is meant
EVERYWHERE = ("0.0.0.0", "::")


@dataclass(frozen=True)
class FoundService:
    """A service on disk.

    Attributes:
        folder: where it is.
        kind: ``text``, ``image`` or ``tensor``.
        name, rpc_port, http_port, health_port, ir_optim, model: what its configuration says; a port of None: there
            is none.
        onednn, passes: whether it uses oneDNN, and the passes for it.
        gpu: whether it uses one.
        own_http: whether it listens for HTTP itself, where it is told to; Paddle Serving's own gateway listens on every
            interface.
        drain: seconds that it takes to end, at most.
        server_name: the server that it is made for.
    """

    folder: Path
    kind: str
    name: str
    rpc_port: int
    http_port: int
    ir_optim: bool
    model: str
    onednn: bool = False
    passes: bool = False
    health_port: Optional[int] = None
    gpu: bool = False
    own_http: bool = True
    drain: float = 30
    server_name: str = "paddle-serving"

    @property
    def server(self) -> Path:
        """The folder of the model that it serves."""
        return (self.folder / self.model).resolve()

    @property
    def module(self) -> str:
        """The module that turns requests into arrays."""
        return MODULES[self.kind][: -len(".py")]


@dataclass(frozen=True)
class Binding:
    """Where a service is to listen. A port of None: there is none."""

    host: str
    http_port: int
    rpc_port: Optional[int] = None
    health_port: Optional[int] = None

    @property
    def ports(self) -> list[int]:
        return [port for port in (self.http_port, self.rpc_port, self.health_port) if port]

    @property
    def near(self) -> str:
        """The address by which this machine reaches it."""
        if self.host in EVERYWHERE:
            return "127.0.0.1"
        return f"[{self.host}]" if ":" in self.host else self.host


@dataclass(frozen=True)
class Addresses:
    """Where a service is asked.

    Attributes:
        predict: the address that takes requests over HTTP.
        rpc: host and port of RPC.
        health: the address that answers 200 when it is ready.
    """

    predict: str
    rpc: Optional[str] = None
    health: Optional[str] = None


@dataclass(frozen=True)
class Launch:
    """How a service is started.

    Attributes:
        runtime: the managed runtime that has the server.
        arguments: what the runtime's interpreter is called with.
        folder: the current folder.
        environment: beside that of the runtime.
    """

    runtime: str
    arguments: tuple[str, ...]
    folder: Path
    environment: Mapping[str, str]


class Server(Protocol):
    """One server."""

    name: str

    def read(self, folder: Path) -> Optional[FoundService]:
        """The service in a folder; None where there is none of this server.

        Raises:
            NotAModelError: there is one, and its configuration is not what the server reads.
        """

    def make(self, model: Path, folder: Path, binding: Optional[Binding] = None, *, ir_optim: bool = True,
             kind: Optional[str] = None) -> FoundService:  # fmt: skip
        """Write a service around a ``serving_server/`` folder.

        Args:
            model: that folder.
            folder: where the service is written to.
            binding: its ports; default the usual ones.
            ir_optim: whether Paddle may optimise the graph.
            kind: ``text``, ``image`` or ``tensor``; None: guessed.
        """

    def launch(self, service: FoundService, binding: Binding) -> Launch:
        """How it is started so that it listens there.

        Raises:
            UsageError: it cannot listen on that address.
        """

    def addresses(self, service: FoundService, binding: Binding) -> Addresses:
        """Where it is asked then."""

    def body(self, request: Mapping[str, object], form: str) -> bytes:
        """A request for HTTP: names and texts or arrays, in one of its forms.

        Raises:
            UnsupportedError: the form has no field for an array's type.
        """
