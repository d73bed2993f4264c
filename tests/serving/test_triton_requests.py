"""What the front of a service for Triton refuses before Triton reads it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Optional

import pytest

from mconv.serving.scaffold import options_from, plan
from tests.serving.generated import X, load, model

ONE = {"name": "x", "datatype": "FP32", "shape": [2, 3], "data": [1.0] * 6}
REGION = {"parameters": {"shared_memory_region": "r", "shared_memory_byte_size": 40_000_000}}


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    planned = plan(*model(X, outputs={"y": (-1, 2)}), options_from({"server": "triton"}))
    return load(planned, tmp_path, "request_checks.py", monkeypatch)


def body(*inputs: dict[str, Any]) -> bytes:
    return json.dumps({"inputs": inputs}).encode()


@pytest.mark.parametrize(
    ("sent", "header"),
    [
        (body(ONE), None),
        (body(ONE, ONE), None),
        (b"", None),
        (b"{'inputs': [", None),
        (body({**ONE, "shape": [2, "3"]}), None),  # Triton says what is wrong with these
        (body({**ONE, "shape": [1e9, 3]}), None),
        (body({**ONE, "shape": [0, 1_000_000_000]}), None),
        (body({"name": "x", "shape": [1000, 10_000], **REGION}), None),
        (body({"name": "t", "shape": [1, 1], "data": ['"shape": [1000, 10000] \\u0041', "\\", "[" * 1000]}), None),
        (b'{"shape":[1000,1000]}' + b"[" * 2_000_000, "21"),  # a tensor of bytes behind the JSON
    ],
)  # fmt: skip
def test_what_a_request_can_hold(checks: Any, sent: bytes, header: Optional[str]) -> None:
    checks.check(sent, header)


@pytest.mark.parametrize(
    ("sent", "header", "why"),
    [
        (body({**ONE, "shape": [1000, 1000]}), None, r"an input of shape \[1000, 1000\] in a request of \d+ bytes"),
        (body({**ONE, "shape": [-1000, 1000]}), None, "shape"),
        (body({**ONE, "shape": [1 << 40] * 10}), None, "shape"),
        (body(ONE, {**ONE, "shape": [10_000]}), None, "shape"),
        (b'{"shape" :\n [ 1000 ,1000 ] }', None, "shape"),
        (b'{"\\u0073h\\u0061p\\u0065":[1000,1000]}', None, "shape"),
        (body({**ONE, "shape": [1000, 1000]}, {"name": "y", "shape": [9], **REGION}), None, "shape"),
        (body({"name": "x", "shape": [1000], **REGION})[:-1], None, "no JSON"),
        (body({"name": "x" * (1 << 20), "shape": [1000], **REGION}), None, "beside shared memory"),
        (b'{"shape":[1000,1000]}' + b"0" * 100, "21", "shape"),
        (b'{"a":[' + b"[]," * (1 << 20) + b"1]}", None, "lists, objects and texts"),
        (b'{"a":' * ((1 << 20) + 1), None, "lists, objects and texts"),
    ],
)  # fmt: skip
def test_what_it_cannot(checks: Any, sent: bytes, header: Optional[str], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        checks.check(sent, header)
