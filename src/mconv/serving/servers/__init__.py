"""The servers that a model can be put into, behind one interface: ``serve``, ``serve-check`` and ``verify`` work with each."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

from mconv.serving.servers.interface import Addresses, Binding, FoundService, Launch, Server
from mconv.serving.servers.paddle_serving import PaddleServing

__all__ = ["SERVERS", "Addresses", "Binding", "FoundService", "Launch", "Server", "of", "read"]

SERVERS: dict[str, Server] = {server.name: server for server in (PaddleServing(),)}


def of(service: FoundService) -> Server:
    """The server that a service is made for."""
    return SERVERS[service.server_name]


def read(folder: Path) -> Optional[FoundService]:
    """The service in a folder, whichever server it is made for; None where there is none.

    Raises:
        NotAModelError: there is one, and its configuration is not what the server reads.
    """
    return next((found for server in SERVERS.values() for found in [server.read(folder)] if found is not None), None)
