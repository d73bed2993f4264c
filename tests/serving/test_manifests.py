"""Kubernetes manifests, compose files and Dockerfiles of all servers follow their schemas."""

from __future__ import annotations

import json
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
from mconv.serving.servers.manifests import label
from tests.serving.generated import service

BIN = Path(sys.executable).parent
KSERVE = json.loads((Path(__file__).parent.parent / "data" / "kserve" / "inferenceservice.json").read_text())
ROWS = {"x": (DType.FP32, (-1, 4))}
PICTURES = {"image": (DType.FP32, (-1, 3, 32, 32))}
TWO = {"a_b": (DType.INT64, (-1, -1)), "mask": (DType.FP32, (-1, -1))}
MODELS: dict[str, Any] = {"tensor": ROWS, "image": PICTURES, "two": TWO}
EACH = [
    pytest.param(s, m, id=f"{s}-{m}") for s in servers.SERVERS for m in MODELS if hasattr(servers.SERVERS[s], "files")
]


def planned(server: str, model: str, **options: Any) -> Service:
    return service(MODELS[model], server=server, name="My_model", **options)


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
    assert formats == (["triton"] if server == "triton" else [] if model == "two" else ["paddle"])
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


@pytest.mark.parametrize(
    "name, made", [("model", "model"), ("My_model", "my-model"), ("a__b_", "a-b"), ("x" * 200, "x" * 50)]
)
def test_names(name: str, made: str) -> None:
    assert label(name) == made
