"""What a server on this machine takes: time on the processor and memory of all its processes."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Optional

from mconv.errors import MissingDependencyError
from mconv.extras import install

_EVERY = 0.2  # seconds between two looks


@dataclass
class Usage:
    """Of a server while it was under load.

    Attributes:
        processes: how many it has.
        cpu_seconds: what they have taken together.
        peak_bytes: the most resident memory that they had together; what processes share counts for each.
    """

    processes: int
    cpu_seconds: float
    peak_bytes: int


class Watch:
    """Looks at the processes of the server that listens on a port of this machine; a context manager.

    Attributes:
        usage: at its end; None where the server could not be found: on another machine, in a container, another user's.

    Raises:
        MissingDependencyError: psutil is not installed.
    """

    def __init__(self, port: int):
        try:
            import psutil
        except ImportError:
            raise MissingDependencyError(
                "watching a server needs psutil", f"install it with `{install('bench')}`"
            ) from None
        self.psutil = psutil
        self.port = port
        self.usage: Optional[Usage] = None
        self._root: Any = None
        self._before: dict[int, float] = {}
        self._last: dict[int, float] = {}
        self._peak = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> Watch:
        self._root = self._server()
        if self._root is not None:
            self._look()
            self._before = dict(self._last)
            self._thread.start()
        return self

    def __exit__(self, kind: Optional[type], error: Optional[BaseException], trace: Optional[TracebackType]) -> None:
        if self._root is None:
            return
        self._done.set()
        self._thread.join()
        self._look()
        # of one that has ended in the meantime, what it had taken by then
        used = sum(seconds - self._before.get(pid, 0.0) for pid, seconds in self._last.items())
        self.usage = Usage(len(self._last), used, self._peak)

    def _server(self) -> Any:
        """The first of its processes: the one that listens, or the one above it that it was forked from."""
        found = next((p for p in self._mine() if self._listens(p)), None)
        ours = {os.getpid(), *(p.pid for p in self.psutil.Process().parents())}
        if found is None or found.pid in ours:
            return None
        while (parent := found.parent()) is not None and parent.pid not in ours:
            try:
                if parent.exe() != found.exe():
                    break
            except self.psutil.Error:
                break
            found = parent
        return found

    def _mine(self) -> Any:
        for process in self.psutil.process_iter():
            try:
                if process.uids().real == os.getuid() or os.getuid() == 0:
                    yield process
            except self.psutil.Error:
                continue

    def _listens(self, process: Any) -> bool:
        try:
            sockets = process.net_connections("tcp") if hasattr(process, "net_connections") else process.connections()
        except self.psutil.Error:
            return False
        return any(s.status == self.psutil.CONN_LISTEN and s.laddr.port == self.port for s in sockets)

    def _follow(self) -> None:
        while not self._done.wait(_EVERY):
            self._look()

    def _look(self) -> None:
        resident = 0
        try:
            processes = [self._root, *self._root.children(recursive=True)]
        except self.psutil.Error:
            return
        for process in processes:
            try:
                with process.oneshot():
                    used = process.cpu_times()
                    resident += process.memory_info().rss
                self._last[process.pid] = used.user + used.system
            except self.psutil.Error:
                continue
        self._peak = max(self._peak, resident)
