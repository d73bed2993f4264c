"""The model repository for OpenVINO Model Server: what it holds is read by the reader that the server has, under the names
that the server would give it, and asked by the generated client.

The server itself is in no package. Its configuration is held against the keys that ``src/schema.cpp`` of
openvinotoolkit/model_server knows.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mconv import api
from mconv.cli.main import run
from mconv.errors import NotAModelError, RuntimeUnavailableError, UnsupportedError, UsageError
from mconv.program.dtypes import DType
from mconv.program.files import load_program, locate
from mconv.serving import servers
from mconv.serving.servers.requests import OPEN_TYPES
from tests.golden import case
from tests.serving.generated import service

SERVER = "openvino-model-server"
TEXTS = {"type": ["object", "string"]}
INTEGER = {"type": "integer", "minimum": 0}
MODEL = {
    "type": "object",
    "required": ["name", "base_path"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string"},
        "base_path": {"type": "string"},
        "batch_size": {"type": ["integer", "string"]},
        "model_version_policy": {"type": "object"},
        "shape": TEXTS,
        "layout": TEXTS,
        "nireq": INTEGER,
        "target_device": {"type": "string"},
        # values that are no texts are refused when the file is read
        "plugin_config": {"type": "object", "additionalProperties": {"type": "string"}},
    },
}
CONFIG = {
    "type": "object",
    "required": ["model_config_list"],
    "additionalProperties": False,
    "properties": {
        "model_config_list": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["config"],
                "additionalProperties": False,
                "properties": {"config": MODEL},
            },
        },
        "monitoring": {
            "type": "object",
            "required": ["metrics"],
            "additionalProperties": False,
            "properties": {
                "metrics": {
                    "type": "object",
                    "required": ["enable"],
                    "additionalProperties": False,
                    "properties": {"enable": {"type": "boolean"}, "metrics_list": {"type": "array"}},
                }
            },
        },
    },
}
NAMES = {"type": "object", "additionalProperties": {"type": "string"}}
MAPPING = {
    "type": "object",
    "required": ["inputs", "outputs"],
    "additionalProperties": False,
    "properties": {"inputs": NAMES, "outputs": NAMES},
}


def written(folder: Path, golden: str, pipeline: Any = None, **options: Any) -> Path:
    asked = {"server": SERVER, "service": "tensor", **(pipeline or {})}
    api.to_serving(case(f"2.3.2-{golden}").model, out=folder, pipeline=asked, **options)
    return folder / "service"


class Served:
    """A model as the server has it: the newest version in the folder of its configuration, under the mapped names."""

    def __init__(self, folder: Path, name: str = "model"):
        openvino = pytest.importorskip("openvino")
        (entry,) = json.loads((folder / "models" / "config.json").read_text())["model_config_list"]
        assert entry["config"]["base_path"].rpartition("/")[2] == entry["config"]["name"] == name
        version = folder / "models" / name / "1"
        (model,) = [p for p in version.iterdir() if p.suffix in (".pdmodel", ".onnx")]
        mapping = version / "mapping_config.json"
        names = json.loads(mapping.read_text()) if mapping.exists() else {"inputs": {}, "outputs": {}}
        core = openvino.Core()
        self.compiled = core.compile_model(core.read_model(model), "CPU", entry["config"]["plugin_config"])
        called = [
            {names[side].get(port.get_any_name(), port.get_any_name()): index for index, port in enumerate(ports)}
            for side, ports in (("inputs", self.compiled.inputs), ("outputs", self.compiled.outputs))
        ]
        self.inputs, self.outputs = called

    def __call__(self, feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        assert set(feed) == set(self.inputs)
        found = self.compiled({self.inputs[name]: array for name, array in feed.items()})
        return {name: found[index] for name, index in self.outputs.items()}


@pytest.mark.parametrize("golden", ["mlp", "conv", "bert"])
def test_the_servers_reader_gives_what_paddle_gave(tmp_path: Path, golden: str) -> None:
    known = case(f"2.3.2-{golden}")
    served = Served(written(tmp_path, golden))
    rows = len(next(iter(known.inputs.values())))
    for some in (slice(0, rows), slice(0, 1), slice(rows - 1, rows)):
        found = served({name: array[some] for name, array in known.inputs.items()})
        assert list(found) == list(known.call["fetch"] or found)
        for got, want in zip(found.values(), known.outputs):
            np.testing.assert_allclose(got, want[some], atol=1e-4, rtol=1e-4)


def test_names_that_clients_know(tmp_path: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    aliases = {"feed_alias": {"x": "rows"}, "fetch_alias": {"softmax_0.tmp_0": "scores"}}
    folder = written(tmp_path, "mlp", {"name": "Mlp"}, **aliases)
    mapping = json.loads((folder / "models/Mlp/1/mapping_config.json").read_text())
    jsonschema.validate(mapping, MAPPING)
    assert mapping == {"inputs": {"x": "rows"}, "outputs": {"softmax_0.tmp_0": "scores"}}
    known = case("2.3.2-mlp")
    found = Served(folder, "Mlp")({"rows": known.inputs["x"]})
    np.testing.assert_allclose(found["scores"], known.outputs[0], atol=1e-5)


@pytest.mark.parametrize("options", [{}, {"name": "Other", "concurrency": 3, "threads": 2, "precision": "bf16"}])
def test_configuration(tmp_path: Path, options: dict[str, Any]) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    made = service({"x": (DType.FP32, (-1, 4))}, server=SERVER, **options)
    config = json.loads(made.files["models/config.json"])
    jsonschema.validate(config, CONFIG)
    plugin = config["model_config_list"][0]["config"]["plugin_config"]
    assert plugin["NUM_STREAMS"] == str(options.get("concurrency", 1))
    assert plugin["INFERENCE_NUM_THREADS"] == str(options.get("concurrency", 1) * options.get("threads", 1))
    assert plugin["INFERENCE_PRECISION_HINT"] == options.get("precision", "f32")
    # the configuration is where the container is told that it is
    base = config["model_config_list"][0]["config"]["base_path"].rpartition("/")[0]
    assert f'"{base}/config.json"' in made.files["Dockerfile"]
    assert (
        f"COPY models {base}\n" in made.files["Dockerfile"] and f"target: {base}\n" in made.files["docker-compose.yml"]
    )
    config["model_config_list"][0]["config"]["path"] = "x"
    with pytest.raises(jsonschema.ValidationError, match="path"):
        jsonschema.validate(config, CONFIG)


def test_a_model_that_openvino_cannot_read_goes_there_as_onnx(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    with pytest.raises(UnsupportedError, match=r"OpenVINO cannot read this model \(Fail to convert arg_max"):
        written(tmp_path / "a", "multi")
    assert not (tmp_path / "a" / "service").exists() and not (tmp_path / "a" / "serving_server").exists()
    folder = written(tmp_path / "b", "multi", {"backend": "onnx"})
    known = case("2.3.2-multi")
    version = folder / "models" / "model" / "1"
    version.mkdir(parents=True, exist_ok=True)
    api.to_onnx(known.model, version / "model.onnx", verify=False)
    found = Served(folder)(known.inputs)
    names = [port.name for port in load_program(locate(known.model)).fetches]
    for name, want in zip(names, known.outputs):
        np.testing.assert_allclose(found[name], want, atol=1e-4)


def test_it_is_not_started_here(tmp_path: Path) -> None:
    folder = written(tmp_path, "mlp", {"name": "Mlp"})
    found = servers.read(folder)
    assert found is not None and (found.server_name, found.name, found.kind) == (SERVER, "Mlp", "tensor")
    for verb in (api.serve, api.serve_check):
        with pytest.raises(RuntimeUnavailableError, match="no package registry") as error:
            verb(tmp_path)
        assert f"docker compose up --build` in {folder}" in str(error.value.hint)
        assert "/v2/models/Mlp/infer" in str(error.value.hint)
    for verb in (api.serve, api.serve_check):
        with pytest.raises(RuntimeUnavailableError, match="no package registry"):
            verb(case("2.3.2-mlp").server, server=SERVER)


@pytest.mark.parametrize("server", [SERVER, "http"])
@pytest.mark.parametrize("count", [1, 2], ids=["one", "many"])
def test_convert_says_what_starts_it(
    server: str, count: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sources = [str(tmp_path / name) for name in "ab"[:count]]
    for source in sources:
        shutil.copytree(case("2.3.2-mlp").model, source)
    asked = ["--no-verify", "--pipeline", "--service", "tensor", "--server", server]
    assert run(["convert", *sources, str(tmp_path / "out"), *asked]) == 0
    told = capsys.readouterr().out
    folders = [tmp_path / "out"] if count == 1 else [tmp_path / "out" / name for name in "ab"]
    for folder in folders:
        file = folder / "service" / "docker-compose.yml"
        assert file.is_file() and (f"`docker compose -f {file} up --build`" in told) == (server == SERVER)
        assert (f"`mconv serve {folder}/service/`" in told) == (server != SERVER)


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"name": "m", "model": "x", "http_port": [], "grpc_port": 1}'], ids=str
)
def test_damaged_services(tmp_path: Path, content: str) -> None:
    folder = written(tmp_path, "mlp")
    (folder / "service.json").write_text(content)
    with pytest.raises(NotAModelError, match=f"not a service of {SERVER}"):
        servers.read(folder)


@pytest.mark.parametrize(
    "options, said",
    [
        ({"workers": 2}, "--workers"),
        ({"health_port": 9000}, "--health-port"),
        ({"onednn": True}, "--onednn"),
        ({"log_level": "ERROR"}, "--log-level"),
        ({"device_type": 2}, "--device-type 2"),
        ({"backend": "openvino"}, "--backend"),
    ],
)
def test_options_that_mean_nothing_to_it(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        service({"x": (DType.FP32, (-1, 4))}, server=SERVER, **options)


# ------------------------------------------------------------------------------------------------ the client


@pytest.fixture
def answering() -> Iterator[Any]:
    """Starts what answers the Open Inference Protocol as the server does, its outputs in no order of the model's."""
    running: list[ThreadingHTTPServer] = []

    def start(served: Served) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                types = {value: key for key, value in OPEN_TYPES.items()}
                feed = {
                    i["name"]: np.array(i["data"], types[i["datatype"]]).reshape(i["shape"]) for i in sent["inputs"]
                }
                outputs = [
                    {
                        "name": n,
                        "datatype": OPEN_TYPES[a.dtype.name],
                        "shape": list(a.shape),
                        "data": a.ravel().tolist(),
                    }
                    for n, a in reversed(served(feed).items())
                ]
                body = json.dumps({"model_name": "model", "outputs": outputs}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: Any) -> None: ...

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        running.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}{'/v2/models/model/infer'}"

    yield start
    for server in running:
        server.shutdown()
        server.server_close()


def asked(folder: Path, url: str, *arguments: str) -> dict[str, Any]:
    command = [sys.executable, "http_client.py", "--url", url, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_the_client_sends_tensors(tmp_path: Path, answering: Any) -> None:
    known = case("2.3.2-mlp")
    folder = written(tmp_path, "mlp")
    (tmp_path / "x.json").write_text(json.dumps(known.inputs["x"].tolist()))
    answer = asked(folder, answering(Served(folder)), f"x=@{tmp_path / 'x.json'}")
    np.testing.assert_allclose(answer["softmax_0.tmp_0"], known.outputs[0], atol=1e-5)


def test_the_client_sends_texts(tmp_path: Path, answering: Any) -> None:
    pytest.importorskip("tokenizers")
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"abcdefgh"]
    (tmp_path / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    options = {"service": "text", "tokenizer": tmp_path / "vocab.txt", "max_length": 16}
    folder = written(tmp_path, "bert", options)
    served = Served(folder)
    answer = asked(folder, answering(served), "a b c", "d")
    ids = np.array([[2, 4, 5, 6, 3], [2, 7, 3, 0, 0]])
    mask = np.array([[1] * 5, [1] * 3 + [0] * 2])
    want = served({"input_ids": ids, "token_type_ids": ids * 0, "attention_mask": mask})
    for name, array in want.items():
        np.testing.assert_allclose(answer[name], array, atol=1e-5)


def test_the_client_sends_pictures_and_says_their_labels(tmp_path: Path, answering: Any) -> None:
    image = pytest.importorskip("PIL.Image")
    (tmp_path / "labels.txt").write_text("".join(f"class {i}\n" for i in range(10)))
    folder = written(tmp_path, "conv", {"service": "image", "labels": tmp_path / "labels.txt"})
    image.new("RGB", (40, 30), (200, 20, 90)).save(tmp_path / "a.png")
    answer = asked(folder, answering(Served(folder)), str(tmp_path / "a.png"))
    ((scores,),) = [value for name, value in answer.items() if name != "label"]
    assert answer["label"] == [f"class {int(np.argmax(scores))}"]
