"""Walks of people who have never used mconv: each script from an empty folder, with what is installed here, and no more."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from mconv.runtimes.ports import free_ports
from tests.hub_server import hub
from tests.managed import ROOT, SOURCES, require
from tests.serving import ocr_pages

HERE = Path(__file__).parent
WALKS = sorted(p.stem for p in HERE.glob("*.sh") if p.stem != "common")
WORD = "PADDLE"
LABELS = {0: "NEGATIVE", 1: "POSITIVE"}


@pytest.fixture
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A hub with the small classifier ``acme/bert``."""
    transformers = pytest.importorskip("transformers")
    root = tmp_path_factory.mktemp("hub")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"the quick brown fox jumps over lazy dog".split()]
    configuration = transformers.BertConfig(
        vocab_size=len(words), hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
        id2label=LABELS, label2id={v: k for k, v in LABELS.items()}, initializer_range=0.3,
    )  # fmt: skip
    folder = root / "acme" / "bert"
    transformers.BertForSequenceClassification(configuration).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    transformers.BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    with ExitStack() as stack:
        yield stack.enter_context(hub(root))[0]


def test_there_are_walks() -> None:
    assert set(WALKS) == {"article", "huggingface", "ci", "ocr"}


@pytest.fixture
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The three models of PP-OCR with their ``inference.yml``, two of them twice, and a page."""
    root = tmp_path_factory.mktemp("ocr")
    found = ocr_pages.models(root / "made")
    for name, source in {**found, "second_det": found["det"], "second_rec": found["rec"]}.items():
        shutil.copytree(source, root / "models" / name)
    (root / "models" / "page.png").write_bytes(ocr_pages.png(ocr_pages.drawn((640, 200), [(60, 70, WORD)], 48, None)))
    return root / "models"


@pytest.mark.runtime
@pytest.mark.slow
@pytest.mark.parametrize("name", WALKS)
def test_walk(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    require("paddle-2.3.2")
    given = {}
    if name == "huggingface":
        given = {"HF_ENDPOINT": request.getfixturevalue("address"), "HF_HOME": str(tmp_path / "hf")}
    if name == "ocr":
        given = {"MODELS": str(request.getfixturevalue("folders")), "WORD": WORD}
    environment = {
        **os.environ,
        "PYTHON": sys.executable,
        "PYTHONPATH": os.pathsep.join([str(SOURCES), str(ROOT)]),
        "PORT": str(free_ports(1)[0]),
        "LOOPS": "6",
        **given,
    }
    for variable in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        environment.pop(variable, None)
    folder = tmp_path / "empty"
    folder.mkdir()
    done = subprocess.run(
        ["bash", str(HERE / f"{name}.sh")], cwd=folder, env=environment, capture_output=True, text=True, timeout=600
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert re.fullmatch(r"walk: \d+ commands typed, \d+ s", done.stdout.splitlines()[-1])
