"""The generated service, without Paddle Serving: its text, and what its Op does with requests and replies."""

from __future__ import annotations

import json
import sys
import types

import numpy as np
import pytest
import yaml

from mconv.errors import UnsupportedError
from mconv.program.dtypes import DType
from mconv.serving.configure import TYPES, ServingConfig, ServingVar
from mconv.serving.scaffold import CONFIG, SERVICE, ServiceOptions, service_files

QUOTED = "x\"} \\ 'é\n#"  # a name that would break text pasted into YAML or Python


def config(*names: str, dtype: DType = DType.FP32) -> ServingConfig:
    feeds = [ServingVar(f"v_{n}", n, TYPES[dtype], [4]) for n in names]
    return ServingConfig(feeds, [ServingVar("o", QUOTED, TYPES[DType.FP32], [2])])


@pytest.fixture
def operator(monkeypatch: pytest.MonkeyPatch):
    """Makes the generated Op, with a stand-in for Paddle Serving's base class."""
    web = types.ModuleType("paddle_serving_server.web_service")
    web.Op = type("Op", (), {"__init__": lambda self, name="", input_ops=(): None})  # type: ignore[attr-defined]
    web.WebService = type("WebService", (), {})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "paddle_serving_server", types.ModuleType("paddle_serving_server"))
    monkeypatch.setitem(sys.modules, "paddle_serving_server.web_service", web)

    def make(served: ServingConfig):
        space: dict = {"__name__": "service"}
        exec(compile(service_files(served, ServiceOptions())[SERVICE], SERVICE, "exec"), space)
        made = space["ModelOp"]()
        made.init_op()
        return made

    return make


def test_config_yml() -> None:
    options = ServiceOptions(name="bert", model=QUOTED, rpc_port=9001, http_port=9002, ir_optim=False, threads=3)
    parsed = yaml.safe_load(service_files(config("x"), options)[CONFIG])
    assert (parsed["rpc_port"], parsed["http_port"]) == (9001, 9002)
    local = parsed["op"]["bert"]["local_service_conf"]
    assert local["model_config"] == QUOTED and local["fetch_list"] == [QUOTED]
    assert (local["client_type"], local["device_type"], local["ir_optim"], local["thread_num"]) == (
        "local_predictor",
        0,
        False,
        3,
    )


def test_heavy_imports_are_inside_the_op() -> None:
    text = service_files(config("x"), ServiceOptions())[SERVICE]
    top = [line for line in text.splitlines() if line.startswith(("import ", "from "))]
    assert top == [
        "import ast",
        "import json",
        "import re",
        "from paddle_serving_server.web_service import Op, WebService",
    ]


VALUES = np.linspace(-1e3, 1e-3, 2000, dtype=np.float32).reshape(20, 100)


def printed(array: np.ndarray) -> str:
    with np.printoptions(threshold=sys.maxsize):
        return repr(array)


@pytest.mark.parametrize(
    ("text", "wanted", "dtype"),
    [
        ("[[1, 2], [3, 4]]", [[1, 2], [3, 4]], DType.INT64),
        ("[1.5, NaN, Infinity]", [1.5, np.nan, np.inf], DType.FP32),
        ("7", 7, DType.INT64),
        ("[true, false]", [True, False], DType.BOOL),
        (printed(VALUES), VALUES, DType.FP32),
        (printed(np.arange(6).reshape(2, 3)), [[0, 1, 2], [3, 4, 5]], DType.INT64),
        (printed(np.zeros(3, bool)), [False] * 3, DType.BOOL),
        ("array([], shape=(0,), dtype=float32)", [], DType.FP32),
    ],
    ids=["json", "nan", "scalar", "bool", "long repr", "repr", "bool repr", "empty repr"],
)
def test_texts_become_arrays(operator, text: str, wanted: object, dtype: DType) -> None:
    feed, skip, code, _ = operator(config("x", dtype=dtype)).preprocess({"@DAGExecutor": {"x": text}})
    assert (skip, code) == (False, None)
    np.testing.assert_allclose(feed["x"], np.asarray(wanted, dtype.numpy), rtol=1e-6)
    assert feed["x"].dtype == dtype.numpy


def test_arrays_pass_through(operator) -> None:
    given = np.ones((2, 3), np.float64)
    feed, *_ = operator(config("x")).preprocess({"@DAGExecutor": {"x": given, "other": 1}})
    assert list(feed) == ["x"] and feed["x"].dtype == np.float32


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"y": "[1]"}, "the request has no x; inputs: x, y"),
        ({}, "no x"),
        ({"x": "[1", "y": "[1]"}, "x is no array of float32"),
        ({"x": "__import__('os').getcwd()", "y": "[1]"}, "x is no array of float32"),
        ({"x": '["a"]', "y": "[1]"}, "x is no array of float32"),
        ({"x": "[[1], [1, 2]]", "y": "[1]"}, "x is no array of float32"),
    ],
    ids=["missing", "nothing", "cut", "code", "text", "ragged"],
)
def test_a_bad_request_is_answered_with_what_is_wrong(operator, request_: dict, message: str) -> None:
    feed, _, code, text = operator(config("x", "y")).preprocess({"@DAGExecutor": request_})
    assert feed is None and code == 400 and message in text


def test_replies_are_json_and_lose_nothing(operator) -> None:
    reply, code, _ = operator(config("x")).postprocess({}, {"a": VALUES, "b": np.int64([[1]]), "c": np.array([True])})
    assert code is None
    np.testing.assert_array_equal(np.asarray(json.loads(reply["a"]), np.float32), VALUES)
    assert (json.loads(reply["b"]), json.loads(reply["c"])) == ([[1]], [True])


def test_names_are_quoted(operator) -> None:
    feed, *_ = operator(config(QUOTED)).preprocess({"@DAGExecutor": {QUOTED: "[1]"}})
    assert list(feed) == [QUOTED]


def test_what_cannot_be_served() -> None:
    for var, message in ((ServingVar("x", "x", 99), "feed_type 99"), (ServingVar("x", "x", 1, [-1], lod=True), "LoD")):
        with pytest.raises(UnsupportedError, match=message):
            service_files(ServingConfig([var], []), ServiceOptions())
