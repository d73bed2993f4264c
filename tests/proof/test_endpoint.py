"""A running service as one of the two of ``mconv verify``: the real pipeline, and a server that answers everything wrong."""

from __future__ import annotations

import http.server
import json
import shutil
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mconv import api
from mconv.errors import MconvError, RuntimeFailedError, UnsupportedError, UsageError, VerificationError
from mconv.program.dtypes import DType
from mconv.program.files import load_program, locate, records
from mconv.program.params import ArraySource
from mconv.program.params_writing import write_combined
from mconv.proof.endpoint import EndpointRunner, parse, typed
from mconv.proof.feeds import InputSpec
from mconv.proof.runners import Answers
from tests.golden import case
from tests.proof import endpoint_services as services
from tests.proof.driving import drive

RPC, HTTP = 18071, 18072  # in a network of their own, where nobody else is
URL = f"http://127.0.0.1:{HTTP}/model/prediction"

# the real pipeline --------------------------------------------------------------------------------------------------


def against_pipeline(service: str, server: Path, commands: list[list[str]]) -> list[tuple[int, Any, str]]:
    """Run ``mconv …`` against a service of the real Paddle Serving; (code, JSON, stderr) of each."""
    program = load_program(locate(server))
    values = {
        "name": "model", "model": server, "rpc": RPC, "http": HTTP,
        "types": {p.name: p.dtype.label for p in program.feeds if p.dtype}, "fetch": [p.name for p in program.fetches],
    }  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="mconv-test-") as folder:
        Path(folder, "config.yml").write_text(services.CONFIG.format(**values))
        Path(folder, "web_service.py").write_text(service.format(**values))
        called = [[sys.executable, "-m", "mconv", *command, "--json"] for command in commands]
        answers = drive("endpoint_driver.py", Path(folder), ports=[RPC, HTTP], commands=called)
    return [(code, json.loads(out), err) for code, out, err in answers]


@pytest.mark.runtime
def test_the_real_pipeline_against_a_serving_folder(tmp_path: Path) -> None:
    """Ids and floats over key/value, tensors too, two sizes; a folder that is another model; a request it refuses."""
    golden = case("2.3.2-bert")
    other = tmp_path / "other" / "serving_server"
    shutil.copytree(golden.server, other)
    found = locate(other)
    changed = [(r.name, ArraySource(r.array() * 1.5)) for r in records(found, load_program(found))]
    assert found.params is not None
    write_combined(found.params, changed)
    (config,) = golden.client.glob("serving_client_conf.prototxt")
    answers = against_pipeline(
        services.ARTICLE,
        golden.server,
        [
            ["verify", str(golden.server), URL],
            ["verify", URL, str(golden.model), "--config", str(config)],
            ["verify", str(golden.server), URL, "--request", "tensors"],
            ["verify", str(other), URL],
            ["verify", str(case("2.3.2-mlp").server), URL],
        ],
    )
    for code, report, err in answers[:3]:
        assert code == 0 and report["ok"] and report["matched"]["inputs"] == "name", err
        assert len(report["input_sets"]) == 2 and all(row["max_abs"] <= 1e-5 for row in report["outputs"])
        assert {row["dtype"] for row in report["outputs"]} == {"float32"}
    assert answers[0][1]["b"] == f"the service at {URL}" == answers[1][1]["a"]
    code, report, _ = answers[3]
    assert code == VerificationError.exit_code and report["error"]["rows"], report
    code, report, _ = answers[4]
    assert code == RuntimeFailedError.exit_code
    assert "answers error" in report["error"]["message"] and "the request has no" in report["error"]["message"]


@pytest.mark.runtime
def test_a_bare_op_of_the_real_pipeline() -> None:
    """It takes tensors only and answers with what numpy prints, several outputs of several types."""
    golden = case("2.3.2-multi")
    refused, asked = against_pipeline(
        services.BARE,
        golden.server,
        [["verify", str(golden.server), URL], ["verify", str(golden.server), URL, "--request", "tensors"]],
    )
    assert refused[0] == RuntimeFailedError.exit_code and "--request tensors" in refused[1]["error"]["hint"]
    code, report, err = asked
    assert code == 0 and report["ok"], err
    assert {row["dtype"] for row in report["outputs"]} == {"float32", "int64"}


# a server of our own ------------------------------------------------------------------------------------------------

Reply = Callable[[dict[str, Any]], tuple[int, bytes]]


@pytest.fixture
def serve() -> Iterator[Callable[[Reply], str]]:
    """``serve(reply)``: the address of a server that answers requests so."""
    servers = []

    def start(reply: Reply) -> str:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status, text = reply(body)
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", "http://127.0.0.1:1/elsewhere")
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, format: str, *args: object) -> None:
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}/m/prediction"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def ok(**values: str) -> tuple[int, bytes]:
    return 200, json.dumps({"err_no": 0, "key": list(values), "value": list(values.values())}).encode()


X = {"x": np.arange(4, dtype=np.float32).reshape(2, 2)}


def test_forms_of_requests(serve: Callable[[Reply], str]) -> None:
    seen: list[dict[str, Any]] = []

    def reply(body: dict[str, Any]) -> tuple[int, bytes]:
        seen.append(body)
        return ok(y="[[1.5]]")

    feed = {**X, "ids": np.array([3], np.int64)}
    for form in ("key-value", "tensors"):
        (answer,) = EndpointRunner(serve(reply), form=form).run([feed]).outputs
        assert answer[0].tolist() == [[1.5]]
    assert seen[0] == {"key": ["x", "ids"], "value": ["[[0.0, 1.0], [2.0, 3.0]]", "[3]"]}
    assert seen[1]["tensors"] == [
        {"name": "x", "elem_type": 1, "shape": [2, 2], "float_data": [0.0, 1.0, 2.0, 3.0]},
        {"name": "ids", "elem_type": 0, "shape": [1], "int64_data": [3]},
    ]
    with pytest.raises(UnsupportedError, match="no field for complex64"):
        EndpointRunner(serve(reply), form="tensors").run([{"x": np.zeros(1, np.complex64)}])
    with pytest.raises(UnsupportedError, match="complex64"):
        EndpointRunner(serve(reply)).run([{"x": np.zeros(1, np.complex64)}])


def test_what_generated_services_say_of_their_outputs(serve: Callable[[Reply], str]) -> None:
    """The shape of what is empty, names of classes, and of texts that were cut."""
    said = {"boxes.shape": "[0, 6]", "boxes": "[]", "label": '["cat"]', "truncated": '["0"]', "y": "[[1]]"}
    answers = EndpointRunner(serve(lambda body: ok(**said))).run([X])
    assert answers.names == ["boxes", "y"] and answers.outputs[0][0].shape == (0, 6)
    assert EndpointRunner(serve(lambda body: ok(label="[1]"))).run([X]).names == ["label"]
    for shape in ("[2, 6]", "[[0]]", "[0, -1]", "[0.5, 0]", "[]"):
        with pytest.raises(RuntimeFailedError, match="'boxes' is empty and of shape"):
            EndpointRunner(serve(lambda body, shape=shape: ok(**{"boxes": "[]", "boxes.shape": shape}))).run([X])


@pytest.mark.parametrize(
    "said", ["input_ids is no text", "input_ids is an input of the model, this service takes texts"]
)
def test_a_service_of_texts_is_checked_otherwise(serve: Callable[[Reply], str], said: str) -> None:
    refusal = 200, json.dumps({"err_no": 400, "err_msg": f"(data_id=0 log_id=0) Failed to preprocess: {said}"}).encode()
    with pytest.raises(RuntimeFailedError, match="answers error 400") as caught:
        EndpointRunner(serve(lambda body: refusal)).run([X])
    assert caught.value.hint is not None and "serve-check" in caught.value.hint


def test_an_answer_of_tensors(serve: Callable[[Reply], str]) -> None:
    """As gRPC's gateway writes it: 64-bit numbers as texts, zeros left out."""
    tensors = [
        {"name": "a", "elem_type": 1, "shape": [1, 2], "float_data": [0.5, "NaN"]},
        {"name": "b", "shape": [2], "int64_data": ["9007199254740993", "2"]},
        {"name": "c", "elemType": 9, "shape": ["1"], "boolData": [True]},
    ]
    answers = EndpointRunner(serve(lambda body: (200, json.dumps({"tensors": tensors}).encode()))).run([X])
    assert answers.names == ["a", "b", "c"]
    a, b, c = answers.outputs[0]
    assert a.dtype == np.float32 and a.shape == (1, 2) and np.isnan(a[0, 1])
    assert b.dtype == np.int64 and b.tolist() == [9007199254740993, 2]
    assert c.dtype == bool and c.tolist() == [True]


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        ((200, b'{"err_no": 5000, "err_msg": "(data_id=0) boom\\nTraceback: ..."}'), "answers error 5000: .*boom Traceb"),
        ((200, b'{"errNo": 1}'), "answers error 1: no reason given"),
        ((404, b"Not Found"), "HTTP status 404: Not Found"),
        ((500, b'{"error": "x"}'), "HTTP status 500"),
        ((302, b""), "HTTP status 302"),  # not followed to another place
        ((200, b"<html>"), "answers no JSON: <html>"),
        ((200, b"[1]"), "answers no JSON object"),
        ((200, b"[" * 200_000), "answers no JSON"),
        ((200, b"{}"), "answers without outputs"),
        ((200, b'{"key": ["a"], "value": []}'), "do not fit together"),
        ((200, b'{"key": ["a"], "value": ["cat"]}'), "output 'a' is no array"),
        ((200, b'{"key": ["a"], "value": ["\\"cat\\""]}'), "holds no numbers"),
        ((200, b'{"key": ["a"], "value": ["{\\"b\\": 1}"]}'), "holds no numbers"),
        ((200, b'{"key": ["a"], "value": ["[[1, 2], [3]]"]}'), "output 'a'"),
        ((200, b'{"key": ["a"], "value": ["[0.1 0.2 ... 0.3]"]}'), "a summary of a large array"),
        ((200, b'{"key": ["a"], "value": ["__import__(\'os\').system(\'false\')"]}'), "is no array"),
        ((200, b'{"key": ["a"], "value": [' + b"[" * 900 + b"]" * 900 + b"]}"), "nested too deeply|is no array"),
        ((200, b'{"key": ["a"], "value": [' + b'{"b": ' * 970 + b"1" + b"}" * 970 + b"]}"), "no numbers|too deeply|no JSON"),
        ((200, b'{"a": ' * 970 + b"1" + b"}" * 970), "too deeply|no JSON"),
        ((200, b'{"key": ["a", "a.shape"], "value": ["[]", "[' + b"0, " * 70 + b'0]"]}'), "is empty and of shape"),
        ((200, b'{"key": ["a", "a.shape"], "value": ["[]", "[0, ' + b"9" * 18 + b", 9" * 9 + b']"]}'), "is empty and of"),
        ((200, b'{"tensors": [3]}'), "tensors that are none"),
        ((200, b'{"tensors": [{"name": "a", "elem_type": 99}]}'), "of a type without a field"),
        ((200, b'{"tensors": [{"name": "a", "elem_type": 1, "shape": [7], "float_data": [1]}]}'), "is no tensor"),
    ],
)  # fmt: skip
def test_bad_answers_are_one_line(serve: Callable[[Reply], str], reply: tuple[int, bytes], message: str) -> None:
    with pytest.raises(RuntimeFailedError, match=message) as caught:
        EndpointRunner(serve(lambda body: reply), timeout=20).run([X])
    assert "\n" not in caught.value.message and len(caught.value.message) < 500


def test_who_does_not_answer(serve: Callable[[Reply], str]) -> None:
    def slow(body: dict[str, Any]) -> tuple[int, bytes]:
        time.sleep(3)
        return ok(y="1")

    with pytest.raises(RuntimeFailedError, match="does not answer within 0.2 s"):
        EndpointRunner(serve(slow), timeout=0.2).run([X])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(RuntimeFailedError, match="cannot be reached: Connection refused") as caught:
        EndpointRunner(f"http://127.0.0.1:{port}/m/prediction").run([X])
    assert caught.value.hint and "is it running" in caught.value.hint


def test_a_proxy_is_not_asked_for_this_machine(serve: Callable[[Reply], str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert EndpointRunner(serve(lambda body: ok(y="[2]"))).run([X]).outputs[0][0].tolist() == [2]


def test_outputs_that_change_from_request_to_request(serve: Callable[[Reply], str]) -> None:
    calls = iter(["a", "b"])
    with pytest.raises(RuntimeFailedError, match="answers with b after a"):
        EndpointRunner(serve(lambda body: ok(**{next(calls): "[1]"}))).run([X, X])


@pytest.mark.parametrize("url", ["http://", "http:///m/prediction", "https:x"])
def test_addresses(url: str) -> None:
    with pytest.raises(UsageError, match="not the address of a service"):
        EndpointRunner(url)


@pytest.mark.parametrize(
    "array",
    [
        np.float32(0.1) * np.arange(6, dtype=np.float32).reshape(2, 3),
        np.array([[True, False]]),
        np.arange(3),
        np.array(0.5, np.float32),
        np.array([[np.nan, np.inf, -np.inf]]),
        np.zeros((1, 2, 0), np.float32),
        np.array([1e-30, -2.5e20], np.float32),
        np.arange(900, dtype=np.float32).reshape(30, 30) / 7,
    ],
    ids=lambda a: str(a.shape),
)
@pytest.mark.parametrize("form", [lambda a: json.dumps(a.tolist()), repr], ids=["json", "repr"])
def test_arrays_as_texts(array: np.ndarray, form: Callable[[np.ndarray], str]) -> None:
    found = parse(form(array))
    np.testing.assert_array_equal(found.reshape(array.shape).astype(array.dtype), array)
    assert found.size == 0 or found.shape == array.shape


def test_str_of_an_array_is_read_too() -> None:
    assert parse("[[0.25 1.  ]\n [2.   3.5 ]]").tolist() == [[0.25, 1.0], [2.0, 3.5]]


@pytest.mark.parametrize("text", ["", "[1", "1]", "[1] [2]", "[" * 100 + "]" * 100, "array([1], open('x'))", "nan; 1"])
def test_texts_that_are_no_arrays(text: str) -> None:
    if text == "array([1], open('x'))":  # what follows the array is not looked at, and certainly not run
        assert parse(text).tolist() == [1]
        return
    with pytest.raises(ValueError):
        parse(text)


def test_types_come_from_the_other_side() -> None:
    def answers(*arrays: np.ndarray) -> Answers:
        return Answers(["y"] * len(arrays), [list(arrays)], [[a.dtype.name for a in arrays]], "", [0.0])

    like = answers(np.zeros(2, np.float32), np.zeros(2, np.int32), np.zeros(2, np.int32), np.zeros((0, 3), np.float32))
    got = answers(np.array([1, 2]), np.array([1.0, 2.0]), np.array([1.5, 2.0]), np.zeros(0))
    found = typed(got, like)
    assert found.dtypes == [["float32", "int32", "float64", "float32"]]  # 1.5 is no whole number
    assert found.outputs[0][3].shape == (0, 3)


# mconv verify -------------------------------------------------------------------------------------------------------


def test_aliases_and_two_services(serve: Callable[[Reply], str], tmp_path: Path) -> None:
    """A service that answers as the golden MLP would, under other names."""
    golden = case("2.3.2-mlp")
    runner = pytest.importorskip("paddle") and "current"
    out = tmp_path / "out"
    api.to_serving(golden.model, out=out, feed_alias={"x": "features"}, fetch_alias={golden_fetch(): "scores"})
    from mconv.proof.runners import PaddleRunner

    with PaddleRunner(golden.model, runner) as model:

        def reply(body: dict[str, Any]) -> tuple[int, bytes]:
            if body["key"] != ["features"]:
                return 200, b'{"err_no": 400, "err_msg": "the request has no features"}'
            x = np.array(json.loads(body["value"][0]), np.float32)
            return ok(scores=json.dumps(model.run([{"x": x}]).outputs[0][0].tolist()))

        url = serve(reply)
        options: dict[str, Any] = {"runtime": runner}
        config = out / "serving_client" / "serving_client_conf.prototxt"
        found = api.verify(out / "serving_server", url, **options)
        assert found.ok and found.matched == {"inputs": "alias", "outputs": "alias"}
        assert api.verify(url, golden.model, config=config, **options).matched == {
            "inputs": "alias",
            "outputs": "alias",
        }
        by_alias = api.verify(out / "serving_server", url, inputs=["features[5,8]"], **options)
        assert by_alias.ok and by_alias.input_sets == [{"x": [5, 8]}]
        np.savez(tmp_path / "x.npz", features=np.ones((4, 8), np.float32))
        feeds = api.verify(out / "serving_server", url, feeds=tmp_path / "x.npz", **options)
        assert feeds.ok and feeds.input_sets == [{"x": [4, 8]}]
        both = api.verify(url, url, feeds=tmp_path / "x.npz")
        assert both.ok and both.input_sets == [{"features": [4, 8]}]
        for call, error, message in (
            (lambda: api.verify(golden.model, url, **options), RuntimeFailedError, "the request has no features"),
            (lambda: api.verify(url, url), UsageError, "says what its inputs are"),
            (lambda: api.verify(golden.model, url, layers=True, config=config, **options), UnsupportedError, "inside"),
            (lambda: api.verify(golden.model, golden.model, config=config, **options), UsageError, "--config"),
            (lambda: api.verify(case("2.3.2-bert").model, url, config=config, **options), UsageError, "the inputs are"),
            (lambda: api.verify(golden.model, url, request="xml", **options), UsageError, "forms are key-value"),
        ):
            with pytest.raises(MconvError, match=message) as caught:
                call()
            assert isinstance(caught.value, error)


def golden_fetch() -> str:
    (port,) = load_program(locate(case("2.3.2-mlp").model)).fetches
    return port.name


def test_specs_are_kept() -> None:
    specs = [InputSpec("x", DType.FP32, (None, 8))]
    assert EndpointRunner("http://127.0.0.1:9/m/prediction", specs).specs() == specs
