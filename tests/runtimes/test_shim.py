"""The shim that gives older Paddles glibc's former _dl_sym: the shipped library and its source agree."""

from __future__ import annotations

import ctypes
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mconv.runtimes.recipes import RECIPES
from mconv.runtimes.runtime import SHIM, needs_shim

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64", reason="the shim is for Linux on x86-64"
)


def answers(library: Path) -> None:
    name, version = platform.libc_ver()
    if name != "glibc" or tuple(map(int, version.split("."))) < (2, 34):
        pytest.skip("this C library still has _dl_sym")
    shim = ctypes.CDLL(str(library))
    shim._dl_sym.restype = ctypes.c_void_p
    shim._dl_sym.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    assert shim._dl_sym(ctypes.c_void_p(-1).value, b"malloc", None)
    assert not shim._dl_sym(ctypes.c_void_p(-1).value, b"no_such_function", None)


def test_the_shipped_library_finds_functions() -> None:
    answers(SHIM)


def test_the_symbol_has_glibcs_private_version() -> None:
    raw = SHIM.read_bytes()
    assert raw[:4] == b"\x7fELF" and b"_dl_sym\0" in raw and b"GLIBC_PRIVATE\0" in raw


@pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc here")
def test_the_source_builds_with_its_own_command(tmp_path: Path) -> None:
    for name in ("dl_sym.c", "dl_sym.map"):
        shutil.copy(SHIM.with_name(name), tmp_path)
    source = (tmp_path / "dl_sym.c").read_text()
    command = re.search(r"^ \*   (gcc .*?dl_sym\.c -lc)$", source, re.MULTILINE | re.DOTALL)
    assert command is not None
    subprocess.run(re.sub(r"\\\n \*", " ", command[1]), shell=True, cwd=tmp_path, check=True)
    answers(tmp_path / SHIM.name)


def test_only_on_a_new_glibc(monkeypatch: pytest.MonkeyPatch) -> None:
    wanting, other = RECIPES["paddle-2.3.2"], RECIPES["paddle-2.6.2"]
    for version, needed in (("2.31", False), ("2.34", True), ("2.40", True)):
        monkeypatch.setattr(platform, "libc_ver", lambda v=version: ("glibc", v))
        assert (needs_shim(wanting), needs_shim(other)) == (needed, False)
