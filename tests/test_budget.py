"""The budget of memory and work: what it allows, what it refuses, and in whose name."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from mconv import budget
from mconv.errors import LimitError, UsageError
from mconv.options.proving import Bounded
from mconv.options.taking import takes

MB = 1 << 20


def test_requests_add_up_within_a_command() -> None:
    with budget.command("100M"):
        for _ in range(4):
            budget.memory(25 * MB, "a table")
        with pytest.raises(LimitError) as error:
            budget.memory(1, "the last straw")
    assert error.value.message == (
        "the last straw takes 1 bytes of memory: beyond the limit of 100.0 MB, and 100.0 MB are taken already"
    )
    assert error.value.hint == "if it shall: --limit 101M or more" and error.value.exit_code == 14


def test_what_the_message_recommends_is_enough() -> None:
    with pytest.raises(LimitError) as error, budget.command():
        budget.memory(5 << 30, "a table")
    recommended = (error.value.hint or "").split()[-3]
    with budget.command(recommended):
        budget.memory(5 << 30, "a table")
    with pytest.raises(LimitError) as error, budget.command():
        budget.work(1 << 40, "a loop")
    assert "a loop is more work than allowed: beyond the limit of 1.0 GB" in error.value.message
    with budget.command((error.value.hint or "").split()[-3]):
        budget.work(1 << 40, "a loop")


def test_what_no_machine_has_is_not_recommended() -> None:
    with pytest.raises(LimitError) as error:
        budget.memory(1 << 300, "a shape squared")
    assert error.value.hint == "no machine has that much"
    assert "more than 1000000 TB" in error.value.message


def test_memory_and_work_are_apart() -> None:
    with budget.command("1M"):
        budget.work(budget.OPERATIONS * MB, "a loop")
        budget.memory(MB, "a table")
        with pytest.raises(LimitError):
            budget.work(1, "a loop")
        with pytest.raises(LimitError):
            budget.memory(1, "a table")


def test_it_grows_with_each_file_once(tmp_path: Path) -> None:
    model, sparse = tmp_path / "model.bin", tmp_path / "sparse.bin"
    model.write_bytes(bytes(range(256)) * 4096)
    with open(sparse, "wb") as file:
        file.truncate(1 << 40)
    with budget.command("1M") as own:
        budget.file(model)
        budget.file(str(model))
        budget.file(sparse)
        budget.file(tmp_path / "is not there")
        budget.file("a\0b")
        assert own.files == MB
        assert own.limit == MB + budget.GROWTH * MB
        budget.memory(17 * MB, "the tables")
        with pytest.raises(LimitError, match="for files of this size"):
            budget.memory(1, "one more")


def test_a_command_within_a_command_draws_on_the_outer() -> None:
    with budget.command("10M") as outer:
        with budget.command("1G") as inner:
            assert inner is outer
        budget.memory(10 * MB, "a table")
    assert budget.current() is None


def test_other_threads_have_their_own() -> None:
    seen = []

    def other() -> None:
        seen.append(budget.current())
        budget.memory(budget.BASE, "alone")
        with budget.command("2M"):
            budget.memory(2 * MB, "a table")

    with budget.command("1M"):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        budget.memory(MB, "a table")
    assert seen == [None]


def test_the_name_is_made_only_for_the_message() -> None:
    def name() -> str:
        raise AssertionError("asked for")

    budget.memory(1, name)
    with pytest.raises(LimitError, match="node 'x'"):
        budget.memory(1 << 60, lambda: "node 'x'")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("8G", 8 << 30), ("512m", 512 << 20), ("1.5GiB", 3 << 29), ("2 TB", 2 << 40), ("4096", 4096), (77, 77)],
)
def test_sizes(text: budget.Size, wanted: int) -> None:
    assert budget.size(text) == wanted


@pytest.mark.parametrize("text", ["", "0", "-1", "G", "8X", "1e9", "nan", "\u0661G", "9" * 400, 0, -5, True])
def test_what_is_no_size(text: budget.Size) -> None:
    with pytest.raises(UsageError, match="not a size"):
        budget.size(text)


def test_verbs_take_a_limit() -> None:
    @takes(Bounded)
    def verb(chosen: Bounded) -> int:
        found = budget.current()
        assert found is not None
        return found.base

    assert verb(limit="1K") == 1024
    assert verb() == budget.BASE
    with pytest.raises(UsageError):
        verb(limit="much")
