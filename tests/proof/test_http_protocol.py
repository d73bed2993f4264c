"""The Open Inference Protocol of `--server http`: datatypes are those of the model, and its extension for binary tensors."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional

import numpy as np
import onnx
import pytest
from onnx import helper

from mconv import api
from mconv.runtimes.ports import free_ports
from mconv.serving.servers.requests import OPEN_TYPES
from tests.managed import require
from tests.serving import ocr_pages

pytestmark = pytest.mark.runtime
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
LENGTH = "Inference-Header-Content-Length"
# input → its type (Paddle Serving has neither BOOL nor FP64 as inputs): each is answered as it came, two of them
TYPES = {"f": "FP32", "i": "INT32", "l": "INT64", "u": "UINT8"}
ONNX = {"FP32": 1, "INT32": 6, "INT64": 7, "UINT8": 2}
SHORT = {open_type: name for name, open_type in OPEN_TYPES.items()}


def post(url: str, body: bytes, length: Optional[int] = None) -> tuple[int, dict[str, Any], bytes]:
    """The status, the JSON of the answer and what is behind it."""
    headers = {} if length is None else {LENGTH: str(length)}
    try:
        with DIRECT.open(urllib.request.Request(url, body, headers), timeout=60) as reply:
            data, head = reply.read(), reply.headers.get(LENGTH)
            end = len(data) if head is None else int(head)
            return reply.status, json.loads(data[:end]), data[end:]
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read()), b""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service that answers each input twice, one behind the other."""
    require("http")
    folder = tmp_path_factory.mktemp("types")
    graph = helper.make_graph(
        [helper.make_node("Concat", [name, name], [f"{name}2"], axis=1) for name in TYPES],
        "twice",
        [helper.make_tensor_value_info(name, ONNX[kind], ["n", 2]) for name, kind in TYPES.items()],
        [helper.make_tensor_value_info(f"{name}2", ONNX[kind], ["n", 4]) for name, kind in TYPES.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)]), folder / "twice.onnx")
    api.onnx2paddle(folder / "twice.onnx", folder / "model", verify=False)
    (port,) = free_ports(1)
    api.to_serving(folder / "model", out=folder, pipeline={"server": "http", "http_port": port})
    with api.serve(folder) as run:
        yield run.serving.url.replace("/model/prediction", "/v2/models/model/infer")


GOOD: dict[str, list[Any]] = {
    "f": [1.5, -2], "i": [-2147483648, 7], "l": [2**31 - 1, -1], "u": [0, 255]
}  # fmt: skip


def inputs(**changed: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"name": n, "datatype": kind, "shape": [1, 2], "data": GOOD[n], **changed.get(n, {})}
        for n, kind in TYPES.items()
    ]


def test_each_type_is_answered_as_it_came(url: str) -> None:
    status, answer, _ = post(url, json.dumps({"inputs": inputs()}).encode())
    assert status == 200, answer
    outputs = {output["name"]: output for output in answer["outputs"]}
    for name, kind in TYPES.items():
        assert outputs[f"{name}2"]["datatype"] == kind
        assert outputs[f"{name}2"]["data"] == GOOD[name] * 2, name


@pytest.mark.parametrize("name", TYPES)
def test_another_type_than_the_models_is_refused(url: str, name: str) -> None:
    for kind in (*OPEN_TYPES.values(), "BYTES", "FP128"):
        data = ["a", "b"] if kind == "BYTES" else [1, 0]
        status, answer, _ = post(
            url, json.dumps({"inputs": inputs(**{name: {"datatype": kind, "data": data}})}).encode()
        )
        if kind == TYPES[name]:
            assert status == 200, answer
        else:
            assert status == 400 and f"{name} is {TYPES[name]}, not {kind}" in answer["error"], (kind, answer)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("i", [1.5, 2]), ("i", [2**31, 0]), ("i", [True, False]), ("l", [2**63, 0]), ("l", [2**31, 0]), ("l", [0, -(2**31) - 1]), ("l", [2**62, 2**62]), ("u", [-1, 0]), ("u", [256, 0]),
        ("f", [True, False]), ("f", ["1", "2"]), ("f", [None, 1]), ("f", [1]),
    ],
)  # fmt: skip
def test_numbers_that_are_not_of_the_type_are_refused(url: str, name: str, data: list[Any]) -> None:
    """And those of more than 32 bits, which OpenVINO drops without a word."""
    status, answer, _ = post(url, json.dumps({"inputs": inputs(**{name: {"data": data}})}).encode())
    assert status == 400 and name in answer["error"], answer


def binary(outputs: Optional[list[Any]] = None, **more: Any) -> tuple[bytes, int]:
    """A request whose inputs are binary tensors, and the length of its JSON."""
    arrays = [np.array([GOOD[name]], SHORT[kind]).tobytes() for name, kind in TYPES.items()]
    described = [
        {"name": n, "datatype": kind, "shape": [1, 2], "parameters": {"binary_data_size": len(data)}}
        for (n, kind), data in zip(TYPES.items(), arrays)
    ]
    head: dict[str, Any] = {"inputs": described, **more}
    if outputs is not None:
        head["outputs"] = outputs
    text = json.dumps(head).encode()
    return text + b"".join(arrays), len(text)


def test_binary_tensors(url: str) -> None:
    status, answer, rest = post(url, *binary(parameters={"binary_data_output": True}))
    assert status == 200, answer
    at = 0
    for output in answer["outputs"]:
        size = output["parameters"]["binary_data_size"]
        found = np.frombuffer(rest[at : at + size], SHORT[output["datatype"]]).reshape(output["shape"])
        at += size
        assert found.tolist() == [GOOD[output["name"][0]] * 2]
    assert at == len(rest) and len(answer["outputs"]) == len(TYPES)
    asked = [{"name": "f2", "parameters": {"binary_data": True}}, {"name": "u2"}]
    status, answer, rest = post(url, *binary(asked))
    first, second = answer["outputs"]
    assert np.frombuffer(rest, "float32").tolist() == GOOD["f"] * 2 and "data" not in first
    assert second["data"] == GOOD["u"] * 2


def test_broken_binary_tensors_are_refused(url: str) -> None:
    body, length = binary()
    for sent, said in (
        (body[:-1], length), (body + b"x", length), (body, length + 5), (body, length - 5), (body, len(body) + 1), (body, None),
    ):  # fmt: skip
        status, answer, _ = post(url, sent, said)
        assert status == 400 and answer["error"], (said, answer)
    for wrong in (b"-1", b"x", b"1" * 30, "²".encode("latin-1")):
        request = urllib.request.Request(url, body, {LENGTH: wrong.decode("latin-1")})
        with pytest.raises(urllib.error.HTTPError, match="400"):
            DIRECT.open(request, timeout=60)
    assert post(url, body, length)[0] == 200


def test_json_of_small_things_is_refused_before_it_fills_the_memory(url: str) -> None:
    for body in (b'{"inputs": [' + b"{}," * (1 << 21) + b"{}]}", b'{"inputs": {' + b'"a":0,' * (1 << 21) + b'"b":0}}'):
        status, answer, _ = post(url, body)
        assert status == 400 and answer["error"] == "more than 1048576 lists, objects and texts"
    assert post(url, binary()[0], binary()[1])[0] == 200


@pytest.mark.long
def test_a_picture_as_it_is(tmp_path: Path) -> None:
    """Its own bytes, without base64, as Triton takes them; the answer's texts as binary tensors, too."""
    require("http")
    (port,) = free_ports(1)
    models = ocr_pages.models(tmp_path)
    folder = api.scaffold(
        [models["det"], models["rec"]], tmp_path / "out", pipeline="ocr", server="http", http_port=port
    )
    image = ocr_pages.PAGES["Chinese and Latin"]()
    data = ocr_pages.png(image)
    raw = len(data).to_bytes(4, "little") + data
    described = {"name": "image", "datatype": "BYTES", "shape": [1, 1], "parameters": {"binary_data_size": len(raw)}}
    head = json.dumps({"inputs": [described], "parameters": {"binary_data_output": True}}).encode()
    with ocr_pages.whole_processor(), api.serve(folder.folder) as run:
        infer = run.serving.url.replace("/ocr/prediction", "/v2/models/ocr/infer")
        status, answer, rest = post(infer, head + raw, len(head))
        assert status == 200, answer
        found, at = {}, 0
        for output in answer["outputs"]:
            size = output["parameters"]["binary_data_size"]
            found[output["name"]] = json.loads(rest[at + 4 : at + size])
            at += size
        ocr_pages.equal(found["texts"], found["boxes"], found["scores"], image)
        assert post(infer, head + raw[:-1], len(head))[0] == 400
