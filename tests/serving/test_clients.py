"""The clients of a generated service, as they are called: what is wrong is one line, whatever is wrong."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Thread

import pytest

from mconv.program.dtypes import DType
from tests.serving.generated import service

X = {"x": (DType.FP32, (-1, 4))}
IMAGE = {"x": (DType.FP32, (-1, 3, 8, 8))}
SERVERS = ["paddle-serving", "http", "triton", "openvino-model-server"]


def asked(folder: Path, *arguments: str, client: str = "http_client.py") -> tuple[int, list[str]]:
    """The exit code of a client, and the lines that it says on stderr; it says nothing else where it fails."""
    done = subprocess.run([sys.executable, client, *arguments], cwd=folder, capture_output=True, text=True, timeout=120)
    assert "Traceback" not in done.stderr and (done.returncode == 0 or not done.stdout), done.stderr
    return done.returncode, done.stderr.splitlines()


@pytest.mark.parametrize("server", SERVERS)
def test_what_is_no_request(server: str, tmp_path: Path) -> None:
    service(X, server=server).write(tmp_path)
    for arguments in ([], ["--url"], ["--url", "http://127.0.0.1:1/"]):
        code, lines = asked(tmp_path, *arguments)
        assert code == 1 and any(line.startswith("usage: python http_client.py") for line in lines)
    for argument in ("[[1, 2, 3, 4]]", "x=@nowhere.json"):
        code, (line,) = asked(tmp_path, argument)
        assert code == 1 and line.startswith("no request: ") and ("NAME=JSON" in line or "nowhere.json" in line)


@pytest.mark.parametrize("server", SERVERS)
def test_a_picture_that_is_not_there(server: str, tmp_path: Path) -> None:
    service(IMAGE, server=server).write(tmp_path)
    code, (line,) = asked(tmp_path, "nowhere.png")
    assert code == 1 and line.startswith("no request: ") and "nowhere.png" in line


class _Raw(StreamRequestHandler):
    """Answers anything with what the test says."""

    said = b""

    def handle(self) -> None:
        length = 0
        while line := self.rfile.readline().strip():
            if line.lower().startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        self.rfile.read(length)  # else the connection is reset, and the answer perhaps lost
        self.wfile.write(self.said)


@pytest.fixture
def address(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of something that is no service: ``None`` for one where nothing listens."""
    if request.param is None:
        with socket.socket() as silent:  # it has the port, and does not listen
            silent.bind(("127.0.0.1", 0))
            yield f"http://127.0.0.1:{silent.getsockname()[1]}/"
        return
    handler = type("Handler", (_Raw,), {"said": request.param})
    with ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()
        thread.join()


OK = b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n"
ANSWERS = {
    "nothing listens": None,
    "it hangs up": b"",
    "no HTTP": b"\x16\x03\x01 hello\r\n",
    "an error": b"HTTP/1.0 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy",
    "cut": b"HTTP/1.0 200 OK\r\nContent-Length: 400\r\n\r\n{",
    "no JSON": OK + b"<html>",
    "another JSON": OK + b'{"a": 1}',
}


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("address", ANSWERS.values(), ids=ANSWERS, indirect=True)
def test_an_address_that_answers_otherwise(server: str, address: str, tmp_path: Path) -> None:
    service(X, server=server).write(tmp_path)
    code, (line,) = asked(tmp_path, "--url", address, "x=[[1, 2, 3, 4]]")
    assert code == 1 and line.startswith(f"{address}: ") and len(line) > len(address) + 3


def test_the_client_of_rpc_without_its_package(tmp_path: Path) -> None:
    service(X).write(tmp_path)
    code, lines = asked(tmp_path, "--endpoint", client="rpc_client.py")
    assert code == 1 and "usage: python rpc_client.py" in "\n".join(lines)
    code, (line,) = asked(tmp_path, "[[1]]", client="rpc_client.py")
    assert code == 1 and line.startswith("no request: ")
    code, (line,) = asked(tmp_path, "x=[[1, 2, 3, 4]]", client="rpc_client.py")
    assert code == 1 and line.startswith("No module named")
    assert "mconv runtime run paddle-2.3.2 -- python rpc_client.py" in line
