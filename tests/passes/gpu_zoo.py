"""Both zoos in half precision in the real GPU packages, without a GPU: ``python -m tests.passes.gpu_zoo [NAME…] [--target 2.3]``
records what they make of each model.

The record, ``gpu_zoo.json``, says for each target and model which passes of a predictor on the GPU change the graph, and how
often, and which ask the GPU itself. A model that does not load, or whose operators lack kernels for half precision, is not
recorded, nor is what 2.3.2 ends on without a word when a pass is applied to it (``pir/branches`` in float32 as well).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from mconv import api
from mconv.passes.half_loading import unfit_passes
from mconv.program import targets
from mconv.program.dtypes import DType
from tests import records
from tests.managed import require
from tests.verbs import half_zoo

RESULTS = Path(__file__).with_name("gpu_zoo.json")
SCRIPT = Path(__file__).with_name("gpu_passes.py")
PACKAGES = {"2.3": "paddle-2.3.2", "2.6": "paddle-gpu-2.6.2"}
# they ask the GPU what it can do
NEED_A_GPU = {"conv_elementwise_add_act_fuse_pass", "conv_elementwise_add2_act_fuse_pass"} | {
    "conv_elementwise_add_fuse_pass", "fused_conv2d_add_act_layout_transfer_pass"
}  # fmt: skip
_AT_ONCE = {
    "2.3": 1,
    "2.6": 8,
}  # models in one process, which takes seconds to start; that of 2.3.2 does not survive many


def looked_at(target: str, folders: Sequence[Path], out: Path, without: Sequence[str] = ()) -> dict[str, Any]:
    """What the GPU package of *target* says of these models."""
    where = require(PACKAGES[target])
    ended = subprocess.run(
        [str(where.python), str(SCRIPT), str(out), ",".join(without), *map(str, folders)],
        env=where.environ(GLOG_v="0"),
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    found: dict[str, Any] = json.loads(out.read_text())
    return found


def outcomes(names: Sequence[str], target: str) -> dict[str, dict[str, Any]]:
    """What the package makes of these models: see :data:`RESULTS`."""
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gpu-zoo-")))
        pairs = {}
        for name in names:
            plain, _ = stack.enter_context(half_zoo.model(name, target))
            small = scratch / name.replace("/", "-")
            api.half(plain, small, target=target, verify=False)
            pairs[name] = small, plain
        folders = [folder for pair in pairs.values() for folder in pair]
        found = looked_at(target, folders, scratch / "out.json", unfit_passes(targets.get(target), DType.FP16))[
            "models"
        ]
        return {name: checked(found[str(small)], found[str(plain)]) for name, (small, plain) in pairs.items()}


def checked(made: dict[str, Any], source: dict[str, Any]) -> dict[str, Any]:
    """The row of a model of which nothing is wrong."""
    assert made["inputs"] == source["inputs"] and made["unknown shapes"] == source["unknown shapes"]
    assert made["without"] == made["without after"] == []
    assert set(made["needs a GPU"]) <= NEED_A_GPU
    fused = {name: sum(-n for n in change.values() if n < 0) for name, change in made["fused"].items()}
    return {"fused": fused, "needs a GPU": made["needs a GPU"]}


def recorded() -> dict[str, dict[str, dict[str, Any]]]:
    """Target → model → what its GPU package makes of it: pass → operators that it has taken away."""
    return records.read(RESULTS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="models; default all that are not recorded yet")
    parser.add_argument("--target", choices=PACKAGES, default="2.6")
    parser.add_argument("--seconds", type=float, default=1e9, help="begin no others after so many")
    options = parser.parse_args()
    every, start = half_zoo.names(), time.monotonic()
    results = recorded()
    known = results.setdefault(options.target, {})
    wanted = options.names or [n for n in every if n not in known]
    step = _AT_ONCE[options.target]
    for at in range(0, len(wanted), step):
        if time.monotonic() - start > options.seconds:
            break
        for name, row in outcomes(wanted[at : at + step], options.target).items():
            known[name] = row
            print(name, row, flush=True)
        ordered = {t: {n: results[t][n] for n in every if n in results[t]} for t in PACKAGES if t in results}
        RESULTS.write_text(json.dumps(ordered, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
