"""Requests that wait in a process of Triton's, and what the front of Triton does with those whose process has died."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest

from mconv.program.dtypes import DType
from mconv.serving.scaffold import options_from, plan
from tests.serving.generated import load, model

MASKED: dict[str, tuple[DType, Sequence[int]]] = {
    "input_ids": (DType.INT64, (-1, -1)),
    "attention_mask": (DType.INT64, (-1, -1)),
}
INSIDE = "models/model/1"
Made = Callable[[str], Any]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Made:
    """Imports a module of a text service for Triton."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n")
    planned = plan(
        *model(MASKED, ["y"], outputs={"y": (-1, 2)}), options_from({"server": "triton"}), beside=tmp_path / "model"
    )
    return lambda name: load(planned, tmp_path / Path(name).stem, name, monkeypatch)


def feed(length: int) -> dict[str, np.ndarray]:
    return {name: np.full((1, length), length, np.int64) for name in MASKED}


class Runs:
    """Two threads' model, which waits for a word before each run; what it was given, and what came of it."""

    def __init__(self) -> None:
        self.started, self.go, self.batches = threading.Semaphore(0), threading.Semaphore(0), []  # type: ignore[var-annotated]
        self.answers: dict[str, Any] = {}

    def __call__(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        ids = feeds["input_ids"]
        self.started.release()
        assert self.go.acquire(timeout=60)
        self.batches.append(ids.shape)
        if (ids == 13).any():
            raise ValueError("thirteen")
        return {"y": ids[:, :1]}

    def done(self, item: str, outputs: Any, error: Any) -> None:
        self.answers[item] = str(error) if outputs is None else int(outputs["y"][0, 0])


def test_those_of_one_length_are_run_together_and_a_wrong_one_alone(made: Made) -> None:
    batching, runs = made(f"{INSIDE}/batching.py").Batching(), Runs()
    batching.tried = True  # the first time, each is run alone as well
    queue = made(f"{INSIDE}/waiting.py").Queue(batching, [runs], runs.done)
    queue.put(feed(3), "first")
    assert runs.started.acquire(timeout=60)
    for number, length in enumerate((90, 8, 90, 8, 90, 13, 13)):
        queue.put(feed(length), f"{number}")
    for _ in range(20):
        runs.go.release()
    queue.drain()
    assert runs.answers == {
        "first": 3, "0": 90, "2": 90, "4": 90, "1": 8, "3": 8, "5": "thirteen", "6": "thirteen",
    }  # fmt: skip
    assert runs.batches[:2] == [(1, 3), (3, 90)], runs.batches
    assert sum(rows for rows, _ in runs.batches) > len(
        runs.answers
    )  # the wrong ones again, with and without the others


def test_no_more_are_taken_from_triton_than_wait_at_most(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting, runs = made(f"{INSIDE}/waiting.py"), Runs()
    monkeypatch.setattr(waiting, "MOST", 2)
    queue = waiting.Queue(made(f"{INSIDE}/batching.py").Batching(), [runs], runs.done)
    queue.put(feed(3), "first")
    assert runs.started.acquire(timeout=60)
    putting = threading.Thread(target=lambda: [queue.put(feed(90 * n), f"{n}") for n in (1, 2, 3)], daemon=True)
    putting.start()
    putting.join(0.2)
    assert putting.is_alive() and len(queue.waiting) == 2
    for _ in range(20):
        runs.go.release()
    putting.join(60)
    queue.drain()
    assert runs.answers == {"first": 3, "1": 90, "2": 180, "3": 270}


def test_what_was_with_a_process_that_died_is_told(made: Made) -> None:
    retrying = made("retrying.py")

    async def told() -> list[Any]:
        losses = retrying.Losses(asyncio.get_running_loop())
        never = asyncio.ensure_future(losses.unless(asyncio.sleep(3600)))
        soon = asyncio.ensure_future(losses.unless(asyncio.sleep(0, "an answer")))
        gone = asyncio.ensure_future(losses.unless(asyncio.sleep(3600)))
        found = [await soon]
        gone.cancel()  # by its client
        found += await asyncio.gather(gone, return_exceptions=True)
        await asyncio.to_thread(losses.add)
        found += await asyncio.wait_for(asyncio.gather(never, return_exceptions=True), 60)
        assert not (losses.asked or losses.lost) and losses.count == 1
        return found

    answer, cancelled, lost = asyncio.run(told())
    assert answer == "an answer"
    assert isinstance(cancelled, asyncio.CancelledError) and isinstance(lost, retrying.Lost)


def test_what_is_asked_of_the_next_process_is_not_told_of_the_one_before(made: Made) -> None:
    retrying = made("retrying.py")

    async def told() -> str:
        losses = retrying.Losses(asyncio.get_running_loop())
        losses.add()  # and before the loop has told it
        answer: str = await losses.unless(asyncio.sleep(0.05, "an answer"))
        return answer

    assert asyncio.run(told()) == "an answer"


def test_a_request_that_processes_end_at(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits for the next process, is asked one at a time when two have ended at it, and no more when three have."""
    retrying = made("retrying.py")
    monkeypatch.setattr(retrying, "REPLACED", 0.2)

    async def asked() -> None:
        losses = retrying.Losses(asyncio.get_running_loop())
        attempts, other = retrying.Attempts(losses, True), retrying.Attempts(losses, False)
        assert attempts.again and not other.again
        waits = asyncio.ensure_future(attempts.died(0))
        await asyncio.sleep(0.01)
        assert not waits.done()
        losses.add()
        await waits
        assert attempts.turn() is not losses.alone
        await attempts.died(0)  # the same one
        await attempts.died(1)  # which is not replaced
        assert attempts.turn() is losses.alone and attempts.again
        losses.add()
        await attempts.died(2)
        assert not attempts.again

    asyncio.run(asked())


def test_a_thread_that_fails_ends_the_process(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its requests would wait for ever; front.py asks for them again in the next process."""
    waiting, ended = made(f"{INSIDE}/waiting.py"), threading.Event()
    monkeypatch.setattr(waiting.os, "_exit", lambda status: ended.set())

    def done(*_: Any) -> None:
        raise RuntimeError("the connection to the server is gone")

    runs = Runs()
    runs.go.release()
    waiting.Queue(made(f"{INSIDE}/batching.py").Batching(), [runs], done).put(feed(3), "one")
    assert ended.wait(60)
