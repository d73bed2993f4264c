"""What tests need beside the core and the dev packages: a plugin of pytest.

``--check`` takes the tests that need nothing else. They are found by what they are made of: a test needs more where its
module, or a module of tests that this one imports, imports a package that runs models or that only an extra brings,
where it or a function of the tests that it calls asks for a runtime or a program, or where it has a fixture that does. What
that overlooks, as it is mconv itself that asks for a package or a runtime, is skipped when it does.
``--unchecked`` takes the others, so that ``make test``, which begins with ``make check``, runs none twice.

With ``CI=true`` what is missing is a failure: a runtime, a package, another onnx than the pinned one.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional

import pytest

TESTS = Path(__file__).parent
# packages that are neither of the core nor of [dev] in pyproject.toml
PACKAGES = frozenset(
    "paddle torch torchvision torchaudio onnxruntime onnxscript transformers safetensors openvino paddle2onnx x2paddle"
    " PIL cv2 fsspec ray aiohttp grpc matplotlib playwright nbclient psutil ml_dtypes rapidocr_onnxruntime tokenizers".split()
)
# what runs models, or another program
RUNS = frozenset(
    "require run_in save_model workers worker Worker PaddleRunner importorskip subprocess Popen check_output"
    " doctor find_runtime".split()
)
FIXTURES = frozenset({"workers"})
# the first half of `make test` has all, so that in CI nothing may be missing there either; asked here and not beside a
# test, for one may stand a module without a spec in Paddle's place
BARE = os.environ.get("CI") != "true" or importlib.util.find_spec("paddle") is None
MISSING = re.compile(r"could not import|is not installed|the lists are of onnx|needs [\w.-]+: ")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--check", action="store_true", help="only short tests that need neither a runtime nor an extra")
    parser.addoption("--unchecked", action="store_true", help="only the tests that --check leaves out")


# selection -----------------------------------------------------------------------------------------------------------


@functools.cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _file_of(module: str) -> Optional[Path]:
    """The file of a module of the tests."""
    if module.partition(".")[0] != TESTS.name:
        return None
    path = TESTS.parent.joinpath(*module.split("."))
    return next((p for p in (path.with_suffix(".py"), path / "__init__.py") if p.is_file()), None)


def _imports(nodes: list[ast.stmt]) -> Iterator[tuple[str, str, str]]:
    """(module, name in it, name here) of each import among statements."""
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, "", (alias.asname or alias.name).partition(".")[0]
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                yield node.module, alias.name, alias.asname or alias.name


@functools.cache
def module_needs(path: Path) -> bool:
    """Whether importing this file of the tests takes more than the core and the dev packages."""
    for module, name, _ in _imports(_tree(path).body):
        if module.partition(".")[0] in PACKAGES:
            return True
        for inner in (f"{module}.{name}", module):
            file = _file_of(inner)
            if file is not None and file != path and file != TESTS / "managed.py" and module_needs(file):
                return True
    return any(
        isinstance(n, (ast.Expr, ast.Assign)) and "importorskip" in ast.unparse(n.value) for n in _tree(path).body
    )


@functools.cache
def _used(path: Path, name: str) -> tuple[bool, tuple[tuple[Path, str], ...]]:
    """Whether a function or class of a file of the tests runs something itself, and the functions that it names."""
    here = {n.name: n for n in _tree(path).body if isinstance(n, (ast.FunctionDef, ast.ClassDef))}
    if name not in here:
        return False, ()
    nodes = list(ast.walk(here[name]))
    used = {n.id for n in nodes if isinstance(n, ast.Name)} | {n.attr for n in nodes if isinstance(n, ast.Attribute)}
    used |= {n.arg for n in nodes if isinstance(n, ast.arg)}  # fixtures
    inner = [n for n in nodes if isinstance(n, ast.stmt)]
    runs = bool(used & (RUNS | FIXTURES)) or any(m.partition(".")[0] in PACKAGES for m, _, _ in _imports(inner))
    named = [(path, other) for other in used & set(here)]
    for module, there, known in _imports(_tree(path).body):
        if known in used:
            file = _file_of(f"{module}.{there}")
            if file is not None:
                named += [(file, other) for other in used]
            elif (file := _file_of(module)) is not None:
                named.append((file, there))
    return runs, tuple(named)


@functools.cache
def function_needs(path: Path, name: str) -> bool:
    """Whether a test, or a function of the tests that it names, runs models or other programs."""
    seen = {(path, name)}
    left = [(path, name)]
    while left:
        runs, named = _used(*left.pop())
        if runs:
            return True
        left += set(named) - seen
        seen.update(named)
    return False


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> Optional[bool]:
    if not config.getoption("--check") or collection_path.suffix != ".py":
        return None
    return True if TESTS in collection_path.parents and module_needs(collection_path) else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    check, unchecked = config.getoption("--check"), config.getoption("--unchecked")
    if not check and not unchecked:
        return
    kept, left = [], []
    for item in items:
        (left if _checked(item) is unchecked else kept).append(item)
    config.hook.pytest_deselected(items=left)
    items[:] = kept


def _checked(item: pytest.Item) -> bool:
    """Whether ``--check`` takes it."""
    if any(item.get_closest_marker(m) for m in ("runtime", "slow", "long")):
        return False
    fixtures = set(getattr(item, "fixturenames", ()))
    if fixtures & FIXTURES or module_needs(item.path):
        return False
    return not function_needs(item.path, getattr(item, "originalname", item.name))


# CI ------------------------------------------------------------------------------------------------------------------


def _failed_in_ci(report: Any) -> None:
    if os.environ.get("CI") != "true" or not report.skipped or hasattr(report, "wasxfail"):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    if MISSING.search(reason):
        report.outcome = "failed"
        report.longrepr = f"with CI=true nothing may be missing: {reason}"


def _needs_more(error: BaseException) -> Optional[str]:
    """What a test of ``--check`` ended for the lack of, which its own text does not say."""
    from mconv.errors import MissingDependencyError, RuntimeUnavailableError

    if isinstance(error, (MissingDependencyError, RuntimeUnavailableError)):
        return error.message
    if isinstance(error, ImportError) and (error.name or "").partition(".")[0] in PACKAGES:
        return f"needs {error.name}"
    return None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report: Any = yield
    if item.config.getoption("--check") and BARE and call.excinfo is not None:
        why = _needs_more(call.excinfo.value)
        if why is not None:
            report.outcome, report.longrepr = "skipped", (str(item.path), 0, f"Skipped: {why}")
    else:
        _failed_in_ci(report)
    return report  # type: ignore[no-any-return]


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Iterator[None]:
    report = yield
    _failed_in_ci(report)
    return report  # type: ignore[return-value]
