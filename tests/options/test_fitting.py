"""What comes from Python for an option: fitted to its type, or refused in one line."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mconv import api
from mconv.errors import MconvError, NotAModelError, UsageError
from mconv.options.bench import BenchServices
from mconv.options.edit import Edit
from mconv.options.fitting import fitted
from mconv.options.models import Inspect
from mconv.options.onnx import ToOnnx
from mconv.options.verify import Verify


class Raises:
    def __fspath__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("function", "given", "message"),
    [
        (api.inspect, {"path": b"m"}, "PATH: a value of the type bytes, where a path (text, or pathlib's) is wanted"),
        (api.inspect, {"path": None}, "PATH: a value of the type NoneType, where a path"),
        (api.inspect, {"path": 3}, "PATH: a value of the type int, where a path"),
        (api.inspect, {"path": ["m", "n"]}, "PATH: a value of the type list, where a path"),
        (api.inspect, {"path": np.array(["m"])}, "PATH: a value of the type ndarray, where a path"),
        (api.inspect, {"path": Raises()}, "PATH: a value of the type Raises, where a path"),
        (api.inspect, {"path": "\ud800"}, "PATH: '\\ud800' has half of a surrogate pair"),
        (api.inspect, {"path": "x" * 5000}, "(4920 more characters) is too long: a path has at most 4095 bytes"),
        (api.inspect, {"path": Path("x" * 256)}, "a name in it 255"),
        (api.inspect, {"path": "m", "limit": 10**5000}, "--limit: a number of more than 64 bits"),
        (api.inspect, {"path": "m", "text": "yes"}, "--text: a value of the type str, where true or false is wanted"),
        (api.inspect, {"path": "m", "text": 2}, "--text: a value of the type int, where true or false is wanted"),
        (api.to_serving, {"path": "m", "out": {}}, "--out: a value of the type dict, where a path"),
        (api.to_serving, {"path": "m", "serving_server": 3}, "--serving-server: a value of the type int"),
        (api.to_serving, {"path": "m", "pipeline": True}, "--pipeline: a value of the type bool, where a mapping or None"),
        (api.to_serving, {"path": "m", "feed_alias": {"x": 3}}, "--feed-alias: a value of the type dict"),
        (api.to_onnx, {"path": "m", "out": "o", "opset": 2.5}, "where a whole number or None is wanted"),
        (api.to_onnx, {"path": "m", "out": "o", "opset": True}, "where a whole number or None is wanted"),
        (api.onnx2paddle, {"model": "m", "out": "o", "tolerance": "1"}, "where a number or None is wanted"),
        (api.onnx2paddle, {"model": "m", "out": "o", "tolerance": 10**400}, "a number of more than 64 bits"),
        (api.onnx2paddle, {"model": "m", "out": "o", "target": [2]}, "where Target or a text or a number is wanted"),
        (api.onnx2paddle, {"model": "m", "out": "o", "progress": 3}, "where a function is wanted"),
        (api.torch2paddle, {"model": b"m", "out": "o"}, "MODEL: a value of the type bytes, where a model or its path is wanted"),
        (api.torch2paddle, {"model": None, "out": "o"}, "MODEL: a value of the type NoneType, where a model"),
        (api.torch2paddle, {"model": np.zeros(2), "out": "o"}, "MODEL: a value of the type ndarray, where a model"),
        (api.torch2paddle, {"model": Path("x" * 4999), "out": "o"}, "is too long"),
        (api.to_static, {"layer": 10**400, "path": "o"}, "a value of the type int, where a model"),
        (api.quantize, {"path": ["m"], "out": "o", "data": "d"}, "MODEL: a value of the type list, where a path"),
        (api.convert, {"source": ["m", "n"], "out": "o"}, "a list of sources, where one is wanted"),
        (api.convert_many, {"source": 3, "out": "o"}, "SOURCE: a value of the type int, where"),
        (api.bench_models, {"models": []}, "no model to measure"),
        (api.verify, {"a": "http://[", "b": "m"}, "http://[: not the address of a service"),
    ],
)  # fmt: skip
def test_refused(function: Callable[..., Any], given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as error:
        function(**given)
    assert message in error.value.message and len(error.value.message) < 400


def test_taken() -> None:
    chosen = ToOnnx("m", Path("o"), opset=np.int64(15), tolerance=np.float32(0.5), verify=np.True_, force=1)
    assert (chosen.opset, chosen.tolerance) == (15, 0.5) and type(chosen.opset) is int
    assert chosen.verify is True and chosen.force is True and type(chosen.tolerance) is float
    assert Edit("m", "o", outputs=np.array(["a", "b"]), dims={"x": np.int32(2)}).outputs == ["a", "b"]
    assert Edit("m", "o", drop_inputs="x").drop_inputs == ["x"]
    assert BenchServices(["http://127.0.0.1"], model=Path("serving_server")).model == "serving_server"
    assert Edit("m", "o", dims={"x": np.int32(2)}).dims == {"x": 2}
    assert Inspect(os.fsdecode(b"\xff")).path == "\udcff"  # a name that is no UTF-8
    url = f"http://127.0.0.1/{'x' * 300}"
    assert Verify("m", url).b == url


class Module:
    """As a model of transformers: it can be called, and has a type of its weights."""

    dtype = np.float32

    def __call__(self, x: Any) -> Any:
        return x


def test_a_model_that_has_a_dtype() -> None:
    model = Module()
    assert fitted("MODEL", model, Any, model=True) is model


def test_what_the_system_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not as a bare OSError: a file's names can be as long as they like."""

    def refuse(path: Any, **_: Any) -> None:
        os.stat(tmp_path / ("x" * 3000))

    monkeypatch.setattr("mconv.inspection.inspect", refuse)
    with pytest.raises(NotAModelError) as error:
        api.inspect(tmp_path)
    assert error.value.message.endswith("…: File name too long") and len(error.value.message) < 400
    assert isinstance(error.value.__cause__, OSError)


@pytest.mark.parametrize(
    ("name", "shown"),
    [("a\nb", "a b: no such"), ("\x1b[31m", "\\x1b[31m: no such"), ("a/" * 2000, "more characters)")],
)
def test_one_line_whatever_is_quoted(name: str, shown: str) -> None:
    with pytest.raises(NotAModelError) as error:
        api.inspect(name)
    assert error.value.message.isprintable() and len(error.value.message) < 1100 and shown in error.value.message


def test_the_root_is_no_output() -> None:
    with pytest.raises(NotAModelError, match="holds no provenance.json"):
        api.check("/")


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_limit_is_a_size(value: float) -> None:
    with pytest.raises(MconvError):
        api.inspect("m", limit=value)  # type: ignore[arg-type]
