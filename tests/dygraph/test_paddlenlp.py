"""PaddleNLP's own models through to-static and to-serving, in Paddle 2.3.2.

Its runtime is large (2.6 GB): ``mconv runtime install paddlenlp-3.0.0b4``, or ``MCONV_TEST_INSTALL=1`` to have the
test do it.
"""

from __future__ import annotations

import json
import os
import pickle
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from mconv.runtimes import Runtime
from tests.managed import require, run_in

NAME = "paddlenlp-3.0.0b4"
MODELS = Path(__file__).with_name("nlp_models.py")
INPUTS = ("input_ids:int64[?,?]", "token_type_ids:int64[?,?]", "attention_mask:int64[?,?]")
Run = Callable[..., "subprocess.CompletedProcess[str]"]

pytestmark = [pytest.mark.slow, pytest.mark.runtime]


@pytest.fixture(scope="module")
def nlp() -> Runtime:
    if os.environ.get("MCONV_TEST_INSTALL"):
        from mconv.runtimes.install import install

        install(NAME)
    return require(NAME)


@pytest.fixture
def run(nlp: Runtime, tmp_path: Path) -> Run:
    require("paddle-2.3.2")

    def call(*args: object) -> subprocess.CompletedProcess[str]:
        return run_in(nlp, *args, cwd=tmp_path)

    return call


@pytest.mark.parametrize(
    ("factory", "kind", "shapes"),
    [
        ("bert", "BertForSequenceClassification", [[None, 3]]),
        ("ernie", "ErnieModel", [[None, None, 32], [None, 32]]),
    ],
)
def test_model(factory: str, kind: str, shapes: list[list[int]], run: Run, tmp_path: Path) -> None:
    options = [part for text in INPUTS for part in ("--input", text)]
    done = run("-m", "mconv", "to-static", f"{MODELS}:{factory}", "pb_model", *options, "--json")
    assert done.returncode == 0, done.stderr[-2000:]
    report = json.loads(done.stdout)
    assert report["source"]["class"] == kind and [o["shape"] for o in report["outputs"]] == shapes
    proof = report["verification"]
    assert proof["status"] == proof["original"]["status"] == "passed" and proof["runtime"] == "paddle-2.3.2"
    assert len(proof["input_sets"]) == 2 and all(row["max_abs"] < 1e-5 for row in proof["outputs"])
    done = run("-m", "mconv", "to-serving", "pb_model", "--json")
    assert done.returncode == 0, done.stderr[-2000:]
    assert [f["name"] for f in json.loads(done.stdout)["feeds"]] == [t.partition(":")[0] for t in INPUTS]
    # what is served, in the Paddle that serves it
    done = run("-m", "mconv", "verify", "pb_model", "serving_server", "--runtime", "paddle-2.3.2", "--json")
    assert done.returncode == 0, done.stderr[-2000:]


def test_folder(run: Run, tmp_path: Path) -> None:
    """A folder as PaddleNLP saves it; its weights are unpickled by mconv, which refuses code."""
    done = run(MODELS, "folder")
    assert done.returncode == 0, done.stderr[-2000:]
    done = run("-m", "mconv", "to-static", "folder", "out", "--json")
    assert done.returncode == 0, done.stderr[-2000:]
    report = json.loads(done.stdout)
    assert report["source"]["class"] == "BertForSequenceClassification"
    assert report["verification"]["status"] == "passed"

    class Evil:
        def __reduce__(self) -> object:
            return os.system, (f"touch {tmp_path}/marker",)

    (tmp_path / "folder" / "model_state.pdparams").write_bytes(pickle.dumps({"w": Evil()}))
    done = run("-m", "mconv", "to-static", "folder", "evil")
    assert done.returncode == 11 and not (tmp_path / "marker").exists() and not (tmp_path / "evil").exists()
    done = run("-m", "mconv", "to-static", "bert-base-chinese", "evil")
    assert done.returncode == 11 and "--trust" in done.stderr
