"""The generated service, without Paddle Serving: its files, and what its Op does with requests and replies."""

from __future__ import annotations

import ast
import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml

from mconv import api
from mconv.errors import NotAModelError, OutputExistsError, UnsupportedError, UsageError
from mconv.program.dtypes import DType
from mconv.runtimes.recipes import RECIPES
from mconv.serving.configure import ServingConfig, ServingVar
from mconv.serving.scaffold import ServiceOptions, plan
from mconv.serving.servers.paddle_serving_files import CONFIG, SERVICE, kind_of
from mconv.serving.shape_ranges import Range, ShapeRanges, to_paddle
from tests.golden import case
from tests.serving.generated import FakeTimeout, X, load, model, service, stand_in

QUOTED = "x\"} \\ 'é\n#@NAME@"  # a name that would break text pasted into YAML or Python
IMPORTS = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
IMAGE = {"x": (DType.FP32, (-1, 3, 8, 8))}


def test_config_yml() -> None:
    options = ServiceOptions(
        name="bert", rpc_port=9001, http_port=9002, ir_optim=False, threads=3, workers=7, concurrency=2, device_type=2
    )
    parsed = yaml.safe_load(plan(*model(X, [QUOTED]), options, model=QUOTED).files[CONFIG])
    assert (parsed["rpc_port"], parsed["http_port"], parsed["worker_num"]) == (9001, 9002, 7)
    assert parsed["dag"]["is_thread_op"] is False
    assert parsed["op"]["bert"]["concurrency"] == 2
    local = parsed["op"]["bert"]["local_service_conf"]
    assert local["model_config"] == QUOTED and local["fetch_list"] == [QUOTED]
    assert (local["client_type"], local["device_type"], local["devices"], local["ir_optim"], local["thread_num"]) == (
        "local_predictor", 2, "0", False, 3,
    )  # fmt: skip
    assert (parsed["health_port"], local["use_mkldnn"]) == (9003, False)
    without = plan(*model(X), ServiceOptions(onednn=False)).files[CONFIG]
    assert yaml.safe_load(without)["op"]["model"]["local_service_conf"]["use_mkldnn"] is False
    assert "--no-onednn" in without and "--no-onednn" not in plan(*model(X), ServiceOptions()).files[CONFIG]


@pytest.mark.parametrize("inputs", [X, IMAGE], ids=["tensor", "image"])
def test_every_file_is_sound_and_imports_nothing_heavy_at_its_top(inputs: dict) -> None:
    files = service(inputs).files
    for name, text in files.items():
        assert len(text.splitlines()) < 350, name
        if not name.endswith(".py"):
            continue
        top = [
            node
            for node in ast.parse(text, feature_version=(3, 8)).body
            if isinstance(node, (ast.Import, ast.ImportFrom))
        ]
        names = {a.name for n in top if isinstance(n, ast.Import) for a in n.names}
        names |= {n.module or "" for n in top if isinstance(n, ast.ImportFrom)}
        # the pipeline itself imports grpc and google.protobuf
        own = {"channels", "http_server", "lifecycle", "op_processes", "pipeline_op", "request_data", "restarts"}
        own |= {"arriving", "configuration", "setting_checks", "yaml"}
        light = {*sys.stdlib_module_names, "paddle_serving_server", "grpc", "google", *own}
        assert {n for n in names if n.partition(".")[0] not in light} == set(), name


@pytest.fixture
def operator(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Makes the generated Op, with a stand-in for Paddle Serving's classes."""
    pytest.importorskip("PIL")
    stand_in(monkeypatch)
    monkeypatch.setattr(signal, "signal", lambda *args: None)

    def end(status: int) -> None:
        raise AssertionError("the service ended its process")

    monkeypatch.setattr(os, "_exit", end)

    def make(inputs: Any = X, **options: Any) -> Any:
        module = load(service(inputs, **options), tmp_path, SERVICE, monkeypatch)
        part = module.pipeline_op
        part.STATE = SimpleNamespace(request_timeout=60, loaded=[0.0], first={"model": 0})
        made = module.ServiceOp(name="model", input_ops=[part.Request()])
        made.name, made.concurrency_idx = "model", 0
        made.init_op()
        assert part.STATE.loaded[0] > 0
        return made

    return make


def sent(request: dict, seconds: float = 60) -> dict:
    """What the pipeline passes on of a request, which has so much time left."""
    return {"@DAGExecutor": {"request": request, "deadline": time.monotonic() + seconds, "pipeline.profile": None}}


def test_a_request_becomes_inputs_and_a_mistake_error_400(operator: Any) -> None:
    feeds, skip, code, _ = operator().preprocess(sent({"x": "[[1, 2, 3, 4]]"}))
    assert (skip, code) == (False, None)
    (feed,) = feeds  # in a list, so that the pipeline does not cut the outputs
    np.testing.assert_array_equal(feed["x"], np.float32([[1, 2, 3, 4]]))
    feed, _, code, text = operator().preprocess(sent({"y": "[1]"}))
    assert feed is None and code == 400 and text == "the request has no x; inputs: x"


@pytest.mark.parametrize(
    ("size", "timeout", "alone", "batches"),
    [
        (1, None, (), [[1], [2], [3], [4], [5]]),
        (3, 0.01, (), [[1, 2, 3], [4], [5]]),
        (9, 0.01, (), [[1, 2, 3, 4], [5]]),
        (9, 0.01, (3,), [[1, 2], [3], [4], [5]]),  # a process has ended that had it
        (9, 0.01, (1, 2), [[1], [2], [3, 4], [5]]),
    ],
)
def test_requests_that_wait_are_taken_together(
    operator: Any, size: int, timeout: Any, alone: tuple[int, ...], batches: list
) -> None:
    made = operator()
    part = sys.modules["pipeline_op"]
    held: list[int] = []
    part.STATE.__dict__.update(
        busy_since=[0.0],
        done=[0.0],
        hold=lambda process, number: held.append(number),
        forget=lambda process: held.clear(),
    )
    part.channels.ALONE.update(alone)
    waiting: list[Any] = [1, 2, 3, 4, FakeTimeout(), 5, FakeTimeout()]
    limits = []

    class Channel:
        def front(self, op_name: str, limit: Any = None) -> Any:
            assert op_name == "model"
            limits.append(limit)
            if limit is None and isinstance(waiting[0], Exception):
                waiting.pop(0)  # one that waits as long as it takes
            found = waiting.pop(0)
            if isinstance(found, Exception):
                raise found
            held.append(found)
            return {"@DAGExecutor": SimpleNamespace(id=found)}

    taken = made._auto_batching_generator(Channel(), "model", size, timeout, "")
    for index, batch in enumerate(batches):
        found = [each["@DAGExecutor"].id for each in next(taken)]
        assert found == batch and part.STATE.busy_since[0] > 0 and part.STATE.done[0] == index
        assert set(batch) <= set(held) <= {*batch, *alone}
    assert all(limit is None or 0 < limit <= 0.01 for limit in limits)


# in a process of its own: a signal that nothing takes would end the tests
LATE = """\
import time
from pathlib import Path
from types import SimpleNamespace
import pytest
from tests.serving.generated import X, load, service, stand_in
from tests.serving.test_scaffold import SERVICE, sent

with pytest.MonkeyPatch.context() as patch:
    stand_in(patch)
    module = load(service(X), Path.cwd(), SERVICE, patch)
    module.pipeline_op.STATE = SimpleNamespace(request_timeout=60, loaded=[0.0], first={"model": 0})
    made = module.ServiceOp()
    made.name, made.concurrency_idx = "model", 0
    made.init_op()
    made.inputs.read = lambda *args: time.sleep(600)
    feed, _, code, text = made.preprocess(sent({}, seconds=0.5))
    print(feed, code, text)
"""


def test_a_request_that_takes_too_long_is_error_504(operator: Any, tmp_path: Path) -> None:
    feed, _, code, text = operator().preprocess(sent({"x": "[[1, 2, 3, 4]]"}, seconds=-1))
    assert feed is None and code == 504 and "waited for too long" in text
    (tmp_path / "late").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", LATE], cwd=tmp_path / "late", env=IMPORTS, capture_output=True, text=True
    )
    assert (done.stdout, done.returncode) == ("None 504 the request took too long\n", 0), done.stderr


def test_replies_are_json_and_lose_nothing(operator: Any) -> None:
    values = np.linspace(-1e3, 1e-3, 2000, dtype=np.float32).reshape(20, 100)
    outputs = {"a": values, "b": np.int64([[1]]), "c": np.array([True])}
    reply, code, _ = operator().postprocess(sent({}), [outputs])
    assert code is None
    np.testing.assert_array_equal(np.asarray(json.loads(reply["a"]), np.float32), values)
    assert (json.loads(reply["b"]), json.loads(reply["c"])) == ([[1]], [True])
    assert list(reply) == list(outputs)


def test_what_is_empty_has_its_shape(operator: Any) -> None:
    outputs = {"boxes": np.zeros((0, 6), np.float32), "count": np.int64([0])}
    reply, _, _ = operator().postprocess(sent({}), [outputs])
    assert reply == {"boxes": "[]", "count": "[0]", "boxes.shape": "[0, 6]"}


def test_labels_name_the_largest(operator: Any, tmp_path: Path) -> None:
    (tmp_path / "names").write_text("猫\ndog\n", encoding="utf-8")
    made = operator(labels=tmp_path / "names")
    reply, _, _ = made.postprocess(sent({}), [{"y": np.float32([[0, 1], [1, 0]]), "z": np.float32([[0]])}])
    assert json.loads(reply["label"]) == ["dog", "猫"]
    for shape, labels in (((0, 2), "[]"), ((1, 0), None), ((), None)):
        assert made.postprocess(sent({}), [{"y": np.zeros(shape, np.float32)}])[0].get("label") == labels


def test_a_service_that_cannot_start_ends(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stand_in(monkeypatch)
    module = load(service(X), tmp_path, SERVICE, monkeypatch)
    (tmp_path / "tensor_input.py").write_text("raise ImportError('no such library')")
    monkeypatch.delitem(sys.modules, "tensor_input", raising=False)

    def end(status: int) -> None:
        raise SystemExit(status)

    monkeypatch.setattr(os, "_exit", end)
    with pytest.raises(SystemExit, match="1"):
        module.ServiceOp().init_op()


def test_requests_that_contradict_themselves(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stand_in(monkeypatch)
    module = load(service(X), tmp_path, SERVICE, monkeypatch)
    module.pipeline_op.STATE = SimpleNamespace(request_timeout=60)
    request = module.pipeline_op.Request()
    good = SimpleNamespace(key=["a", "pipeline.profile"], value=["b", "1"], tensors=[], logid=3)
    made, number, _, _ = request.unpack_request_package(good)
    assert (made["request"], made["pipeline.profile"], number) == ({"a": "b"}, "1", 3)
    for key, tensors, message in (
        (["a", "b"], [], "2 keys and 1 values"),
        (["a"], [SimpleNamespace(name="a")], "twice"),
        (["a"] * 1001, [], "more than 1000 values"),
    ):
        with pytest.raises(ValueError, match=message):
            request.unpack_request_package(SimpleNamespace(key=key, value=["x"], tensors=tensors))


def test_logging_goes_where_it_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stand_in(monkeypatch)
    before = logging.getLogger("made.by.the.pipeline")
    module = load(service(X, log_file="logs/my.log", log_level="WARNING"), tmp_path, SERVICE, monkeypatch)
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        module.pipeline_op.configure_logging(module.LOG_FILE, module.LOG_LEVEL)
        before.info("quiet")
        before.warning("loud")
    finally:
        for handler in set(root.handlers) - set(handlers):
            handler.close()
        root.handlers[:], root.level = handlers, level
    assert (tmp_path / "logs" / "my.log").read_text() == "WARNING loud\n"


def test_dynamic_shapes_for_tensorrt(operator: Any) -> None:
    info = operator({"x": (DType.FP32, (-1, 3, 48, -1))}).dynamic_shape_info
    assert info == {
        "min_input_shape": {"x": [1, 3, 48, 32]},
        "max_input_shape": {"x": [10, 3, 48, 960]},
        "opt_input_shape": {"x": [1, 3, 48, 640]},
    }


def test_names_are_quoted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stand_in(monkeypatch)
    planned = plan(*model(X, aliases={"x": QUOTED}), ServiceOptions())
    assert load(planned, tmp_path, "tensor_input.py", monkeypatch).INPUTS == {QUOTED: ("float32", [None, 4])}
    assert load(planned, tmp_path, SERVICE, monkeypatch).DYNAMIC_SHAPES["min_input_shape"] == {"x": [1, 4]}


def test_the_shapes_of_a_shape_file_are_a_file_of_the_service(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Under the names of the program's variables, those inside it among them."""
    stand_in(monkeypatch)
    file = tmp_path / "shapes.pbtxt"
    ranges = {"x": Range((1, 4), (2, 4), (8, 4)), "unsqueeze2_0.tmp_0": Range((1, 1, 4), (2, 1, 4), (8, 1, 4))}
    file.write_text(to_paddle(ShapeRanges(ranges)))
    planned = plan(*model(X, aliases={"x": "rows"}), ServiceOptions(shapes=file, device_type=2))
    found = load(planned, tmp_path, SERVICE, monkeypatch).DYNAMIC_SHAPES
    assert found["max_input_shape"] == {"x": [8, 4], "unsqueeze2_0.tmp_0": [8, 1, 4]}
    assert "dynamic_shapes.json" in planned.files["Dockerfile"]
    file.write_text(to_paddle(ShapeRanges({"other": ranges["x"]})))
    with pytest.raises(UsageError, match="no shape of the input x"):
        plan(*model(X), ServiceOptions(shapes=file))


def test_several_profiles_are_several_engines(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Of a folder, the smallest first, whatever the files are called."""
    stand_in(monkeypatch)
    with pytest.raises(UsageError, match="holds no .pbtxt"):
        plan(*model(X), ServiceOptions(shapes=tmp_path, device_type=2))
    for name, rows in (("a", 512), ("b", 128), ("c", 256)):
        (tmp_path / f"{name}.pbtxt").write_text(to_paddle(ShapeRanges({"x": Range((1, 4), (rows, 4), (rows, 4))})))
    planned = plan(*model(X), ServiceOptions(shapes=tmp_path, device_type=2))
    (tmp_path / "service").mkdir()
    found = load(planned, tmp_path / "service", SERVICE, monkeypatch).ServiceOp.profiles
    assert [profile["max_input_shape"]["x"][0] for profile in found] == [128, 256, 512]
    with pytest.raises(UsageError, match="takes one profile"):
        plan(*model(X), ServiceOptions(shapes=tmp_path, server="triton"))


def test_compose_maps_the_ports_of_the_article_and_mounts_the_model_where_the_service_looks() -> None:
    planned = plan(*model(X), ServiceOptions(), model="../models/$v/serving_server")
    (content,) = yaml.safe_load(planned.files["docker-compose.yml"])["services"].values()
    assert content["ports"] == ["39999:18082", "39998:8088", "39997:18083"]
    assert content["restart"] == "unless-stopped" and "18083/health" in content["healthcheck"]["test"][-1]
    (volume,) = content["volumes"]
    assert volume["source"] == "../models/$$v/serving_server"
    assert volume["target"] == "/home/model-server/models/$$v/serving_server"
    assert "WORKDIR /home/model-server/service\n" in planned.files["Dockerfile"]
    (copied,) = re.findall(r"COPY --chown=serving (.*) \./", planned.files["Dockerfile"])
    assert set(copied.split()) == set(planned.files) - {
        "Dockerfile", "docker-compose.yml", "requirements.txt", "http_client.py", "rpc_client.py", "kubernetes.yaml",
        "kserve.yaml",
    }  # fmt: skip
    assert "18083/health" in planned.files["Dockerfile"] and "EXPOSE 8088 18082 18083" in planned.files["Dockerfile"]


def test_hadolint_has_nothing_to_say(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(service(IMAGE).files["Dockerfile"])
    tool = Path(sys.executable).with_name("hadolint")
    if not tool.exists():
        pytest.skip("hadolint is not installed")
    done = subprocess.run([str(tool), str(tmp_path / "Dockerfile")], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")


def test_requirements_are_those_of_the_managed_runtime() -> None:
    wanted = {r for step in RECIPES["paddle-2.3.2"].steps for r in step.requirements}
    text = service(X).files["requirements.txt"]
    listed = {line for line in text.splitlines() if line and not line.startswith("#")}
    assert listed | {"paddle-serving-app==0.9.0"} == wanted
    assert "paddle-serving-app==0.9.0" in text and "paddle-serving-app==0.9.0" in service(X).files["Dockerfile"]


def test_requirements_for_triton_are_those_of_the_managed_runtime() -> None:
    files = service(X, server="triton").files
    lines = files["requirements.txt"].splitlines()
    alone, together = ([s for s in RECIPES["triton"].steps if bool(s.options) == told] for told in (True, False))
    assert {line for line in lines if not line.startswith("#")} == {r for s in together for r in s.requirements}
    for step in alone:
        assert " ".join((*step.options, *step.requirements)) in files["Dockerfile"]


def test_what_cannot_be_served() -> None:
    for var, message in ((ServingVar("x", "x", 99), "feed_type 99"), (ServingVar("x", "x", 1, [-1], lod=True), "LoD")):
        with pytest.raises(UnsupportedError, match=message):
            plan(ServingConfig([var], []), None, ServiceOptions())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"service": "audio"}, "'audio' is not one of text, image, tensor"),
        ({"name": "a/b"}, "--name: 'a/b'"),
        ({"rpc_port": 80}, "--rpc-port: 80 is not between"),
        ({"rpc_port": 18082}, "both 18082"),
        ({"health_port": 8088}, "both 8088"),
        ({"workers": 0}, "--workers: 0"),
        ({"device_type": 7}, "--device-type: 7 is not one of 0 CPU"),
        ({"log_level": "LOUD"}, "--log-level: 'LOUD'"),
        ({"labels": "gone"}, "--labels: gone: cannot be read"),
        ({"max_length": 8}, "--max-length: this is no service of kind text but tensor"),
        ({"service": "image"}, "one input of pictures"),
        ({"service": "text"}, "needs to know what each input holds"),
    ],
    ids=lambda v: str(v)[:24],
)
def test_options_that_do_not_fit(options: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        service(X, **options)


def test_to_serving_writes_it_beside_the_model_and_scaffold_later(tmp_path: Path) -> None:
    result = api.to_serving(case("2.3.2-mlp").model, out=tmp_path, pipeline={"name": "mlp"})
    assert result.service is not None and result.service.kind == "tensor"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["service", "serving_client", "serving_server"]
    assert sorted(p.name for p in (tmp_path / "service").iterdir()) == result.service.files
    assert kind_of(tmp_path / "service") == "tensor"
    with pytest.raises(OutputExistsError):
        api.scaffold(tmp_path / "serving_server")
    again = api.scaffold(tmp_path / "serving_server", tmp_path / "a" / "b", name="mlp")
    for name in again.files:
        ours, theirs = ((tmp_path / folder / name).read_text() for folder in ("a/b", "service"))
        assert ours.replace('"../../serving_server"', '"../serving_server"') == theirs.replace(
            "/home/model-server/serving_server", "/home/serving_server"
        )
    with pytest.raises(NotAModelError, match="not a serving_server folder"):
        api.scaffold(case("2.3.2-mlp").model)


def test_nothing_is_written_when_the_service_is_impossible(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        api.to_serving(case("2.3.2-mlp").model, out=tmp_path / "out", pipeline={"service": "image"})
    with pytest.raises(UsageError, match="no option mood"):
        api.to_serving(case("2.3.2-mlp").model, out=tmp_path / "out", pipeline={"mood": "good"})
    assert not (tmp_path / "out").exists()


def test_labels_are_as_many_as_the_classes(tmp_path: Path) -> None:
    (tmp_path / "names").write_text("one\ntwo\n")
    with pytest.raises(UsageError, match="has 2 names, the output .* 4 numbers in a row"):
        api.to_serving(case("2.3.2-mlp").model, out=tmp_path / "out", pipeline={"labels": tmp_path / "names"})
    (tmp_path / "names").write_text("one\ntwo\nthree\nfour\n")
    result = api.to_serving(case("2.3.2-mlp").model, out=tmp_path / "out", pipeline={"labels": tmp_path / "names"})
    assert result.service is not None and "labels.txt" in result.service.files
