"""What a command imports before it works: no more than its source needs, so that its start-up does not grow unseen."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

from tests.golden import GOLDEN
from tests.onnx.make import mlp

MLP = GOLDEN / "paddle-2.3.2" / "mlp" / "inference_model"
# packages that take longer to import than a small model to convert
HEAVY = {
    "numpy",
    "onnx",
    "ml_dtypes",
    "paddle",
    "torch",
    "onnxruntime",
    "rich",
    "jsonschema",
    "yaml",
    "huggingface_hub",
}
_LISTED = """
import json, sys
from mconv.cli.main import run
code = run(sys.argv[2:])
with open(sys.argv[1], "w") as file:
    json.dump(sorted(sys.modules), file)
sys.exit(code)
"""


def imported(tmp_path: Path, *args: object) -> set[str]:
    """The modules that a command has imported when it is done; tables are drawn by rich, so without."""
    listed = tmp_path / "modules.json"
    command = [sys.executable, "-c", _LISTED, str(listed), *map(str, args), "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    return set(json.loads(listed.read_text()))


def beyond(modules: Collection[str], rooms: Collection[str], packages: Collection[str] = ()) -> list[str]:
    """What is neither in the rooms (``verbs.to_serving`` is one, too) nor in the heavy packages that are named."""
    found = {m for m in modules if m.partition(".")[0] in HEAVY - set(packages)}
    for module in modules:
        inner = module.partition("mconv.")[2]
        if module.startswith("mconv.") and not any(inner == r or inner.startswith(f"{r}.") for r in rooms):
            found.add(module)
    # a package is imported with each of its modules
    return sorted(m for m in found if not any(r.startswith(f"{m.removeprefix('mconv.')}.") for r in rooms))


# what is for all, the command line, and the plain data of programs and of what is written
COMMON = ("cli", "options", "api", "errors", "version", "printable", "warned", "budget", "hub", "extras")
DATA = ("artifacts", "page.shown", "program", "yaml_text")
# a program that its target knows as it is
LEGAL = (
    *("paddle." + m for m in ("legalize", "lower", "registry", "attributes", "changed", "zero_rank")),
    *("passes." + m for m in ("graph", "ports", "quantize_forms", "quantize_rounded", "rewrite")),
)
TO_SERVING = (
    *("verbs.to_serving", "serving.convert", "serving.configure", "serving.kinds"),
    *("passes.half_loading", "passes.half_tables"),
)


def test_to_serving_of_a_program_that_its_target_knows(tmp_path: Path) -> None:
    modules = imported(tmp_path, "to-serving", MLP, "--out", "out")
    assert beyond(modules, [*COMMON, *DATA, *LEGAL, *TO_SERVING]) == []


def test_downgrade_of_a_program_that_its_target_knows(tmp_path: Path) -> None:
    modules = imported(tmp_path, "downgrade", MLP, "out")
    downgrade = ("verbs.downgrade", "verbs.produced", "serving.convert", "serving.configure", "serving.kinds")
    assert beyond(modules, [*COMMON, *DATA, *LEGAL, *TO_SERVING, *downgrade]) == []


ONNX2PADDLE = (
    *("emit", "factory", "onnx", "verbs.onnx2paddle", "verbs.frame", "verbs.halving", "verbs.produced"),
    *("proof.attempt", "proof.compare", "proof.notes", "proof.report", "proof.verdict"),
    *("passes.graph", "passes.rewrite", "passes.shared", "passes.fuse", "passes.fuse_activation"),
    *("passes.fuse_attention", "passes.fuse_norm", "passes.fuse_pool", "passes.fuse_squeeze"),
)


def test_onnx2paddle_without_a_proof(tmp_path: Path) -> None:
    mlp(tmp_path / "m.onnx")
    modules = imported(tmp_path, "onnx2paddle", "m.onnx", "out", "--no-verify")
    assert beyond(modules, [*COMMON, *DATA, *ONNX2PADDLE], ["numpy", "onnx", "ml_dtypes"]) == []


def test_what_is_beyond_is_named() -> None:
    modules = ["mconv", "mconv.verbs", "mconv.verbs.half", "mconv.verbs.to_serving", "mconv.emit.pad", "numpy.linalg"]
    assert beyond(modules, ["verbs.to_serving"]) == ["mconv.emit.pad", "mconv.verbs.half", "numpy.linalg"]
    assert beyond(modules, ["verbs", "emit"], ["numpy"]) == []
