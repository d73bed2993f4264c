"""Models of the Hugging Face hub: which files are taken, what is said where there are none, and the client against a hub."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mconv import hub
from mconv.errors import UsageError
from tests.hub_server import SHA
from tests.hub_server import hub as served

BERT = ["README.md", "config.json", "model.safetensors", "tokenizer.json", "vocab.txt", ".gitattributes"]


@pytest.mark.parametrize(
    ("files", "taken"),
    [
        (BERT, ["config.json", "model.safetensors", "tokenizer.json", "vocab.txt"]),
        ([*BERT, "pytorch_model.bin", "tf_model.h5", "flax_model.msgpack", "onnx/model.onnx", "openvino/o.bin"],
         ["config.json", "model.safetensors", "tokenizer.json", "vocab.txt"]),
        (["config.json", "pytorch_model.bin", "training_args.bin"], ["config.json", "pytorch_model.bin"]),
        (["config.json", "onnx/model.onnx", "onnx/model.onnx_data"],
         ["config.json", "onnx/model.onnx", "onnx/model.onnx_data"]),
        (["inference.json", "inference.pdiparams", "inference.yml", "README.md"],
         ["inference.json", "inference.pdiparams", "inference.yml"]),
        (["modules.json", "1_Pooling/config.json", "model.safetensors", "onnx/model_O4.onnx"],
         ["1_Pooling/config.json", "model.safetensors", "modules.json"]),
        (["config.json", "model-00001-of-2.safetensors", "model.safetensors.index.json", "modeling_own.py"],
         ["config.json", "model-00001-of-2.safetensors", "model.safetensors.index.json", "modeling_own.py"]),
        (["README.md", "a.gguf"], []),
    ],
)  # fmt: skip
def test_what_is_taken(files: list[str], taken: list[str]) -> None:
    assert hub.chosen(files) == taken


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("hf://org/name", ("org/name", None, None)),
        ("hf://org/name@v1.0", ("org/name", "v1.0", None)),
        ("hf://org/n.a-me_2@main/onnx/model.onnx", ("org/n.a-me_2", "main", "onnx/model.onnx")),
    ],
)
def test_addresses(text: str, parts: tuple[str, str, str]) -> None:
    found = hub.Address.parse(text)
    assert (found.name, found.revision, found.file) == parts
    assert hub.Address.parse(found.at(SHA)).revision == SHA


@pytest.mark.parametrize(
    "text", ["hf://", "hf://name", "hf://o/n@", "hf://o/n/", "hf://o/n/../x", "hf://o/n@a b", "hf://ö/n"]
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(UsageError, match="not an address of the Hugging Face hub"):
        hub.Address.parse(text)
    assert hub.is_address(text) and hub.is_address(Path(text))  # a path, as the command line has it, loses its slashes


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, list[str]]]:
    """A hub with a BERT, an ONNX file, a model that it does not give away, and one without a model in it."""
    import torch
    import transformers

    from tests.onnx.make import mlp

    root = tmp_path_factory.mktemp("hub")
    torch.manual_seed(0)
    config = transformers.BertConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        vocab_size=50,
        max_position_embeddings=64,
    )
    transformers.BertForSequenceClassification(config).eval().save_pretrained(root / "team" / "bert")
    (root / "team" / "bert" / "pytorch_model.bin").write_bytes(b"never read")
    (root / "team" / "onnx" / "onnx").mkdir(parents=True)
    mlp(root / "team" / "onnx" / "onnx" / "model.onnx")
    (root / "team" / "gated").mkdir()
    (root / "team" / "empty").mkdir()
    (root / "team" / "empty" / "README.md").write_text("# Nothing\n")
    with served(root, refused=("team/gated",)) as (address, asked):
        yield address, asked


def mconv(site: str, cache: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith("HF_")},
        "HF_ENDPOINT": site, "HF_HOME": str(cache), "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1", **more,
    }  # fmt: skip
    return subprocess.run(
        [sys.executable, "-m", "mconv", *arguments], capture_output=True, text=True, env=environment, timeout=300
    )


@pytest.mark.long
def test_a_folder_of_the_hub(site: tuple[str, list[str]], tmp_path: Path) -> None:
    """From the address to a Paddle model; the second time nothing but the commit is asked for."""
    address, asked = site
    done = mconv(address, tmp_path / "cache", "torch2paddle", "hf://team/bert", str(tmp_path / "out"), "--no-verify")
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "out" / "provenance.json").read_text())
    assert record["address"] == f"hf://team/bert@{SHA}"
    assert {s["name"] for s in record["sources"]} == {"config.json", "model.safetensors"}
    assert not any("pytorch_model.bin" in path for path in asked)
    del asked[:]
    again = mconv(address, tmp_path / "cache", "inspect", "hf://team/onnx/onnx/model.onnx", "--json")
    assert again.returncode == 0 and json.loads(again.stdout)["kind"] == "onnx"
    fetched = [path for path in asked if path.startswith("GET team/")]
    assert fetched == [f"GET team/onnx/resolve/{SHA}/onnx/model.onnx"]
    offline = mconv(address, tmp_path / "cache", "inspect", "hf://team/onnx/onnx/model.onnx", HF_HUB_OFFLINE="1")
    assert offline.returncode == 0, offline.stderr


@pytest.mark.parametrize(
    ("address", "code", "said"),
    [
        ("hf://team/none", 3, "the hub has no such model"),
        ("hf://team/bert@v9", 3, "there is no such revision"),
        ("hf://team/gated", 3, "accepted its terms"),
        ("hf://team/empty", 3, "the repository has no model that mconv reads"),
        ("hf://team/bert/model.onnx", 3, "the repository has no model.onnx"),
        ("hf://team", 2, "not an address of the Hugging Face hub"),
    ],
)
def test_what_is_not_there(site: tuple[str, list[str]], tmp_path: Path, address: str, code: int, said: str) -> None:
    done = mconv(site[0], tmp_path, "convert", address, str(tmp_path / "out"))
    assert done.returncode == code and said in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert not (tmp_path / "out").exists()


def test_without_network(tmp_path: Path) -> None:
    done = mconv("http://127.0.0.1:9", tmp_path, "convert", "hf://team/bert", str(tmp_path / "out"))
    assert done.returncode == 9 and "cannot be fetched" in done.stderr and "HF_ENDPOINT" in done.stderr
    assert len(done.stderr.splitlines()) == 2
    done = mconv("http://127.0.0.1:9", tmp_path, "convert", "hf://team/bert", str(tmp_path / "out"), HF_HUB_OFFLINE="1")
    assert done.returncode == 9 and "is not in the cache" in done.stderr


def test_a_name_that_is_no_path_is_told_how(tmp_path: Path) -> None:
    done = mconv("http://127.0.0.1:9", tmp_path, "convert", "team/bert", str(tmp_path / "out"))
    assert done.returncode == 3 and "hf://team/bert" in done.stderr, done.stderr


def test_a_cache_that_cannot_be_written(site: tuple[str, list[str]], tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    done = mconv(site[0], tmp_path / "cache", "convert", "hf://team/onnx/onnx/model.onnx", str(tmp_path / "out"))
    assert done.returncode == 6 and "cannot be kept in" in done.stderr and "HF_HOME names" in done.stderr, done.stderr
