"""Both zoos in half precision in the real GPU packages, without a GPU: ``python -m tests.passes.gpu_zoo [NAME…] [--target 2.3]``
records what they make of each model.

The record, ``gpu_zoo.json``, says for each target and model which passes of a predictor on the GPU change the graph, and how
often, and which ask the GPU itself. Where the package's process ends on a model, it says of what, and of what on the same
model in float32. A model that does not load as the float32 one does, or whose operators lack kernels for half precision, is
printed and not recorded.
"""

from __future__ import annotations

import argparse
import json
import signal
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
_AT_ONCE = 8  # models in one process, which takes seconds to start


class Ended(Exception):
    """The package's process ended before its work did.

    Attributes:
        said: what it had written.
        folder: the model that it ended on.
        reason: what it was doing, and what it died of or said last.
    """

    def __init__(self, said: dict[str, Any], code: int, errors: str):
        self.said = said
        self.folder, step = said["at"]
        last = signal.Signals(-code).name if code < 0 else errors.strip().splitlines()[-1]
        self.reason = f"{step}: {last}"
        super().__init__(f"{self.folder}: {self.reason}\n{errors[-2000:]}")


def looked_at(target: str, folders: Sequence[Path], out: Path, without: Sequence[str] = ()) -> dict[str, Any]:
    """What the GPU package of *target* says of these models.

    Raises:
        Ended: it ended on one of them.
    """
    where = require(PACKAGES[target])
    out.unlink(missing_ok=True)
    ended = subprocess.run(
        [str(where.python), str(SCRIPT), str(out), ",".join(without), *map(str, folders)],
        env=where.environ(GLOG_v="0"),
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert out.exists(), ended.stderr[-2000:]
    found: dict[str, Any] = json.loads(out.read_text())
    if ended.returncode:
        raise Ended(found, ended.returncode, ended.stderr)
    return found


def each(target: str, folders: Sequence[Path], out: Path) -> dict[str, dict[str, Any]]:
    """What it says of each model, ``{"ended": reason}`` of those that its process ends on: the others have another one."""
    found: dict[str, dict[str, Any]] = {}
    while left := [folder for folder in folders if str(folder) not in found]:
        try:
            found.update(looked_at(target, left, out, unfit_passes(targets.get(target), DType.FP16))["models"])
        except Ended as e:
            if e.folder is None:  # not on a model
                raise
            found.update(e.said["models"])
            found[e.folder] = {"ended": e.reason}
    return found


def outcomes(names: Sequence[str], target: str) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """What the package makes of these models in half precision and in float32: see :func:`checked`."""
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gpu-zoo-")))
        pairs = {}
        for name in names:
            plain, _ = stack.enter_context(half_zoo.model(name, target))
            small = scratch / name.replace("/", "-")
            api.half(plain, small, target=target, verify=False)
            pairs[name] = small, plain
        found = each(target, [folder for pair in pairs.values() for folder in pair], scratch / "out.json")
        return {name: (found[str(small)], found[str(plain)]) for name, (small, plain) in pairs.items()}


def checked(made: dict[str, Any], source: dict[str, Any]) -> dict[str, Any]:
    """The row of a model of which nothing is wrong: what it ends on, it ends on in float32 as well."""
    if "ended" in made or "ended" in source:
        assert made == source, f"in half precision {made}, in float32 {source}"
        return made
    assert made["inputs"] == source["inputs"] and made["unknown shapes"] == source["unknown shapes"]
    assert made["without"] == made["without after"] == []
    assert set(made["needs a GPU"]) <= NEED_A_GPU
    fused = {name: sum(-n for n in change.values() if n < 0) for name, change in made["fused"].items()}
    return {"fused": fused, "needs a GPU": made["needs a GPU"]}


def recorded() -> dict[str, dict[str, dict[str, Any]]]:
    """Target → model → what its GPU package makes of it: pass → operators that it has taken away."""
    return records.read(RESULTS)


def main() -> None:
    half_zoo.leave_in_order()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="models; default all that are not recorded yet")
    parser.add_argument("--target", choices=PACKAGES, default="2.6")
    parser.add_argument("--seconds", type=float, default=1e9, help="begin no others after so many")
    options = parser.parse_args()
    every, start = half_zoo.names(), time.monotonic()
    results = recorded()
    known = results.setdefault(options.target, {})
    wanted = options.names or [n for n in every if n not in known]
    for at in range(0, len(wanted), _AT_ONCE):
        if time.monotonic() - start > options.seconds:
            break
        for name, pair in outcomes(wanted[at : at + _AT_ONCE], options.target).items():
            try:
                known[name] = checked(*pair)
            except AssertionError as e:
                print(name, "WRONG", e, flush=True)
            else:
                print(name, known[name], flush=True)
        ordered = {t: {n: results[t][n] for n in every if n in results[t]} for t in PACKAGES if t in results}
        RESULTS.write_text(json.dumps(ordered, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
