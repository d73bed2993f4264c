"""X2Paddle as an engine: in its own runtime, without a network, without the names of the file."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import onnx
import pytest

from mconv import api
from mconv.errors import RuntimeFailedError, RuntimeUnavailableError, UnsupportedError
from mconv.onnx import advice
from mconv.program.files import load_program, locate
from mconv.runtimes import x2paddle
from tests.managed import require
from tests.onnx.make import mlp, model, node, port

pytestmark = pytest.mark.runtime


@pytest.fixture(scope="module", autouse=True)
def _installed() -> None:
    require(x2paddle.RUNTIME)


@pytest.fixture()
def requests_seen(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What arrives at a proxy that every HTTP client of a child process is told to use."""
    seen: list[str] = []

    class Proxy(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Proxy)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{server.server_port}")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    yield seen
    server.shutdown()
    server.server_close()


def test_the_result_has_the_form_of_the_native_engine(tmp_path: Path, requests_seen: list[str]) -> None:
    path = mlp(tmp_path / "m.onnx", x="feed", y="a.b[0]")
    report = api.onnx2paddle(path, tmp_path / "out", engine="x2paddle", target="3", runtime="current")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "inference.pdiparams",
        "inference.pdmodel",
        "provenance.json",
        "report.json",
    ]
    program = load_program(locate(tmp_path / "out"))
    assert [p.name for p in program.feeds] == ["feed_"] and [p.name for p in program.fetches] == ["a.b[0]"]
    assert report.engine == "x2paddle" and report.verification is not None
    assert report.verification["status"] == "passed" and len(report.verification["outputs"]) == 2
    assert any("opsets up to 15" in w for w in report.warnings)
    assert requests_seen == []


def test_a_name_in_the_file_is_not_run(tmp_path: Path) -> None:
    """The file of the baseline: X2Paddle alone runs this input's name as Python."""
    mark = tmp_path / "mark"
    name = f"x'); __import__('os').system('touch {mark}'); ('"
    path = tmp_path / "m.onnx"
    onnx.save(model([node("Relu", "x", "y")], outputs=[port("y")], opset=13), path)
    made = onnx.load(path)
    made.graph.node[0].input[0] = made.graph.input[0].name = made.graph.node[0].name = name
    onnx.save(made, path)
    api.onnx2paddle(path, tmp_path / "out", engine="x2paddle", verify=False)
    assert not mark.exists()
    assert [p.name for p in load_program(locate(tmp_path / "out")).feeds] == [name]


def test_a_text_that_would_be_run_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    bad = node("DepthToSpace", "x", "y", blocksize=2, mode="DCR'+__import__('os').system('true')+'")
    onnx.save(model([bad], [port("x", dims=[1, 4, 2, 2])], opset=13), path)
    with pytest.raises(UnsupportedError, match="would run it as Python"):
        api.onnx2paddle(path, tmp_path / "out", engine="x2paddle", verify=False)
    assert not (tmp_path / "out").exists()


def test_what_it_does_not_know_is_told_with_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    onnx.save(model([node("Trilu", "x", "y")], outputs=[port("y")], opset=14), path)
    with pytest.raises(UnsupportedError, match="no mapper for Trilu") as caught:
        api.onnx2paddle(path, tmp_path / "out", engine="x2paddle", verify=False)
    assert [row["operator"] for row in caught.value.rows] == ["Trilu"]
    assert "native engine" in (caught.value.hint or "")
    assert not (tmp_path / "out").exists()


def test_it_does_not_run_for_ever(tmp_path: Path) -> None:
    with pytest.raises(RuntimeFailedError, match="did not finish"):
        api.onnx2paddle(mlp(tmp_path / "m.onnx"), tmp_path / "out", engine="x2paddle", verify=False, timeout=0.05)


def test_without_its_runtime_the_error_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MCONV_CACHE", str(tmp_path / "nothing"))
    with pytest.raises(RuntimeUnavailableError) as caught:
        api.onnx2paddle(mlp(tmp_path / "m.onnx"), tmp_path / "out", engine="x2paddle", verify=False)
    assert "mconv runtime install" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("rows", "helps"),
    [
        ([("ai.onnx", "Conv"), ("ai.onnx", "Resize")], True),
        ([("ai.onnx", "Conv"), ("ai.onnx", "Frobnicate")], False),
        ([("com.acme", "Conv")], False),
        ([], False),
    ],
)
def test_the_native_engine_names_it_where_it_may_help(rows: list[tuple[str, str]], helps: bool) -> None:
    table = [{"domain": d, "operator": o, "reason": "no converter for it"} for d, o in rows]
    assert ("--engine x2paddle" in advice.other_engine(table)) is helps
