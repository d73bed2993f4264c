"""What is cut from an open size is carried where the size may be too small for it, and only there."""

from __future__ import annotations

import numpy as np
import pytest

from mconv import emit
from mconv.emit.known import INT32_MAX
from mconv.emit.vanishing import size_of_cut
from mconv.program import dims as D
from mconv.program.dtypes import DType
from tests.emit.building import M, N, started, types

X = (DType.FP32, (N, M, 4))


@pytest.mark.parametrize(
    ("size", "whole", "vanishes"),
    [
        (N - 1, N, True),
        (N - 1, N - 1, False),  # what is there has an element
        (D.ceildiv(N, 2), N, False),
        (D.floordiv(N, 2), N, True),
        (N - D.ceildiv(N, 2), N, True),
        (N - 9, N, True),
        (D.minimum(N, 3), N, False),
        (D.minimum(N, 2) - D.maximum(N - 100, 0), N, True),  # [-100:2]: of more than 101
        (N + M - 1, N + M, False),
        (N * 3 - 2, N * 3, False),
    ],
)
def test_which_sizes_vanish(size: D.Dim, whole: D.Dim, vanishes: bool) -> None:
    b, _ = started(x=X)
    b.small_sizes = True
    assert (size_of_cut(b, size, whole) != size) == vanishes == bool(b.vanishing)


def test_nothing_is_done_where_none_vanishes() -> None:
    b, (x,) = started(x=X)
    b.small_sizes = True
    last = emit.slice_(b, x, [1], [-1], [INT32_MAX])
    assert last.shape == (N, 1, 4) and types(b) == ["slice"] and not b.counts


def test_equal_cuts_have_one_size() -> None:
    b, (x,) = started(x=X)
    b.small_sizes = True
    first, again = (emit.slice_(b, x, [1], [1], [INT32_MAX]) for _ in range(2))
    assert first.shape == again.shape
    assert emit.binary(b, "elementwise_add", first, again).shape == first.shape
    assert D.substitute(emit.sizes_of(b, first).data[1], b.counts) == M - 1  # type: ignore[index]


def test_shifted_by_one_it_is_as_long_as_before() -> None:
    """A decoder's inputs: a start put before all but the last."""
    b, (x,) = started(x=X)
    b.small_sizes = True
    start = b.constant(np.zeros((1, 1, 4), np.float32))
    start = emit.expand(b, start, [N, 1, 4])
    made = emit.concat(b, [start, emit.slice_(b, x, [1], [0], [-1])], 1)
    assert made.shape == (N, M, 4)
