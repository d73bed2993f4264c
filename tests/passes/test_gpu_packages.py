"""Programs in half precision in the real GPU packages, 2.3.2 and 2.6.2, as far as a machine without a GPU goes: they load,
types and shapes are inferred, a GPU predictor's passes are applied, and what is left has kernels for half precision."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from mconv import api
from mconv.passes.half_loading import unfit_passes
from mconv.program.dtypes import DType
from tests.golden import case
from tests.managed import require
from tests.verbs import half_zoo

SCRIPT = Path(__file__).with_name("gpu_passes.py")
PACKAGES = {"2.3": "paddle-2.3.2", "2.6": "paddle-gpu-2.6.2"}
# they ask the GPU what it can do
NEED_A_GPU = {"conv_elementwise_add_act_fuse_pass", "conv_elementwise_add2_act_fuse_pass"} | {
    "conv_elementwise_add_fuse_pass", "fused_conv2d_add_act_layout_transfer_pass"
}  # fmt: skip


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


@pytest.mark.runtime
@pytest.mark.parametrize("target", PACKAGES)
def test_golden_models(target: str, tmp_path: Path) -> None:
    require(PACKAGES[target])
    folders = [tmp_path / name for name in ("bert", "conv", "mlp")]
    for folder in folders:
        api.half(case(f"2.3.2-{folder.name}").model, folder, target=target, verify=False)
    without = unfit_passes(target, DType.FP16)
    found = looked_at(target, folders, tmp_path / "out.json", without)
    assert found["cuda"] and found["paddle"] == {"2.3": "2.3.2", "2.6": "2.6.2"}[target]
    # the one thing that only a GPU can answer, and it is the first that a predictor asks
    assert "Device id must be less than GPU count" in found["refused"]
    assert not set(without) & set(found["passes"]) and len(found["passes"]) > 10
    bert, conv, mlp = (found["models"][str(folder)] for folder in folders)
    for row in (bert, conv, mlp):
        assert row["inputs"] and row["unknown shapes"] == row["without"] == row["without after"] == []
        assert set(row["needs a GPU"]) <= (NEED_A_GPU if target == "2.6" else set())
    assert {"conv_bn_fuse_pass", "gpu_cpu_map_matmul_v2_to_mul_pass"} <= set(conv["fused"])
    if target == "2.6":  # casts break no pattern
        assert bert["after"]["multihead_matmul"] == 2 and bert["after"]["fused_fc_elementwise_layernorm"] == 4
        assert "softmax" not in bert["after"] and mlp["after"]["fc"] == 2
    else:  # with all its passes, 2.3 makes what it has no half kernels for
        as_it_is = looked_at(target, folders, tmp_path / "all.json")["models"]
        lacking = {op for row in as_it_is.values() for op in row["without after"]}
        assert lacking == {"fc", "multihead_matmul", "fused_fc_elementwise_layernorm", "conv2d_fusion"}


@pytest.mark.runtime
@pytest.mark.slow
@pytest.mark.parametrize("target", PACKAGES)
@pytest.mark.parametrize("name", [n for n, row in half_zoo.recorded()["2.6"].items() if "refused" not in row])
def test_zoo(name: str, target: str, tmp_path: Path) -> None:
    require(PACKAGES[target])
    with half_zoo.model(name, target) as (plain, _):
        api.half(plain, tmp_path / "half", target=target, verify=False)
        without = unfit_passes(target, DType.FP16)
        found = looked_at(target, [tmp_path / "half", plain], tmp_path / "out.json", without)["models"]
        made, source = found[str(tmp_path / "half")], found[str(plain)]
    assert made["inputs"] == source["inputs"] and made["unknown shapes"] == source["unknown shapes"]
    assert made["without"] == made["without after"] == []
    assert set(made["needs a GPU"]) <= NEED_A_GPU
