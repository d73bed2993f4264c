"""The operator sweep: the committed list, and a sample of it on every run (all of it with ``-m slow``)."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Callable

import pytest

from mconv.paddle import pir_reader as reader
from mconv.paddle.load import obstacles
from mconv.program import targets
from mconv.runtimes import Worker
from tests.managed import require
from tests.paddle import sweep

LISTED = json.loads(sweep.PASS_LIST.read_text())
RUNTIMES = ("current", "paddle-2.3.2", "paddle-2.6.2")
# one of a dozen, and always what the other tests do not touch
TOUCHED = {
    "T.gcd",
    "T.array_read",
    "T.slice[index]",
    "T.median",
    "F.prelu",
    "T.slice_scatter[setitem]",
    "T.put_along_axis",
    "F.kl_div",
    "T.repeat_interleave[tensor]",
}
SAMPLE = sorted({*LISTED["paddle-2.3.2"]["passed"][::14], *TOUCHED})


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_nine_in_ten_pass(runtime: str) -> None:
    """What the issue asks for, in the list that the last full run wrote."""
    passed, failed = LISTED[runtime]["passed"], LISTED[runtime]["failed"]
    assert len(passed) >= 0.95 * (len(passed) + len(failed))
    assert all(failed.values()), "every failure has its reason"


def test_every_public_function_is_there_or_excluded() -> None:
    require("current")
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import cases, sweep\n"
        "known = {n.partition('[')[0] for n in cases.CASES} | set(cases.EXCLUDED)\n"
        "missing = sorted(set(sweep.public_functions()) - known)\n"
        "print('missing:', *missing); sys.exit(bool(missing))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(sweep.HERE)], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]


def _saved(folder: Path, names: list[str]) -> Path:
    require("current")
    subprocess.run(
        [sys.executable, str(sweep.HERE / "sweep.py"), "save", str(folder), *names],
        check=True,
        capture_output=True,
        timeout=900,
    )
    return folder


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _saved(tmp_path_factory.mktemp("sample"), SAMPLE)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_sample(sample: Path, runtime: str, workers: Callable[[str], Worker]) -> None:
    wrong = {n: sweep.run_case(sample, n, workers(runtime), "2.3") for n in SAMPLE}
    assert {n: w for n, w in wrong.items() if w is not None} == {}


def _refusals(folder: Path, names: list[str]) -> dict[str, Exception]:
    """What is no list of operators when a program is translated for a target."""
    found: dict[str, Exception] = {}
    for name, target in itertools.product(names, targets.TARGETS):
        try:
            error = obstacles(reader.read(folder / f"{sweep.file_name(name)}.json"), targets.get(target))
            assert error is None or error.rows, f"{name}: refused for {target} without a reason"
        except Exception as e:  # noqa: BLE001 - the finding
            found[f"{name} for {target}"] = e
    return found


def test_what_a_target_lacks_is_a_row(sample: Path) -> None:
    assert _refusals(sample, SAMPLE) == {}


@pytest.mark.slow
def test_what_a_target_lacks_is_a_row_everywhere(tmp_path: Path) -> None:
    names = LISTED["current"]["passed"]
    assert _refusals(_saved(tmp_path, names), names) == {}


@pytest.mark.slow
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_everything_on_the_list(runtime: str, tmp_path: Path, workers: Callable[[str], Worker]) -> None:
    names = LISTED[runtime]["passed"]
    folder = _saved(tmp_path, names)
    wrong = {n: sweep.run_case(folder, n, workers(runtime), "2.3") for n in names}
    assert {n: w for n, w in wrong.items() if w is not None} == {}
