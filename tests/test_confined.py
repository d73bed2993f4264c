"""A thread without rights."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mconv import confined, watch

pytestmark = pytest.mark.skipif(not confined.available(), reason="the kernel has no Landlock")


def confine(function: Callable[[], object], *writable: Path) -> object:
    return watch.call(function, "a reader", first=lambda: confined.give_up_rights(writable))


_DENIED: dict[str, Callable[[Path], object]] = {
    "write": lambda p: (p / "old").open("r+"),
    "append": lambda p: (p / "old").open("a"),
    "make": lambda p: (p / "new").write_text("x"),
    "truncate": lambda p: os.truncate(p / "old", 0),
    "folder": lambda p: (p / "new").mkdir(),
    "link": lambda p: (p / "new").symlink_to("old"),
    "pipe": lambda p: os.mkfifo(p / "new"),
    "move": lambda p: (p / "old").rename(p / "new"),
    "remove": lambda p: (p / "old").unlink(),
    "program": lambda p: subprocess.run([sys.executable, "-c", "pass"], check=True),
    "connect": lambda p: socket.create_connection(("127.0.0.1", 9)),
    "listen": lambda p: socket.create_server(("127.0.0.1", 0)),
}
_SINCE = {"truncate": 3, "connect": 4, "listen": 4}


@pytest.mark.parametrize("name", _DENIED)
def test_what_is_taken(name: str, tmp_path: Path) -> None:
    if confined._version() < _SINCE.get(name, 1):
        pytest.skip("the kernel's Landlock does not know it")
    (tmp_path / "old").write_text("as before")
    with pytest.raises(PermissionError):
        confine(lambda: _DENIED[name](tmp_path))
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"old": "as before"}


def test_what_it_starts_has_no_rights_either(tmp_path: Path) -> None:
    confine(lambda: os.system(f"echo x > {tmp_path}/new"))
    with pytest.raises(PermissionError):
        confine(lambda: watch.call(lambda: (tmp_path / "new").write_text("x"), "a thread of a thread"))
    assert not list(tmp_path.iterdir())


def test_what_is_left(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("text")
    assert confine(lambda: (tmp_path / "old").read_text()) == "text"
    confine(lambda: Path(os.devnull).write_text("x"))
    (tmp_path / "scratch").mkdir()
    confine(lambda: (tmp_path / "scratch" / "new").write_text("x"), tmp_path / "scratch")
    assert (tmp_path / "scratch" / "new").read_text() == "x"


def test_the_other_threads_keep_their_rights(tmp_path: Path) -> None:
    confine(lambda: None)
    (tmp_path / "new").write_text("x")
    subprocess.run([sys.executable, "-c", "pass"], check=True)
