"""What is said of a service that was written."""

from __future__ import annotations

import shlex
from typing import Any

from mconv.cli.output import out


def show_service(service: Any) -> None:
    """What was written, for people."""
    out.print(f"{service.folder}/ written, a service of kind {service.kind}: {service.summary}")
    rpc = "" if service.rpc_port is None else f", RPC 127.0.0.1:{service.rpc_port}"
    out.print(
        f"start it with `mconv serve {shlex.quote(str(service.folder))}/`: "
        f"HTTP POST http://127.0.0.1:{service.http_port}{service.path}{rpc}"
    )
    for note in service.notes:
        out.warn(note)
