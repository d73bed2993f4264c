"""Services whose model's process is killed, crashes or hangs while they are under load: nothing that was accepted is lost, and no
answer is wrong."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from mconv import api
from mconv.runtimes.ports import free_ports
from tests.golden import case
from tests.managed import require
from tests.proof import killed

pytestmark = [pytest.mark.runtime, pytest.mark.long]

SERVERS = {"http": ("http", "service.py"), "paddle-serving": ("paddle-2.3.2", "web_service.py")}
PREDICTION = "/model/prediction"
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"abcdefgh"]
MODELS = {"text": "2.3.2-bert", "tensor": "2.3.2-mlp"}
OPTIONS = {"text": {"max_length": 16, "concurrency": 2}, "tensor": {"concurrency": 1}}
# ends the process that is at a text with "h" in it: file, where, before what
FATAL = (
    "any((a == 11).any() for feed in {feeds} for a in feed.values()) and __import__('signal').pthread_kill("
    "__import__('threading').get_ident(), 11)"  # of the process another thread may get it, and this one answer before it ends
)
AT_THE_MODEL = {
    "http": ("engine.py", "        for alias, array in feed.items():\n", "[feed]"),
    "paddle-serving": ("web_service.py", "        for indices in self.batching.groups(feeds):\n", "feeds"),
}


class Service(NamedTuple):
    server: str
    process: subprocess.Popen[bytes]
    port: int
    health: int
    folder: Path

    @property
    def log(self) -> str:
        return (self.folder / "errors.log").read_text()

    def status(self) -> int:
        return killed.status(self.health, "/health")

    def restarts(self) -> int:
        lines = killed.got(self.health, "/metrics")[1].decode().splitlines()
        return int(float(next(line for line in lines if line.startswith("serving_model_restarts_total")).split()[1]))


def written(server: str, kind: str, folder: Path) -> Path:
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")
    options: dict[str, Any] = {"server": server, "service": kind, **OPTIONS[kind]}
    if kind == "text":
        options["tokenizer"] = folder / "vocab.txt"
    api.to_serving(case(MODELS[kind]).model, out=folder, pipeline=options)
    return folder / "service"


def changed(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@contextlib.contextmanager
def running(server: str, folder: Path) -> Iterator[Service]:
    """The service in a folder, ready."""
    runtime, script = SERVERS[server]
    where = require(runtime)
    rpc, port, health = free_ports(3)
    env = where.environ(
        SERVICE_HOST="127.0.0.1", SERVICE_RPC_PORT=str(rpc), SERVICE_HTTP_PORT=str(port), SERVICE_HEALTH_PORT=str(health),
        SERVICE_LOG_CONSOLE="1", OMP_NUM_THREADS="1", TMPDIR=str(folder),
    )  # fmt: skip
    with open(folder / "errors.log", "wb") as log:
        process = subprocess.Popen([str(where.python), script], cwd=folder, env=env, stdout=log, stderr=log)
    found = Service(server, process, port, port if server == "http" else health, folder)
    try:
        killed.until(lambda: process.poll() is not None or found.status() == 200)
        yield found
    finally:
        process.kill()
        process.wait()


def load(service: Service, kind: str) -> killed.Load:
    rng = np.random.default_rng(0)
    bodies = killed.tensors("x", rng)
    if kind == "text":
        bodies = [killed.values({"0": " ".join(rng.choice(list("abcdefg"), n))}) for n in range(1, 13)]
    return killed.Load(service.port, PREDICTION, bodies, killed.first_value)


@pytest.mark.parametrize("kind", ["text", "tensor"])
@pytest.mark.parametrize("server", SERVERS)
def test_nothing_is_lost_when_a_process_is_killed(server: str, kind: str, tmp_path: Path) -> None:
    """And SIGTERM under the same load ends it in order."""
    signals = [signal.SIGKILL, signal.SIGSEGV, *[signal.SIGKILL] * 4]
    with running(server, written(server, kind, tmp_path)) as service:
        asked = load(service, kind)
        assert np.ptp([np.ravel(each)[0] for each in asked.wanted]) > 1e-3
        killed.kill_again_and_again(asked, service.process.pid, signals)
        assert service.restarts() == 6
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(60) == 0
    assert service.log.count("; a fresh one is started") == 6


@pytest.mark.parametrize("server", SERVERS)
def test_a_request_that_ends_each_process_gets_an_error_and_others_their_answers(server: str, tmp_path: Path) -> None:
    folder = written(server, "text", tmp_path)
    file, before, feeds = AT_THE_MODEL[server]
    changed(folder / file, before, f"        {FATAL.format(feeds=feeds)}\n{before}")
    with running(server, folder) as service:
        others = load(service, "text")
        with others.going_on():
            for _ in range(2):
                others.more()
                status, text = killed.got(service.port, PREDICTION, killed.values({"0": "a b h"}))
                found = json.loads(text)
                assert (status, found["err_no"]) == (500 if server == "http" else 200, 500)
                assert "3 processes that ran the model have ended at this request" in found["err_msg"]
            others.more()
        killed.until(lambda: service.status() == 200)


@pytest.mark.parametrize("server", SERVERS)
def test_a_process_that_hangs_is_replaced(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = written(server, "tensor", tmp_path)
    monkeypatch.setenv("SERVICE_STALLED", "1")
    with running(server, folder) as service:
        killed.kill_again_and_again(load(service, "tensor"), service.process.pid, [signal.SIGSTOP])
    assert "has done nothing for 1 s" in service.log


@pytest.mark.parametrize("server", SERVERS)
def test_a_model_that_deadlocks_is_replaced_and_what_it_had_is_answered(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within SERVICE_STALLED seconds, whether one of its threads or all of them wait for what never comes."""
    monkeypatch.setenv("SERVICE_STALLED", "2")
    folder, once = written(server, "text", tmp_path), tmp_path / "once"
    file, before, feeds = AT_THE_MODEL[server]
    wait = (
        f"        if any((a == 11).any() for feed in {feeds} for a in feed.values()) and os.path.exists({str(once)!r}):\n"
        f"            os.unlink({str(once)!r})\n"
        f"            __import__('threading').Event().wait()\n"
    )
    changed(folder / file, before, wait + before)
    with running(server, folder) as service:
        body = killed.values({"0": "a b h"})
        wanted = killed.first_value(killed.got(service.port, PREDICTION, body)[1])
        for turn in range(1, 3):
            once.touch()
            status, text = killed.got(service.port, PREDICTION, body)
            assert status == 200, (text, service.log[-2000:])
            np.testing.assert_allclose(killed.first_value(text), wanted, atol=1e-5)
            assert not once.exists() and service.log.count("has done nothing for 2 s") == turn
        killed.until(lambda: service.status() == 200)


@pytest.mark.parametrize("server", SERVERS)
def test_it_ends_when_the_model_cannot_be_loaded_any_more(server: str, tmp_path: Path) -> None:
    """Until then it says that it is not ready."""
    folder = written(server, "tensor", tmp_path)
    with running(server, folder) as service:
        asked = load(service, "tensor")
        (folder / "tensor_input.py" if server != "http" else folder / "engine.py").write_text(
            "import time\ntime.sleep(0.5)\nraise OSError('no such model')\n"
        )
        (victim,) = killed.children(service.process.pid)
        os.kill(victim, signal.SIGKILL)
        killed.until(lambda: service.status() == 503)
        # whoever waits for an answer is told
        _, text = killed.got(service.port, PREDICTION, asked.bodies[0])
        assert json.loads(text)["err_no"] == 500
        assert service.process.wait(90) == 1
    said = "OSError: no such model" if server == "http" else "which ran the model, has ended with status 1"
    assert any("the service ends: " in line and said in line for line in service.log.splitlines())
