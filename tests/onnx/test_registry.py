"""How a function declares what an operator takes."""

from __future__ import annotations

from typing import Any

import pytest

from mconv.onnx import registry
from mconv.onnx.registry import onnx_op
from mconv.program.schemas import attributes_of

pytestmark = pytest.mark.usefixtures("own_registry")


def inner(ctx: Any, x: Any, *, size: int, mode: str = "plain", axis: int = 1) -> Any:
    return size, mode, axis


def test_attributes_that_are_passed_on() -> None:
    @onnx_op("Outer", domain="test")
    @attributes_of(inner, but=["axis"])
    def outer(ctx: Any, x: Any, y: Any = None, *, mode: str = "own", alpha: float = 1.0, **attributes: Any) -> Any:
        return inner(ctx, x, mode=mode, **attributes)

    found = registry.find("test", "Outer", 1)
    assert found is not None
    assert (found.min_inputs, found.max_inputs) == (1, 2)
    assert found.attributes == {"size", "mode", "alpha"} and found.required == {"size"}
    assert found.function(None, 0, size=3, alpha=2.0) == (3, "own", 1)


def test_attributes_need_names() -> None:
    with pytest.raises(ValueError, match=r"not \*\*attributes"):

        @onnx_op("Outer", domain="test")
        def outer(ctx: Any, x: Any, **attributes: Any) -> Any:
            return x
