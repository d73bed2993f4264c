"""Services of `--server http` in their real server: every kind answers as Paddle does, in both protocols; attacks, mixed
lengths, signals under load."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mconv import api
from mconv.errors import RuntimeFailedError, UsageError
from mconv.runtimes.ports import free_ports
from mconv.runtimes.recipes import RECIPES
from tests.golden import case
from tests.managed import require
from tests.proof import killed
from tests.proof.services import UNREADABLE, bfloat16_here, running
from tests.proof.test_attacks import ROW, answered, body
from tests.proof.test_services import TOGETHER
from tests.serving.attacks import TEXTS, mutated

pytestmark = pytest.mark.runtime

VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"abcdefgh"]
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def made(kind: str, folder: Path, **more: Any) -> Path:
    """A model's serving_server/ and its service of that kind."""
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")
    options = {"text": {"tokenizer": folder / "vocab.txt", "max_length": 16}}.get(kind, {})
    model = {"text": "2.3.2-bert", "image": "2.3.2-conv", "tensor": "2.3.2-mlp"}[kind]
    api.to_serving(case(model).model, out=folder, pipeline={"server": "http", "service": kind, **options, **more})
    return folder


@pytest.mark.parametrize("kind", ["text", "image", "tensor"])
def test_every_form_is_answered_as_by_paddle(kind: str, tmp_path: Path) -> None:
    require("http")
    require("paddle-2.3.2")
    report = api.serve_check(made(kind, tmp_path))
    forms = ["http key/value", *([] if kind == "image" else ["http tensors"]), "open inference", "http_client.py", "bad requests"]  # fmt: skip
    assert [(f.form, f.ok, f.reason) for f in report.forms] == [(form, True, "") for form in forms]
    assert (report.server, report.kind, report.onednn) == ("http", kind, None)


def test_without_a_service_one_is_made_for_the_server_that_is_named(tmp_path: Path) -> None:
    require("http")
    api.to_serving(case("2.3.2-mlp").model, out=tmp_path)
    report = api.serve_check(tmp_path, server="http")
    assert report.ok and report.server == "http" and report.service is None
    made_for = tmp_path / "there"
    made_for.mkdir()
    with pytest.raises(UsageError, match="is a service of http, not of paddle-serving"):
        api.serve_check(made("tensor", made_for), server="paddle-serving")


@pytest.mark.parametrize(
    ("backend", "kind"),
    [
        ("onnxruntime", "text"),
        pytest.param("onnxruntime", "image", marks=pytest.mark.slow),
        pytest.param("onnxruntime", "tensor", marks=pytest.mark.slow),
        ("paddle", "tensor"),
        pytest.param("paddle", "text", marks=pytest.mark.slow),
        pytest.param("paddle", "image", marks=pytest.mark.slow),
    ],
)
def test_other_engines_answer_as_paddle_does(backend: str, kind: str, tmp_path: Path) -> None:
    require("http-paddle" if backend == "paddle" else "http")
    require("paddle-2.3.2")
    folder = made(kind, tmp_path, backend=backend)
    if backend == "onnxruntime":
        with pytest.raises(UsageError, match=r"has no model\.onnx"):
            api.serve_check(folder)
        api.to_onnx(folder / "serving_server", folder / "service" / "model.onnx", verify=False)
    report = api.serve_check(folder)
    assert report.ok, [(f.form, f.reason) for f in report.forms if not f.ok]


# which precisions OpenVINO runs the fully connected layers of a program in
PRECISIONS = """
import sys, openvino
made = openvino.Core().compile_model(sys.argv[1], "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
told = [op.get_rt_info() for op in made.get_runtime_model().get_ops()]
said = lambda value: value.astype(str) if hasattr(value, "astype") else str(value)
print(*sorted({said(i["runtimePrecision"]) for i in told if said(i["layerType"]) == "FullyConnected"}))
"""


def test_a_quantised_model_is_int8_in_openvino(tmp_path: Path) -> None:
    """What `mconv quantize` writes for Paddle, OpenVINO computes in 8 bits as it is."""
    where = require("http")
    require("paddle-2.3.2")
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "data.npz", x=rng.standard_normal((64, 8)).astype(np.float32))
    api.quantize(case("2.3.2-mlp").model, tmp_path / "int8", data=tmp_path / "data.npz", runtime="paddle-2.3.2")
    api.to_serving(tmp_path / "int8", out=tmp_path, pipeline={"server": "http"})
    for model, wanted in ((tmp_path / "int8", "i8"), (case("2.3.2-mlp").model, "f32")):
        (program,) = Path(model).glob("*.pdmodel")
        command = [str(where.python), "-c", PRECISIONS, str(program)]
        done = subprocess.run(command, capture_output=True, text=True, env=where.environ(), timeout=120)
        assert done.stdout.split() == [wanted], (done.stdout, done.stderr[-500:])
    report = api.serve_check(tmp_path, tolerance=1e-2)
    assert report.ok, [(f.form, f.reason) for f in report.forms if not f.ok]


@pytest.mark.parametrize("kind", ["text", "image"])
def test_bfloat16_where_the_processor_has_it(kind: str, tmp_path: Path) -> None:
    """The answers are those of bfloat16, and are compared as such; without instructions for it they are float32's."""
    require("http")
    require("paddle-2.3.2")
    report = api.serve_check(made(kind, tmp_path, precision="bf16"))
    assert report.ok, [(f.form, f.reason) for f in report.forms if not f.ok]
    largest = max(f.max_abs for f in report.forms if f.max_abs is not None)
    assert (largest > 1e-4) == bfloat16_here(), largest


def open_inference(rng: random.Random) -> bytes:
    """A request of the Open Inference Protocol with something in it that is not."""
    tensor: dict[str, Any] = {"name": "x", "datatype": "FP32", "shape": [1, 8], "data": ROW[0].tolist()}
    values = (None, True, -1, 1e308, 2**70, "", "x", [], [[]], {}, [1], ["x", 1], [[1], [2, 3]], [2**40, 2**40], "BYTES",
              "INT64", mutated(rng), [-1, 8], [8] * 40)  # fmt: skip
    for _ in range(rng.randrange(1, 3)):
        tensor[rng.choice(("name", "datatype", "shape", "data", "parameters"))] = rng.choice(values)
    found: dict[str, Any] = {"inputs": [tensor] * rng.choice((1, 1, 2))}
    if rng.random() < 0.2:
        found[rng.choice(("inputs", "outputs", "id"))] = rng.choice(values)
    text = json.dumps(found)
    return (text[: rng.randrange(len(text))] if rng.random() < 0.2 else text).encode("utf-8", "surrogatepass")


# what Paddle Serving's server cannot read as its message, and what it can and refuses
NO_MESSAGES = {
    b"[]": 400, b'{"key": [1], "value": ["1"]}': 400, b'{"key": "x"}': 400, b'{"tensors": [1]}': 400,
    b'{"tensors": [{"name": "x", "shape": "8"}]}': 400, b'{"key": ["x"], "value": []}': 200,
}  # fmt: skip


@pytest.mark.parametrize("count", [300, pytest.param(2000, marks=pytest.mark.slow)])
def test_nothing_that_is_sent_stops_the_service(tmp_path: Path, count: int) -> None:
    rng = random.Random(count)
    with running(made("tensor", tmp_path), request_timeout=30) as service:
        good = service.ask("http key/value", {"x": ROW})
        ((name, wanted),) = good.values.items()
        for what, text in TEXTS.items():
            request = json.dumps({"key": ["x"], "value": [text]}).encode("utf-8", "surrogatepass")
            status, reply = service.post(request)
            assert status in (200, 400) and json.loads(reply)["err_no"] == 400, (what, status, reply[:200])
        for sent, wanted_status in NO_MESSAGES.items():
            status, reply = service.post(sent)
            assert (status, json.loads(reply)["err_no"]) == (wanted_status, 400), (sent, reply[:200])
        for index in range(count):
            sent = body(rng)
            status, reply = service.post(sent)
            assert status in (200, 400), (status, sent, reply[:300])
            found = json.loads(reply)
            assert (found["err_no"], found["key"]) == (0, [name]) or found["err_no"] == 400 and not found["key"], sent
            sent = open_inference(rng)
            status, reply = service.post(sent, "open-inference")
            assert status in (200, 400), (status, sent, reply[:300])
            assert "error" in json.loads(reply) if status == 400 else json.loads(reply)["outputs"], sent
            if index % 100 == 99:
                answered(service, name, wanted)
        tensor = {"name": "x", "datatype": "FP32", "shape": [1, 8], "data": ROW[0].tolist()}
        for wrong in ([{"name": "nothing"}], [{}], ["y"], "y", 5, {"name": "y"}):
            status, reply = service.post(json.dumps({"inputs": [tensor], "outputs": wrong}).encode(), "open-inference")
            assert status == 400 and "output" in json.loads(reply)["error"], (wrong, reply[:300])
        deep = b'{"inputs": ' + b"[" * 100_000
        assert service.post(deep, "open-inference")[0] == 400
        assert "Traceback" not in (service.folder / "service.log").read_text()


def test_texts_of_mixed_lengths_are_run_together(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    count = 200
    texts = [" ".join(rng.choice(VOCABULARY[4:], n)) for n in rng.integers(1, 14, count)]
    path = made("text", tmp_path) / "service" / "service.py"
    path.write_text(path.read_text().replace('checks.LEVEL, "WARNING"', 'checks.LEVEL, "INFO"'))
    with running(tmp_path) as service:
        (service.folder / "together.py").write_text(TOGETHER)
        answer = service.run("together.py", json.dumps(texts))
        assert not answer.error, answer.error
        assert answer.values["together"].shape == (count, 3) and np.ptp(answer.values["alone"], axis=0).min() > 1e-3
        np.testing.assert_allclose(answer.values["together"], answer.values["alone"], atol=1e-5)
        log = (service.folder / "service.log").read_text()
        together = [int(number) for number in re.findall(r"(\d+) requests were run together", log)]
        assert sum(together) > count / 10 and "not joined any more" not in log
        assert service.ask("http key/value", {"0": "word " * 30}).others["truncated"] == ["0"]


# ------------------------------------------------------------------------------------------------- signals


@contextlib.contextmanager
def started(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The service's process, ready, and its port."""
    where = require("http")
    (port,) = free_ports(1)
    env = where.environ(SERVICE_HOST="127.0.0.1", SERVICE_HTTP_PORT=str(port), OMP_NUM_THREADS="1")
    with open(folder / "errors.log", "w") as errors:
        process = subprocess.Popen([str(where.python), "service.py"], cwd=folder / "service", env=env, stderr=errors)
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                with DIRECT.open(f"http://127.0.0.1:{port}/health", timeout=5) as reply:
                    assert reply.status == 200
                    break
            except OSError:
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.1)
        yield process, port
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("kept", [True, False], ids=["kept connections", "a connection each"])
def test_what_was_accepted_is_answered_before_it_ends(tmp_path: Path, kept: bool) -> None:
    """Under load, SIGTERM: whoever asks until shortly after it, as a load balancer does that looks at /health, has answers;
    then nobody listens."""
    sent = json.dumps({"key": ["x"], "value": [json.dumps(ROW.tolist())]})
    answers: list[int] = []
    lost: list[str] = []
    over = threading.Event()

    settings = made("tensor", tmp_path) / "service" / "service.yml"
    settings.write_text(settings.read_text().replace("linger: 1\n", "linger: 5\n"))
    with started(tmp_path) as (process, port):

        def load() -> None:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            while not over.is_set():
                try:
                    connection.request("POST", "/model/prediction", sent, {"Content-Type": "application/json"})
                    reply = connection.getresponse()
                    reply.read()
                    answers.append(reply.status)
                except (OSError, http.client.HTTPException) as error:
                    lost.append(repr(error))
                    return
                if not kept or reply.getheader("Connection") == "close":
                    connection.close()

        threads = [threading.Thread(target=load) for _ in range(8)]
        for thread in threads:
            thread.start()
        while len(answers) < 100:
            assert process.poll() is None and not lost
            time.sleep(0.01)
        before = len(answers)
        process.send_signal(signal.SIGTERM)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", "/health")
        assert connection.getresponse().status in (200, 503)
        over.wait(0.4)  # its linger is longer by far
        over.set()
        assert process.wait(60) == 0
        for thread in threads:
            thread.join(60)
    assert len(answers) > before
    assert set(answers) == {200} and lost == []


def test_what_openvino_cannot_read_says_what_reads_it(tmp_path: Path) -> None:
    """Its reader has no arg_max along the last axis; what its line says is done then works."""
    require("http")
    require("paddle-2.3.2")
    model = case("2.3.2-multi").model
    api.to_serving(model, out=tmp_path, pipeline={"server": "http", "service": "tensor"})
    (port,) = free_ports(1)
    with pytest.raises(RuntimeFailedError, match=UNREADABLE):
        api.serve(tmp_path, port=port)
    with pytest.raises(RuntimeFailedError, match=UNREADABLE):
        api.serve_check(tmp_path)
    require("http-paddle")
    api.scaffold(tmp_path / "serving_server", server="http", backend="paddle", force=True)
    assert api.serve_check(tmp_path).ok
    api.scaffold(tmp_path / "serving_server", server="http", backend="onnxruntime", force=True)
    api.to_onnx(tmp_path / "serving_server", tmp_path / "service" / "model.onnx", verify=False)
    assert api.serve_check(tmp_path).ok


def test_a_killed_service_is_noticed_and_what_it_says_of_itself(tmp_path: Path) -> None:
    require("http")
    folder = made("tensor", tmp_path)
    (port,) = free_ports(1)
    with api.serve(folder, port=port) as run:
        root = f"http://127.0.0.1:{port}"

        def got(path: str) -> Any:
            with DIRECT.open(root + path, timeout=30) as reply:
                return reply.read().decode()

        assert run.serving.server == "http" and run.serving.rpc is None
        described = json.loads(got("/v2/models/model"))
        assert described["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 8]}]
        assert "/v2/models/model/infer" in json.loads(got("/openapi.json"))["paths"]
        for url in (f"{root}/model/prediction", f"{root}/v2/models/model/infer"):
            assert api.verify(case("2.3.2-mlp").model, url, runtime="paddle-2.3.2", tolerance=1e-4).ok
            measured = api.bench_services([url], model=folder / "serving_server", threads=4, loops=5)
            assert [(one.status, one.wrong, one.errors) for one in measured.addresses] == [("ok", 0, 0)]
        assert 'serving_requests_total{protocol="open-inference",result="answered"}' in got("/metrics")
        (child,) = [
            int(entry.name)
            for entry in Path("/proc").iterdir()
            if entry.name.isdigit() and _is_service(entry, folder / "service")
        ]
        os.kill(child, signal.SIGKILL)
        with pytest.raises(RuntimeFailedError, match="has ended"):
            run.wait()


def _is_service(entry: Path, folder: Path) -> bool:
    with contextlib.suppress(OSError):
        return b"service.py" in (entry / "cmdline").read_bytes() and (entry / "cwd").resolve() == folder.resolve()
    return False


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rpc_port": 9000}, "--rpc-port: nothing that a service of http has: it has no RPC"),
        ({"device_type": 1}, "http runs models on the CPU"),
        ({"onednn": True}, "--onednn: nothing"),
        ({"backend": "x"}, "--backend: http runs no 'x'"),
        ({"precision": "fp16"}, "--precision: 'fp16' is not one of fp32, bf16"),
        ({"precision": "bf16", "backend": "onnxruntime"}, "--precision bf16: onnxruntime computes"),
        ({"precision": "bf16", "server": "paddle-serving"}, "--precision bf16: on a CPU, Paddle Serving computes"),
        ({"server": "x"}, "--server: 'x' is not one of paddle-serving, http"),
    ],
)
def test_options_that_mean_nothing_are_refused(options: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        made("tensor", tmp_path, **options)


@pytest.mark.parametrize(
    ("backend", "runtime", "beside"),
    [("openvino", "http", ("onnxruntime",)), ("paddle", "http-paddle", ("charset_normalizer", "setuptools"))],
)
def test_a_service_wants_the_packages_of_its_managed_runtime(
    backend: str, runtime: str, beside: tuple[str, ...], tmp_path: Path
) -> None:
    lines = (made("tensor", tmp_path, backend=backend) / "service" / "requirements.txt").read_text().splitlines()
    installed = {r for step in RECIPES[runtime].steps for r in step.requirements}
    assert {line for line in lines if not line.startswith("#")} == {r for r in installed if not r.startswith(beside)}


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), 30)


def ended(connection: socket.socket, seconds: float) -> bytes:
    """What a connection that the service closes has still said; a TimeoutError where it does not."""
    connection.settimeout(seconds)
    found = b""
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(1 << 16):
            found += part
    return found


def test_connections_that_ask_nothing_keep_nobody_from_an_answer(tmp_path: Path) -> None:
    """More than there may be, some with half a head; those that are kept after an answer, too."""
    with started(made("tensor", tmp_path)) as (_, port), contextlib.ExitStack() as stack:
        for number in range(700):
            one = stack.enter_context(connected(port))
            if number % 3:
                one.sendall(b"POST /model/prediction HTTP/1.1\r\nHost: x\r\n" if number % 3 == 1 else HEALTH)
        for _ in range(5):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            connection.request(
                "POST", "/model/prediction", json.dumps({"key": ["x"], "value": [json.dumps(ROW.tolist())]})
            )
            reply = connection.getresponse()
            assert (reply.status, json.loads(reply.read())["err_no"]) == (200, 0)
            connection.close()


HEALTH = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"


def impatient(folder: Path) -> Path:
    """A service with two seconds for a request."""
    path = made("tensor", folder) / "service" / "service.yml"
    path.write_text(path.read_text().replace("request_timeout: 60", "request_timeout: 2"))
    return folder


def test_heads_have_limits(tmp_path: Path) -> None:
    """In bytes and in seconds; and what comes behind a body is no head."""
    with started(impatient(tmp_path)) as (_, port):
        before = time.monotonic()
        silent, half, again = (connected(port) for _ in range(3))
        half.sendall(HEALTH[:30])
        again.sendall(HEALTH)
        assert again.recv(1 << 16).startswith(b"HTTP/1.1 200")
        again.sendall(HEALTH[:30])
        for one in (silent, half, again):
            assert ended(one, 30) == b""
        assert time.monotonic() - before < 50  # else they have a minute
        for sent in (
            b"GET /health HTTP/1.1\r\nX: " + b"x" * 500_000,
            b"GET /" + b"x" * 500_000,
            HEALTH[:-2] + b"X: y\r\n" * 90_000,
        ):
            huge = connected(port)
            with contextlib.suppress(ConnectionError):
                huge.sendall(sent)
                said = ended(huge, 30)
                assert not said or said.startswith(b"HTTP/1.1 400")  # nothing where the connection was reset
        trailed = connected(port)
        trailed.sendall(CHUNKED + b"X: y\r\n\r\n")
        assert ended(trailed, 30).startswith(b"HTTP/1.1 400")
        assert killed.status(port, "/health") == 200


CHUNKED = b"POST /model/prediction HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"


def test_a_client_that_takes_no_answers_is_let_go(tmp_path: Path) -> None:
    with started(impatient(tmp_path)) as (_, port):
        one = connected(port)
        one.settimeout(5)
        with contextlib.suppress(OSError):
            for _ in range(2000):
                one.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n")
        time.sleep(6)
        with pytest.raises(ConnectionError):
            one.settimeout(30)
            while one.recv(1 << 16):
                pass
            raise ConnectionResetError("closed in order")
        assert killed.status(port, "/health") == 200


def test_a_port_that_is_taken_is_said_before_the_model_is_loaded(tmp_path: Path) -> None:
    service = made("tensor", tmp_path) / "service"
    where = require("http")
    with open(service / "engine.py", "a") as engine:
        engine.write("\n\ndef load(*_):\n    raise ValueError('the model is loaded')\n")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        env = where.environ(SERVICE_HOST="127.0.0.1", SERVICE_HTTP_PORT=str(port))
        ran = subprocess.run([str(where.python), "service.py"], cwd=service, env=env, capture_output=True, text=True)
    assert ran.returncode == 1 and len(ran.stderr.splitlines()) == 1, ran.stderr
    assert (
        ran.stderr.startswith(f"error: cannot listen on 127.0.0.1, port {port}: ") and "SERVICE_HTTP_PORT" in ran.stderr
    )


def test_how_large_a_request_may_be_is_a_setting(tmp_path: Path) -> None:
    path = made("tensor", tmp_path) / "service" / "service.yml"
    text = path.read_text()
    assert "max_body: 64\n" in text
    path.write_text(text.replace("max_body: 64", "max_body: 0.5"))
    with started(tmp_path) as (_, port):
        # the last one is far more than a system keeps of what nobody reads
        for size, wanted in ((400_000, 400), (600_000, 413), (60_000_000, 413)):
            status, reply = killed.got(port, "/model/prediction", b"x" * size)
            assert status == wanted and (b"is larger than 0.5 MiB" in reply) == (wanted == 413), reply[:200]
        one = connected(port)
        one.sendall(
            b"POST /model/prediction HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\nExpect: 100-continue\r\n\r\n"
        )
        assert ended(one, 30).startswith(b"HTTP/1.1 413")  # it waits to be told to send them
        one = connected(port)
        one.sendall(CHUNKED.replace(b"2\r\n{}\r\n", b"1000000\r\n" + b"x" * (1 << 24) + b"\r\n") + b"\r\n")
        assert ended(one, 30).startswith(b"HTTP/1.1 413")
