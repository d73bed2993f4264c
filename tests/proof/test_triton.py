"""Services in the real Triton Inference Server answer like direct inference, over HTTP and gRPC, texts of many lengths at once too."""

from __future__ import annotations

import json
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mconv import api
from mconv.errors import RuntimeFailedError
from tests.golden import case
from tests.managed import require
from tests.proof.grpc_inference import Refused, grpc_ask, grpc_stream
from tests.proof.services import UNREADABLE, bfloat16_here
from tests.proof.triton_services import DIRECT, scaffold, started, texts_service  # noqa: F401 - a fixture

pytestmark = pytest.mark.runtime


@pytest.mark.parametrize(
    "golden, options",
    [
        ("bert", {}),
        ("mlp", {}),
        ("conv", {}),
        ("bert", {"precision": "bf16"}),
        pytest.param("bert", {"backend": "paddle"}, marks=pytest.mark.slow),
        pytest.param("mlp", {"backend": "paddle"}, marks=pytest.mark.slow),
        pytest.param("multi", {"backend": "paddle"}, marks=pytest.mark.slow),
    ],
)
def test_it_answers_as_direct_inference_does(tmp_path: Path, golden: str, options: dict[str, Any]) -> None:
    require("paddle-2.3.2")
    if options.get("backend") == "paddle":
        require("paddle-2.6.2")
    report = api.serve_check(scaffold(tmp_path, golden, **options))
    assert report.ok, report
    if options.get("precision") == "bf16":
        largest = max(f.max_abs for f in report.forms if f.max_abs is not None)
        assert (largest > 1e-4) == bfloat16_here(), largest


def test_a_model_that_openvino_cannot_read_says_so(tmp_path: Path) -> None:
    """Its reader has no arg_max along the last axis."""
    with pytest.raises(RuntimeFailedError, match=UNREADABLE):
        api.serve(scaffold(tmp_path, "multi"))


def test_onnx_runtime(tmp_path: Path) -> None:
    service = scaffold(tmp_path, "mlp", backend="onnxruntime")
    golden = case("2.3.2-mlp")
    api.to_onnx(golden.model, service / "models" / "model" / "1" / "model.onnx", verify=False)
    ((name, rows),) = golden.inputs.items()
    (want,) = golden.outputs
    with started(service) as ask:
        (got,) = ask([{"name": name, "datatype": "FP32", "shape": list(rows.shape), "data": rows.tolist()}])["outputs"]
    np.testing.assert_allclose(np.reshape(got["data"], got["shape"]), want, atol=1e-5)


def test_texts_of_mixed_lengths_at_once_are_answered_as_alone(texts: Any) -> None:
    ask, known = texts
    assert np.ptp([want for (want,) in known.values()], axis=0).min() > 1e-3
    with ThreadPoolExecutor(20) as pool:
        for text, answer in zip([*known] * 3, pool.map(lambda text: ask([text]), [*known] * 3)):
            np.testing.assert_allclose(answer["outputs"][0]["data"], known[text][0], atol=1e-5)
    everything = list(known)[:60]
    (logits, cut) = ask(everything)["outputs"]
    want = np.concatenate([known[text][0] for text in everything])
    np.testing.assert_allclose(logits["data"], want, atol=1e-5)
    assert cut["shape"] == [60, 1] and not any(cut["data"])
    assert ask(["a " * 40])["outputs"][1]["data"] == [True]
    # that requests were run together is in the server's own figures
    with DIRECT.open(ask.base + "models/model/stats") as reply:
        (stats,) = json.loads(reply.read())["model_stats"]
    assert int(stats["execution_count"]) < int(stats["inference_count"])
    metrics = DIRECT.open(
        f"http://127.0.0.1:{json.loads((ask.folder / 'service.json').read_text())['metrics_port']}/metrics"
    )
    assert 'nv_inference_request_success{model="model",version="1"}' in metrics.read().decode()


def test_every_port_over_ipv6(tmp_path: Path) -> None:
    """Triton takes an address of that kind for its metrics under another name alone."""
    metrics = json.loads((scaffold(tmp_path, "mlp") / "service.json").read_text())["metrics_port"]
    with api.serve(tmp_path, host="::1") as run:
        assert "//[::1]:" in run.serving.url
        with DIRECT.open(f"http://[::1]:{metrics}/metrics", timeout=60) as reply:
            assert b"nv_inference_request_success" in reply.read()


def test_streams_over_grpc(texts: Any) -> None:
    """Answers in the order of the requests, errors among them; and what is no inference is passed on, too."""
    ask, known = texts
    sent = [*known][:40]
    answers = grpc_stream(ask.grpc, "model", "text", [text.encode() for text in [*sent[:20], " ", *sent[20:]]])
    assert "is empty" in str(answers.pop(20))
    for text, answer in zip(sent, answers):
        assert isinstance(answer, dict)
        np.testing.assert_allclose(np.frombuffer(next(iter(answer.values())), "float32"), known[text][0], atol=1e-5)
    service = "/inference.GRPCInferenceService/"
    assert b"triton" in grpc_ask(ask.grpc, service + "ServerMetadata")
    for method in (service + "ServerReady", "/grpc.health.v1.Health/Check"):
        deadline = time.monotonic() + 60
        while (
            said := grpc_ask(ask.grpc, method)
        ) != b"\x08\x01":  # a model may still be loaded anew from a test before
            assert said in (b"", b"\x08\x02") and time.monotonic() < deadline, said
            time.sleep(0.1)
    with pytest.raises(Refused, match="UNAVAILABLE.*restricted|PERMISSION|restricted"):
        grpc_ask(ask.grpc, service + "RepositoryIndex")
    with pytest.raises(Refused, match="UNIMPLEMENTED"):
        grpc_ask(ask.grpc, service + "Nothing")


# ------------------------------------------------------------------------------------------------ forms for other backends


@pytest.mark.parametrize("golden", ["bert", "mlp", "multi"])
def test_the_server_reads_the_forms_for_other_backends(tmp_path: Path, golden: str) -> None:
    """The configuration is whole and valid; what it lacks is the backend, which is on no registry of packages."""
    service = scaffold(tmp_path, golden)
    where = require("triton")
    for form, backend in (("paddle", "paddle"), ("onnx", "onnxruntime")):
        repository = service / "repositories" / form
        (repository / "model" / "1").mkdir()
        server = where.python.parent.parent / "lib"
        (binary,) = server.glob("python3*/site-packages/pytriton/tritonserver/bin/tritonserver")
        command = [str(binary), f"--model-repository={repository}", "--strict-model-config=true", "--allow-http=false"]
        done = subprocess.run(
            [*command, "--allow-grpc=false", "--allow-metrics=false"], capture_output=True, text=True, timeout=120
        )
        said = done.stdout + done.stderr
        assert f"unable to find backend library for backend '{backend}'" in said, said[-3000:]
        broken = repository / "model" / "config.pbtxt"
        broken.write_text(broken.read_text().replace("TYPE_FP32", "TYPE_FP33"))
        done = subprocess.run([*command, "--allow-grpc=false"], capture_output=True, text=True, timeout=120)
        assert "TYPE_FP33" in done.stdout + done.stderr  # which is how it says that it has read them
