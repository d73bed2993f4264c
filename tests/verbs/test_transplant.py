"""PyTorch's weights in the same network of Paddle: equal to PyTorch in Paddle 3.3.1 and 2.3.2, or refused."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("paddle")
torch = pytest.importorskip("torch")

import paddle  # noqa: E402
from torch import nn  # noqa: E402

from mconv import api  # noqa: E402
from mconv.dygraph.transplant import transplant as put  # noqa: E402
from mconv.errors import MconvError, UsageError, VerificationError, WeightsError  # noqa: E402
from mconv.proof.feeds import random_feeds, specs_of  # noqa: E402
from mconv.torch.sources import weights  # noqa: E402
from tests.verbs import pairs  # noqa: E402

QUICK: dict[str, Any] = {"runtime": "current"}


def leaves(value: Any) -> list[Any]:
    """The tensors in what a module returns."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (tuple, list)):
        return [leaf for part in value for leaf in leaves(part)]
    return [] if value is None else [value.detach().numpy()]


@pytest.mark.runtime
@pytest.mark.parametrize(
    ("make", "matched", "rules"),
    [
        (pairs.bert, 39, "bert-paddlenlp"),
        (pairs.transformer_encoder, 34, "torch-nn"),
        (pairs.multihead_attention, 8, "torch-nn"),
        (pairs.attention_of_other_widths, 8, "torch-nn"),
        (pairs.conv_bn, 14, "torch-nn"),
        (pairs.lstm, 16, "torch-nn"),
        (pairs.gru, 16, "torch-nn"),
    ],
    ids=lambda v: getattr(v, "__name__", None),
)
def test_equal_to_pytorch(
    make: Callable[[], Any], matched: int, rules: str, workers: Callable[[str], Any], tmp_path: Path
) -> None:
    workers("paddle-2.3.2")
    torch.manual_seed(0)
    theirs, mine, inputs = make()
    theirs.eval()
    if make is not pairs.conv_bn:  # beyond what initialisers make, biases of zero above all
        for p in theirs.parameters():
            torch.nn.init.normal_(p, std=0.1)
    report = api.torch2paddle(theirs, tmp_path / "out", into=mine, inputs=inputs, runtime="paddle-2.3.2")
    done = report.transplant
    assert done["matched"] == matched and done["rules"][0] == rules and not done["problems"]
    assert json.loads((tmp_path / "out" / "report.json").read_text()) == report.to_dict()
    for proof in (report.verification, report.verification["source"], report.verification["original"]):
        assert proof["status"] == "passed" and len(proof["input_sets"]) == 2
        assert all(row["max_abs"] <= 1e-5 for row in proof["outputs"])
    assert "PyTorch" in report.verification["source"]["reference"]
    # once more without mconv's own proof: PyTorch itself, and the files in both Paddles
    from mconv.program.files import load_program, locate

    files = locate(tmp_path / "out")
    names = [spec.partition(":")[0] for spec in inputs]
    order = [p.name for p in load_program(files).feeds]
    assert sorted(order) == sorted(names)
    sets = random_feeds(specs_of(load_program(files)), seed=5, sets=2)
    results = {name: workers(name).run(files.program, files.params, sets) for name in ("paddle-2.3.2", "current")}
    for i, feed in enumerate(sets):
        given = {n: torch.from_numpy(feed[n]) for n in names}
        with torch.no_grad():
            wanted = leaves(theirs(**given) if make is pairs.bert else theirs(*given.values()))
        for result in results.values():
            got = result.outputs[i]
            assert got and all(np.abs(a - b).max() <= 1e-5 for a, b in zip(wanted, got))
            assert [a.shape for a, _ in zip(wanted, got)] == [b.shape for b in got]


def small() -> tuple[Any, Any]:
    """Square weights, so that a shape says nothing."""
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 6)), paddle.nn.Sequential(
        paddle.nn.Linear(6, 6), paddle.nn.Tanh(), paddle.nn.Linear(6, 6)
    )


def _legacy(state: dict[str, Any], folder: Path) -> Path:
    torch.save(state, folder / "w.pth", _use_new_zipfile_serialization=False)
    return folder / "w.pth"


def _checkpoint(state: dict[str, Any], folder: Path) -> Path:
    torch.save({"state_dict": {f"module.{k}": v for k, v in state.items()}, "epoch": 3}, folder / "w.ckpt")
    return folder / "w.ckpt"


def _plain(state: dict[str, Any], folder: Path) -> Path:
    torch.save(state, folder / "w.pt")
    return folder / "w.pt"


def _safetensors(state: dict[str, Any], folder: Path) -> Path:
    from safetensors.torch import save_file

    save_file(state, folder / "w.safetensors")
    return folder / "w.safetensors"


def _sharded(state: dict[str, Any], folder: Path) -> Path:
    from safetensors.torch import save_file

    where = {}
    for i, (name, tensor) in enumerate(state.items()):
        where[name] = f"model-{i}.safetensors"
        save_file({name: tensor}, folder / where[name])
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": where}))
    return folder / "model.safetensors.index.json"


def _folder(state: dict[str, Any], folder: Path) -> Path:
    _sharded(state, folder)
    return folder


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("save", [_plain, _legacy, _checkpoint, _safetensors, _sharded, _folder])
def test_a_state_dict_alone(save: Any, dtype: str, tmp_path: Path) -> None:
    theirs, mine = small()
    theirs.to(getattr(torch, dtype))
    (tmp_path / "w").mkdir()
    path = save(dict(theirs.state_dict()), tmp_path / "w")
    report = api.torch2paddle(path, tmp_path / "out", into=mine, verify=False)
    for name, tensor in mine.state_dict().items():
        wanted = theirs.state_dict()[name].float().numpy()
        assert np.array_equal(tensor.numpy(), wanted.T), name
    record = json.loads((tmp_path / "out" / "provenance.json").read_text())
    assert record["command"] == "torch2paddle" and record["sources"] and record["options"]["into"] == "Sequential"
    assert report.source["form"] == "weights"


def test_safetensors_without_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in PaddleNLP's environments, which have no PyTorch."""
    state = {"a": torch.randn(3, 4).to(torch.bfloat16), "b": torch.arange(6).reshape(2, 3), "c": torch.zeros(0, 2)}
    path = _safetensors(state, tmp_path)
    monkeypatch.setattr(weights.importlib.util, "find_spec", lambda name: None)
    found = weights.read(path).tensors
    assert np.array_equal(found["a"], state["a"].view(torch.int16).numpy().view(np.uint16))
    assert np.array_equal(found["b"], state["b"].numpy()) and found["c"].shape == (0, 2)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(MconvError, match="not a sound safetensors file"):
        weights.read(path)


def test_only_the_layer_is_compared_with(tmp_path: Path) -> None:
    theirs, mine = small()
    path = _plain(dict(theirs.state_dict()), tmp_path)
    report = api.torch2paddle(path, tmp_path / "out", into=mine, inputs=["input:float32[b,6]"], **QUICK)
    assert report.verification["status"] == "passed" and "source" not in report.verification
    assert any("compared with the layer of Paddle only" in w for w in report.warnings)


def test_refused_as_a_whole(tmp_path: Path) -> None:
    """Everything that does not fit is listed, nothing is written, and the layer is as it was."""
    theirs, mine = small()
    state = dict(theirs.state_dict())
    state["extra.weight"] = torch.zeros(2, 3)
    state["2.bias"] = torch.zeros(7)
    del state["0.bias"]
    path = _plain(state, tmp_path)
    before = {k: v.numpy().copy() for k, v in mine.state_dict().items()}
    with pytest.raises(WeightsError, match="2 of 4 tensors belong to the layer; 1 parameters of the layer") as error:
        api.torch2paddle(path, tmp_path / "out", into=mine, verify=False)
    assert error.value.exit_code == 13 and "--partial" in error.value.hint
    rows = {row["paddle"] or row["pytorch"]: row["problem"] for row in error.value.rows}
    assert rows == {"2.bias": "other shape", "0.bias": "no tensor", "extra.weight": "no parameter"}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["w.pt"]
    assert all(np.array_equal(v.numpy(), before[k]) for k, v in mine.state_dict().items())
    report = api.torch2paddle(path, tmp_path / "out", into=mine, partial=True, verify=False)
    assert report.transplant["matched"] == 2 and len(report.transplant["problems"]) == 3
    assert any("the layer keeps its own there" in w for w in report.warnings)
    assert np.array_equal(mine.state_dict()["2.bias"].numpy(), before["2.bias"])


def test_partial_says_that_results_differ(tmp_path: Path) -> None:
    theirs, mine = nn.Sequential(nn.Linear(6, 6, bias=False)), paddle.nn.Sequential(paddle.nn.Linear(6, 6))
    mine[0].bias.set_value(np.ones(6, np.float32))
    options = {"into": mine, "partial": True, "inputs": ["input:float32[b,6]"], **QUICK}
    report = api.torch2paddle(theirs, tmp_path / "out", **options)
    assert report.status == "converted" and report.verification["source"]["status"] == "failed"
    assert any("as parts of the layer are its own" in w for w in report.warnings)


def test_tied_tensors_that_differ(tmp_path: Path) -> None:
    mine = paddle.nn.Sequential(paddle.nn.Embedding(6, 6), paddle.nn.Linear(6, 6, bias_attr=False))
    mine[1].weight = mine[0].weight
    theirs = nn.Sequential(nn.Embedding(6, 6), nn.Linear(6, 6, bias=False))
    with pytest.raises(WeightsError) as error:
        api.torch2paddle(theirs, tmp_path / "out", into=mine, verify=False)
    assert "one tensor in the layer with 0.weight, which holds something else" in error.value.rows[0]["problem"]
    theirs[1].weight = theirs[0].weight
    report = api.torch2paddle(theirs, tmp_path / "out", into=mine, verify=False)
    assert report.transplant["matched"] == 1
    assert np.array_equal(mine[0].weight.numpy(), theirs[0].weight.detach().numpy())


@pytest.mark.parametrize(
    ("theirs", "mine", "where"),
    [
        (nn.LayerNorm(6, eps=1e-1), lambda: paddle.nn.LayerNorm(6), r"they part in 0 \(LayerNorm; PyTorch's 0\)"),
        (nn.Tanh(), lambda: paddle.nn.Sigmoid(), r"they part before 1 \(Linear; PyTorch's 1\), whose input differs"),
    ],
)
def test_other_settings_are_found(theirs: Any, mine: Any, where: str, tmp_path: Path) -> None:
    """The same weights, another network: an epsilon, an activation."""
    source = nn.Sequential(theirs, nn.Linear(6, 6))
    layer = paddle.nn.Sequential(mine(), paddle.nn.Linear(6, 6))
    with pytest.raises(VerificationError, match=where) as error:
        api.torch2paddle(source, tmp_path / "out", into=layer, inputs=["input:float32[b,6]"], **QUICK)
    assert error.value.rows and "computes something else than its source" in error.value.message
    assert [p.name for p in tmp_path.iterdir()] == ["out.failed-verification"]
    report = json.loads((tmp_path / "out.failed-verification" / "report.json").read_text())
    assert report["status"] == "failed verification" and report["verification"]["source"]["status"] == "failed"


def test_weight_norm_and_fused_qkv(tmp_path: Path) -> None:
    """What rules of one's own are for: a fused projection that is stored as [in, 3 · out]."""

    class Theirs(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.utils.parametrizations.weight_norm(nn.Linear(6, 6))
            self.c_attn = nn.Parameter(torch.randn(6, 18))

        def forward(self, x: Any) -> Any:
            q, k, v = (self.norm(x) @ self.c_attn).chunk(3, -1)
            return q * k + v

    class Mine(paddle.nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.norm = paddle.nn.Linear(6, 6)
            self.q, self.k, self.v = (paddle.nn.Linear(6, 6, bias_attr=False) for _ in range(3))

        def forward(self, x: Any) -> Any:
            x = self.norm(x)
            return self.q(x) * self.k(x) + self.v(x)

    (tmp_path / "map.yaml").write_text(
        "split: [{from: c_attn, to: [q.weight, k.weight, v.weight], axis: 1}]\nas_stored: ['[qkv].weight']\n"
    )
    options = {"into": Mine(), "inputs": ["x:float32[b,6]"], "rules": tmp_path / "map.yaml", **QUICK}
    report = api.torch2paddle(Theirs(), tmp_path / "out", **options)
    assert report.verification["source"]["status"] == "passed"
    hows = {row["paddle"]: row["how"] for row in report.transplant["tensors"]}
    assert hows["norm.weight"] == "weight norm computed, transposed" and hows["v.weight"] == "part 3 of 3"


def test_padding_and_square_matrices_are_warned_of(tmp_path: Path) -> None:
    class Mine(paddle.nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.table = paddle.nn.Embedding(6, 6, padding_idx=0)
            self.matrix = self.create_parameter([6, 6])

        def forward(self, ids: Any) -> Any:
            return self.table(ids) @ self.matrix

    state = {"table.weight": torch.ones(6, 6), "matrix": torch.randn(6, 6)}
    path = _plain(state, tmp_path)
    report = api.torch2paddle(path, tmp_path / "out", into=Mine(), inputs=["ids:int64[b,s]"], **QUICK)
    assert any(w.startswith("table: an Embedding with padding_idx=0") for w in report.warnings)
    assert any(w.startswith("matrix: square matrices of a layer that mconv does not know") for w in report.warnings)


class Evil:
    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self) -> Any:
        return Path.touch, (self.marker,)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_weights_is_refused(zipped: bool, tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    state = {"0.weight": torch.zeros(6, 6), "0.bias": Evil(tmp_path / "marker")}
    torch.save(state, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(MconvError) as error:
        api.torch2paddle(path, tmp_path / "out", into=small()[1], verify=False)
    assert error.value.exit_code == 11 and sorted(p.name for p in tmp_path.iterdir()) == ["w.pth"]
    path.write_bytes(pickle.dumps(Evil(tmp_path / "marker")))
    with pytest.raises(MconvError) as error:
        api.torch2paddle(path, tmp_path / "out", into=small()[1], verify=False)
    assert error.value.exit_code in (3, 11) and not (tmp_path / "marker").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rules": ["nowhere"]}, "neither a set of rules nor a file"),
        ({"rules": ["bad.yaml"]}, r"rename\[0\]\.to"),
        ({"via": "onnx"}, "--via: not with --into"),
        ({"keep": True, "engine": "x2paddle"}, "--keep, --engine: not with --into"),
        ({"tolerance": 0.0}, "above 0"),
        ({"inputs": ["y:float32[b,6]"]}, "has no parameter 'y'"),
    ],
)
def test_options_that_do_not_fit(
    options: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.yaml").write_text("rename: [['a', '\\2']]\n")
    theirs, mine = small()
    with pytest.raises(UsageError, match=message):
        api.torch2paddle(theirs, "out", into=mine, **{**QUICK, **options})
    assert [p.name for p in tmp_path.iterdir()] == ["bad.yaml"]


def test_rules_without_a_layer(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--rules: only with --into"):
        api.torch2paddle(small()[0], tmp_path / "out", rules=["bert-paddlenlp"])


def test_nothing_is_changed_before_all_is_known() -> None:
    """A layer that is refused keeps its values, also where most would fit."""
    from mconv.dygraph.layout import Given

    mine = paddle.nn.Linear(3, 3)
    before = mine.weight.numpy().copy()
    fetched: list[str] = []

    def fetch(name: str) -> np.ndarray:
        fetched.append(name)
        return np.zeros((3, 3), np.float32)

    with pytest.raises(WeightsError):
        put(mine, {"weight": Given((3, 3))}, fetch, "w")
    assert np.array_equal(mine.weight.numpy(), before) and fetched == []
