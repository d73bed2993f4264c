"""Services in the real Triton for tests: written, started, asked over HTTP and gRPC, and under load."""

from __future__ import annotations

import contextlib
import json
import re
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Callable, Optional, Union

import numpy as np
import pytest

from mconv import api
from mconv.runtimes.ports import free_ports
from tests.golden import case
from tests.managed import require
from tests.proof.grpc_inference import Refused, grpc_outputs

DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"abcdefgh"]


def scaffold(folder: Path, golden: str, **options: Any) -> Path:
    """A service for Triton around a golden model, on ports of its own."""
    http, grpc, metrics = free_ports(3)
    ports = {"http_port": http, "rpc_port": grpc, "health_port": metrics}
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")
    if golden == "bert":
        options = {"tokenizer": folder / "vocab.txt", "max_length": 16, **options}
    api.to_serving(case(f"2.3.2-{golden}").model, out=folder, pipeline={"server": "triton", **ports, **options})
    return folder / "service"


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
    require("triton")
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


@pytest.fixture(scope="module", name="texts")
def texts_service() -> Iterator[tuple[Started, dict[str, list[np.ndarray]]]]:
    """A text service that runs, and texts of many lengths with what each is answered alone."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="mconv test-") as folder:
        with started(scaffold(Path(folder), "bert", concurrency=2)) as ask:
            rng = np.random.default_rng(1)
            made = sorted({" ".join(rng.choice(VOCABULARY[4:], n)) for n in rng.integers(1, 15, 120)})
            yield ask, {text: [np.array(ask([text])["outputs"][0]["data"])] for text in made}
