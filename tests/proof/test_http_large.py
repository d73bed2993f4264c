"""Large requests to services of `--server http`, and bodies that hardly come: others are answered meanwhile."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.proof import killed
from tests.proof.test_attacks import ROW
from tests.proof.test_http import connected, made, started

pytestmark = pytest.mark.runtime
INFER, PREDICTION = "/v2/models/model/infer", "/model/prediction"
ROWS = np.random.default_rng(3).random((60_000, 8)).round(6).astype("float32")


def inference(data: Any, **more: Any) -> bytes:
    return json.dumps(
        {"inputs": [{"name": "x", "datatype": "FP32", "shape": [len(ROWS), 8], "data": data}], **more}
    ).encode()


def prediction(value: str) -> bytes:
    return json.dumps({"key": ["x"], "value": [value]}).encode()


def post(port: int, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    with contextlib.closing(connection):
        connection.request("POST", path, body)
        reply = connection.getresponse()
        return reply.status, json.loads(reply.read())


def values(answer: dict[str, Any]) -> np.ndarray:
    if "outputs" in answer:
        (output,) = answer["outputs"]
        return np.array(output["data"]).reshape(output["shape"])
    assert answer["err_no"] == 0, answer["err_msg"]
    return np.array(json.loads(answer["value"][0]))


def used(pid: int) -> float:
    """Seconds of the processor that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_large_requests_are_read_elsewhere_and_answered_like_small_ones(tmp_path: Path) -> None:
    """In all forms; what is wrong with one is said as of a small one. The process that reads may be killed meanwhile."""
    with started(made("tensor", tmp_path)) as (process, port):
        (model,) = killed.children(process.pid)
        small = values(post(port, PREDICTION, prediction(json.dumps(ROWS[:5].tolist())))[1])
        assert killed.children(process.pid) == [model]  # none is there before it is needed
        before = used(process.pid)
        tensors = {"tensors": [{"name": "x", "elem_type": 1, "shape": [len(ROWS), 8], "float_data": ROWS.ravel().tolist()}]}  # fmt: skip
        good = [
            (INFER, inference(ROWS.tolist())),
            (PREDICTION, prediction(json.dumps(ROWS.tolist()))),
            (PREDICTION, json.dumps(tensors).encode()),
        ]
        first = None
        for path, body in good:
            status, answer = post(port, path, body)
            found = values(answer)
            np.testing.assert_allclose(found[:5], small, atol=1e-6)
            first = found if first is None else first
            assert status == 200 and np.array_equal(found, first)
        (reader,) = set(killed.children(process.pid)) - {model}
        assert used(process.pid) - before < used(reader), "the process with the connections did the reading"
        wrong = [
            (INFER, inference(ROWS.tolist())[:-5], 400, "no JSON"),
            (INFER, inference(ROWS[1:].tolist()), 400, "not as many as its shape says"),
            (INFER, inference(ROWS.tolist(), outputs=[{"name": "nope"}]), 400, "there is no output nope"),
            (PREDICTION, prediction(json.dumps(ROWS.tolist()))[:-5], 400, "no JSON"),
            (PREDICTION, prediction(json.dumps(ROWS.tolist())[:-3]), 200, "the rows have different lengths"),
        ]
        for path, body, want, said in wrong:
            status, answer = post(port, path, body)
            assert status == want and said in answer.get("error", answer.get("err_msg")), (status, str(answer)[:300])

        found = []
        asking = threading.Thread(target=lambda: found.append(post(port, *good[1])))
        asking.start()
        busy = used(reader)
        killed.until(lambda: used(reader) > busy + 0.05)
        os.kill(reader, signal.SIGKILL)
        asking.join()
        ((status, answer),) = found
        assert status == 200 and np.array_equal(values(answer), first)
        assert set(killed.children(process.pid)) > {model} and reader not in killed.children(process.pid)


@pytest.mark.parametrize(
    ("length", "piece"),
    [("Transfer-Encoding: chunked", b"1\r\n{\r\n"), ("Content-Length: 100000", b"{")],
    ids=["chunks", "a length"],
)
def test_bodies_that_hardly_come_keep_nobody_from_an_answer(length: str, piece: bytes, tmp_path: Path) -> None:
    """As many connections as there may be, each with a byte of its body now and then: the slowest is closed for the next."""
    head = f"POST {PREDICTION} HTTP/1.1\r\nHost: x\r\n{length}\r\n\r\n".encode()
    body = prediction(json.dumps(ROW.tolist()))
    with started(made("tensor", tmp_path)) as (_, port), contextlib.ExitStack() as stack:
        upload = stack.enter_context(connected(port))  # which comes slowly, but comes
        upload.sendall(
            f"POST {PREDICTION} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body) + 500_000}\r\n\r\n".encode()
        )
        upload.sendall(b" " * 250_000)
        assert post(port, PREDICTION, body)[0] == 200  # by then it is read
        slow = [stack.enter_context(connected(port)) for _ in range(520)]
        for one in slow:
            with contextlib.suppress(ConnectionError):
                one.sendall(head + piece)
        before = time.monotonic()
        while killed.got(port, PREDICTION, body)[0] == 503:  # uvicorn still counts those that have just been closed
            assert time.monotonic() - before < 30
            time.sleep(0.1)
        for _ in range(20):
            status, answer = post(port, PREDICTION, body)
            assert (status, answer.get("err_no")) == (200, 0), answer
        assert time.monotonic() - before < 50  # a body has a minute
        upload.sendall(b" " * 250_000 + body)
        reply = http.client.HTTPResponse(upload)
        reply.begin()  # its head and its body may come apart
        assert json.loads(reply.read())["err_no"] == 0
