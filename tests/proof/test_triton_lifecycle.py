"""What is said to be answered by a service in Triton is, when models are loaded anew, processes die and the server is told to end."""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
from concurrent import futures
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.proof.triton_services import Load, scaffold, started, texts_service  # noqa: F401 - a fixture

pytestmark = pytest.mark.runtime


def test_a_new_version_under_load_and_one_that_is_asked_for(texts: Any) -> None:
    """Version 2 answers with the outputs' signs changed; nothing is lost while it comes, and none is wrong."""
    ask, known = texts
    models = ask.folder / "models" / "model"
    both = {text: [want, -want] for text, (want,) in known.items()}
    (start,) = ask.processes("start.py")
    with Load(ask, both) as load:
        load.more("version 1")
        shutil.copytree(models / "1", models / "2")
        engine = models / "2" / "engine.py"
        engine.write_text(engine.read_text().replace(".data.copy()", ".data * -1"))
        os.kill(start, signal.SIGHUP)
        load.more("version 2")
        shutil.rmtree(models / "2")
        os.kill(start, signal.SIGHUP)
        load.more("version 1")
    assert set(load.counts) == {"version 1", "version 2"}, load.counts


def test_a_version_that_cannot_be_loaded_leaves_the_old_one(texts: Any) -> None:
    ask, known = texts
    models = ask.folder / "models" / "model"
    (start,) = ask.processes("start.py")
    with Load(ask, known) as load:
        shutil.copytree(models / "1", models / "2")
        with (models / "2" / "model.py").open("a") as file:
            file.write("raise SystemError('this one is broken')\n")
        os.kill(start, signal.SIGHUP)
        ask.wait_for("start.py: error: model cannot be loaded anew: ")
        load.more("version 1")
        shutil.rmtree(models / "2")
        said = ask.log.count("start.py: model is loaded anew")
        os.kill(start, signal.SIGHUP)
        ask.wait_for("start.py: model is loaded anew", said + 1)
        load.more("version 1")
    assert set(load.counts) == {"version 1"}, load.counts


@pytest.mark.parametrize(
    "victims",
    [
        "Triton itself",
        "one that runs the model",
        pytest.param("one that hangs", marks=pytest.mark.long),
        pytest.param("all that run the model", marks=pytest.mark.slow),  # waits for what the one before has left
    ],
)
def test_a_process_that_dies_is_noticed_and_replaced(texts: Any, victims: str) -> None:
    """Over HTTP and over gRPC."""
    ask, known = texts
    with Load(ask, known) as load:
        load.more("version 1")
        deadline = time.monotonic() + 60
        while len(ask.processes("triton_python_backend_stub")) > 2:  # those of a model that is being unloaded
            assert time.monotonic() < deadline
            time.sleep(0.1)
        stubs = ask.processes("triton_python_backend_stub")
        assert stubs
        # Triton may not live through what its process did, and is then started anew with the model
        again = r"start\.py: model is loaded anew|start\.py: Triton has ended .*, and is started anew"
        said = len(re.findall(again, ask.log))
        if victims == "Triton itself":
            os.kill(ask.processes("tritonserver/bin/tritonserver")[0], signal.SIGKILL)
            ask.wait_for("start.py: Triton has ended with status -9, and is started anew")
        else:
            killed = stubs if victims.startswith("all") else stubs[:1]
            for pid in killed:
                os.kill(pid, signal.SIGSTOP if victims == "one that hangs" else signal.SIGKILL)
            for pid in killed:
                ask.wait_for(f"process {pid}, which ran model, has ended")
            ask.wait_for(again, said + 1)
        time.sleep(1)  # what was still with the old one
        load.more("version 1")
    # none has noticed: what was with the process that died was asked for again
    assert set(load.counts) == {"version 1"}, load.counts
    for text, (want,) in known.items():
        np.testing.assert_allclose(ask([text])["outputs"][0]["data"], want, atol=1e-5)


# where a text ends the process: before it waits for its turn, and when that has come
DEADLY = {
    "read": ("text_input.py", "        if not request:\n", "'h h h' in request.values()"),
    "run": ("engine.py", "        for alias, array in feed.items():\n", "any((array == 11).sum() == 3 for array in feed.values())"),
}  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize("module, head, deadly", DEADLY.values(), ids=DEADLY)
def test_a_request_that_ends_processes_is_not_asked_for_again_and_again(
    tmp_path: Path, module: str, head: str, deadly: str
) -> None:
    """And takes no others along."""
    service = scaffold(tmp_path, "bert")
    path = service / "models" / "model" / "1" / module
    assert head in path.read_text()
    kill = f"        if {deadly}:\n            __import__('os').kill(__import__('os').getpid(), 9)\n"
    path.write_text(path.read_text().replace(head, kill + head, 1))
    with started(service) as ask:
        want = np.array(ask(["a b c"])["outputs"][0]["data"])
        with Load(ask, {"a b c": [want]}) as load:
            load.more("version 1")
            answer = ask(["h h h"])
            assert "500" in answer and ask.log.count("has ended") <= 6, (answer, ask.log)
            load.more("version 1")
        assert set(load.counts) == {"version 1"}, load.counts
        answer = ask(["a b c"])
        assert isinstance(answer, dict), (answer, ask.log)
        np.testing.assert_allclose(answer["outputs"][0]["data"], want, atol=1e-5)
        assert "is not healthy" in ask.over_grpc(["h h h"])
        np.testing.assert_allclose(ask.over_grpc(["a b c"])["outputs"][0]["data"], want.ravel(), atol=1e-5)


# where a text has a thread wait for ever, while the file "hang" is there: before it waits for its turn, where execute never
# returns, and when that has come
@pytest.mark.long
@pytest.mark.parametrize("module, head", [each[:2] for each in DEADLY.values()], ids=DEADLY)
def test_a_model_that_deadlocks_is_replaced_and_what_it_had_is_answered(
    tmp_path: Path, module: str, head: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within SERVICE_STALLED seconds where no other thread goes on, else SERVICE_LONGEST_INFERENCE; over HTTP and gRPC. One that
    has every process wait gets an error."""
    monkeypatch.setenv("SERVICE_STALLED", "2")
    monkeypatch.setenv("SERVICE_LONGEST_INFERENCE", "8")
    service, once, always = scaffold(tmp_path, "bert"), tmp_path / "once", tmp_path / "always"
    path = service / "models" / "model" / "1" / module
    what = "'h h h' in request.values()" if module == "text_input.py" else DEADLY["run"][2]
    wait = (
        f"        if {what}:\n"
        f"            import os, threading\n"
        f"            if os.path.exists({str(always)!r}):\n"
        f"                threading.Event().wait()\n"
        f"            if os.path.exists({str(once)!r}):\n"
        f"                os.unlink({str(once)!r})\n"
        f"                threading.Event().wait()\n"
    )
    assert head in path.read_text()
    path.write_text(path.read_text().replace(head, wait + head, 1))
    with started(service) as ask:
        known = {text: [np.array(ask([text])["outputs"][0]["data"])] for text in ("a b c", "h h h")}
        once.touch()
        answer = ask(["h h h"])
        assert isinstance(answer, dict), (answer, ask.log[-2000:])
        np.testing.assert_allclose(answer["outputs"][0]["data"], known["h h h"][0], atol=1e-5)
        assert "has done nothing for 2 s with an inference, and is ended" in ask.log
        with Load(ask, known, threads=4) as load:
            load.more("version 1")
            once.touch()
            ask.wait_for("start.py: model is loaded anew", 2)
            load.more("version 1")
        assert set(load.counts) == {"version 1"}, (load.counts, ask.log[-2000:])
        always.touch()
        answer = ask(["h h h"])
        assert "500" in answer and "is not healthy" in answer, answer
        always.unlink()
        np.testing.assert_allclose(ask(["a b c"])["outputs"][0]["data"], known["a b c"][0], atol=1e-5)


@pytest.mark.long
def test_what_was_accepted_is_answered_when_the_server_is_told_to_end(tmp_path: Path) -> None:
    service = scaffold(tmp_path, "bert", concurrency=1)
    model = service / "models" / "model" / "1" / "model.py"
    slow = "    def execute(self, requests):\n        __import__('time').sleep(1)\n"
    model.write_text(model.read_text().replace("    def execute(self, requests):\n", slow, 1))
    config = service / "models" / "model" / "config.pbtxt"
    config.write_text(config.read_text().replace("max_batch_size: 64", "max_batch_size: 2"))
    with started(service) as ask, futures.ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(ask, ["a b c"]) for _ in range(8)]
        (start,) = ask.processes("start.py")
        futures.wait(
            answers, return_when=futures.FIRST_COMPLETED
        )  # of four that take a second each: they are all there
        assert not all(answer.done() for answer in answers)
        os.kill(start, signal.SIGTERM)
        assert [answer.result()["outputs"][0]["shape"] for answer in answers] == [[1, 3]] * 8
        deadline = time.monotonic() + 60
        while ask.processes("triton"):
            assert time.monotonic() < deadline
            time.sleep(0.1)
    assert not list(Path("/dev/shm").glob(f"triton_{start}_*"))


def test_nothing_that_was_accepted_is_lost_when_the_server_is_told_to_end_under_load(tmp_path: Path) -> None:
    with started(scaffold(tmp_path, "bert", concurrency=1)) as ask:
        want = np.array(ask(["a b c"])["outputs"][0]["data"])
        with Load(ask, {"a b c": [want]}) as load:
            load.more("version 1")
            os.kill(ask.processes("start.py")[0], signal.SIGTERM)
            deadline = time.monotonic() + 60
            while ask.processes("tritonserver"):
                assert time.monotonic() < deadline
                time.sleep(0.1)
        refused = [kind for kind in load.counts if kind != "version 1"]
        assert all(
            (kind.startswith("lost: ") and "Connection refused" in kind) or kind.startswith("UNAVAILABLE: ")
            for kind in refused
        ), load.counts
