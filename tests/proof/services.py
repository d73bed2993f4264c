"""Real services for tests: converted models, the service beside each, and the pipeline around it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from mconv.proof import service as services
from mconv.proof.pipeline import Pipeline
from mconv.serving import servers
from tests.managed import require

# what services whose engine is OpenVINO say of 2.3.2-multi: its reader has no arg_max along the last axis
UNREADABLE = (
    r"OpenVINO cannot read this model \(.*arg_max\); write the service again with --backend paddle, or --backend "
    r"onnxruntime \(`mconv to-onnx MODEL model\.onnx` makes its file\)(\n|$)"
)


def bfloat16_here() -> bool:
    """Whether this machine's processor has instructions for bfloat16, as the kernel says, and oneDNN may use them."""
    held = os.environ.get("ONEDNN_MAX_CPU_ISA") is not None
    return not held and re.search(r"\b(avx512_bf16|amx_bf16)\b", Path("/proc/cpuinfo").read_text()) is not None


@contextlib.contextmanager
def running(folder: Path, **options: Any) -> Iterator[Pipeline]:
    """The server around the service of *folder*, started from a copy of its files."""
    _, found = services.resolve(folder)
    assert found is not None
    where = require(servers.runtime_of(servers.of(found), found))
    with tempfile.TemporaryDirectory(prefix="mconv-test-") as scratch:
        with Pipeline(where, replace(found, folder=services.copy(found, Path(scratch))), **options) as pipeline:
            pipeline.start()
            yield pipeline


def post(pipeline: Pipeline, keys: list[str], values: list[str]) -> dict[str, Any]:
    """The gateway's JSON for a key/value request."""
    status, text = pipeline.post(json.dumps({"key": keys, "value": values}).encode())
    assert status == 200, text
    answer: dict[str, Any] = json.loads(text)
    return answer
