"""What a source is, by what it holds."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mconv.errors import NotAModelError, UsageError
from mconv.recognise import SourceKind, framework_of, recognise
from tests.golden import case
from tests.onnx.make import mlp
from tests.paddle import fixtures
from tests.verbs.test_convert import PADDLE, TORCH


def test_files_and_folders_are_known_by_what_they_hold(tmp_path: Path) -> None:
    onnx = mlp(tmp_path / "m.onnx").rename(tmp_path / "model.bin")
    assert recognise(onnx) is SourceKind.ONNX
    assert recognise(case("1.8.5-bert_separate").model) is SourceKind.PADDLE
    assert recognise(case("2.3.2-mlp").model / "inference") is SourceKind.PADDLE  # a prefix
    assert recognise(case("2.3.2-mlp").server) is SourceKind.PADDLE
    assert recognise(fixtures.unpack("3.0", "LeNet", tmp_path / "pir")) is SourceKind.PIR
    folder = tmp_path / "hf"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "bert", "architectures": ["BertModel"]}')
    (folder / "model.safetensors").write_bytes(b"")
    assert recognise(folder) is SourceKind.TORCH
    (folder / "model.safetensors").rename(folder / "model_state.pdparams")
    assert recognise(folder) is SourceKind.LAYER
    for nothing in (tmp_path / "gone", tmp_path / "gone.onnx", Path(__file__)):
        with pytest.raises(NotAModelError):
            recognise(nothing)


def test_a_paddle_model_beside_the_configuration_of_its_tokenizer(tmp_path: Path) -> None:
    folder = tmp_path / "bert"
    shutil.copytree(case("2.3.2-mlp").model, folder)
    (folder / "config.json").write_text('{"model_type": "bert", "architectures": ["BertModel"]}')
    assert recognise(folder) is SourceKind.PADDLE
    (folder / "model.safetensors").write_bytes(b"")  # weights of PyTorch are what the configuration is of
    assert recognise(folder) is SourceKind.TORCH
    for file in folder.iterdir():
        if file.name != "config.json":
            file.unlink()
    assert recognise(folder) is SourceKind.TORCH  # whose error names the weights that are missing


def test_archives_of_torch(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    module, example = torch.nn.Linear(4, 2), (torch.ones(1, 4),)
    torch.jit.trace(module, example).save(str(tmp_path / "a.onnx"))  # the name does not matter
    torch.export.save(torch.export.export(module, example), str(tmp_path / "b.pt2"))
    assert recognise(tmp_path / "a.onnx") is SourceKind.TORCH and recognise(tmp_path / "b.pt2") is SourceKind.TORCH


@pytest.mark.parametrize(
    ("text", "name", "framework"),
    [
        (TORCH, "Net", "torch"),
        (PADDLE, "Net", "paddle"),
        ("def make():\n    from transformers import BertModel\n    return BertModel\n", "make", "torch"),
        ("raise SystemExit('not to be run')\nfrom paddle.vision.models import LeNet\n", "LeNet", "paddle"),
        ("class Module:\n    pass\nModule.__module__ = 'torch.nn'\nclass Net(Module):\n    pass\n", "Net", "torch"),
        ("def make() -> 'paddle.nn.Layer':\n    raise SystemExit('not to be called')\n", "make", "paddle"),
    ],
)
def test_factories(text: str, name: str, framework: str, tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(text)
    assert framework_of(f"{tmp_path / 'net.py'}:{name}") == framework
    kind = SourceKind.TORCH if framework == "torch" else SourceKind.LAYER
    assert recognise(f"{tmp_path / 'net.py'}:{name}") is kind


def test_factories_by_module() -> None:
    assert framework_of("paddle.vision.models:resnet18") == "paddle"
    assert framework_of("transformers:BertModel") == "torch"


def test_a_factory_that_does_not_tell(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("import json\n\ndef make():\n    return json\n")
    spec = f"{tmp_path / 'net.py'}:make"
    with pytest.raises(UsageError, match="imports neither torch nor paddle") as caught:
        recognise(spec)
    assert caught.value.hint == "--framework torch or --framework paddle"
    assert recognise(spec, "torch") is SourceKind.TORCH and recognise(spec, "paddle") is SourceKind.LAYER
    with pytest.raises(UsageError, match="unknown framework 'jax'"):
        recognise(spec, "jax")
    with pytest.raises(NotAModelError, match="no such file"):
        recognise(f"{tmp_path / 'gone.py'}:make")
