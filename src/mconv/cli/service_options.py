"""What is said of a pipeline service that was written."""

from __future__ import annotations

import shlex
from typing import Any

from mconv.cli.common import out


def show_service(service: Any) -> None:
    """What was written, for people."""
    out.print(f"{service.folder}/ written, a service of kind {service.kind}: {service.summary}")
    out.print(
        f"start it with `mconv serve {shlex.quote(str(service.folder))}/`: "
        f"HTTP POST http://127.0.0.1:{service.http_port}/{service.name}/prediction, RPC 127.0.0.1:{service.rpc_port}"
    )
    for note in service.notes:
        out.warn(note)
