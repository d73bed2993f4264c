"""Which of the requests that wait a thread of the service over HTTP takes."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable, Optional

import numpy as np
import pytest

from mconv.program.dtypes import DType
from mconv.serving.scaffold import options_from, plan
from tests.serving.generated import load, model

MASKED = {"input_ids": (DType.INT64, (-1, -1)), "attention_mask": (DType.INT64, (-1, -1))}
Made = Callable[..., Any]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Made:
    """Makes the ``Batcher`` of a text service, and has requests of some lengths wait."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n")
    options = options_from({"server": "http"})
    planned = plan(*model(MASKED, ["y"], outputs={"y": (-1, 2)}), options, beside=tmp_path / "model")
    module = load(planned, tmp_path, "batcher.py", monkeypatch)

    def make(lengths: list[int], threads: int = 2, size: int = 32, late: Optional[set[int]] = None) -> Any:
        batcher = module.Batcher([None] * threads, size, 1, 0, 512, lambda count: None)
        for at, length in enumerate(lengths):
            feed = {name: np.zeros((1, length), np.int64) for name in MASKED}
            deadline = time.monotonic() + (-1 if late and at in late else 60)
            future = SimpleNamespace(cancelled=lambda: False)
            batcher.waiting.append(SimpleNamespace(at=at, feed=feed, deadline=deadline, future=future))
        return batcher

    return make


def taken(batcher: Any) -> list[int]:
    return [each.at for each in batcher.taken()]


def test_the_oldest_goes_with_others_of_nearly_its_length(made: Made) -> None:
    batcher = made([5, 50, 6, 51, 5, 120], threads=1)
    assert [taken(batcher) for _ in range(4)] == [[0, 2, 4], [1, 3], [5], []]


def test_threads_that_have_nothing_to_do_share_what_waits(made: Made) -> None:
    batcher = made([8] * 10)
    assert taken(batcher) == [0, 1, 2, 3, 4]
    batcher.idle = 1
    assert taken(batcher) == [5, 6, 7, 8, 9]


def test_no_more_than_are_to_be_run_together(made: Made) -> None:
    batcher = made([8] * 5, threads=1, size=2)
    assert [taken(batcher) for _ in range(3)] == [[0, 1], [2, 3], [4]]
    assert [taken(made([8] * 2, size=1)) for _ in range(2)] == [[0], [0]]


def test_what_nobody_waits_for_any_more_is_left_out(made: Made) -> None:
    batcher = made([8] * 5, threads=1, late={0, 2})
    assert taken(batcher) == [1, 3, 4]
    assert not taken(batcher) and not batcher.full
