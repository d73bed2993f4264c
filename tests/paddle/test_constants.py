"""Constants in the program: written once where they are the same, and only there."""

from __future__ import annotations

import numpy as np
import pytest

from mconv.paddle.constants import InlineBuilder
from mconv.program.targets import PADDLE_2_3


@pytest.mark.parametrize("size", [3, 2000])
def test_other_numbers_are_another_variable(size: int) -> None:
    """Of large ones the identity tells, which an array that is gone gives to the next."""
    builder = InlineBuilder(PADDLE_2_3)
    names = []
    for shift in range(8):
        value = builder.constant(np.arange(size, dtype=np.int32) + shift)
        names.append(builder._materialize(value))
        del value
    held = {
        op.output("Out")[0]: op.attr("int32_values") for op in builder.program.main.ops if op.type == "assign_value"
    }
    assert len(set(names)) == 8
    for shift, name in enumerate(names):
        assert held[name][0] == shift


def test_small_ones_that_are_equal_are_one() -> None:
    builder = InlineBuilder(PADDLE_2_3)
    names = {builder._materialize(builder.constant(np.array([1, 2, 4], np.int64))) for _ in range(3)}
    assert len(names) == 1
