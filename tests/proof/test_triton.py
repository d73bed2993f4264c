"""Services in the real Triton Inference Server: they answer like direct inference, and what is said to be answered is, when
texts of many lengths come at once, models are loaded anew, processes die and the server is told to end.
"""

from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable, Optional, Union
from urllib.parse import urlsplit

import numpy as np
import pytest

from mconv import api
from mconv.errors import RuntimeFailedError
from mconv.runtimes.ports import free_ports
from tests.golden import case
from tests.managed import require
from tests.proof.grpc_inference import Refused, grpc_ask, grpc_outputs, grpc_stream
from tests.proof.services import bfloat16_here

pytestmark = pytest.mark.runtime
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"abcdefgh"]


@pytest.fixture(scope="module", autouse=True)
def _triton() -> None:
    require("triton")


def scaffold(folder: Path, golden: str, **options: Any) -> Path:
    """A service for Triton around a golden model, on ports of its own."""
    http, grpc, metrics = free_ports(3)
    ports = {"http_port": http, "rpc_port": grpc, "health_port": metrics}
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")
    if golden == "bert":
        options = {"tokenizer": folder / "vocab.txt", "max_length": 16, **options}
    api.to_serving(case(f"2.3.2-{golden}").model, out=folder, pipeline={"server": "triton", **ports, **options})
    return folder / "service"


@pytest.mark.parametrize(
    "golden, options",
    [
        ("bert", {}),
        ("mlp", {}),
        ("conv", {}),
        ("bert", {"precision": "bf16"}),
        pytest.param("bert", {"backend": "paddle"}, marks=pytest.mark.slow),
        pytest.param("mlp", {"backend": "paddle"}, marks=pytest.mark.slow),
        pytest.param("multi", {"backend": "paddle"}, marks=pytest.mark.slow),
    ],
)
def test_it_answers_as_direct_inference_does(tmp_path: Path, golden: str, options: dict[str, Any]) -> None:
    require("paddle-2.3.2")
    if options.get("backend") == "paddle":
        require("paddle-2.6.2")
    report = api.serve_check(scaffold(tmp_path, golden, **options))
    assert report.ok, report
    if options.get("precision") == "bf16":
        largest = max(f.max_abs for f in report.forms if f.max_abs is not None)
        assert (largest > 1e-4) == bfloat16_here(), largest


UNREADABLE = (
    r"OpenVINO cannot read this model \(.*arg_max\); write the service again with --backend paddle, or --backend "
    r"onnxruntime \(`mconv to-onnx MODEL model\.onnx` makes its file\)(\n|$)"
)


def test_a_model_that_openvino_cannot_read_says_so(tmp_path: Path) -> None:
    """Its reader has no arg_max along the last axis."""
    with pytest.raises(RuntimeFailedError, match=UNREADABLE):
        api.serve(scaffold(tmp_path, "multi"))


def test_onnx_runtime(tmp_path: Path) -> None:
    service = scaffold(tmp_path, "mlp", backend="onnxruntime")
    golden = case("2.3.2-mlp")
    api.to_onnx(golden.model, service / "models" / "model" / "1" / "model.onnx", verify=False)
    ((name, rows),) = golden.inputs.items()
    (want,) = golden.outputs
    with started(service) as ask:
        (got,) = ask([{"name": name, "datatype": "FP32", "shape": list(rows.shape), "data": rows.tolist()}])["outputs"]
    np.testing.assert_allclose(np.reshape(got["data"], got["shape"]), want, atol=1e-5)


# ------------------------------------------------------------------------------------------------ a server under load

Ask = Callable[[Union[Sequence[str], list[Any]]], Any]


class Started:
    """A service that runs; called with texts or inputs, it sends them and gives the answer or the error as a text."""

    def __init__(self, run: Any, folder: Path):
        self.run, self.folder = run, folder
        self.url: str = run.serving.url
        self.base = self.url.partition("/v2/")[0] + "/v2/"

    def __call__(self, sent: Union[Sequence[str], list[Any]]) -> Any:
        if isinstance(sent[0], str):
            sent = [{"name": "text", "datatype": "BYTES", "shape": [len(sent), 1], "data": list(sent)}]
        return self.post(json.dumps({"inputs": sent}).encode())

    @property
    def grpc(self) -> str:
        """Where gRPC is asked."""
        return f"127.0.0.1:{json.loads((self.folder / 'service.json').read_text())['grpc_port']}"

    def over_grpc(self, texts: Sequence[str]) -> Any:
        """As over HTTP."""
        try:
            found = grpc_outputs(self.grpc, "model", "text", [text.encode() for text in texts])
        except Refused as error:
            return str(error)
        return {"outputs": [{"data": np.frombuffer(next(iter(found.values())), "float32")}]}

    def post(self, body: bytes, headers: Optional[dict[str, str]] = None) -> Any:
        try:
            with DIRECT.open(urllib.request.Request(self.url, body, headers or {}), timeout=120) as reply:
                return json.loads(reply.read())
        except TimeoutError as error:
            raise TimeoutError(self.log[-4000:]) from error
        except urllib.error.HTTPError as error:
            return f"{error.code} {error.read().decode(errors='replace')}"

    def processes(self, name: str) -> list[int]:
        """Those of this server whose command lines hold a text, and that still run."""
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and name.encode() in (entry / "cmdline").read_bytes():
                    environment = (entry / "environ").read_bytes()
                    if b"SERVICE_HTTP_PORT=" + re.findall(rb":(\d+)/", self.base.encode())[0] + b"\0" in environment:
                        found.append(int(entry.name))
        return found

    def peak(self) -> float:
        """MB that the largest of its processes has held."""
        states = [Path(f"/proc/{number}/status").read_text() for number in self.processes("")]
        return max(int(re.findall(r"VmHWM:\s+(\d+) kB", state)[0]) for state in states) / 1024

    @property
    def log(self) -> str:
        return str(self.run.serving.log.read_text(errors="replace"))

    def wait_for(self, said: str, times: int = 1) -> None:
        """Until the log has so many lines with it, an expression."""
        deadline = time.monotonic() + 120
        while len(re.findall(said, self.log)) < times:
            assert time.monotonic() < deadline, self.log[-2000:]
            time.sleep(0.1)


@contextlib.contextmanager
def started(folder: Path) -> Iterator[Started]:
    with api.serve(folder) as run:
        yield Started(run, folder)


class Load:
    """Requests of texts from many threads, half of them over gRPC, until it ends; the first version's answers are known."""

    def __init__(self, ask: Started, known: dict[str, list[np.ndarray]], threads: int = 8):
        self.ask, self.known, self.counts = ask, known, Counter[str]()
        self.ending, self.lock = threading.Event(), threading.Lock()
        self.threads = [threading.Thread(target=self.run, args=(n,)) for n in range(threads)]

    def run(self, number: int) -> None:
        texts, over = list(self.known), self.ask.over_grpc if number % 2 else self.ask
        while not self.ending.is_set():
            number += 1
            text = texts[number % len(texts)]
            try:
                answer = over([text])
            except OSError as error:
                answer = f"lost: {error}"
            kind = answer if isinstance(answer, str) else self.judged(text, answer)
            with self.lock:
                self.counts[kind] += 1

    def judged(self, text: str, answer: Any) -> str:
        got = np.array(answer["outputs"][0]["data"])
        fits = [version for version, want in enumerate(self.known[text], 1) if np.allclose(got, want, atol=1e-5)]
        return f"version {fits[0]}" if fits else "wrong"

    def __enter__(self) -> Load:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ending.set()
        for thread in self.threads:
            thread.join()

    def more(self, kind: str, count: int = 30) -> None:
        """Wait until so many more answers of a kind have come."""
        wanted, deadline = self.counts[kind] + count, time.monotonic() + 120
        while self.counts[kind] < wanted:
            assert time.monotonic() < deadline, self.counts
            time.sleep(0.05)


@pytest.fixture(scope="module")
def texts() -> Iterator[Any]:
    """A text service that runs, and texts of many lengths with what each is answered alone."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="mconv test-") as folder:
        with started(scaffold(Path(folder), "bert", concurrency=2)) as ask:
            rng = np.random.default_rng(1)
            made = sorted({" ".join(rng.choice(VOCABULARY[4:], n)) for n in rng.integers(1, 15, 120)})
            yield ask, {text: [np.array(ask([text])["outputs"][0]["data"])] for text in made}


def test_texts_of_mixed_lengths_at_once_are_answered_as_alone(texts: Any) -> None:
    ask, known = texts
    assert np.ptp([want for (want,) in known.values()], axis=0).min() > 1e-3
    with ThreadPoolExecutor(20) as pool:
        for text, answer in zip([*known] * 3, pool.map(lambda text: ask([text]), [*known] * 3)):
            np.testing.assert_allclose(answer["outputs"][0]["data"], known[text][0], atol=1e-5)
    everything = list(known)[:60]
    (logits, cut) = ask(everything)["outputs"]
    want = np.concatenate([known[text][0] for text in everything])
    np.testing.assert_allclose(logits["data"], want, atol=1e-5)
    assert cut["shape"] == [60, 1] and not any(cut["data"])
    assert ask(["a " * 40])["outputs"][1]["data"] == [True]
    # that requests were run together is in the server's own figures
    with DIRECT.open(ask.base + "models/model/stats") as reply:
        (stats,) = json.loads(reply.read())["model_stats"]
    assert int(stats["execution_count"]) < int(stats["inference_count"])
    metrics = DIRECT.open(
        f"http://127.0.0.1:{json.loads((ask.folder / 'service.json').read_text())['metrics_port']}/metrics"
    )
    assert 'nv_inference_request_success{model="model",version="1"}' in metrics.read().decode()


BROKEN = {
    "nothing": b"",
    "no JSON": b"{'inputs': [",
    "a list": b"[1, 2]",
    "no inputs": b"{}",
    "another input": b'{"inputs": [{"name": "x", "datatype": "BYTES", "shape": [1, 1], "data": ["a"]}]}',
    "another type": b'{"inputs": [{"name": "text", "datatype": "FP32", "shape": [1, 1], "data": [1]}]}',
    "another shape": b'{"inputs": [{"name": "text", "datatype": "BYTES", "shape": [2, 1], "data": ["a"]}]}',
    "a negative shape": b'{"inputs": [{"name": "text", "datatype": "BYTES", "shape": [-1, 1], "data": ["a"]}]}',
    "a huge shape": b'{"inputs": [{"name": "text", "datatype": "BYTES", "shape": [9223372036854775807, 1], "data": ["a"]}]}',
    "many lists": b'{"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1, 1], "data": ['
    + b"[]," * 2_000_000
    + b"[]]}]}",
    "an empty text": b'{"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1, 1], "data": [" "]}]}',
    "deep": b'{"inputs": ' + b"[" * 1_000_000,
    "so deep that Triton would end": b'{"inputs": ' + b'[{"a":' * 11_000_000,
    "too many texts": json.dumps(
        {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [500, 1], "data": ["a"] * 500}]}
    ).encode(),
    "a long text": json.dumps(
        {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1, 1], "data": ["a" * 10_000_000]}]}
    ).encode(),
}


def test_broken_and_huge_requests_get_an_answer(texts: Any) -> None:
    ask, known = texts
    for what, body in BROKEN.items():
        for headers, sent in (({}, body), ({"Content-Encoding": "gzip"}, gzip.compress(body, 1))):
            answer = ask.post(sent, headers)
            assert isinstance(answer, str) and answer[0] in "45" and "error" in answer, (what, answer)
    assert ask.peak() < 1500
    text = next(iter(known))
    np.testing.assert_allclose(ask([text])["outputs"][0]["data"], known[text][0], atol=1e-5)
    for path in ("repository/index", "repository/models/model/unload", "repository/models/model/load"):
        with pytest.raises(urllib.error.HTTPError, match="403"):
            DIRECT.open(urllib.request.Request(ask.base + path, b"{}"))


@pytest.mark.parametrize("accepted", [None, "identity", "gzip"])
def test_an_answer_is_packed_only_for_those_who_ask_for_it(texts: Any, accepted: Optional[str]) -> None:
    """curl sends no Accept-Encoding; Python's own client always does."""
    ask, known = texts
    text = next(iter(known))
    inputs = [{"name": "text", "datatype": "BYTES", "shape": [1, 1], "data": [text]}]
    found = urlsplit(ask.url)
    with contextlib.closing(http.client.HTTPConnection(found.hostname, found.port, timeout=60)) as connection:
        body = json.dumps({"inputs": inputs}).encode()
        connection.putrequest("POST", found.path, skip_accept_encoding=True)
        for name, value in (("Content-Length", str(len(body))), ("Accept-Encoding", accepted)):
            if value is not None:
                connection.putheader(name, value)
        connection.endheaders(body)
        reply = connection.getresponse()
        data, packed = reply.read(), reply.getheader("Content-Encoding")
    assert reply.status == 200 and packed == ("gzip" if accepted == "gzip" else None), data
    answer = json.loads(gzip.decompress(data) if packed else data)
    np.testing.assert_allclose(answer["outputs"][0]["data"], known[text][0], atol=1e-5)


@pytest.mark.parametrize("method", ["HEAD", "PUT", "OPTIONS", "DELETE", "TRACE"])
def test_other_methods_are_refused_at_once(texts: Any, method: str) -> None:
    """Triton's own answer to HEAD is none; it was asked again, for a minute."""
    ask, _ = texts
    before = time.monotonic()
    answer = raw(ask, f"{method} /v2/models/model/infer HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 405 ") and time.monotonic() - before < 20
    assert method == "HEAD" or answer.endswith(b'{"error": "GET and POST are answered here"}')


def test_an_address_with_a_host_is_that_of_its_path(texts: Any) -> None:
    ask, _ = texts
    answer = raw(ask, b"GET http://other/v2/models/model/ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")


def raw(ask: Any, sent: bytes) -> bytes:
    with contextlib.closing(http.client.HTTPConnection(ask.base.split("/")[2], timeout=60)) as connection:
        connection.connect()
        connection.sock.sendall(sent)
        found = b""
        while part := connection.sock.recv(1 << 16):
            found += part
    return found


@pytest.mark.parametrize(
    "sent",
    [b"", b"POST /v2/models/model/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{"],
    ids=["nothing", "a body"],
)
def test_what_hardly_comes_keeps_nobody_from_an_answer(texts: Any, sent: bytes) -> None:
    """More connections than there may be: the slowest gives its place to the next, and one that comes has its own."""
    ask, known = texts
    text = next(iter(known))
    host, _, port = ask.base.split("/")[2].partition(":")
    head = b"POST /v2/models/model/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 400000\r\n\r\n"
    with contextlib.ExitStack() as stack:
        upload = stack.enter_context(socket.create_connection((host, int(port)), 60))
        upload.sendall(head + b" " * 200_000)
        time.sleep(1)  # until it is read
        slow = [stack.enter_context(socket.create_connection((host, int(port)), 60)) for _ in range(600)]
        for one in slow:
            with contextlib.suppress(ConnectionError):
                one.sendall(sent)
        time.sleep(1)
        for _ in range(5):
            np.testing.assert_allclose(ask([text])["outputs"][0]["data"], known[text][0], atol=1e-5)
        upload.sendall(b" " * 200_000)
        assert upload.recv(1 << 16).startswith(b"HTTP/1.1 ")
        gone = 0
        for one in slow:
            one.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                try:
                    gone += one.recv(10) == b""
                except ConnectionError:
                    gone += 1
        assert 80 < gone < 500, gone


PACKED = gzip.compress(b"{}")


@pytest.mark.parametrize(
    ("encoding", "sent", "status"),
    [
        ("gzip", b"{}", "400"),
        ("gzip", PACKED[:-9], "400"),
        ("deflate", b"{}", "400"),
        ("br", b"{}", "400"),
        ("gzip, gzip", gzip.compress(PACKED), "400"),
        ("gzip", gzip.compress(b" " * (300 << 20), 1), "413"),
    ],
    ids=["no gzip", "cut", "no deflate", "brotli", "twice", "too large"],
)
def test_what_is_not_compressed_as_it_says_is_refused(texts: Any, encoding: str, sent: bytes, status: str) -> None:
    ask, known = texts
    answer = ask.post(sent, {"Content-Encoding": encoding})
    assert isinstance(answer, str) and answer.startswith(status) and "error" in answer, answer
    text = next(iter(known))
    asked = {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1, 1], "data": [text]}]}
    for name, pack in (
        ("gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", lambda d: zlib.compress(d)[2:-4]),
    ):
        answer = ask.post(pack(json.dumps(asked).encode()), {"Content-Encoding": name})
        np.testing.assert_allclose(answer["outputs"][0]["data"], known[text][0], atol=1e-5)


def test_every_port_over_ipv6(tmp_path: Path) -> None:
    """Triton takes an address of that kind for its metrics under another name alone."""
    metrics = json.loads((scaffold(tmp_path, "mlp") / "service.json").read_text())["metrics_port"]
    with api.serve(tmp_path, host="::1") as run:
        assert "//[::1]:" in run.serving.url
        with DIRECT.open(f"http://[::1]:{metrics}/metrics", timeout=60) as reply:
            assert b"nv_inference_request_success" in reply.read()


HUGE = {
    "rows": b'"shape": [1000000000, 8]',
    "elements": b'"shape": [1000000000, 1]',
    "written otherwise": b'"sh\\u0061pe": [1000000000, 8]',
    "said twice": b'"shape": [1000000000, 8], "shape": [1, 8]',
    "not in shared memory": b'"parameters": {}, "shape": [1000000000, 8], "parameters": {"shared_memory_region": "r"}',
}


def test_a_shape_takes_no_memory_before_its_elements_are_counted(tmp_path: Path) -> None:
    """Triton ended, or took gigabytes and seconds."""
    with started(scaffold(tmp_path, "mlp")) as ask:
        for what, shape in HUGE.items():
            answer = ask.post(b'{"inputs": [{"name": "x", "datatype": "FP32", "data": [1.0], %s}]}' % shape)
            assert answer.startswith("400") and "shape [1000000000, " in answer, (what, answer)
        assert ask.peak() < 1500
        assert len(ask([{"name": "x", "datatype": "FP32", "shape": [1, 8], "data": [0.5] * 8}])["outputs"][0]["data"])


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


def test_streams_over_grpc(texts: Any) -> None:
    """Answers in the order of the requests, errors among them; and what is no inference is passed on, too."""
    ask, known = texts
    sent = [*known][:40]
    answers = grpc_stream(ask.grpc, "model", "text", [text.encode() for text in [*sent[:20], " ", *sent[20:]]])
    assert "is empty" in str(answers.pop(20))
    for text, answer in zip(sent, answers):
        assert isinstance(answer, dict)
        np.testing.assert_allclose(np.frombuffer(next(iter(answer.values())), "float32"), known[text][0], atol=1e-5)
    service = "/inference.GRPCInferenceService/"
    assert b"triton" in grpc_ask(ask.grpc, service + "ServerMetadata")
    for method in (service + "ServerReady", "/grpc.health.v1.Health/Check"):
        deadline = time.monotonic() + 60
        while (
            said := grpc_ask(ask.grpc, method)
        ) != b"\x08\x01":  # a model may still be loaded anew from a test before
            assert said in (b"", b"\x08\x02") and time.monotonic() < deadline, said
            time.sleep(0.1)
    with pytest.raises(Refused, match="UNAVAILABLE.*restricted|PERMISSION|restricted"):
        grpc_ask(ask.grpc, service + "RepositoryIndex")
    with pytest.raises(Refused, match="UNIMPLEMENTED"):
        grpc_ask(ask.grpc, service + "Nothing")


@pytest.mark.long
def test_what_was_accepted_is_answered_when_the_server_is_told_to_end(tmp_path: Path) -> None:
    service = scaffold(tmp_path, "bert", concurrency=1)
    model = service / "models" / "model" / "1" / "model.py"
    slow = "    def execute(self, requests):\n        __import__('time').sleep(1)\n"
    model.write_text(model.read_text().replace("    def execute(self, requests):\n", slow, 1))
    config = service / "models" / "model" / "config.pbtxt"
    config.write_text(config.read_text().replace("max_batch_size: 64", "max_batch_size: 2"))
    with started(service) as ask, ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(ask, ["a b c"]) for _ in range(8)]
        time.sleep(0.7)  # they are all there, and need four seconds
        assert not any(answer.done() for answer in answers[4:])
        (start,) = ask.processes("start.py")
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


# ------------------------------------------------------------------------------------------------ forms for other backends


@pytest.mark.parametrize("golden", ["bert", "mlp", "multi"])
def test_the_server_reads_the_forms_for_other_backends(tmp_path: Path, golden: str) -> None:
    """The configuration is whole and valid; what it lacks is the backend, which is on no registry of packages."""
    service = scaffold(tmp_path, golden)
    where = require("triton")
    for form, backend in (("paddle", "paddle"), ("onnx", "onnxruntime")):
        repository = service / "repositories" / form
        (repository / "model" / "1").mkdir()
        server = where.python.parent.parent / "lib"
        (binary,) = server.glob("python3*/site-packages/pytriton/tritonserver/bin/tritonserver")
        command = [str(binary), f"--model-repository={repository}", "--strict-model-config=true", "--allow-http=false"]
        done = subprocess.run(
            [*command, "--allow-grpc=false", "--allow-metrics=false"], capture_output=True, text=True, timeout=120
        )
        said = done.stdout + done.stderr
        assert f"unable to find backend library for backend '{backend}'" in said, said[-3000:]
        broken = repository / "model" / "config.pbtxt"
        broken.write_text(broken.read_text().replace("TYPE_FP32", "TYPE_FP33"))
        done = subprocess.run([*command, "--allow-grpc=false"], capture_output=True, text=True, timeout=120)
        assert "TYPE_FP33" in done.stdout + done.stderr  # which is how it says that it has read them
