"""What `make test-processors` runs its tests in: a processor without AVX-512, for every library that asks."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processors import avx2

HERE = Path(__file__).parent
_ASK = """
import ctypes, signal, subprocess, sys, threading
from numpy._core._multiarray_umath import __cpu_features__ as features
found = [sorted(k for k, v in features.items() if v and "AVX512" in k)]
signal.signal(signal.SIGSEGV, lambda *_: None)  # the trap outlives a handler of the program's own
thread = threading.Thread(target=lambda: found.append(subprocess.run([sys.executable, "-c",
    "from numpy._core._multiarray_umath import __cpu_features__ as f; print(f['AVX2'], f['AVX512F'])"],
    capture_output=True, text=True).stdout.strip()))
thread.start(); thread.join()
print(found)
"""


@pytest.fixture
def hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    if not avx2.hides(Path("/proc/cpuinfo").read_text()) or shutil.which("cc") is None:
        pytest.skip("CPUID cannot be trapped here, or there is no C compiler: only the libraries' switches are set")
    library = tmp_path / "avx2.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", library, HERE / "avx2.c", "-ldl"], check=True)
    monkeypatch.setattr(avx2, "LIBRARY", library)
    monkeypatch.delenv("LD_PRELOAD", raising=False)
    return avx2.environment()


def test_no_library_finds_avx512(hidden: dict[str, str]) -> None:
    done = subprocess.run([sys.executable, "-c", _ASK], env=hidden, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "[[], 'True False']", done.stderr


def test_a_crash_is_still_one(hidden: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import ctypes; ctypes.string_at(0)"], env=hidden, capture_output=True, timeout=120
    )
    assert done.returncode == -11


def test_the_switches_are_set_everywhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(avx2, "LIBRARY", tmp_path / "none.so")
    changed = avx2.environment()
    assert changed["ONEDNN_MAX_CPU_ISA"] == "AVX2" and changed.get("LD_PRELOAD") == os.environ.get("LD_PRELOAD")


@pytest.mark.parametrize(
    ("said", "hides"),
    [
        ("vendor_id : GenuineIntel\nflags : fpu cpuid_fault avx2", True),
        ("vendor_id : GenuineIntel\nflags : fpu avx2", False),
        ("vendor_id : AuthenticAMD\nflags : fpu cpuid_fault avx2", False),
    ],
)
def test_where_sets_can_be_hidden(said: str, hides: bool) -> None:
    assert avx2.hides(said) is hides
