"""The core imports and converts on every Python from 3.9 to 3.13, with the oldest and the newest packages it allows."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from tests.environments import CORE, environment, run
from tests.golden import case
from tests.onnx.make import mlp
from tests.paddle.fixtures import unpack

# pyproject.toml's lower bounds, where there are wheels for Python 3.9
OLDEST = (
    "blake3==0.3.*",
    "numpy==1.21.*",
    "onnx==1.16.0",
    "protobuf==3.20.*",
    "pyyaml==5.4.*",
    "rich==12.0.*",
    "typer==0.12.*",
)
_RUN = """
import contextlib, hashlib, importlib, io, json, pkgutil, sys, tempfile
from pathlib import Path
import mconv
from mconv.cli.main import run
# what runs inside of other interpreters, or subclasses what only some packages of onnx have
left_out = ["mconv.__main__", "mconv.onnx_backend", *("mconv.runtimes." + name for name in (
    "worker_main", "worker_predictor", "worker_executor", "latency_main", "serving_main", "x2paddle_main"))]
modules = [m.name for m in pkgutil.walk_packages(mconv.__path__, "mconv.") if m.name not in left_out]
for name in modules:
    importlib.import_module(name)
digests = {}
with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
    for i, (verb, source) in enumerate(zip(sys.argv[1::2], sys.argv[2::2])):
        out = Path(folder) / str(i)
        arguments = ["--out", str(out)] if verb == "to-serving" else [str(out)]
        extra = ["--no-verify"] if verb == "onnx2paddle" else []
        code = run([verb, source, *arguments, *extra, "-q"])
        assert code == 0, (verb, source, code)
        assert run(["inspect", source]) == 0
        models = [p for p in sorted(out.rglob("*")) if p.suffix in (".pdmodel", ".pdiparams", ".prototxt") or "__" in p.name]
        assert models
        digests[f"{i} {verb} {Path(source).name}"] = hashlib.sha256(b"".join(p.read_bytes() for p in models)).hexdigest()
heavy = [m for m in ("paddle", "torch", "onnxruntime") if m in sys.modules]
from importlib.metadata import version
versions = {p: version(p) for p in ("numpy", "onnx", "protobuf", "typer", "rich")}
json.dump({"modules": len(modules), "digests": digests, "heavy": heavy, "versions": versions}, sys.stdout)
"""


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """verb, source, verb, source, …"""
    folder = tmp_path_factory.mktemp("sources")
    chosen = [(case(name).model, "to-serving") for name in ("1.8.5-bert_custom", "1.8.5-conv_separate", "2.3.2-multi")]
    pairs: list[Any] = [(verb, str(path)) for path, verb in chosen]
    pairs += [("downgrade", str(unpack(version, "bert", folder / version))) for version in ("3.0", "3.3")]
    pairs.append(("onnx2paddle", str(mlp(folder / "mlp.onnx"))))
    return [part for pair in pairs for part in pair]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("minor", "requirements"),
    [pytest.param("3.9", OLDEST, id="3.9-oldest")]
    + [pytest.param(minor, CORE, id=f"{minor}-newest") for minor in ("3.9", "3.10", "3.11", "3.12", "3.13")],
)
def test_every_python_converts_to_the_same_bytes(minor: str, requirements: tuple[str, ...], work: list[str]) -> None:
    here = run(Path(sys.executable), _RUN, *work)
    there = run(environment("core", requirements, minor), _RUN, *work)
    assert there["heavy"] == []
    assert there["modules"] > 150
    assert there["digests"] == here["digests"], there["versions"]
