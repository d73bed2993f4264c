"""The servers that a model can be put into, behind one interface: ``scaffold``, ``serve``, ``serve-check``, ``verify`` and
``bench`` work with each."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

from mconv.errors import UsageError
from mconv.printable import printable
from mconv.serving.servers.http import Http
from mconv.serving.servers.interface import Addresses, Binding, FoundService, Launch, Model, Server, Stage
from mconv.serving.servers.openvino_model_server import OpenVINOModelServer, not_startable
from mconv.serving.servers.paddle_serving import PaddleServing
from mconv.serving.servers.triton import Triton
from mconv.serving.service_options import ServiceOptions

__all__ = [
    "DEFAULT",
    "SERVERS",
    "Addresses",
    "Binding",
    "FoundService",
    "Launch",
    "Model",
    "Server",
    "Stage",
    "chosen",
    "fitting",
    "named",
    "of",
    "read",
    "runtime_of",
]

SERVERS: dict[str, Server] = {
    server.name: server for server in (PaddleServing(), Http(), Triton(), OpenVINOModelServer())
}
DEFAULT = PaddleServing.name


def named(name: str) -> Server:
    """The server of that name.

    Raises:
        UsageError: there is none.
    """
    if name not in SERVERS:
        raise UsageError(f"--server: {printable(name, 80)!r} is not one of {', '.join(SERVERS)}")
    return SERVERS[name]


def chosen(options: ServiceOptions) -> Server:
    """The server that options name, which takes all of them.

    Raises:
        UsageError: there is none of that name, or an option means nothing to it.
    """
    server = named(options.server)
    server.check(options)
    if options.backend is not None and options.backend not in server.backends:
        known = ", ".join(server.backends)
        raise UsageError(
            f"--backend: {server.name} runs no {printable(options.backend, 80)!r}",
            f"one of {known}" if known else "leave it out: it has no choice",
        )
    return server


def fitting(name: Optional[str], service: Optional[FoundService]) -> Server:
    """The server of that name; where none is named, the one that *service* is made for, or the default.

    Raises:
        UsageError: there is none of that name, or the service is made for another.
    """
    server = named(name or (DEFAULT if service is None else service.server_name))
    if service is not None and server.name != service.server_name:
        raise UsageError(
            f"{service.folder} is a service of {service.server_name}, not of {server.name}",
            f"`mconv scaffold serving_server/ --server {server.name} --out DIR` makes one that is; or leave --server out",
        )
    return server


def of(service: FoundService) -> Server:
    """The server that a service is made for."""
    return SERVERS[service.server_name]


def runtime_of(server: Server, service: Optional[FoundService]) -> str:
    """The managed runtime that has a server.

    Args:
        service: the one that is to be started, where it is written already.

    Raises:
        RuntimeUnavailableError: there is none.
    """
    if not server.runtime:
        raise not_startable(service)
    return server.runtime if service is None or service.runtime is None else service.runtime


def read(folder: Path) -> Optional[FoundService]:
    """The service in a folder, whichever server it is made for; None where there is none.

    Raises:
        NotAModelError: there is one, and its configuration is not what the server reads.
    """
    return next((found for server in SERVERS.values() for found in [server.read(folder)] if found is not None), None)
