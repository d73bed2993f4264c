"""Figures of src/mconv that may only become better: what they were in 889e84b, before its rooms were, stands beside them."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from typing import Callable

import pytest

from tests.test_imports import MODULES, SRC

LONGEST = 400  # lines, about
# modules that are longer than that and a twentieth, and why
LONG = {"api.py": "every function of the API beside its documentation"}
SHOWN = 20  # at most, of those that are counted


def ignored(text: str) -> Iterator[int]:
    """Lines on which the type checker is told to look away."""
    return (number for number, line in enumerate(text.splitlines(), 1) if "type: ignore" in line)


@functools.cache
def functions(text: str) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [node for node in ast.walk(ast.parse(text)) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]


def imported_late(text: str) -> Iterator[int]:
    """Imports of mconv's own modules inside of functions: for what takes long to load, and never to hide a circle."""
    if not re.search(r"^\s+(from (mconv|\.)|import .*mconv)", text, re.MULTILINE):
        return  # nothing to walk for
    for node in {node for function in functions(text) for node in ast.walk(function)}:
        if isinstance(node, ast.ImportFrom) and (node.level or (node.module or "").partition(".")[0] == "mconv"):
            yield node.lineno
        elif isinstance(node, ast.Import) and any(name.name.partition(".")[0] == "mconv" for name in node.names):
            yield node.lineno


def of_many_parameters(text: str) -> Iterator[int]:
    """Functions of more than eight parameters; ``self`` is none."""
    for node in functions(text):
        names = [each.arg for each in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
        if len(names) - (names[:1] in (["self"], ["cls"])) > 8:
            yield node.lineno


@pytest.mark.parametrize(
    ("count", "most", "before"),
    [(ignored, 115, 175), (imported_late, 165, 180), (of_many_parameters, 51, 64)],
    ids=["type: ignore", "imports inside of functions", "functions of more than eight parameters"],
)
def test_figures_do_not_get_worse(count: Callable[[str], Iterator[int]], most: int, before: int) -> None:
    """Most functions of many parameters are operators whose own attributes are as many: outside of ``ops/`` few are left."""
    found = [f"{path.relative_to(SRC)}:{line}" for path in MODULES for line in count(path.read_text(encoding="utf-8"))]
    assert found, "the count sees nothing"
    assert len(found) <= most < before, f"{len(found)}, of which {found[:SHOWN]}"


def test_operators_alone_have_many_parameters() -> None:
    found = {
        str(path.relative_to(SRC))
        for path in MODULES
        if "ops" not in path.parts and [*of_many_parameters(path.read_text(encoding="utf-8"))]
    }
    assert found <= {"emit/conv.py", "emit/operators.py", "options/declare.py", "runtimes/worker.py"}


def test_modules_are_short() -> None:
    long = {
        str(path.relative_to(SRC)): lines
        for path in MODULES
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > LONGEST * 1.05
    }
    assert set(long) == set(LONG), long


def test_the_counts_see_what_they_are_to_see() -> None:
    text = """\
import mconv.api
class A:
    def f(self, a, b, c, d, e, f, g, *, h):
        import mconv.cli
        from ..emit import shape
        def inner(a, b, c, d, e, f, g, h, i):
            from mconv import errors
            import numpy
            return errors  # type: ignore[x]
"""
    assert sorted(imported_late(text)) == [4, 5, 7]
    assert [*of_many_parameters(text)] == [6]
    assert [*ignored(text)] == [9]
