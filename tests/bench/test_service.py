"""Load on services: every form of requests, wrong answers and errors counted, several addresses in turn."""

from __future__ import annotations

import gzip
import json
import socket
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mconv import api
from mconv.bench import rpc
from mconv.bench.result import Bench
from mconv.errors import LimitError, MissingDependencyError, RuntimeFailedError, UsageError, VerificationError
from tests.bench.models import linear
from tests.bench.servers import every_form, failing, grpc_server, server
from tests.raw_server import Sends, dripping, head, raw_server

pytest.importorskip("aiohttp")
pytest.importorskip("psutil")
PADDLE = "/model/prediction"
SMALL: dict[str, Any] = {"threads": 4, "loops": 5, "warmup": 1, "timeout": 20}
FIRST = 10 + 4  # requests before the load, of five texts: each alone twice, the warm-up


@pytest.fixture
def tensors(tmp_path: Path) -> Path:
    np.savez(tmp_path / "x.npz", **{f"{i}/x": np.full((1, 4), i + 0.5, np.float32) for i in range(3)})
    return tmp_path / "x.npz"


def judged(found: Bench, **limits: Any) -> Any:
    return api.judge_bench(found, **limits)[1]


@pytest.mark.parametrize(
    ("path", "form", "send"),
    [
        (PADDLE, "key-value", "texts"),
        (PADDLE, "key-value", "images"),
        (PADDLE, "key-value", "tensors"),
        (PADDLE, "tensors", "tensors"),
        (PADDLE, "tensors", "texts"),
        ("/v2/models/m/infer", "open-inference", "tensors"),
        ("/v1/models/m:predict", "tensorflow-serving", "tensors"),
        ("/predictions/m", "torchserve", "texts"),
        ("/predictions/m", "torchserve", "images"),
        ("/predictions/m", "torchserve", "tensors"),
    ],
)
def test_every_form_is_sent_and_read(path: str, form: str, send: str, tensors: Path) -> None:
    options: dict[str, Any] = {"inputs": tensors} if send == "tensors" else {"send": send}
    request = "tensors" if form == "tensors" else None
    with server(every_form) as made:
        found = api.bench_services([made.url(path)], request=request, **options, **SMALL)
    (one,) = found.addresses
    assert (one.form, one.status, one.requests, one.right) == (form, "ok", 20, 20)
    assert one.figures is not None and one.figures.count == 20 and one.tps == pytest.approx(20 / one.seconds)
    assert one.client_cpu_ms is not None and one.client_cpu_ms > 0
    assert judged(found) is None


def test_texts_and_pictures_are_sent_as_torchserve_reads_them(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("one\ntwo words\n")
    (tmp_path / "p.png").write_bytes(b"\x89PNG bytes")
    with server(every_form) as made:
        api.bench_services([made.url("/predictions/m")], texts=tmp_path / "t.txt", **SMALL)
        assert set(made.bodies) == {b"one", b"two words"} and set(made.types) == {"text/plain; charset=utf-8"}
        made.bodies.clear()
        api.bench_services([made.url("/predictions/m")], images=[tmp_path / "p.png"], **SMALL)
        assert set(made.bodies) == {b"\x89PNG bytes"}


@pytest.mark.parametrize("path", ["/v2/models/m/infer", "/v1/models/m:predict"])
def test_what_a_server_says_of_its_inputs_is_made_up(path: str) -> None:
    with server(every_form) as made:
        found = api.bench_services([made.url(path)], shapes=["x[1,4]", "x[3,4]"], **SMALL)
    assert found.addresses[0].right == 20 and found.sent == "2 sets of tensors: x float32[1,4]"


def test_the_inputs_of_a_model_are_made_up(tmp_path: Path) -> None:
    with server(every_form) as made:
        model = linear(tmp_path / "x.onnx")
        found = api.bench_services([made.url(PADDLE)], model=str(model), shapes=["x[2,4]"], **SMALL)
        assert json.loads(made.bodies[0])["key"] == ["x"]
    assert found.addresses[0].right == 20


@pytest.mark.parametrize("form", ["key-value", "tensors"])
def test_rpc(form: str, tensors: Path) -> None:
    pytest.importorskip("grpc")
    seen = []

    def answer(request: bytes) -> bytes:
        content = rpc._messages()["Request"]()
        content.ParseFromString(request)
        seen.append(content)
        total = sum(sum(t.float_data) for t in content.tensors) + sum(map(len, content.value))
        made = rpc._messages()["Response"](err_no=0, key=["y"], value=[str([total])])
        return bytes(made.SerializeToString())

    made, port = grpc_server(answer)
    try:
        found = api.bench_services([f"grpc://127.0.0.1:{port}"], request=form, inputs=tensors, **SMALL)
    finally:
        made.stop(None)
    assert found.addresses[0].status == "ok" and found.addresses[0].right == 20
    assert (list(seen[0].key) == ["x"]) is (form == "key-value")
    assert [t.name for t in seen[0].tensors] == ([] if form == "key-value" else ["x"])


def test_a_template_is_filled_in(tmp_path: Path) -> None:
    (tmp_path / "body.json").write_text('{"prompt": "${text}", "options": {"best": [1, "${text}"]}}')

    def answer(path: str, body: bytes, number: int) -> tuple[int, bytes]:
        content = json.loads(body)
        assert content["options"]["best"] == [1, content["prompt"]]
        return 200, json.dumps({"said": content["prompt"].upper(), "took": number}).encode()

    with server(answer) as made:
        url = made.url("/any/where?x=1")
        with pytest.raises(RuntimeFailedError, match="otherwise when it is sent again: took") as caught:
            api.bench_services([url], body=tmp_path / "body.json", **SMALL)
        assert "--ignore" in (caught.value.hint or "")
        found = api.bench_services([url], body=tmp_path / "body.json", ignored=["took"], **SMALL)
    assert found.addresses[0].right == 20 and found.addresses[0].form == "template"


WRONG = json.dumps({"err_no": 0, "err_msg": "", "key": ["y"], "value": ["[1.5]"]}).encode()
REFUSED = json.dumps({"err_no": 8, "err_msg": "busy", "key": [], "value": []}).encode()


@pytest.mark.parametrize(
    ("status", "text", "kind", "reason", "error"),
    [
        (200, WRONG, "wrong", "wrong: y: 1 of 1 elements differ", VerificationError),
        (200, REFUSED, "errors", "error 8: busy", RuntimeFailedError),
        (500, b"oh no", "errors", "HTTP status 500: oh no", RuntimeFailedError),
        (302, b"", "errors", "HTTP status 302", RuntimeFailedError),
        (200, b"no JSON", "errors", "no JSON", RuntimeFailedError),
    ],
)
def test_what_is_wrong_under_load_is_counted(status: int, text: bytes, kind: str, reason: str, error: type) -> None:
    with server(failing(5, status, text, FIRST)) as made:
        found = api.bench_services([made.url(PADDLE)], send="texts", **SMALL)
    (one,) = found.addresses
    assert one.status == kind and reason in one.reason and one.requests == 20
    assert one.right == 16 and (one.wrong, one.errors) == ((4, 0) if kind == "wrong" else (0, 4))
    assert one.tps == pytest.approx(16 / one.seconds)
    assert isinstance(judged(found), error) and "4 of 20" in str(judged(found))


DEEP = b'{"key": ["y"], "value": [' + b"[" * 600 + b"%d" + b"]" * 600 + b"]}"


@pytest.mark.parametrize("keys", [b"5", b"true", b'{"a": 1}', b'"y"'])
def test_keys_that_are_no_list_are_an_answer_that_is_compared(keys: bytes) -> None:
    answer = b'{"err_no": 0, "key": %s, "value": 7}' % keys
    with server(failing(5, 200, answer, FIRST, lambda *asked: (200, answer))) as made:
        assert api.bench_services([made.url(PADDLE)], send="texts", **SMALL).addresses[0].right == 20
    with server(failing(5, 200, answer, FIRST)) as made:
        assert api.bench_services([made.url(PADDLE)], send="texts", **SMALL).addresses[0].wrong == 4


def test_answers_that_are_nested_too_deeply_are_errors() -> None:
    with server(lambda path, body, number: (200, DEEP % number)) as made:
        with pytest.raises(RuntimeFailedError, match="nested too deeply"):
            api.bench_services([made.url(PADDLE)], send="texts", **SMALL)


def test_what_unfolds_to_too_much_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mconv.bench.load.MAX_ANSWER", 1 << 20)
    body = gzip.compress(b"1" * (40 << 20))
    sent = head("200 OK", "Content-Encoding: gzip", f"Content-Length: {len(body)}") + body
    with raw_server(sent) as url, pytest.raises(RuntimeFailedError, match="an answer of more than 1 MiB"):
        api.bench_services([url + PADDLE], send="texts", **SMALL)


def test_different_answers_are_kept_up_to_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mconv.bench.load._MOST_BYTES", 1000)

    def answer(path: str, body: bytes, number: int) -> tuple[int, bytes]:
        return 200, json.dumps(
            {"key": ["y"], "value": ["[1]"], "id": str(number if number >= FIRST else 0).zfill(400)}
        ).encode()

    with server(answer) as made:
        (one,) = api.bench_services([made.url(PADDLE)], send="texts", **SMALL).addresses
    assert (one.right, one.errors) == (2, 18) and one.reason == "more different answers than can be kept"


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (dripping(head("200 OK", "Content-Length: 1000000"), b" "), "does not answer within 0.5 s"),
        (head("200 OK", "Transfer-Encoding: chunked") + b"zz", "answers no HTTP"),
        (head("302 Found", "Location: http://[::1"), "HTTP status 302"),
        (head() + b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1e999]}]}', "inputs that can be used"),
        (head() + b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1000000000000]}]}', "of memory|too large"),
    ],
    ids=["slow", "no HTTP", "elsewhere", "infinite", "huge"],
)
def test_what_a_server_says_of_its_inputs_may_be_nothing(
    said: Sends, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mconv.verbs.bench_service._METADATA_TIMEOUT", 0.5)
    with raw_server(said) as url, pytest.raises((RuntimeFailedError, LimitError), match=message) as caught:
        api.bench_services([f"{url}/v2/models/m/infer"], **SMALL)
    assert "\n" not in caught.value.message


def test_answers_within_the_tolerance_are_right() -> None:
    def answer(path: str, body: bytes, number: int) -> tuple[int, bytes]:
        value = [[100.0, 1.0 + number % 3 * 1e-6]]
        return 200, json.dumps({"err_no": 0, "key": ["y"], "value": [json.dumps(value)]}).encode()

    with server(answer) as made:
        assert api.bench_services([made.url(PADDLE)], send="texts", **SMALL).addresses[0].right == 20


def test_an_answer_that_does_not_come_is_an_error() -> None:
    def answer(path: str, body: bytes, number: int) -> tuple[int, bytes]:
        if number == FIRST + 3:
            time.sleep(3)
        return every_form(path, body, number)

    with server(answer) as made:
        found = api.bench_services([made.url(PADDLE)], send="texts", **{**SMALL, "timeout": 1})
    (one,) = found.addresses
    assert (one.status, one.errors, one.right) == ("errors", 1, 19) and one.reason == "no answer within 1 s"


def test_several_addresses_are_measured_in_turn() -> None:
    order: list[str] = []

    def noted(path: str, body: bytes, number: int) -> tuple[int, bytes]:
        order.append(path)
        return every_form(path, body, number)

    with server(noted) as made, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # nobody listens
        gone = f"http://127.0.0.1:{closed.getsockname()[1]}/c/prediction"
        urls = [f"one={made.url('/a/prediction')}", made.url("/b/prediction"), f"gone={gone}"]
        found = api.bench_services(urls, send="texts", rounds=2, **{**SMALL, "threads": 1, "loops": 4})
    runs = [order[0]] + [b for a, b in zip(order, order[1:]) if a != b]
    assert runs == ["/a/prediction", "/b/prediction"] * 3  # the first requests, and two turns
    assert [a.label for a in found.addresses] == ["one", made.url("/b/prediction"), "gone"]
    assert [a.status for a in found.addresses] == ["ok", "ok", "failed"] and found.rounds == 2
    assert "cannot be reached: Connection refused" in found.addresses[2].reason and isinstance(
        judged(found), RuntimeFailedError
    )


@pytest.mark.parametrize(
    ("url", "options", "message"),
    [
        ("http://198.51.100.7/model/prediction", {"send": "texts"}, "198.51.100.7 is another machine"),
        ("http://example.org/model/prediction", {"send": "texts"}, "example.org is another machine"),
        ("http://127.0.0.1:1/other", {"send": "texts"}, "does not say which form"),
        ("http://127.0.0.1:1/model/prediction", {}, "it is not said what to send"),
        ("http://127.0.0.1:1/model/prediction", {"send": "tensors"}, "tensors cannot be made up without that"),
        ("http://127.0.0.1:1/model/prediction", {"body": "/dev/zero"}, "--body: /dev/zero: not an ordinary file"),
        ("http://127.0.0.1:1/model/prediction", {"images": ["/dev/zero"]}, "--image: /dev/zero: not an ordinary file"),
        ("http://127.0.0.1:1/model/prediction", {"send": "songs"}, "songs"),
        ("http://127.0.0.1:99999/model/prediction", {"send": "texts"}, "not the address of a service"),
        ("http://user@127.0.0.1/model/prediction", {"send": "texts"}, "not the address of a service"),
        ("grpc://127.0.0.1", {"send": "texts"}, "has no port"),
        ("grpc://127.0.0.1:1", {"send": "texts", "request": "torchserve"}, "RPC of Paddle Serving"),
        ("http://127.0.0.1:1/x", {"send": "texts", "request": "soap"}, "unknown form"),
        ("http://127.0.0.1:1/x", {"request": "template"}, "--body"),
        ("http://127.0.0.1:1/model/prediction", {"send": "texts", "threads": 0}, "--threads 0"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_anything_is_sent(url: str, options: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        api.bench_services([url], **{**SMALL, **options})


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"{", "not a JSON document"), (b'{"a": "${ids}"}', r"has \$\{ids\}, which the requests do not hold")],
)
def test_templates_that_cannot_be_filled_in(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "b.json").write_bytes(content)
    with pytest.raises(UsageError, match=message):
        api.bench_services(["http://127.0.0.1:1/x"], body=tmp_path / "b.json", send="texts", **SMALL)


def test_another_machine_may_be_asked_where_the_user_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    from mconv.bench.addresses import address

    assert not address("http://198.51.100.7/model/prediction", remote=True).local
    assert address("http://[::1]:8080/model/prediction").local


def test_a_single_request_that_fails_says_why() -> None:
    with server(lambda path, body, number: (200, REFUSED)) as made, pytest.raises(RuntimeFailedError, match="busy"):
        api.bench_services([made.url(PADDLE)], send="texts", **SMALL)
    unfit = json.dumps({"err_no": 400, "err_msg": "the request has no x; inputs: x", "key": [], "value": []}).encode()
    with server(lambda path, body, number: (200, unfit)) as made, pytest.raises(RuntimeFailedError) as caught:
        api.bench_services([made.url(PADDLE)], send="texts", **SMALL)
    assert "the request has no x" in caught.value.message and "--model MODEL" in str(caught.value.hint)
    with server(every_form) as made, pytest.raises(RuntimeFailedError, match="HTTP status 404"):
        api.bench_services([made.url("/nobody")], request="key-value", send="texts", **SMALL)
    with server(every_form) as made, pytest.raises(RuntimeFailedError, match="HTTP status 404"):
        api.bench_services([made.url("/v2/models/other/infer")], **SMALL)


def test_a_missing_package_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "aiohttp", None)
    with pytest.raises(MissingDependencyError, match="aiohttp") as caught:
        api.bench_services(["http://127.0.0.1:1/model/prediction"], send="texts", **SMALL)
    assert "[bench]" in (caught.value.hint or "")
