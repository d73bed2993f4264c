"""Programs in half precision in the real GPU packages, 2.3.2 and 2.6.2, as far as a machine without a GPU goes: they load,
types and shapes are inferred, a GPU predictor's passes are applied, and what is left has kernels for half precision."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from mconv import api
from mconv.passes.half_loading import unfit_passes
from mconv.program import targets
from mconv.program.dtypes import DType
from tests.golden import case
from tests.managed import require
from tests.passes import gpu_zoo
from tests.passes.gpu_zoo import NEED_A_GPU, PACKAGES, looked_at
from tests.verbs import half_zoo

RECORDED = gpu_zoo.recorded()


# 0.76 GB to download, which `make test-gpu-packages` does
INSTALLED = [pytest.param(t, marks=[pytest.mark.slow] if "gpu" in name else []) for t, name in PACKAGES.items()]


@pytest.mark.runtime
@pytest.mark.parametrize("target", INSTALLED)
def test_golden_models(target: str, tmp_path: Path) -> None:
    require(PACKAGES[target])
    folders = [tmp_path / name for name in ("bert", "conv", "mlp")]
    for folder in folders:
        api.half(case(f"2.3.2-{folder.name}").model, folder, target=target, verify=False)
    without = unfit_passes(targets.get(target), DType.FP16)
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


@pytest.mark.parametrize("target", PACKAGES)
def test_the_record_says_what_the_passes_do(target: str) -> None:
    rows = RECORDED[target]
    assert set(rows) == set(half_zoo.names_recorded())
    assert [name for name, row in rows.items() if "ended" in row] == []
    fused = {name for row in rows.values() for name in row["fused"]}
    assert {"conv_bn_fuse_pass", "gpu_cpu_map_matmul_v2_to_mul_pass"} <= fused
    if target == "2.6":
        assert "multihead_matmul_fuse_pass_v2" in rows["torch/bert"]["fused"]
    else:
        assert not fused & set(unfit_passes(targets.get(target), DType.FP16))


LOOKED = {"inputs": ["x"], "unknown shapes": [], "without": [], "without after": [], "needs a GPU": []}
LOOKED["fused"] = {"fc_fuse_pass": {"mul": -2, "elementwise_add": -2, "fc": 2}}


@pytest.mark.parametrize(
    ("made", "source"),
    [
        ({"ended": "fc_fuse_pass: SIGSEGV"}, LOOKED),
        ({"ended": "fc_fuse_pass: SIGSEGV"}, {"ended": "load: SIGSEGV"}),
        (LOOKED, {"ended": "fc_fuse_pass: SIGSEGV"}),
        ({**LOOKED, "without": ["gelu"]}, LOOKED),
        ({**LOOKED, "without after": ["fc"]}, LOOKED),
        ({**LOOKED, "inputs": ["y"]}, LOOKED),
        ({**LOOKED, "unknown shapes": ["reshape2"]}, LOOKED),
        ({**LOOKED, "needs a GPU": ["fc_fuse_pass"]}, LOOKED),
    ],
)
def test_what_is_wrong_is_not_recorded(made: dict[str, Any], source: dict[str, Any]) -> None:
    assert gpu_zoo.checked(LOOKED, LOOKED) == {"fused": {"fc_fuse_pass": 4}, "needs a GPU": []}
    with pytest.raises(AssertionError):
        gpu_zoo.checked(made, source)


# a convolution with its statistics, attention and two outputs, a recurrent net, a branch and a loop
KINDS = ("torch/mobilenet_v2", "torch/multihead_attention", "torch/lstm", "pir/branches")


@pytest.mark.runtime
@pytest.mark.long
@pytest.mark.parametrize("target", INSTALLED)
def test_kinds(target: str) -> None:
    check(KINDS, target)


def test_what_a_process_died_of() -> None:
    said = {"at": ["model", "fc_fuse_pass"], "models": {}}
    assert gpu_zoo.Ended(said, -11, "C++ Traceback\n").reason == "fc_fuse_pass: SIGSEGV"
    assert gpu_zoo.Ended(said, 1, "Traceback\nValueError: no\n").reason == "fc_fuse_pass: ValueError: no"


@pytest.mark.runtime
@pytest.mark.long
def test_a_model_that_ends_the_process_leaves_the_others(tmp_path: Path) -> None:
    require(PACKAGES["2.3"])
    good, cut = tmp_path / "good", tmp_path / "cut"
    api.half(case("2.3.2-mlp").model, good, target="2.3", verify=False)
    shutil.copytree(good, cut)
    os.truncate(cut / "inference.pdiparams", 100)
    found = gpu_zoo.each("2.3", [cut, good], tmp_path / "out.json")
    assert found[str(cut)]["ended"].startswith("load: ") and found[str(good)]["inputs"]


@pytest.mark.runtime
@pytest.mark.slow
@pytest.mark.parametrize(("target", "name"), [(t, n) for t, rows in RECORDED.items() for n in rows])
def test_zoo(target: str, name: str) -> None:
    check([name], target)


def check(names: Sequence[str], target: str) -> None:
    require(PACKAGES[target])
    for name, pair in gpu_zoo.outcomes(names, target).items():
        assert gpu_zoo.checked(*pair) == RECORDED[target][name], name
