"""Hashes: the published values, and those of a file that is being written."""

from __future__ import annotations

import os
import subprocess
import sys
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
def test_pieces_make_up_the_whole(size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = os.urandom(size * 4096 + 5)
    (tmp_path / "file").write_bytes(content)
    monkeypatch.setattr(hashing, "_CHUNK", 3 * 4096)
    whole = hasher()
    whole.update(content)
    assert hash_file(tmp_path / "file").digest == whole.hexdigest()
    with Following(tmp_path / "file") as following:
        for end in [*range(4096 + 3, len(content), 70 * 4096), len(content)]:
            following.written(end)
    found = following.result()
    assert found is not None and (found.bytes, found.digest) == (len(content), whole.hexdigest())


CUT = """\
import os, sys
from mconv.artifacts import hashing
from mconv.errors import CorruptModelError

class Cutting:
    def __init__(self):
        self.digest = hasher()

    def update(self, data):  # another process cuts the file while this one looks at it
        os.truncate(sys.argv[1], 4096)
        self.digest.update(data)

    def hexdigest(self):
        return self.digest.hexdigest()

hasher, hashing.hasher = hashing.hasher, lambda algorithm="blake3": Cutting()
try:
    print(hashing.hash_file(sys.argv[1]))
except CorruptModelError as e:
    print(e.message, e.hint)
with hashing.Following(sys.argv[2]) as following:
    following.written(os.path.getsize(sys.argv[2]))
    sys.argv[1] = sys.argv[2]
print(following.result().bytes < 40 << 20)
"""


def test_a_file_that_is_cut_while_it_is_hashed(tmp_path: Path) -> None:
    # in a process of its own: where the file is mapped, SIGBUS ends it
    for name in ("source", "written"):
        (tmp_path / name).write_bytes(os.urandom(1 << 20) * 40)
    command = [sys.executable, "-c", CUT, str(tmp_path / "source"), str(tmp_path / "written")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done
    first, second = done.stdout.splitlines()
    at = 1 << 20
    assert first == (
        f"{tmp_path / 'source'}: ends at offset {at} while it is read, {39 << 20} bytes short is something writing it?"
    )
    assert second == "True"


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
