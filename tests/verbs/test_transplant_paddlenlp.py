"""transformers' weights in PaddleNLP's own models: its environment has no PyTorch, and needs none.

Its runtime is large (2.6 GB): ``mconv runtime install paddlenlp-3.0.0b4``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.dygraph import nlp_models
from tests.managed import require, run_in

transformers = pytest.importorskip("transformers")
torch = pytest.importorskip("torch")

pytestmark = [pytest.mark.slow, pytest.mark.runtime]
TEXT = ("input_ids", "token_type_ids", "attention_mask")


def theirs(kind: str) -> Any:
    """The model of transformers, its weights beyond what initialisers make."""
    name, model = nlp_models.SAME[kind][:2]
    torch.manual_seed(0)
    made = getattr(transformers, model)(getattr(transformers, name)(**nlp_models.SAME[kind][2])).eval()
    for p in made.parameters():
        p.data += 0.02 * torch.randn_like(p)
    return made


@pytest.mark.parametrize("kind", list(nlp_models.SAME))
def test_equal_to_transformers(kind: str, workers: Callable[[str], Any], tmp_path: Path) -> None:
    nlp = require("paddlenlp-3.0.0b4")
    model = theirs(kind)
    model.save_pretrained(tmp_path / "hf")
    names = TEXT if kind != "distilbert" else (TEXT[0], TEXT[2])
    inputs = [part for name in names for part in ("--input", f"{name}:int64[batch,length]")]
    done = run_in(
        nlp, "-m", "mconv", "torch2paddle", "hf", "out", "--into", f"{nlp_models.__file__}:same", "--into-arg",
        f"kind={kind}", *inputs, "--json", *(["--partial"] if kind == "bert_mlm" else []), cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    report = json.loads(done.stdout)
    made = report["transplant"]
    assert made["rules"] == ["bert-paddlenlp", "torch-nn"] and made["recognised"]
    # PaddleNLP's MaskedLM has a pooler, which it does not use
    assert [r["paddle"].rpartition(".pooler.")[2] for r in made["problems"]] == (
        ["dense.weight", "dense.bias"] if kind == "bert_mlm" else []
    )
    assert report["verification"]["status"] == "passed" and report["verification"]["runtime"] == "paddle-2.3.2"
    rng = np.random.default_rng(0)
    for batch, length in ((2, 12), (3, 19)):
        feed = {
            "input_ids": rng.integers(3, 120, (batch, length)),
            "attention_mask": np.ones((batch, length), np.int64),
        }
        feed["attention_mask"][-1, length // 2 :] = 0
        if kind != "distilbert":  # RoBERTa knows one type
            feed["token_type_ids"] = rng.integers(0, 1 if kind == "roberta" else 2, (batch, length))
        with torch.no_grad():
            wanted = [v.numpy() for v in model(**{k: torch.from_numpy(v) for k, v in feed.items()}).values()]
        files = (tmp_path / "out" / "inference.pdmodel", tmp_path / "out" / "inference.pdiparams")
        got = workers("paddle-2.3.2").run(*files, [feed]).outputs[0]
        assert [a.shape for a in got] == [a.shape for a in wanted]
        assert max(float(np.abs(a - b).max()) for a, b in zip(wanted, got)) <= 1e-5
