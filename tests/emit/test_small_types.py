"""Numbers rounded to small types, in operators."""

from __future__ import annotations

import pytest

from mconv.emit.small_types import as_power_of_two
from mconv.program.dtypes import DType
from mconv.program.small_types import E8M0
from tests.emit.building import N, started


@pytest.mark.parametrize("how", ["down", "up", "nearest"])
def test_a_power_of_two_is_made_of_nothing_that_is_not_read(how: str) -> None:
    b, (x,) = started(x=(DType.FP32, (N,)))
    made = as_power_of_two(b, x, E8M0, how)
    read = {name for op in b.block.ops for name in op.input_names}
    given = {name for op in b.block.ops for name in op.output_names if op.type != "feed"}
    assert given - read == {made.name}
