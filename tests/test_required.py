"""The plugin that chooses tests for `make check`, and that lets nothing be missing in CI."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import required

HERE = Path(__file__).parent


@pytest.mark.parametrize(
    ("file", "name", "needs"),
    [
        ("emit/test_sizes.py", "test_an_open_size_is_read_once", False),
        ("program/test_builder.py", "test_refusals_name_operator_and_part", False),
        ("runtimes/test_worker.py", "test_several_shapes_with_one_loading", True),  # a fixture
        ("onnx/test_suite.py", "check", True),  # require()
        ("test_required.py", "outcome", True),  # another program
    ],
)
def test_what_a_test_needs(file: str, name: str, needs: bool) -> None:
    assert required.function_needs(HERE / file, name) is needs


def test_a_module_needs_what_it_imports() -> None:
    assert required.module_needs(HERE / "torch" / "nets.py")
    assert not required.module_needs(HERE / "emit" / "test_sizes.py")


def outcome(code: str, folder: Path, **environment: str) -> str:
    return ran("import pytest\n\ndef test_it():\n    " + code, folder, **environment)


def ran(text: str, folder: Path, *options: str, **environment: str) -> str:
    """What pytest says last of a file of tests."""
    (folder / "test_it.py").write_text(text)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-p",
            "tests.required",
            *options,
            "test_it.py",
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parent), *sys.path]), **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.stdout.strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("code", "missing"),
    [
        ("pytest.importorskip('no_such_package')", True),
        ("pytest.skip('paddle-2.3.2 is not installed')", True),
        ("pytest.skip('the lists are of onnx 1.17; 1.20 is installed')", True),
        ("pytest.skip('no gcc here')", False),
    ],
)
def test_what_is_missing_is_a_failure_in_ci(code: str, missing: bool, tmp_path: Path) -> None:
    assert "1 skipped" in outcome(code, tmp_path, CI="")
    assert ("1 failed" if missing else "1 skipped") in outcome(code, tmp_path, CI="true")


def test_checked_and_unchecked_are_all(tmp_path: Path) -> None:
    """`make check` and what `make test` runs after it."""
    marked = "".join(f"@pytest.mark.{m}\ndef test_{m}(): pass\n" for m in ("slow", "long", "runtime"))
    text = f"import pytest\n{marked}def test_runs(): subprocess = 1\ndef test_plain(): pass\ndef test_too(): pass\n"
    assert ran(text, tmp_path, "--check").startswith("2 passed, 4 deselected")
    assert ran(text, tmp_path, "--unchecked").startswith("4 passed, 2 deselected")


@pytest.mark.parametrize("ci", ["", "true"])
def test_what_check_lacks(ci: str, tmp_path: Path) -> None:
    """It is skipped in a bare environment; in CI with all packages it is a failure."""
    text = "def test_it():\n    import mconv.errors\n    raise mconv.errors.RuntimeUnavailableError('none', '')\n"
    full = importlib.util.find_spec("paddle") is not None
    assert ("1 failed" if ci and full else "1 skipped") in ran(text, tmp_path, "--check", CI=ci)


def test_another_module_may_stand_in_for_paddle(tmp_path: Path) -> None:
    """A module without a spec, while the report of a test is made."""
    text = "def test_it(monkeypatch):\n    monkeypatch.setitem(__import__('sys').modules, 'paddle', object())\n"
    assert ran(text, tmp_path, "--check", CI="true").startswith("1 passed")
