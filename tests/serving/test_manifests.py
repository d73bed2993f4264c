"""Kubernetes manifests, compose files and Dockerfiles of all servers follow their schemas."""

from __future__ import annotations

import ast
import json
import posixpath
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from mconv.program.dtypes import DType
from mconv.serving import servers
from mconv.serving.input_modules import Service
from mconv.serving.kinds import OCR
from mconv.serving.servers.engines import ENGINE, ONNX, ONNXRUNTIME
from mconv.serving.servers.manifests import label
from tests.serving.generated import ocr_service, service

BIN = Path(sys.executable).parent
KSERVE = json.loads((Path(__file__).parent.parent / "data" / "kserve" / "inferenceservice.json").read_text())
ROWS = {"x": (DType.FP32, (-1, 4))}
PICTURES = {"image": (DType.FP32, (-1, 3, 32, 32))}
TWO = {"a_b": (DType.INT64, (-1, -1)), "mask": (DType.FP32, (-1, -1))}
MODELS: dict[str, Any] = {"tensor": ROWS, "image": PICTURES, "two": TWO}
EACH = [pytest.param(name, m, id=f"{name}-{m}") for name in servers.SERVERS for m in MODELS] + [
    pytest.param(name, OCR, id=f"{name}-ocr") for name, server in servers.SERVERS.items() if server.models
]


def planned(server: str, model: str, **options: Any) -> Service:
    options = {"server": server, "name": "My_model", **options}
    return ocr_service(**options) if model == OCR else service(MODELS[model], **options)


@pytest.mark.parametrize("server, model", EACH)
def test_kubernetes(server: str, model: str) -> None:
    kubernetes_validate = pytest.importorskip("kubernetes_validate")
    documents = list(yaml.safe_load_all(planned(server, model).files["kubernetes.yaml"]))
    assert [d["kind"] for d in documents] == ["Deployment", "Service", "HorizontalPodAutoscaler"]
    for document in documents:
        kubernetes_validate.validate(document, "1.30", strict=True)
        assert document["metadata"]["name"] == "my-model"
    (container,) = documents[0]["spec"]["template"]["spec"]["containers"]
    ports = {port["name"] for port in container["ports"]}
    assert {p["targetPort"] for p in documents[1]["spec"]["ports"]} == ports
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["port"] in ports
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in documents[0]["spec"]["template"]["spec"]["volumes"]}
    wrong = {**documents[0], "spec": {**documents[0]["spec"], "replica": 3}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, "1.30", strict=True)


@pytest.mark.parametrize("server, model", EACH)
def test_kserve(server: str, model: str) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    documents = list(yaml.safe_load_all(planned(server, model).files["kserve.yaml"]))
    for document in documents:
        jsonschema.validate(document, KSERVE)
    formats = [d["spec"]["predictor"]["model"]["modelFormat"]["name"] for d in documents[1:]]
    # KServe's own runtime of Paddle takes one tensor of float32
    # and none takes several models, with what lies between them
    one = [] if model == "two" else ["paddle"]
    assert formats == ([] if model == OCR else ["triton"] if server == "triton" else one)
    documents[0]["spec"]["predictor"]["containers"][0]["imag"] = "x"
    with pytest.raises(jsonschema.ValidationError, match="imag"):
        jsonschema.validate(documents[0], KSERVE)


@pytest.mark.parametrize("server, model", EACH)
def test_compose_and_dockerfile(tmp_path: Path, server: str, model: str) -> None:
    made = planned(server, model)
    compose, docker = tmp_path / "docker-compose.yml", tmp_path / "Dockerfile"
    compose.write_text(made.files[compose.name])
    docker.write_text(made.files[docker.name])
    for tool, arguments in (
        ("check-jsonschema", ["--builtin-schema", "vendor.compose-spec", str(compose)]),
        ("hadolint", ["--no-color", str(docker)]),
    ):
        if shutil.which(tool, path=str(BIN)) is None:
            pytest.skip(f"{tool} is not installed")
        done = subprocess.run([str(BIN / tool), *arguments], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr


# each server with each engine that it lets choose
ENGINES = [
    pytest.param(server, model, backend, id=f"{server}-{model}-{backend}")
    for server, model in (each.values for each in EACH)
    for backend in servers.SERVERS[str(server)].backends or (None,)
    if model in (OCR, "tensor")
]


def model_paths(text: str) -> list[str]:
    """The folders that ``engine.py`` reads models from."""
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "MODEL":
            said = ast.literal_eval(node.value)
            return list(said.values()) if isinstance(said, dict) else [said]
    return []


@pytest.mark.parametrize("server, model, backend", ENGINES)
def test_an_image_has_what_the_service_imports_and_finds_its_model(server: str, model: str, backend: Any) -> None:
    """What is copied is there or is said to be made, each module of the service that is imported is copied, and the model is
    mounted where the service looks for it."""
    made = planned(server, model, backend=backend)
    docker = made.files["Dockerfile"].replace("\\\n", " ")
    there = {*made.files, *made.copies}
    copied: set[str] = set()
    for line in re.findall(r"^COPY (.*)$", docker, re.M):
        *sources, _ = [word for word in shlex.split(line) if not word.startswith("--")]
        for source in sources:
            found = {name for name in there if name == source or name.startswith(source + "/")}
            assert found or (source == ONNX and backend == ONNXRUNTIME), source
            copied |= found
    modules = {Path(name).stem: name for name in there if name.endswith(".py")}
    for name in (name for name in copied if name.endswith(".py")):
        for node in ast.walk(ast.parse(made.files[name])):
            wanted = []
            if isinstance(node, ast.Import):
                wanted = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                wanted = [str(node.module)]
            for module in set(wanted) & set(modules):
                assert str(Path(name).with_name(f"{module}.py")) in copied, (name, module)
    if servers.SERVERS[server].runtime:  # else the image is that of the server itself
        (command,) = (json.loads(line) for line in re.findall(r"^CMD (.*)$", docker, re.M))
        assert command[0] == "python3" and {*command[1:], "requirements.txt"} <= copied
    (content,) = yaml.safe_load(made.files["docker-compose.yml"])["services"].values()
    targets = [volume["target"] for volume in content["volumes"]]
    (pod, *_) = yaml.safe_load_all(made.files["kubernetes.yaml"])
    mounts = pod["spec"]["template"]["spec"]["containers"][0]["volumeMounts"]
    assert {m["mountPath"] for m in mounts} - {"/dev/shm"} == set(targets)
    if servers.SERVERS[server].runtime:
        (workdir,) = re.findall(r"^WORKDIR (.*)$", docker, re.M)
        looked = [
            posixpath.normpath(posixpath.join(workdir, posixpath.dirname(name), path))
            for name in made.files
            for path in model_paths(made.files[name] if name.endswith(ENGINE) else "")
        ]
        inside = {posixpath.normpath(posixpath.join(workdir, posixpath.dirname(name))) for name in copied}
        for path in looked:
            mounted = any(f"{path}/".startswith(f"{target}/") for target in targets)
            assert mounted or (backend == ONNXRUNTIME and posixpath.dirname(path) in inside), path
        assert looked or server == "paddle-serving"


@pytest.mark.parametrize(
    "name, made", [("model", "model"), ("My_model", "my-model"), ("a__b_", "a-b"), ("x" * 200, "x" * 50)]
)
def test_names(name: str, made: str) -> None:
    assert label(name) == made
