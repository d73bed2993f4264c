"""Foreign converters: how a process may end, and what is said of it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from mconv.errors import RuntimeFailedError
from mconv.runtimes import engine
from tests.measure import ends


def ended(tmp_path: Path, code: str, timeout: float = 30) -> engine.Ended:
    script = tmp_path / "script.py"
    script.write_text("import json, os, sys\nrequest = json.load(sys.stdin)\nanswer = os.fdopen(3, 'w')\n" + code)
    return engine.run(
        "the converter", Path(sys.executable), script, {"n": 3}, folder=tmp_path, env=os.environ, timeout=timeout
    )


def test_an_answer(tmp_path: Path) -> None:
    found = ended(tmp_path, "print('noise'); json.dump({'ok': True, 'twice': request['n'] * 2}, answer)")
    assert found.ok and found.answer["twice"] == 6 and found.log == "noise\n" and found.code == 0


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("print('first'); print('last'); sys.exit(0)", ": last"),  # gives up with status 0
        ("sys.exit(3)", ": without a word"),
        ("os.abort()", " (SIGABRT): without a word"),
        ("json.dump({'ok': False, 'error': 'because'}, answer)", ": because"),
    ],
)
def test_failures(tmp_path: Path, code: str, words: str) -> None:
    found = ended(tmp_path, code)
    assert not found.ok and found.words() == words


def test_what_does_not_end_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    code = "import subprocess\nchild = subprocess.Popen(['sleep', '600'])\nprint(child.pid, flush=True)\nchild.wait()"
    with ends(), pytest.raises(RuntimeFailedError, match="the converter did not finish within 1 s"):
        ended(tmp_path, code, timeout=1)
