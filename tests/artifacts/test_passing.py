"""The hashes of a copy and its source, of what passes through the copy's buffers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mconv.artifacts import passing as under_test
from mconv.artifacts.hashing import hash_file
from mconv.artifacts.passing import Passing
from mconv.errors import CorruptModelError, NotAModelError

SIZE = 3 << 19


def copied(passing: Passing, source: Path, parts: list[tuple[int, int]]) -> None:
    """Write a head, and the parts of *source* after it."""
    content = source.read_bytes()
    with passing, open(passing.made, "wb", buffering=0) as file:
        file.write(b"head")
        passing.written(b"head")
        for start, end in parts:
            while start < end:
                buffer = passing.buffer()
                piece = content[start : min(end, start + len(buffer))]
                buffer[: len(piece)] = piece
                file.write(piece)
                passing.written(buffer[: len(piece)], path=source, offset=start, buffer=buffer)
                start += len(piece)


PARTS = {
    "all of it": [(0, SIZE)],
    "nothing": [],
    "what lies between": [(7, 1000), (1010, SIZE - 3)],
    "backwards": [(SIZE // 2, SIZE), (0, SIZE // 2)],
    "twice": [(0, 900_000), (10, 1_000_000), (5, 50)],
}


@pytest.mark.parametrize("name", PARTS)
def test_both_hashes(name: str, tmp_path: Path) -> None:
    source, made = tmp_path / "source", tmp_path / "made"
    source.write_bytes(os.urandom(SIZE))
    passing = Passing(made, source)
    copied(passing, source, PARTS[name])
    assert passing.hashes() == {source: hash_file(source), made: hash_file(made)}


def test_another_file_and_none(tmp_path: Path) -> None:
    source, other, made = (tmp_path / n for n in ("source", "other", "made"))
    for path in (source, other):
        path.write_bytes(os.urandom(5000))
    for watched in (source, None):
        passing = Passing(made, watched)
        copied(passing, other, [(3, 4000)])
        assert passing.hashes() == {p: hash_file(p) for p in (watched, made) if p is not None}


def test_what_was_copied_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "source"
    source.write_bytes(os.urandom(SIZE))
    read: list[int] = []
    original = under_test.read_range
    monkeypatch.setattr(under_test, "read_range", lambda fd, at, size, path: read.append(size) or original(fd, at, size, path))  # fmt: skip
    copied(Passing(tmp_path / "made", source), source, [(8, 1000), (1016, SIZE)])
    assert sum(read) == 24


def test_a_writer_that_fails(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"abc")
    passing = Passing(tmp_path / "made", source)
    with pytest.raises(OSError, match="full"), passing:
        passing.written(b"abc", path=source)
        raise OSError("full")
    assert passing.hashes() == {}


def test_a_source_that_goes_meanwhile(tmp_path: Path) -> None:
    """More pieces than there are buffers: the writer does not wait for ever."""
    passing = Passing(tmp_path / "made", tmp_path / "gone")
    with passing:
        for k in range(20):
            buffer = passing.buffer()
            passing.written(buffer[:10], path=tmp_path / "gone", offset=5 + 20 * k, buffer=buffer)
    with pytest.raises(NotAModelError):
        passing.hashes()


def test_a_source_that_becomes_shorter(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"abc")
    passing = Passing(tmp_path / "made", source)
    with passing:
        passing.written(b"later", path=source, offset=10)
    with pytest.raises(CorruptModelError):
        passing.hashes()
