"""Services whose model's process is killed, crashes or hangs while they are under load: nothing that was accepted is lost, and no
answer is wrong."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest

from tests.managed import require
from tests.proof import killed
from tests.proof.test_http import made, started

pytestmark = [pytest.mark.runtime, pytest.mark.long]

PREDICTION = "/model/prediction"
# of a service's code: what ends the process that is at a request with such a number
POISON = 13.0
AT_A_MODEL = "    def __call__(self, feed):\n"
ENDS = AT_A_MODEL + f"        any((a == {POISON}).any() for a in feed.values()) and os.kill(os.getpid(), 11)\n"


def load(port: int, clients: int = 8) -> killed.Load:
    return killed.Load(port, PREDICTION, killed.tensors("x", np.random.default_rng(0)), killed.first_value, clients)


def changed(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) >= 1
    path.write_text(text.replace(old, new))


def test_http(tmp_path: Path) -> None:
    require("http")
    signals = [signal.SIGKILL, signal.SIGSEGV, *[signal.SIGKILL] * 6]
    with started(made("tensor", tmp_path)) as (process, port):
        killed.kill_again_and_again(load(port), process.pid, signals)
        assert b"serving_model_restarts_total 8.0" in killed.got(port, "/metrics")[1]
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    log = (tmp_path / "errors.log").read_text()
    assert log.count("; a fresh one is started") == 8 and "Traceback" not in log


def test_http_lives_through_a_request_that_ends_each_process(tmp_path: Path) -> None:
    require("http")
    folder = made("tensor", tmp_path)
    changed(folder / "service" / "engine.py", AT_A_MODEL, ENDS)
    with started(folder) as (process, port):
        others = load(port)
        with others.going_on():
            for _ in range(3):
                others.more()
                status, text = killed.got(port, PREDICTION, killed.tensor("x", [[POISON] * 8]))
                assert (status, json.loads(text)["err_no"]) == (500, 500)
                assert "3 processes that ran the model have ended at this request" in json.loads(text)["err_msg"]
            others.more()
        assert killed.got(port, "/health")[0] == 200


def test_http_replaces_a_process_that_hangs(tmp_path: Path) -> None:
    require("http")
    folder = made("tensor", tmp_path)
    changed(folder / "service" / "restarts.py", "STALLED = 10", "STALLED = 1")
    with started(folder) as (process, port):
        killed.kill_again_and_again(load(port), process.pid, [signal.SIGSTOP])
    assert "has done nothing for 1 s" in (folder / "errors.log").read_text()


def test_http_ends_when_the_model_cannot_be_loaded_any_more(tmp_path: Path) -> None:
    """Whoever waits for an answer is told; and until then it says that it is not ready."""
    require("http")
    folder = made("tensor", tmp_path)
    changed(folder / "service" / "engine.py", "def load(", "import time\n\n\ndef load(")
    with started(folder) as (process, port):
        others = load(port)
        engine = folder / "service" / "engine.py"
        changed(engine, "    kind = {", "    time.sleep(0.5)\n    raise OSError('no such model')\n    kind = {")
        (victim,) = killed.children(process.pid)
        os.kill(victim, signal.SIGKILL)
        killed.until(lambda: killed.got(port, "/health")[0] == 503)
        status, text = killed.got(port, PREDICTION, others.bodies[0])
        assert status == 500, text
        assert process.wait(60) == 1
    assert "the service ends: OSError: no such model" in (folder / "errors.log").read_text()
