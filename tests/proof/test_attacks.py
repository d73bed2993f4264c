"""A generated service in the real Paddle Serving that is attacked: by requests, and by signals to its processes."""

from __future__ import annotations

import json
import random
import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mconv import api
from mconv.proof.pipeline import Pipeline
from mconv.proof.service import copy, read
from tests.golden import case
from tests.managed import require
from tests.proof.driving import drive
from tests.proof.killed import until
from tests.proof.services import running
from tests.serving.attacks import TEXTS, mutated

pytestmark = pytest.mark.runtime

ROW = np.arange(8, dtype=np.float32)[None] / 8
_NAMES = (
    "x",
    "y",
    "",
    "x.lod",
    "pipeline.profile",
    "@DAGExecutor",
    "\u202e",
    "\x1b[2J",
    "a" * 300,
    "\U0001f600",
    "\ud800",
)
_VALUES: tuple[Any, ...] = (
    None, True, 7, -1, 1e308, 10**30, "", " ", "x", "\0", "\ud800", [], [1], [[]], {}, {"a": 1}, "[[1]]", "[" * 500,
    "A" * 70_000, "1" * 70_000, ["x"], ["x", 1], "array([[1.]], dtype=float32)", "NaN", 2**63, -(2**63) - 1, 0.1,
)  # fmt: skip
_TENSOR = (
    "name", "elem_type", "shape", "lod", "float_data", "int64_data", "int_data", "uint32_data", "bool_data", "str_data",
    "byte_data", "float64_data", "name_alias_name",
)  # fmt: skip


def body(rng: random.Random) -> bytes:
    """A request: a good form with something in it that is not, JSON of any form, or damaged text."""
    kind = rng.randrange(6)
    if kind == 0:
        made: Any = {"key": ["x"], "value": [mutated(rng)]}
    elif kind == 1:
        made = {"key": rng.choices(_NAMES, k=rng.randrange(3)), "value": rng.choices(_VALUES, k=rng.randrange(3))}
    elif kind == 2:
        tensor = {"name": "x", "elem_type": 1, "shape": [1, 8], "float_data": ROW[0].tolist()}
        for _ in range(rng.randrange(1, 3)):
            tensor[rng.choice(_TENSOR)] = rng.choice((*_VALUES, *range(14), [1, 8], [-1, 8], [2**31, 2**31], [8] * 20))
        made = {"tensors": [tensor] * rng.choice((1, 1, 2))}
    elif kind == 3:
        fields = ("key", "value", "tensors", "name", "method", "logid", "clientip", "other")
        made = {field: rng.choice((*_VALUES, ["x"], [json.dumps(ROW.tolist())])) for field in rng.choices(fields, k=4)}
    else:
        made = {"key": ["x"], "value": [json.dumps(ROW.tolist())]}
    text = json.dumps(made)
    if kind > 3:
        at = rng.randrange(len(text))
        text = text[:at] if kind == 4 else text[:at] + rng.choice('{}[]",:\\\0\x7f1e') + text[at + rng.randrange(3) :]
    return text.encode("utf-8", "surrogatepass")


def answered(pipeline: Pipeline, name: str, wanted: np.ndarray) -> None:
    """A good request has its answer."""
    answer = pipeline.ask("http key/value", {"x": ROW})
    assert not answer.error, answer.error
    np.testing.assert_allclose(answer.values[name], wanted, atol=1e-5)


@pytest.mark.parametrize("count", [300, pytest.param(2000, marks=pytest.mark.slow)])
def test_nothing_that_is_sent_stops_the_service(tmp_path: Path, count: int) -> None:
    result = api.to_serving(case("2.3.2-mlp").model, out=tmp_path, pipeline={})
    (name,) = (v.alias for v in result.fetches)
    rng = random.Random(count)
    with running(tmp_path, request_timeout=30) as pipeline:
        wanted = pipeline.ask("http key/value", {"x": ROW}).values[name]
        assert wanted.shape[0] == 1 and np.isfinite(wanted).all()
        for what, text in TEXTS.items():
            request = json.dumps({"key": ["x"], "value": [text]}).encode("utf-8", "surrogatepass")
            status, reply = pipeline.post(request)
            assert status != 200 or json.loads(reply)["err_no"] == 400, (what, reply[:200])
        status, reply = pipeline.post(b'{"key": [' + b"[]," * (1 << 21) + b"[]]}")
        assert status == 400 and "more than 1048576 lists, objects and texts" in json.loads(reply)["error"]
        answered(pipeline, name, wanted)
        for index in range(count):
            sent = body(rng)
            status, reply = pipeline.post(sent)
            assert status in (200, 400), (status, sent, reply[:300])
            found = json.loads(reply)
            if status == 200 and found["err_no"] == 0:  # a good one after all
                assert found["key"] == [name], sent
            if index % 100 == 99:
                answered(pipeline, name, wanted)
        log = "".join(p.read_text(errors="replace") for p in (pipeline.folder / "PipelineServingLogs").iterdir())
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202e]", log)
        assert max(map(len, log.splitlines())) < 20_000


SLOW = """
        while request["x"] in ("[[9]]", "[[8]]"):
            try:
                __import__("time").sleep(30)
            except TimeoutError:
                if request["x"] == "[[9]]":
                    raise
"""


@pytest.mark.long
def test_a_request_that_takes_too_long_is_answered_and_the_process_of_one_that_hangs_is_replaced(
    tmp_path: Path,
) -> None:
    result = api.to_serving(case("2.3.2-mlp").model, out=tmp_path, pipeline={})
    (name,) = (v.alias for v in result.fetches)
    config, module = tmp_path / "service" / "config.yml", tmp_path / "service" / "tensor_input.py"
    config.write_text(config.read_text().replace("request_timeout: 60", "request_timeout: 2"))
    module.write_text(module.read_text().replace("        missing = [", f"{SLOW}        missing = [", 1))
    with running(tmp_path, request_timeout=30) as pipeline:
        wanted = pipeline.ask("http key/value", {"x": ROW}).values[name]
        assert "error 504: the request took too long" in pipeline.ask("http key/value", {"x": "[[9]]"}).error
        answered(pipeline, name, wanted)
        # what cannot be stopped is answered by the first process, and found out
        assert "error 504: no answer after 2 s" in pipeline.ask("http key/value", {"x": "[[8]]"}).error
        logs = pipeline.folder / "PipelineServingLogs"
        said = re.compile(r"process \d+ of the Op model has been at one request for 4 s")
        until(lambda: any(said.search(path.read_text(errors="replace")) for path in logs.iterdir()))
        until(lambda: not pipeline.ask("http key/value", {"x": ROW}).error)


# ------------------------------------------------------------------------------------------- the end of its processes


def ended(tmp_path: Path, *ends: dict, script: str = "lifecycle_driver.py") -> list[dict]:
    """What comes of a service that is ended in these ways."""
    require("paddle-2.3.2")
    api.to_serving(case("2.3.2-mlp").model, out=tmp_path, pipeline={"workers": 4})
    found = read(tmp_path / "service")
    assert found is not None
    with tempfile.TemporaryDirectory(prefix="mconv-test-") as scratch:
        folder = copy(found, Path(scratch))
        # so that requests are under way for a while
        module = folder / "tensor_input.py"
        module.write_text(
            module.read_text().replace("missing = [", "__import__('time').sleep(0.1)\n        missing = [")
        )
        results: list[dict] = drive(
            script, folder, ports=[found.rpc_port, found.http_port, found.http_port + 1], ends=ends,
            url=f"http://127.0.0.1:{found.http_port}/{found.name}/prediction",
            health=f"http://127.0.0.1:{found.http_port + 1}",
            body=json.dumps({"key": ["x"], "value": [json.dumps(ROW.tolist())]}),
        )  # fmt: skip
    for result in results:
        assert result["health"] == [200, '{"status": "ready"}'] and result["first"][0] == 200
        assert 'serving_requests_total{result="answered"} 1\n' in result["metrics"]
        assert (result["left"], result["ports"], result["sockets"]) == ([], [], [])
    return results


def test_what_was_accepted_is_answered_before_it_ends(tmp_path: Path) -> None:
    (result,) = ended(tmp_path, {"drain": 20, "workers": 4})
    assert result["status"] == 0
    assert len(result["answers"]) == 20
    for status, text in result["answers"]:
        assert status == 200 and json.loads(text)["err_no"] == 0, text[:300]
