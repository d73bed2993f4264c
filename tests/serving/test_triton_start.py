"""Which processes of Triton's start.py of a service takes for ended, and what it has loaded anew for them."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from mconv.serving.scaffold import options_from, plan
from tests.serving.generated import X, load, model

ALIVE, GONE, NOT_SAID = (False, "model"), (True, ""), (False, "")


@pytest.mark.parametrize(
    ("looks", "loaded"),
    [
        ([ALIVE, GONE, GONE], ["model"]),
        ([ALIVE, NOT_SAID, GONE, GONE], ["model"]),  # it ended while /proc was read
        ([NOT_SAID, GONE, GONE], ["first", "second"]),
        ([ALIVE, GONE, None], []),  # Triton itself has ended it
        ([ALIVE, GONE, GONE, None, ALIVE, GONE, GONE], ["model", "model"]),  # another one, of the same number
    ],
    ids=["ended", "read while it ended", "never seen alive", "taken note of", "number given again"],
)
def test_what_has_ended_is_loaded_anew(
    looks: list[Any], loaded: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    planned = plan(*model(X, outputs={"y": (-1, 2)}), options_from({"server": "triton"}))
    monkeypatch.setitem(sys.modules, "front", ModuleType("front"))  # which takes packages of the runtime
    start = load(planned, tmp_path, "start.py", monkeypatch)
    for name in ("first", "second"):
        (tmp_path / "loaded" / name).mkdir(parents=True)
    monkeypatch.setattr(start, "MODELS", str(tmp_path / "loaded"))
    server = start.Server.__new__(start.Server)
    losses = SimpleNamespace(add=lambda: None, waited=lambda: 0.0)
    server.process, server.front = SimpleNamespace(pid=1), SimpleNamespace(losses=losses)
    server.known, server.ended, server.left, server.stalls, server.asked, server.ready = {}, {}, {}, {}, [], True
    names: list[str] = []
    monkeypatch.setattr(start, "load", lambda name, fresh=False: names.append(name) or True)
    for look in looks:
        monkeypatch.setattr(start, "stubs", lambda *_, look=look: {} if look is None else {7: look})
        server.look()
    assert names == loaded


def test_children_are_found_whichever_thread_has_started_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """And one that is known, which has begun elsewhere, is of another process."""
    planned = plan(*model(X, outputs={"y": (-1, 2)}), options_from({"server": "triton"}))
    monkeypatch.setitem(sys.modules, "front", ModuleType("front"))
    start = load(planned, tmp_path, "start.py", monkeypatch)
    monkeypatch.setattr(start, "STUB", "sleep")
    begun: list[subprocess.Popen[bytes]] = [subprocess.Popen(["sleep", "60"])]
    stays = threading.Event()

    def other() -> None:
        begun.append(subprocess.Popen(["sleep", "60"]))
        stays.wait(60)

    thread = threading.Thread(target=other)
    thread.start()
    try:
        while len(begun) < 2:
            time.sleep(0.01)
        pids = {process.pid for process in begun}
        assert pids <= start.children(os.getpid())
        assert set(start.stubs(os.getpid(), {os.getpid(), 1 << 22})) == pids
        begun[0].kill()
        while not start.stubs(os.getpid(), ())[begun[0].pid][0]:
            time.sleep(0.01)
        assert not start.stubs(os.getpid(), ())[begun[1].pid][0]
    finally:
        stays.set()
        thread.join()
        for process in begun:
            process.kill()
            process.wait()


@pytest.mark.parametrize(
    ("waited", "stalled", "stopped", "ended"),
    [
        (0.0, [], [], []),
        (11.0, [7, 8], [], [7, 8]),  # nothing is done for a request
        (11.0, [7], [], []),  # the other one is at it
        (5.0, [7, 8], [], []),  # it has only just come
        (200.0, [7], [], [7, 8]),
        (0.0, [8], [8], [8]),
    ],
    ids=["idle", "deadlock", "busy", "new", "for too long", "stopped"],
)
def test_what_hangs_is_ended(
    waited: float,
    stalled: list[int],
    stopped: list[int],
    ended: list[int],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    planned = plan(*model(X, outputs={"y": (-1, 2)}), options_from({"server": "triton"}))
    monkeypatch.setitem(sys.modules, "front", ModuleType("front"))
    start = load(planned, tmp_path, "start.py", monkeypatch)
    killed: list[int] = []
    monkeypatch.setattr(start.os, "kill", lambda pid, _: killed.append(pid))
    server = start.Server.__new__(start.Server)
    server.process, server.front = (
        SimpleNamespace(pid=1),
        SimpleNamespace(losses=SimpleNamespace(waited=lambda: waited)),
    )
    server.stalls = {
        pid: SimpleNamespace(stalled=lambda pid, busy: pid in stalled, stopped=pid in stopped) for pid in (1, 7, 8)
    }
    server.end_hanging([7, 8])
    assert sorted(killed) == ended
