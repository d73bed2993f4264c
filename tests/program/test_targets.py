"""Targets by name, and as the numbers that users write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

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
