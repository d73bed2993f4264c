"""The oldest and the newest onnx package that mconv works with give the same programs.

Each gets an environment of its own with mconv's core dependencies (a few seconds to make, 250 MB).
"""

from __future__ import annotations

import sys
from pathlib import Path

import onnx
import pytest

from tests.environments import environment, run
from tests.onnx.make import mlp
from tests.onnx.suite import cases

OLDEST = "onnx==1.16.0"
OLDEST_OPSET = 21
_CONVERT = """
import hashlib, json, sys, tempfile
from pathlib import Path
import onnx
from mconv.errors import MconvError
from mconv.onnx.convert import convert
from mconv.program.stored import write_model
from mconv.program.targets import PADDLE_2_3
found = {}
for path in sys.argv[1:]:
    with tempfile.TemporaryDirectory() as folder:
        try:
            made = convert(path, PADDLE_2_3)
            files = write_model(made.program, made.params.items(), folder)
            found[path] = hashlib.sha256(b"".join(Path(f).read_bytes() for f in files)).hexdigest()
        except MconvError as e:
            found[path] = type(e).__name__
json.dump({"onnx": onnx.__version__, "paths": found}, sys.stdout)
"""


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Some of ONNX's own cases that the oldest package can read, and a model with weights."""
    chosen = [c.model_path for c in cases() if c.kind == "node" and c.model_path.exists()][::17]
    known = [str(p) for p in chosen if onnx.load(p).opset_import[0].version <= OLDEST_OPSET]
    return [*known, str(mlp(tmp_path_factory.mktemp("m") / "mlp.onnx"))]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "requirement"), [("onnx-oldest", OLDEST), ("onnx-newest", "onnx")])
def test_programs_are_the_same_with_every_onnx(name: str, requirement: str, paths: list[str]) -> None:
    here = run(Path(sys.executable), _CONVERT, *paths)
    there = run(environment(name, (requirement, "numpy", "pyyaml", "rich", "typer<0.29")), _CONVERT, *paths)
    if "==" in requirement:
        assert there["onnx"] == requirement.partition("==")[2]
    different = {
        Path(p).parent.name: (h, there["paths"][p]) for p, h in here["paths"].items() if there["paths"][p] != h
    }
    assert not different, f"onnx {there['onnx']} against {here['onnx']}: {different}"
    converted = [p for p, h in here["paths"].items() if len(h) == 64]
    assert len(converted) > 0.7 * len(paths)
