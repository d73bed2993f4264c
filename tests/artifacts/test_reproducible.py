"""Converted output is the same, byte for byte, in every process, folder and order of hashing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.golden import case
from tests.paddle import fixtures

ROOT = Path(__file__).parents[2]
LAYER = [
    "--input",
    "input_ids:int64[?,?]",
    "--input",
    "token_type_ids:int64[?,?]",
    "--input",
    "attention_mask:int64[?,?]",
]
SMALL = ["vocab_size=50", "hidden_size=16", "num_hidden_layers=1", "num_attention_heads=2", "intermediate_size=32"]
MODULE = """
import torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.table = torch.nn.Embedding(20, 8)
        self.layer = torch.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)

    def forward(self, ids):
        return self.layer(self.table(ids)).mean(1)
"""


def commands(folder: Path) -> dict[str, list[str]]:
    """Name → arguments of a conversion into ``out``; sources are in *folder*."""
    (folder / "net.py").write_text(MODULE)
    lenet = fixtures.unpack("3.3", "LeNet", folder / "lenet")
    layer = f"{ROOT / 'recipes' / 'models' / 'transformers.py'}:bert_classifier"
    arguments = [part for text in SMALL for part in ("--arg", text)]
    return {
        "to-serving": [
            "to-serving",
            str(case("1.8.5-bert_separate").model),
            "--out",
            "out",
            "--feed-alias",
            "input_ids=ids",
        ],
        "downgrade": ["downgrade", str(lenet), "out"],
        "onnx2paddle": ["onnx2paddle", "MODEL.onnx", "out", "--no-verify"],
        "to-static": ["to-static", layer, "out", *LAYER, *arguments, "--no-verify"],
        "torch2paddle": ["torch2paddle", "net.py:Net", "out", "--input", "ids:int64[?,?]", "--no-verify"],
    }


@pytest.mark.parametrize(
    "name",
    ["to-serving", "downgrade", "onnx2paddle", "to-static", pytest.param("torch2paddle", marks=pytest.mark.slow)],
)
@pytest.mark.long
def test_the_same_bytes_in_every_process(name: str, tmp_path: Path) -> None:
    for package in {"to-static": ["paddle"], "torch2paddle": ["torch", "onnxscript"]}.get(name, []):
        pytest.importorskip(package)
    made = []
    for seed, place in (("1", "one"), ("2", "another place")):
        folder = tmp_path / place
        folder.mkdir()
        command = commands(folder)[name]
        if name == "onnx2paddle":
            rapid = pytest.importorskip("rapidocr_onnxruntime")
            command[1] = str(next((Path(rapid.__file__).parent / "models").glob("*cls*.onnx")))
        environ = {**os.environ, "PYTHONHASHSEED": seed}
        subprocess.run(
            [sys.executable, "-m", "mconv", *command, "-q"], cwd=folder, env=environ, check=True, timeout=200
        )
        files = sorted(p for p in (folder / "out").rglob("*") if p.is_file() and p.name != "report.json")
        made.append({p.relative_to(folder).as_posix(): p.read_bytes() for p in files})
    assert made[0] == made[1] and len(made[0]) >= 3
    assert any(n.endswith("provenance.json") for n in made[0])
