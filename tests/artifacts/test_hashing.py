"""Hashes: the published values, and those of a file that is being written."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

import pytest

from mconv.artifacts import hashing
from mconv.artifacts.hashing import BLAKE3, SHA256, Following, hash_file, hasher
from mconv.errors import NotAModelError

# of the empty message and of "abc": the specifications' own
PUBLISHED = [
    (BLAKE3, b"", "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"),
    (BLAKE3, b"abc", "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85"),
    (SHA256, b"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    (SHA256, b"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
]


@pytest.mark.parametrize(("algorithm", "content", "digest"), PUBLISHED)
def test_published_values(algorithm: str, content: bytes, digest: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    found = hash_file(path, "a/b", algorithm=algorithm)
    assert found.to_dict() == {"name": "a/b", "bytes": len(content), algorithm: digest}
    assert type(found).of_dict(found.to_dict()) == found


def test_no_ordinary_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "nothing"):
        with pytest.raises(NotAModelError):
            hash_file(tmp_path / name)


@pytest.mark.parametrize("sizes", [[], [0], [1], [1 << 18, 1, 3 << 18], [7] * 1000], ids=lambda s: f"{len(s)}:{sum(s)}")
def test_following_a_writer(sizes: list[int], tmp_path: Path) -> None:
    path, total = tmp_path / "file", 0
    with Following(path) as following, open(path, "wb", buffering=0) as file:
        for size in sizes:
            file.write(os.urandom(size))
            total += size
            following.written(total)
    found = following.result()
    assert found == (hash_file(path) if sizes else None)


@pytest.mark.parametrize("size", [0, 1, 64, 65, 127, 128, 129, 1000])
@pytest.mark.parametrize("mapped", [True, False])
def test_windows_make_up_the_whole(size: int, mapped: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = os.urandom(size * 4096 + 5)
    (tmp_path / "file").write_bytes(content)
    monkeypatch.setattr(hashing, "_WINDOW", 64 * 4096)
    monkeypatch.setattr(hashing, "_CHUNK", 3 * 4096)
    if not mapped:  # as on a file system that cannot

        def no_map(*_: object, **__: object) -> None:
            raise OSError(19, "No such device")

        monkeypatch.setattr(mmap, "mmap", no_map)
    whole = hasher()
    whole.update(content)
    assert hash_file(tmp_path / "file").digest == whole.hexdigest()
    with Following(tmp_path / "file") as following:
        for end in [*range(4096 + 3, len(content), 70 * 4096), len(content)]:
            following.written(end)
    found = following.result()
    assert found is not None and (found.bytes, found.digest) == (len(content), whole.hexdigest())


def test_following_a_writer_that_fails(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with pytest.raises(OSError, match="full"), Following(path) as following:
        path.write_bytes(b"abc")
        following.written(3)
        raise OSError("full")
    assert following.result() is not None  # the thread has ended


def test_what_is_cut_off_has_another_size(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    with Following(path) as following:
        following.written(5)
    found = following.result()
    assert found is not None and found.bytes == 3
