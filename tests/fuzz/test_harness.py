"""The harness itself: it has to see what it is there to find."""

from __future__ import annotations

import ctypes
import os
import time
from pathlib import Path

import pytest

from tests.fuzz import harness


def _bug(argv: list[str]) -> int:
    os.write(2, b"error: a bug of mconv: KeyError\n")
    return 70


def _crash(argv: list[str]) -> int:
    ctypes.string_at(0)
    return 0


def _hangs(argv: list[str]) -> int:
    while True:
        pass


def _memory(argv: list[str]) -> int:
    held = [bytearray(b"\1") * (64 << 20) for _ in range(40)]
    time.sleep(5)
    return len(held)


def _colour(argv: list[str]) -> int:
    os.write(1, b"\x1b[31mred\n")
    return 0


def _long(argv: list[str]) -> int:
    os.write(2, b"error: " + b"x" * 5000 + b"\n")
    return 2


def _raises(argv: list[str]) -> int:
    raise SystemError("x")


def _partial(argv: list[str]) -> int:
    Path("out").mkdir()
    return 4


def _hidden(argv: list[str]) -> int:
    Path(".mconv-1234").mkdir()
    return 0


def _no_json(argv: list[str]) -> int:
    Path("report.json").write_text("{'a': 1}")
    return 0


def _del_in_yaml(argv: list[str]) -> int:
    Path("config.yml").write_text('name: "\x7f"\n')
    return 0


@pytest.mark.parametrize(
    ("command", "kind"),
    [(_bug, "EXIT70"), (_crash, "SIGNAL11"), (_hangs, "TIMEOUT"), (_memory, "MEMORY"), (_colour, "CONTROL"), (_long, "LONG"),
     (_raises, "TRACEBACK"), (_partial, "PARTIAL"), (_hidden, "PARTIAL"), (_no_json, "UNREADABLE"), (_del_in_yaml, "CONTROL")],
)  # fmt: skip
def test_what_is_wrong_is_seen(command: object, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if kind == "TIMEOUT":
        monkeypatch.setattr(harness, "CPU_SECONDS", 1.0)
    outcome = harness.run(["x"], tmp_path, command)  # type: ignore[arg-type]
    assert any(problem.startswith(kind) for problem in outcome.problems), outcome
    assert os.getcwd() != str(tmp_path)


def test_what_is_right_is_let_pass(tmp_path: Path) -> None:
    def right(argv: list[str]) -> int:
        os.write(2, b"error: m.onnx: damaged\n")
        return 4

    assert harness.run(["x"], tmp_path, right).problems == []
