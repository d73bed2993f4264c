"""Real services for tests: converted models, the service beside each, and the pipeline around it."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mconv.proof import service as services
from mconv.proof.pipeline import Pipeline
from mconv.runtimes.ports import free_ports
from tests.managed import require


@contextlib.contextmanager
def running(folder: Path, **options: Any) -> Iterator[Pipeline]:
    """The pipeline around the service of *folder*, started from a copy of its files."""
    where = require("paddle-2.3.2")
    _, found = services.resolve(folder)
    assert found is not None
    with tempfile.TemporaryDirectory(prefix="mconv-test-") as scratch:
        copied = services.copy(found, Path(scratch))
        pipeline = Pipeline(where, copied, found.name, found.rpc_port, found.http_port, **options)
        with pipeline:
            if not pipeline.isolated:  # as serve-check does where there are no network namespaces
                pipeline.rpc_port, pipeline.http_port, health_port = free_ports(3)
                services.with_ports(copied, pipeline.rpc_port, pipeline.http_port, health_port)
            pipeline.start()
            yield pipeline


def post(pipeline: Pipeline, keys: list[str], values: list[str]) -> dict[str, Any]:
    """The gateway's JSON for a key/value request."""
    status, text = pipeline.post(json.dumps({"key": keys, "value": values}).encode())
    assert status == 200, text
    answer: dict[str, Any] = json.loads(text)
    return answer
