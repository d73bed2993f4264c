"""Ports of this machine: free ones, whether one is taken, and by whom."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import socket
from pathlib import Path
from typing import Optional

from mconv.errors import UsageError
from mconv.printable import printable

_LISTEN = "0A"  # state of a socket in /proc/net/tcp


def free_ports(count: int, host: str = "127.0.0.1") -> list[int]:
    """Ports that nobody listens on at the moment, all different."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket(_family(host))) for _ in range(count)]
        for probe in probes:
            probe.bind((host, 0))
        return [probe.getsockname()[1] for probe in probes]


def taken(host: str, port: int) -> bool:
    """Whether nobody else can listen there.

    Raises:
        UsageError: this machine has no such address, or the port is for the administrator alone.
    """
    with contextlib.closing(socket.socket(_family(host))) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: what has just ended does not count
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as e:
            if e.errno == errno.EADDRINUSE:
                return True
            if e.errno == errno.EACCES:
                raise UsageError(f"port {port} is for the administrator alone", "--port N, with N from 1024") from None
            raise UsageError(f"--host: {printable(host, 100)}: {e.strerror}", "127.0.0.1, or 0.0.0.0") from None
    return False


def _family(host: str) -> socket.AddressFamily:
    try:
        return socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][0]
    except OSError as e:
        raise UsageError(f"--host: {printable(host, 100)}: {e.strerror}", "127.0.0.1, or 0.0.0.0") from None


def holder(port: int) -> Optional[tuple[int, str]]:
    """The process that listens on a port, and its command line; None where the system does not say (another user's)."""
    sockets = set()
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in Path("/proc/net", table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                    sockets.add(fields[9])
    if not sockets:
        return None
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            for descriptor in (entry / "fd").iterdir():
                found = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(descriptor))
                if found and found.group(1) in sockets:
                    command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
                    return int(entry.name), command
    return None
