"""The real Paddle Serving under load: over HTTP and RPC, in both forms, with what its processes take."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

import pytest

from mconv import api
from tests.golden import case
from tests.managed import require

pytestmark = pytest.mark.runtime


@pytest.mark.parametrize("kind", ["tensor", "text"])
def test_a_generated_service(kind: str, tmp_path: Path) -> None:
    """Also texts of several lengths, some of which are run together."""
    for package in ("aiohttp", "grpc", "psutil"):
        pytest.importorskip(package)
    require("paddle-2.3.2")
    (tmp_path / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"abcdefgh"]) + "\n")
    (tmp_path / "texts.txt").write_text("a\nb c\nd e f g h a b c\nh g f e d c b a h g\n")
    pipeline = {"tokenizer": tmp_path / "vocab.txt", "max_length": 16} if kind == "text" else {}
    model = case("2.3.2-bert" if kind == "text" else "2.3.2-mlp").model
    made = api.to_serving(model, out=tmp_path, pipeline=pipeline)
    assert made.service is not None and made.service.kind == kind
    sent = {"texts": tmp_path / "texts.txt"} if kind == "text" else {"model": str(made.server), "shapes": ["x[3,8]"]}
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with api.serve(tmp_path, port=port) as run:
        urls = [f"http={run.serving.url}", f"rpc=grpc://{run.serving.rpc}"]
        found = api.bench_services(urls, threads=6, loops=6, warmup=1, rounds=2, timeout=60, **sent)
        if kind == "tensor":
            more = api.bench_services(urls, request="tensors", threads=2, loops=2, warmup=0, timeout=60, **sent)
            assert [(one.status, one.right) for one in more.addresses] == [("ok", 4), ("ok", 4)]
    for one in found.addresses:
        assert (one.status, one.right, one.wrong, one.errors) == ("ok", 36, 0, 0), one.reasons
        assert one.server is not None and one.server.processes >= 2  # the pipeline and the Op
        assert one.server.cpu_seconds > 0 and one.server.peak_bytes > 100e6
