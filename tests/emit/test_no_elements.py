"""Operators on tensors that are known to have no elements are not appended; what is not known of them is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

import numpy as np
import pytest

from mconv.emit import no_elements
from mconv.errors import UnsupportedError
from mconv.program import targets
from mconv.program.builder import Builder
from mconv.program.dtypes import DType
from mconv.program.value import Results, Value
from tests.emit.building import TARGETS, N, types


class Importing(Builder):
    def without_elements(
        self, op_type: str, results: Optional[Results], operands: Mapping[str, Any]
    ) -> Optional[tuple[Value, ...]]:
        return no_elements.given(self, op_type, results, operands)


def started(target: str) -> tuple[Builder, Value]:
    b = Importing(targets.get(target))
    return b, b.feed("x", DType.FP32, (N, 0, 4))


@pytest.mark.parametrize("target", TARGETS)
def test_what_has_none_is_filled(target: str) -> None:
    b, x = started(target)
    made = b.op("relu", X=x)
    assert made.shape == (N, 0, 4) and "relu" not in types(b) and "fill_constant" in types(b)


@pytest.mark.parametrize(("op", "number"), [("reduce_sum", 0), ("reduce_prod", 1), ("reduce_max", -np.inf)])
def test_what_is_given_none(op: str, number: float) -> None:
    b, x = started("2.6")
    made = b.op(op, X=x, dim=[0, 1, 2], reduce_all=True, keep_dim=True, result=(DType.FP32, (1, 1, 1)))
    assert made.is_const and made.const is not None and made.const.tolist() == [[[number]]]


def test_what_is_joined_falls_away() -> None:
    b, x = started("2.6")
    y = b.feed("y", DType.FP32, (N, 3, 4))
    b.op("concat", X=[x, y], axis=1, result=(DType.FP32, (N, 3, 4)))
    assert b.block.ops[-1].type == "concat" and b.block.ops[-1].input_names == ["y"]


def test_what_is_not_known_is_refused() -> None:
    b, x = started("2.6")
    with pytest.raises(UnsupportedError, match="arg_max would be given no elements"):
        b.op("arg_max", X=x, axis=1, result=(DType.INT64, (N, 4)))


def test_paddles_own_programs_are_left_as_they_are() -> None:
    b = Builder(targets.get("2.6"))
    b.op("relu", X=b.feed("x", DType.FP32, (N, 0, 4)))
    assert types(b) == ["relu"]
