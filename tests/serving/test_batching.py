"""Requests that a generated service runs together: joined, filled up, taken apart again, or left alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mconv.program.dtypes import DType
from mconv.serving.scaffold import options_from, plan
from tests.serving.generated import load, model

I64, F32 = DType.INT64, DType.FP32
Feed = dict[str, np.ndarray]
MASKED = {"input_ids": (I64, (-1, -1)), "attention_mask": (I64, (-1, -1))}


@pytest.fixture
def batching(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Any]:
    """Makes the ``Batching`` of a service for some inputs and outputs."""

    def make(inputs: dict, outputs: dict) -> Any:
        beside = tmp_path / "model"
        beside.mkdir()
        (beside / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n")
        planned = plan(*model(inputs, list(outputs), outputs=outputs), options_from({}), beside=beside)
        return load(planned, tmp_path, "batching.py", monkeypatch).Batching()

    return make


def text(*lengths: int) -> Feed:
    """Rows of so many tokens, numbered."""
    longest = max(lengths)
    ids = np.array([[*range(1, n + 1), *([0] * (longest - n))] for n in lengths], np.int64)
    return {"input_ids": ids, "attention_mask": (ids > 0).astype(np.int64)}


def means(feed: Feed) -> Feed:
    """A model: the mean of the tokens that the mask shows, and each token by itself."""
    ids, mask = feed["input_ids"], feed["attention_mask"]
    return {"mean": ((ids * mask).sum(1) / mask.sum(1)).astype(np.float32)[:, None], "tokens": ids[:, :, None] * 1.0}


def equal(got: Feed, wanted: Feed) -> None:
    assert sorted(got) == sorted(wanted)
    for name, array in wanted.items():
        assert got[name].shape == array.shape
        np.testing.assert_allclose(got[name], array)


def test_texts_of_different_lengths_are_joined_and_each_gets_its_own(batching: Any) -> None:
    made = batching(MASKED, {"mean": (-1, 1), "tokens": (-1, -1, 1)})
    feeds = [text(3), text(7, 2), text(1), text(7)]
    assert made.groups(feeds) == [[0, 1, 2, 3]]
    calls = []

    def process(feed: Feed) -> Feed:
        calls.append(feed["input_ids"].shape)
        return means(feed)

    for got, feed in zip(made.run(feeds, process), feeds):
        equal(got, means(feed))
    assert calls[0] == (5, 7) and len(calls) == 5  # the first time, each is tried alone, too
    calls.clear()
    assert len(made.run(feeds, process)) == 4 and calls == [(5, 7)]


def test_texts_of_nearly_the_same_length_are_joined(batching: Any) -> None:
    """Filling up a batch costs less than reading the weights once more, about as much as 24 tokens."""
    made = batching(MASKED, {"mean": (-1, 1)})
    feeds = [text(n) for n in (60, 5, 30, 8, 58, 4, 61)]
    assert made.groups(feeds) == [[1, 3, 5], [2], [0, 4, 6]]
    assert made.groups([text(10)] * 100) == [[*range(64)], [*range(64, 100)]]


def test_without_a_mask_only_equal_shapes_are_joined(batching: Any) -> None:
    made = batching({"x": (F32, (-1, -1))}, {"y": (-1, 2)})
    feeds = [{"x": np.ones(shape, np.float32)} for shape in ((1, 2), (1, 3), (4, 2), (2, 3))]
    assert made.groups(feeds) == [[0, 2], [1, 3]]
    many = [{"x": np.ones((30, 2), np.float32)}] * 5
    assert made.groups(many) == [[0, 1], [2, 3], [4]]  # 64 rows at a time


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        ({"x": (F32, (2, 3))}, {"y": (-1, 2)}),
        ({"x": (F32, (-1, 3))}, {"y": (5, 2)}),
        ({"x": (F32, (-1, 3))}, {"y": ()}),
    ],
    ids=["fixed batch", "output of another size", "scalar"],
)
def test_what_has_no_batch_is_left_alone(batching: Any, inputs: dict, outputs: dict) -> None:
    feeds = [{"x": np.ones((2, 3), np.float32)}] * 3
    assert batching(inputs, outputs).groups(feeds) == [[0], [1], [2]]


@pytest.mark.parametrize(
    "process",
    [
        lambda feed: {"y": feed["x"] - feed["x"].mean(0)},  # normalises over the batch
        lambda feed: {"y": feed["x"].sum(0)},  # has no batch
        lambda feed: {"y": np.concatenate([feed["x"], feed["x"]])},
    ],
)  # fmt: skip
def test_a_model_whose_answers_depend_on_the_batch_is_left_alone(batching: Any, process: Any) -> None:
    made = batching({"x": (F32, (-1, 3))}, {"y": (-1, 3)})
    feeds = [{"x": np.full((1, 3), n, np.float32)} for n in (1, 2)]
    assert made.groups(feeds) == [[0, 1]]
    assert made.run(feeds, process) is None
    assert made.groups(feeds) == [[0], [1]]


def test_an_error_is_not_everybodys(batching: Any) -> None:
    made = batching({"x": (F32, (-1, 3))}, {"y": (-1, 3)})

    def process(feed: Feed) -> Feed:
        if (feed["x"] < 0).any():
            raise RuntimeError("an index that no table has")
        return {"y": feed["x"]}

    feeds = [{"x": np.full((1, 3), n, np.float32)} for n in (1, -1)]
    assert made.run(feeds, process) is None and made.run(feeds, lambda feed: None) is None
    assert made.groups(feeds) == [[0, 1]]  # and tried again the next time
