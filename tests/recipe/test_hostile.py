"""Recipes, settings and addresses that mean no good: one line and a typed exit, at once."""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from mconv import budget
from mconv.errors import LimitError, MconvError, NotAModelError, OutputExistsError, UsageError
from mconv.recipe import remote
from mconv.recipe.document import Document, parse_value
from mconv.recipe.load import load
from tests.cli.conftest import Run
from tests.recipe.conftest import Write, hidden

LONG = "9" * 60_000


@pytest.mark.parametrize(
    "text",
    [
        f"source: x\ntarget: {LONG}\n", "source: x\ntarget: 1:2:3:4:99999999999999999999\n", "source: !!int ''\n",
        "source: !!bool maybe\n", "source: !!float x\n", "source: {spec: a:b, arguments: {x: .inf}}\n",
        "source: x\nsteps: &s [*s]\n", "a: &a [x]\n" + "".join(f"b{i}: &b{i} [*{'a' if not i else f'b{i - 1}'}]\n" for i in range(50)),
        "source: " + "[" * 5000, "source: " + "{a: " * 5000, "profiles: 3\n", "source: x\nprofiles: {p: 3}\n",
        "source: x\nsteps:\n" + "- [a]\n" * 3000, "'\x1b[31m': 1\n", "source: x\n" + "".join(f"k{i}: 1\n" for i in range(3000)),
    ],
)  # fmt: skip
def test_bad_recipes(text: str, tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        load(path, profile="p")
    assert len(caught.value.message) < 1500 and caught.value.message.isprintable()
    assert len(getattr(caught.value, "rows", [])) <= 51


@pytest.mark.parametrize(
    "text", ["[" * 3000, "&a [*a]", f"{LONG}", "!!int ''", "{a: 1, a: 2}", "!!python/none x", "\x1b"]
)
def test_bad_settings(text: str, write: Write) -> None:
    path = write("a")
    with pytest.raises(UsageError) as caught:
        load(path, settings=[f"source.arguments.x={text}"])
    assert caught.value.message.startswith("--set source.arguments.x=")
    assert parse_value("[1, {a: 1e-4}]", "x") == [1, {"a": 1e-4}]


@pytest.mark.long
def test_options_of_a_service_are_of_their_types(write: Write, mconv: Run) -> None:
    for option, value, said in (
        ("name", None, "a text"), ("workers", "two", "a whole number"), ("workers", True, "a whole number"),
        ("scale", "x", "a number"), ("mean", [1, "x", 2], "a list of numbers"), ("text_inputs", 3, "a mapping"),
    ):  # fmt: skip
        write("a", pipeline={option: value}, steps=["to-serving"])
        done = mconv("run", "a.yaml", "--force")
        assert done.returncode == 2 and f"is not {said}" in done.stderr, done.stderr


@pytest.mark.parametrize(
    "text",
    [
        "http://[",
        "https://[::1",
        "http://\u2100/m.onnx",
        "zip://m.onnx",
        "nothing://x/y",
        "s3://",
        "http://127.0.0.1:99999/m",
    ],
)
def test_bad_addresses(text: str, write: Write, tmp_path: Path, mconv: Run) -> None:
    write("a", source={"path": text, "sha256": "0" * 64}, steps=["to-serving"])
    for command in (["run", "a.yaml"], ["init", text]):
        done = mconv(*command)
        assert done.returncode in (2, 3, 7, 9), done.stderr
        assert not list(tmp_path.rglob(".mconv-*"))


@pytest.mark.parametrize("path", ["/dev/zero", "pipe", "/dev/null", "/proc/self/mem", "folder"])
def test_a_recipe_is_an_ordinary_file(path: str, tmp_path: Path, mconv: Run) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    done = mconv("run", path)
    assert done.returncode in (2, 3), done.stderr
    with pytest.raises((NotAModelError, UsageError)):
        Document(tmp_path / "pipe")


# fetching -----------------------------------------------------------------------------------------------------------


class Endless(BaseHTTPRequestHandler):
    """A body without an end, one that says it is a petabyte, one that unfolds to much more than it says."""

    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.send_error(405)

    def do_GET(self) -> None:
        self.send_response(200)
        if "petabyte" in self.path:
            self.send_header("Content-Length", str(1 << 50))
        elif "unfolds" in self.path:
            body = gzip.compress(bytes(64 << 20))
            self.send_header("Content-Encoding", "gzip")
            self.send_header("Content-Length", str(len(body)))
        else:
            self.send_header("Connection", "close")
        self.end_headers()
        try:
            if "unfolds" in self.path:
                self.wfile.write(body)
            while "unfolds" not in self.path:
                self.wfile.write(bytes(1 << 16))
        except OSError:
            pass
        self.close_connection = True

    def log_message(self, *args: object) -> None: ...


@pytest.fixture
def server() -> Iterator[str]:
    made = HTTPServer(("127.0.0.1", 0), Endless)
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{made.server_port}"
    made.shutdown()


@pytest.mark.parametrize(
    ("name", "error"), [("endless", LimitError), ("petabyte", OutputExistsError), ("unfolds", LimitError)]
)
def test_a_body_without_an_end(
    name: str, error: type[MconvError], server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("aiohttp")
    monkeypatch.setattr(budget, "BASE", 16 << 20)
    with pytest.raises(error):
        remote.fetch(f"{server}/{name}.onnx", tmp_path / "m.onnx")
    assert not (tmp_path / "m.onnx").exists() or (tmp_path / "m.onnx").stat().st_size <= 17 << 20


# signals ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_stopped_leaves_no_half_outputs(number: signal.Signals, write: Write, tmp_path: Path) -> None:
    write("a")
    process = subprocess.Popen(
        [sys.executable, "-m", "mconv", "run", "a.yaml", "-v"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    process.stderr.readline()  # the first step has begun
    time.sleep(0.4)
    process.send_signal(number)
    process.communicate(timeout=120)
    assert process.returncode in (128 + number, 0)
    assert not hidden(tmp_path)
