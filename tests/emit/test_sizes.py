"""Sizes: numbers are folded, open ones are read off the tensor that has them, once, by arithmetic that broadcasts nothing."""

from __future__ import annotations

import numpy as np
import pytest

from mconv import emit
from mconv.emit import size_arithmetic, sizes
from mconv.errors import UnsupportedError
from mconv.program import dims as D
from mconv.program.dtypes import DType
from tests.emit.building import TARGETS, M, N, started, types

X = (DType.FP32, (N, 3, M))


@pytest.mark.parametrize("target", TARGETS)
def test_a_shape_that_is_known_is_a_constant(target: str) -> None:
    b, (x,) = started(target, x=(DType.FP32, (2, 3)))
    made = emit.shape_of(b, x)
    assert made.const is not None and made.const.tolist() == [2, 3] and types(b) == []


@pytest.mark.parametrize("target", TARGETS)
def test_an_open_size_is_read_once(target: str) -> None:
    b, (x,) = started(target, x=X)
    first, again = emit.dim_tensor(b, N), emit.dim_tensor(b, N)
    assert again is first and first.data == (N,)
    assert types(b) == ["shape", "cast", "slice"]
    assert emit.dim_tensor(b, 7).const is not None


@pytest.mark.parametrize(
    ("dim", "operators"),
    [
        (N + 1, ["elementwise_add"]),
        (N * 2, ["elementwise_mul"]),
        (N * M, ["elementwise_mul"]),
        (D.floordiv(N, 2), ["elementwise_floordiv"]),
        # a remainder has the divisor's sign in every release, a quotient of a negative number is rounded differently
        (D.floordiv(1 - N, 2), ["elementwise_mul", "elementwise_add", "elementwise_mod", "elementwise_sub", "elementwise_floordiv"]),
        (D.maximum(N, M), ["elementwise_max"]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("target", TARGETS)
def test_sizes_are_computed_of_what_is_read(target: str, dim: D.Dim, operators: list[str]) -> None:
    b, (x,) = started(target, x=X)
    made = emit.dim_tensor(b, dim)
    assert made.shape == (1,) and made.data == (dim,) and made.dtype is DType.INT64
    computed = [t for t in types(b) if t.startswith("elementwise")]
    assert computed == operators


def test_neighbours_of_one_tensor_are_taken_together() -> None:
    b, (x,) = started(x=X)
    made = emit.shape_tensor(b, [N, 3, M], DType.INT32)
    assert types(b) == ["shape"] and made.data == (N, 3, M)
    b, (x,) = started(x=X)
    emit.shape_tensor(b, [M, N], DType.INT32)
    assert types(b) == ["shape", "slice", "slice", "concat"]


def test_a_size_that_nothing_has_is_refused() -> None:
    b, _ = started(x=X)
    with pytest.raises(UnsupportedError, match="cannot be computed at run time"):
        emit.dim_tensor(b, D.Sym.named("nowhere"))
    with pytest.raises(UnsupportedError, match="beyond the 32 bits"):
        emit.dim_tensor(b, 1 << 31, DType.INT32)


def test_size_arithmetic_folds_and_knows_what_it_computes() -> None:
    b, (x,) = started(x=X)
    two, three = (b.constant(np.array([v], np.int64)) for v in (2, 3))
    folded = size_arithmetic.compute(b, "mul", two, three)
    assert folded.const is not None and folded.const.tolist() == [6] and types(b) == []
    n = emit.dim_tensor(b, N)
    made = size_arithmetic.compute(b, "add", two, n)
    assert made.data == (N + 2,)
    # the constant comes second: fusion passes look for it there
    assert b.block.ops[-1].input("X") == [n.name]
    assert size_arithmetic.join(b, [two, three]).data is None and size_arithmetic.join(b, [n, two]).data == (N, 2)


@pytest.mark.parametrize("rank", [1, 2])
def test_numbers_from_data_are_carried_as_at_least_one(rank: int) -> None:
    """A size that comes from data may be 0: what carries it has an element of padding then."""
    b, (given,) = started(given=(DType.INT64, (rank,)))
    carried, dims = sizes.at_least_one(b, given, "size")
    assert len(dims) == rank and set(dims) <= set(b.counts)
    assert types(b).count("elementwise_max") == rank + 1 and carried.shape == (rank,)
    assert b.after_op is not None and b.before_fetch is not None  # operators are watched from now on


@pytest.mark.parametrize(
    ("dim", "sign"),
    [
        (0, 1), (-2, -1), (N, 1), (N * M + 3, 1), (-N, -1), (N - 1, 0), (D.floordiv(-N, 8), -1),
        (-8 * D.floordiv(-N, 8), 1), (-N - 8 * D.floordiv(-N, 8), 0), (D.maximum(N - 5, 1), 1), (D.minimum(N, M), 1),
        (D.floordiv(N, 2) * D.floordiv(-M, 4), -1),
    ],
)  # fmt: skip
def test_the_sign_of_sizes(dim: D.Dim, sign: int) -> None:
    assert D.sign(dim) == sign
