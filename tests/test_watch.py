"""Work in a thread of its own: what it gives, and the bounds."""

from __future__ import annotations

import threading

import pytest

from mconv import budget, watch
from mconv.errors import LimitError


def test_what_it_gives_and_raises() -> None:
    assert watch.call(lambda: threading.current_thread().name, "a model") == "mconv: a model"
    with pytest.raises(KeyError, match="x"):
        watch.call(lambda: {}["x"], "a model")
    with budget.command("3G"):
        assert watch.call(lambda: budget.current().base, "a model") == 3 << 30  # type: ignore[union-attr]
    assert not watch.abandoned()


def test_time() -> None:
    go_on = threading.Event()
    with pytest.raises(LimitError, match="a model was not done after 0.1 s") as caught:
        watch.call(lambda: go_on.wait(60), "a model", seconds=0.1, stop=go_on.set)
    assert "--timeout" in str(caught.value.hint)
    assert not watch.abandoned()


def test_what_does_not_stop_is_left_behind() -> None:
    go_on = threading.Event()
    with pytest.raises(LimitError):
        watch.call(lambda: go_on.wait(60), "a model", seconds=0.1)
    assert watch.abandoned()
    go_on.set()
    watch._left[-1].join()
    assert not watch.abandoned()


@pytest.mark.skipif(not watch.resident(), reason="the system does not tell what a process holds")
def test_memory() -> None:
    go_on = threading.Event()
    held = []

    def model() -> None:
        while not go_on.wait(0.01):
            held.append(b"x" * (4 << 20))

    with budget.command("8M"), pytest.raises(LimitError, match="a model takes more than 32.0 MB of memory") as caught:
        watch.call(model, "a model", stop=go_on.set)
    assert "--limit 16M" in str(caught.value.hint)
    assert len(held) < 500
