"""Attributes that several functions share are in the signature of each."""

from __future__ import annotations

import inspect
import typing
from dataclasses import dataclass, field
from typing import Any, Optional, TypedDict

import pytest

from mconv.program.schemas import attributes_of


@dataclass
class Window:
    size: int
    strides: list[int] = field(default_factory=lambda: [1, 1])
    mode: Optional[str] = None


class Passed(TypedDict):
    size: int
    mode: str


def other(x: Any, *, size: int, mode: str = "plain") -> None: ...


@pytest.mark.parametrize(
    ("of", "names", "required"),
    [(Window, {"size", "strides", "mode"}, {"size"}), (Passed, {"size", "mode"}, {"size", "mode"})]
    + [(other, {"size", "mode"}, {"size"})],
)
def test_what_a_function_takes(of: Any, names: set[str], required: set[str]) -> None:
    @attributes_of(of)
    def function(x: Any, *, own: float = 1.0, **attributes: Any) -> Any:
        return attributes

    kinds = inspect.signature(function).parameters.values()
    assert {p.name for p in kinds if p.kind is p.KEYWORD_ONLY} == names | {"own"}
    assert {p.name for p in kinds if p.kind is p.KEYWORD_ONLY and p.default is p.empty} == required
    assert not any(p.kind is p.VAR_KEYWORD for p in kinds)
    assert typing.get_type_hints(function)["size"] is int
    assert function(0, size=2) == {"size": 2}


def test_its_own_come_first() -> None:
    @attributes_of(Window, but=["mode"])
    def function(x: Any, *, size: float = 0.5, **attributes: Any) -> None: ...

    parameters = inspect.signature(function).parameters
    assert parameters["size"].default == 0.5 and "mode" not in parameters
    assert parameters["strides"].default == [1, 1]
