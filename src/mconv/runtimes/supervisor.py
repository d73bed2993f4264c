"""Servers that run under ``supervisor_main.py``: started, followed, listed and stopped."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from mconv.errors import RuntimeFailedError
from mconv.runtimes.runtime import runtimes_folder

MAIN = Path(__file__).with_name("supervisor_main.py")
# seconds that a supervisor needs beyond the server's own time to end
_SLACK = 40


@dataclass(frozen=True)
class Running:
    """A server that runs.

    Attributes:
        pid: its supervisor's.
        started: when that was started, in the system's ticks.
        folder: of the service.
        model: of the model that it serves.
        host, port: where it takes requests.
        url: the address that takes them.
        log: the file with its log.
        grace: seconds that it may take to end.
        detached: whether it goes on without what has started it.
    """

    pid: int
    started: int
    folder: Path
    model: Path
    host: str
    port: int
    url: str
    log: Path
    grace: float
    detached: bool


def states() -> Path:
    """The folder with a file for each server that runs, and the logs of those that are detached."""
    return runtimes_folder().parent / "services"


def running() -> list[Running]:
    """The servers that this user's mconv has started on this machine; what a crash has left of others is removed."""
    found = []
    for path in sorted(states().glob("*.json")) if states().is_dir() else []:
        try:
            state = json.loads(path.read_text())
            server = Running(
                state["pid"], state["started"], Path(state["folder"]), Path(state["model"]), state["host"], state["port"], state["url"],
                Path(state["log"]), state["grace"], state["detached"],
            )  # fmt: skip
        except FileNotFoundError:
            continue
        except (ValueError, KeyError, TypeError):
            path.unlink(missing_ok=True)
            continue
        if alive(server.pid, server.started):
            found.append(server)
        else:
            path.unlink(missing_ok=True)
    return found


def alive(pid: int, started: int) -> bool:
    """Whether a process still runs, and not another one under its number."""
    try:
        fields = Path("/proc", str(pid), "stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return False
    return int(fields[19]) == started and fields[0] not in (b"Z", b"X")


def stop(server: Running) -> None:
    """End a server and wait until nothing is left of it.

    Raises:
        RuntimeFailedError: it does not end.
    """
    deadline = time.monotonic() + server.grace + _SLACK
    with contextlib.suppress(ProcessLookupError):
        os.kill(server.pid, signal.SIGTERM)
    while alive(server.pid, server.started):
        if time.monotonic() > deadline:
            raise RuntimeFailedError(f"process {server.pid} does not end", f"kill -9 {server.pid}")
        time.sleep(0.05)


@dataclass(frozen=True)
class Start:
    """A server that is to be started.

    Attributes:
        command: what is run.
        folder: the current folder for it.
        environment: for it, the whole one.
        host, ports: where it will listen; the first port takes the requests.
        health: an address that answers 200 when it is ready; None: it is when its ports are open.
        ready: seconds that the start may take.
        grace: seconds that the end may take.
        scratch: a folder that goes when it ends.
        url, service, model: what :class:`Running` says of it.
        log: the file for its output.
        keep_log: whether that stays when the server was asked to end.
        detached: whether it goes on without this process.
    """

    command: Sequence[str]
    folder: Path
    environment: Mapping[str, str]
    host: str
    ports: Sequence[int]
    health: Optional[str]
    ready: float
    grace: float
    scratch: Path
    url: str
    service: Path
    model: Path
    log: Path
    keep_log: bool
    detached: bool

    def to_dict(self) -> dict[str, Any]:
        """What ``supervisor_main.py`` reads."""
        port = self.ports[0]
        about = {
            "folder": str(self.service), "model": str(self.model), "host": self.host, "port": port, "url": self.url,
            "log": str(self.log), "grace": self.grace, "detached": self.detached,
        }  # fmt: skip
        near = {"0.0.0.0": "127.0.0.1", "::": "127.0.0.1"}.get(self.host, self.host)
        return {
            "command": list(self.command), "folder": str(self.folder), "environment": dict(self.environment),
            "about": about, "log": str(self.log), "keep_log": self.keep_log, "ports": [[near, p] for p in self.ports],
            "health": self.health, "ready": self.ready, "grace": self.grace, "scratch": str(self.scratch),
            "detached": self.detached, "state": str(states() / f"{port}.json"),
        }  # fmt: skip


class Supervised:
    """A server that is started now."""

    def __init__(self, start: Start):
        self.grace = start.grace
        self._said = b""
        self._process = subprocess.Popen(
            [sys.executable, "-I", str(MAIN)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # a Ctrl-C in the terminal is for this process, which says stop
        )
        self.pid = self._process.pid
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(start.to_dict()).encode() + b"\n")
        self._process.stdin.flush()

    def event(self, seconds: Optional[float] = None) -> Optional[dict[str, Any]]:
        """The next thing that happens, see ``supervisor_main.py``; ``ended`` without a status when it was killed; None
        when nothing does within so many seconds."""
        stream = self._process.stdout
        assert stream is not None
        with selectors.DefaultSelector() as selector:
            selector.register(stream, selectors.EVENT_READ)
            while b"\n" not in self._said:
                if not selector.select(seconds):
                    return None
                data = os.read(stream.fileno(), 65536)
                if not data:
                    return {"event": "ended", "status": None, "asked": False, "problem": ""}
                self._said += data
        line, _, self._said = self._said.partition(b"\n")
        found: dict[str, Any] = json.loads(line)
        return found

    def stop(self) -> dict[str, Any]:
        """End the server; the event that says so. A second call while the first one waits ends it at once."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(b"stop\n")
            self._process.stdin.flush()
        while True:
            event = self.event()
            if event is not None and event["event"] == "ended":
                self._process.wait()
                return event

    def leave(self) -> None:
        """Let it go on alone."""
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            with contextlib.suppress(BrokenPipeError):
                stream.close()
        self._process.returncode = 0  # it is not this process's to wait for
