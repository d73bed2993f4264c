"""What the passes of each Paddle match, by its own log: a converted BERT as much as Paddle's own export of one."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mconv import api
from mconv.errors import UsageError
from mconv.runtimes import find
from mconv.runtimes.fusions import read
from tests.cli.conftest import Run, mconv  # noqa: F401 - a fixture
from tests.golden import case
from tests.managed import Pool


@pytest.fixture(autouse=True, scope="module")
def own_processes(pool: Pool) -> Iterator[None]:
    """Paddle's log is switched off in a process that has run a model, for good."""
    pool.on = False
    yield
    pool.on = True


OWN = Path(__file__).parents[2] / "bench" / "own.py"
LAYERS, HIDDEN = 2, 128
# Paddle 2 ends a program with a scale by 1 for each output, which the fully connected layer before it takes in
NOT_OURS = {"operator_scale_onednn_fuse_pass"}
# matched in converted models, and by Paddle 2.6's and 3's passes not in the export that Paddle 2.6 writes
OURS = {"matmul_transpose_reshape_mkldnn_fuse_pass", "matmul_transpose_reshape_onednn_fuse_pass"}
SOURCES = ["torch", "onnx", "onnx-old", "json"]


def test_the_logs_of_both_kinds_of_passes() -> None:
    log = """--- Running analysis [ir_analysis_pass]
\x1b[1m\x1b[35m--- Running IR pass [fc_fuse_pass]\x1b[0m
I1126 04:36:56.060298 17416 fuse_pass_base.cc:57] ---  detected 13 subgraphs
--- Running IR pass [conv_bn_fuse_pass]
--- Running IR pass [fc_fuse_pass]
I1126 04:36:56.060298 17416 fuse_pass_base.cc:57] ---  detected 2 subgraphs
---    fused 2 fc with gelu activation
--- Running analysis [memory_optimize_pass]
I1126 04:36:56.060298 17416 other.cc:57] ---  detected 7 subgraphs
--- Running PIR pass [constant_folding_pass]
I1126 04:36:57.718055 17519 print_statistics.cc:44] --- detected [8, 99] subgraphs!
"""
    assert read(log) == {"fc_fuse_pass": 15, "conv_bn_fuse_pass": 0, "constant_folding_pass": 8}


def plain(model: Any) -> Any:
    """Without the arguments that PyTorch's older exporter cannot take."""
    import torch

    class Plain(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> Any:
            return tuple(self.model(input_ids, attention_mask, token_type_ids)[:2])

    return Plain()


class Berts:
    """One BERT with weights as training leaves them, converted from each kind of source when it is asked for."""

    def __init__(self, folder: Path):
        torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
        config = transformers.BertConfig(
            vocab_size=100,
            hidden_size=HIDDEN,
            num_hidden_layers=LAYERS,
            num_attention_heads=2,
            intermediate_size=4 * HIDDEN,
        )
        self.folder, self.model = folder, transformers.BertModel(config).eval()
        with torch.no_grad():  # PyTorch's exporter drops biases of zeros
            for parameter in self.model.parameters():
                parameter.add_(0.01 * torch.randn_like(parameter))

    def converted(self, source: str) -> Path:
        made = self.folder / source
        if not made.is_dir():
            if source == "torch":
                self.model.save_pretrained(self.folder / "bert")
                api.torch2paddle(self.folder / "bert", made, verify=False)
            elif source == "json":
                api.downgrade(own("current", self.folder) / "model.json", made)
            else:
                api.onnx2paddle(self._onnx(source), made, verify=False)
        return made

    def _onnx(self, source: str) -> Path:
        import torch

        path = self.folder / f"{source}.onnx"
        names = ["input_ids", "attention_mask", "token_type_ids"]
        ids = torch.randint(0, 100, (2, 16))
        inputs = (ids, torch.ones_like(ids), torch.zeros_like(ids))
        if source == "onnx":
            sizes = {n: {0: torch.export.Dim("batch"), 1: torch.export.Dim("length")} for n in names}
            torch.onnx.export(plain(self.model), inputs, path, dynamic_shapes=sizes, dynamo=True, verbose=False)
        else:  # Hugging Face's own attention, by the exporter that reads TorchScript
            self.model.set_attn_implementation("eager")
            axes = {n: {0: "batch", 1: "length"} for n in names}
            old: Any = {"input_names": names, "dynamic_axes": axes, "dynamo": False, "opset_version": 14}
            torch.onnx.export(plain(self.model), inputs, str(path), **old)
        return path


@pytest.fixture(scope="module")
def berts(tmp_path_factory: pytest.TempPathFactory) -> Berts:
    return Berts(tmp_path_factory.mktemp("fusions"))


def own(runtime: str, folder: Path) -> Path:
    """The folder of Paddle's own export."""
    found = find(runtime)
    made = folder / f"own-{runtime}"
    if made.is_dir():
        return made
    command = [str(found.python), str(OWN), "bert", str(made / "model"), str(LAYERS), str(HIDDEN)]
    subprocess.run(command, env=found.environ(), check=True, capture_output=True, timeout=300)
    return made


def counts(path: Path, runtime: str) -> dict[str, int]:
    found = api.inspect(path, fusions=runtime).fusions
    assert found is not None and found.onednn and found.passes
    return {p.name: p.matched for p in found.passes if p.matched}


SLOW = pytest.mark.slow
CASES = [
    pytest.param(runtime, source, marks=[] if (runtime, source) == ("paddle-2.3.2", "torch") else [SLOW])
    for runtime in ("paddle-2.3.2", "paddle-2.6.2", "current")
    for source in SOURCES
]


@pytest.mark.runtime
@pytest.mark.parametrize(("runtime", "source"), CASES)
@pytest.mark.long
def test_a_converted_bert_is_fused_as_much_as_paddles_own(berts: Berts, runtime: str, source: str) -> None:
    # of the program format that converted models have: 3 runs other passes on .json
    wanted = counts(own("paddle-2.6.2" if runtime == "current" else runtime, berts.folder), runtime)
    wanted = {name: count for name, count in wanted.items() if name not in NOT_OURS}
    assert sum(n for name, n in wanted.items() if name.startswith("reshape_transpose_matmul")) == 3 * LAYERS
    found = counts(berts.converted(source), runtime)
    more = {name: found.pop(name) for name in OURS - wanted.keys() if name in found}
    assert found == wanted
    assert set(more.values()) <= {LAYERS}


@pytest.mark.runtime
@pytest.mark.slow
@pytest.mark.parametrize("source", SOURCES)
def test_in_paddle_3_as_much_is_fused_as_in_a_json(berts: Berts, source: str) -> None:
    """The passes of .json have other names; what they stand for is matched as often."""
    wanted = counts(own("current", berts.folder), "current")
    pairs = {
        "matmul_add_act_fuse_pass": "fc_fuse_pass",
        "fc_onednn_enable_pass": "fc_onednn_pass",
        "fc_activation_fuse_pass": "fc_act_onednn_fuse_pass",
        "scale_matmul_fuse_pass": "scale_matmul_fuse_pass",
        "reshape_transpose_matmul_fuse_pass": "reshape_transpose_matmul_onednn_fuse_pass",
        "matmul_transpose_reshape_fuse_pass": "matmul_transpose_reshape_onednn_fuse_pass",
        "matmul_elementwise_add_fuse_pass": "matmul_elementwise_add_onednn_fuse_pass",
    }
    found = counts(berts.converted(source), "current")
    assert {p: wanted[p] for p in pairs} == {p: found.get(q, 0) for p, q in pairs.items()}


@pytest.mark.runtime
def test_the_command(mconv: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.setenv("GLOG_minloglevel", "2")  # as saving a layer of Paddle leaves it
    model = str(case("2.3.2-bert").model)
    shown = mconv("inspect", model, "--fusions", "paddle-2.3.2")
    assert "fusions in Paddle 2.3.2 (with oneDNN and fc_mkldnn_pass, fc_act_mkldnn_fuse_pass)" in shown.stdout
    assert "fc_fuse_pass" in shown.stdout
    said = json.loads(mconv("inspect", model, "--fusions", "paddle-2.3.2", "--no-onednn", "--json").stdout)
    names = {p["name"] for p in said["fusions"]["passes"]}
    assert said["fusions"]["onednn"] is False and "fc_fuse_pass" in names and "fc_mkldnn_pass" not in names


def test_what_has_no_fusions(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no runtime"):
        api.inspect(case("2.3.2-bert").model, fusions="paddle-7")
