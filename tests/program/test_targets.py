"""Targets by name, and as the numbers that users write."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

import mconv
from mconv import api
from mconv.errors import UsageError
from mconv.program import targets
from tests.golden import case
from tests.onnx.make import mlp


@pytest.mark.parametrize(
    ("given", "name"), [("2.3", "2.3"), (2.3, "2.3"), (1.8, "1.8"), (3, "3"), (3.0, "3"), ("3", "3")]
)
def test_a_target_by_name_or_number(given: Any, name: str) -> None:
    assert targets.get(given).name == name


@pytest.mark.parametrize("given", [9.5, "2", "", None, [2.3], float("nan"), True])
def test_what_is_no_target(given: Any) -> None:
    with pytest.raises(UsageError, match="unknown target"):
        targets.get(given)


def test_the_verbs_take_a_number(tmp_path: Path) -> None:
    mlp(tmp_path / "m.onnx")
    made = api.onnx2paddle(tmp_path / "m.onnx", tmp_path / "a", target=2.6, verify=False)
    assert made.target["name"] == "2.6"
    assert api.downgrade(tmp_path / "a", tmp_path / "b", target=2.3).target == "2.3"
    assert api.to_serving(case("2.3.2-mlp").model, out=tmp_path / "c", target=2.3).target == "2.3"


# where a target is a text: what is said on a command line, to the API and in a recipe, and what a document says
SAID = {"options/proving.py", "recipe/load.py", "onnx_backend.py"}
WRITTEN = {"artifacts/provenance.py"}
SOURCES = Path(mconv.__file__).parent


def test_a_target_is_looked_up_in_one_place() -> None:
    """All else is given the object: no function takes its name, none looks one up."""
    found = []
    for path in sorted(SOURCES.rglob("*.py")):
        here = path.relative_to(SOURCES).as_posix()
        if here in SAID:
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and here not in WRITTEN:
                every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                given = [a for a in every if a.arg in ("target", "goal") and a.annotation is not None]
                texts = [ast.unparse(a) for a in given if "str" in ast.unparse(a.annotation or ast.Pass())]
                found += [f"{here}:{node.lineno}: {node.name}({text})" for text in texts]
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get":
                if ast.unparse(node.func) == "targets.get":
                    found.append(f"{here}:{node.lineno}: {ast.unparse(node)}")
    assert not found, "give it the Target:\n" + "\n".join(found)
