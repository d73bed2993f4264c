"""The oldest and the newest onnx package that mconv works with give the same programs.

Each gets an environment of its own with mconv's core dependencies, kept between runs in the cache folder of the
managed runtimes (a few seconds to make, 250 MB).
"""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from pathlib import Path

import onnx
import pytest

from mconv.runtimes.runtime import runtimes_folder
from tests.onnx.make import mlp
from tests.onnx.suite import cases

ROOT = Path(__file__).parents[2]
OLDEST = "onnx==1.16.0"
OLDEST_OPSET = 21
_CONVERT = """
import hashlib, json, sys, tempfile
from pathlib import Path
import onnx
from mconv.errors import MconvError
from mconv.onnx.convert import convert
from mconv.program.stored import write_model
found = {}
for path in sys.argv[1:]:
    with tempfile.TemporaryDirectory() as folder:
        try:
            made = convert(path, "2.3")
            files = write_model(made.program, made.params.items(), folder)
            found[path] = hashlib.sha256(b"".join(Path(f).read_bytes() for f in files)).hexdigest()
        except MconvError as e:
            found[path] = type(e).__name__
json.dump({"onnx": onnx.__version__, "paths": found}, sys.stdout)
"""


def _python(name: str, requirement: str) -> Path:
    """The interpreter of an environment with that onnx, made when it is not there."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    folder = runtimes_folder().parent / "tests" / f"{name}-py{version}"
    python = folder / "bin" / "python"
    done = folder / "complete"
    if not done.exists():
        venv.create(folder, with_pip=True, clear=True)
        command = [
            str(python),
            "-m",
            "pip",
            "install",
            "-q",
            "--disable-pip-version-check",
            requirement,
            "numpy",
            "pyyaml",
        ]
        made = subprocess.run([*command, "rich", "typer"], capture_output=True, text=True, timeout=300)
        if made.returncode != 0:
            pytest.skip(f"{requirement} cannot be installed: {made.stderr.strip().splitlines()[-1]}")
        done.touch()
    return python


def _convert(python: Path, paths: list[str]) -> dict:
    done = subprocess.run(
        [str(python), "-c", _CONVERT, *paths],
        capture_output=True, text=True, timeout=300, env={"PYTHONPATH": str(ROOT / "src"), "PATH": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Some of ONNX's own cases that the oldest package can read, and a model with weights."""
    chosen = [c.model_path for c in cases() if c.kind == "node" and c.model_path.exists()][::17]
    known = [str(p) for p in chosen if onnx.load(p).opset_import[0].version <= OLDEST_OPSET]
    return [*known, str(mlp(tmp_path_factory.mktemp("m") / "mlp.onnx"))]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "requirement"), [("onnx-oldest", OLDEST), ("onnx-newest", "onnx")])
def test_programs_are_the_same_with_every_onnx(name: str, requirement: str, paths: list[str]) -> None:
    here = _convert(Path(sys.executable), paths)
    there = _convert(_python(name, requirement), paths)
    if "==" in requirement:
        assert there["onnx"] == requirement.partition("==")[2]
    different = {
        Path(p).parent.name: (h, there["paths"][p]) for p, h in here["paths"].items() if there["paths"][p] != h
    }
    assert not different, f"onnx {there['onnx']} against {here['onnx']}: {different}"
    converted = [p for p, h in here["paths"].items() if len(h) == 64]
    assert len(converted) > 0.7 * len(paths)
