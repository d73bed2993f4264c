"""Folders of transformers and sentence-transformers that bring code, or lead to it: refused, and nothing asks."""

from __future__ import annotations

import io
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from mconv.errors import CorruptModelError, LimitError, MconvError, UntrustedError, UsageError
from mconv.torch.sources import open_source

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
from tests.torch import nets  # noqa: E402


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import BertConfig, BertModel

    folder = tmp_path_factory.mktemp("hf") / "bert"
    torch.manual_seed(0)
    BertModel(BertConfig(**nets.SMALL)).save_pretrained(folder)
    return folder


@pytest.fixture()
def mark(tmp_path: Path) -> Path:
    return tmp_path / "the-code-ran"


@pytest.fixture()
def yes(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """A standard input that says yes to everything."""
    answers = io.StringIO("y\n" * 100)
    monkeypatch.setattr(sys, "stdin", answers)
    return answers


def configured(bert: Path, folder: Path, mark: Path | None, **changes: Any) -> Path:
    """A copy of a sound folder with another configuration, and with code that leaves a mark."""
    shutil.copytree(bert, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))
    if mark is not None:
        (folder / "m.py").write_text(
            f"open({str(mark)!r}, 'w')\nfrom transformers import BertConfig, BertModel\n"
            "class C(BertConfig):\n    model_type = 'mine'\nclass Mine(BertModel):\n    config_class = C\n"
        )
    return folder


CODE = {"AutoConfig": "m.C", "AutoModel": "m.Mine", "AutoTokenizer": ["m.T", None]}


@pytest.mark.parametrize("task", [None, "feature-extraction", "BertModel"])
@pytest.mark.parametrize("architecture", ["Mine", "BertModel"])
@pytest.mark.parametrize("sentences", [False, True])
def test_nothing_asks(
    sentences: bool, architecture: str, task: str | None, bert: Path, tmp_path: Path, mark: Path, yes: io.StringIO
) -> None:
    """A model of a kind that transformers does not know, defined by the folder's code."""
    inner = configured(
        bert, tmp_path / "st" / "0" if sentences else tmp_path / "hf", mark,
        model_type="mine", architectures=[architecture], auto_map=CODE,
    )  # fmt: skip
    folder = inner.parent if sentences else inner
    if sentences:
        entries = [{"idx": 0, "name": "0", "path": "0", "type": "sentence_transformers.models.Transformer"}]
        (folder / "modules.json").write_text(json.dumps(entries))
        shutil.copy(inner / "config.json", folder)
    try:
        source = open_source(folder, task=task)
    except MconvError as e:
        assert isinstance(e, UntrustedError) or sentences or task == "BertModel"
    else:  # transformers' own class was asked for
        assert source.label == "BertModel" and (task == "BertModel" or architecture == "BertModel")
    assert not mark.exists() and yes.tell() == 0


def test_the_code_would_run(bert: Path, tmp_path: Path, mark: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import dynamic_module_utils

    monkeypatch.setattr(dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    folder = configured(bert, tmp_path / "hf", mark, model_type="mine", architectures=["Mine"], auto_map=CODE)
    assert open_source(folder, trust=True).label == "Mine" and mark.exists()


def test_trust_is_said_in_one_way(bert: Path) -> None:
    with pytest.raises(UsageError, match="--trust"):
        open_source(bert, arguments=["trust_remote_code=True"])


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("adapter_config.json", '{"peft_type": "LORA", "auto_mapping": {"parent_library": "antigravity"}}'),
        ("adapter_model.safetensors", ""),
    ],
)
def test_adapters(file: str, content: str, bert: Path, tmp_path: Path) -> None:
    folder = configured(bert, tmp_path / "hf", None)
    (folder / file).write_text(content)
    with pytest.raises(UntrustedError, match="adapter"):
        open_source(folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"attn_implementation": "someone/kernel"},
        {"_attn_implementation": {"text_config": "someone/kernel:f"}},
        {"text_config": {"attn_implementation": "someone/kernel"}},
    ],
    ids=str,
)
def test_attention_from_a_hub(changes: dict[str, Any], bert: Path, tmp_path: Path) -> None:
    with pytest.raises(UntrustedError, match="takes its attention"):
        open_source(configured(bert, tmp_path / "hf", None, **changes))


@pytest.mark.parametrize(
    ("shard", "error"),
    [("../other.safetensors", UntrustedError), ("/etc/hostname", UntrustedError), ("a/b.safetensors", UntrustedError),
     ("..", UntrustedError), ("", UntrustedError), (3, CorruptModelError)],
    ids=str,
)  # fmt: skip
def test_shards_stay_beside_their_index(shard: Any, error: type, bert: Path, tmp_path: Path) -> None:
    folder = configured(bert, tmp_path / "hf", None)
    (folder / "model.safetensors").rename(tmp_path / "other.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": {"x": shard}}))
    with pytest.raises(error):
        open_source(folder)


def test_pickled_weights_are_followed(bert: Path, tmp_path: Path) -> None:
    """A file that transformers would read itself."""
    from tests.torch.sources import archives

    folder = configured(bert, tmp_path / "hf", None)
    weights = open_source(bert).module.state_dict()
    (folder / "model.safetensors").unlink()
    path = folder / "pytorch_model.bin"
    torch.save(weights, path)
    assert open_source(folder).label == "BertModel"
    held = archives.records(path)
    path.write_bytes(archives.pack(held + [("x/data.pkl", b"")]))
    with pytest.raises(CorruptModelError, match="outside of its folder"):
        open_source(folder)
    cut = archives.rewritten(held, "data.pkl", lambda c: c[: len(c) // 2])
    path.write_bytes(archives.pack(cut))
    with pytest.raises(CorruptModelError, match="a damaged pickle"):
        open_source(folder)


@pytest.mark.parametrize(
    "name", ["AutoTokenizer", "RagRetriever", "AutoConfig", "pipeline", "__builtins__", "is_torch_available"]
)
def test_classes_that_are_no_models(name: str, bert: Path, tmp_path: Path) -> None:
    with pytest.raises(MconvError):
        open_source(configured(bert, tmp_path / "hf", None, architectures=[name]))
    with pytest.raises(UsageError):
        open_source(bert, task=name)


@pytest.mark.parametrize("config", ["[]", "3", '"x"', "null", "{", '{"model_type": 3, "architectures": 4}'])
def test_configurations_that_are_none(config: str, bert: Path, tmp_path: Path) -> None:
    folder = configured(bert, tmp_path / "hf", None)
    (folder / "config.json").write_text(config)
    with pytest.raises(MconvError):
        open_source(folder)


@pytest.mark.parametrize(
    ("kind", "config"),
    [("Dense", {"in_features": 1 << 40, "out_features": 1 << 40}), ("Dense", {"in_features": "x"}), ("Dense", []),
     ("Dense", {"in_features": 32, "out_features": 9}), ("LayerNorm", {"dimension": -1}), ("LayerNorm", {}),
     ("Pooling", [])],
    ids=str,
)  # fmt: skip
def test_modules_without_a_size(kind: str, config: Any, bert: Path, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    folder = tmp_path / "st"
    shutil.copytree(bert, folder)
    entries = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1", "type": f"sentence_transformers.models.{kind}"},
    ]
    (folder / "modules.json").write_text(json.dumps(entries))
    (folder / "1").mkdir()
    (folder / "1" / "config.json").write_text(json.dumps(config))
    save_file({"linear.weight": torch.ones(8, 32), "linear.bias": torch.ones(8)}, folder / "1" / "model.safetensors")
    with pytest.raises(MconvError):
        open_source(folder)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"num_hidden_layers": 1 << 31}, "num_hidden_layers 2147483648 is more work than allowed"),
        ({"text_config": {"depths": [2, 10**30]}}, "depths of more than 64 bits is more work than allowed"),
        ({"num_labels": 10**19}, "num_labels of more than 64 bits takes"),
    ],
)
def test_what_is_made_before_weights_are_read(changes: dict[str, Any], what: str, bert: Path, tmp_path: Path) -> None:
    """Modules of Python and names of labels, for a minute or until the memory is full."""
    with pytest.raises(LimitError) as error:
        open_source(configured(bert, tmp_path / "hf", None, **changes))
    assert what in error.value.message
