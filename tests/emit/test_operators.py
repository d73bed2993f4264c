"""What is emitted for which target: the operators, the shapes of what comes out, what is computed at once."""

from __future__ import annotations

from typing import Any, Callable

import numpy as np
import pytest

from mconv import emit
from mconv.emit import elementwise
from mconv.errors import UnsupportedError
from mconv.program import dims as D
from mconv.program.builder import Builder
from mconv.program.dtypes import DType
from mconv.program.value import Value
from tests.emit.building import TARGETS, M, N, started, types

FP32 = DType.FP32
Make = Callable[[Builder, Value], Value]


@pytest.mark.parametrize(
    ("make", "want"),
    [
        (lambda b, x: emit.reshape(b, x, (3, 2)), [[0, 1], [2, 3], [4, 5]]),
        (lambda b, x: emit.transpose(b, x, [1, 0]), [[0, 3], [1, 4], [2, 5]]),
        (lambda b, x: emit.slice_(b, x, [1], [1], [3]), [[1, 2], [4, 5]]),
        (lambda b, x: emit.slice_(b, x, [1], [-1], [-4], [-2]), [[2, 0], [5, 3]]),
        (lambda b, x: emit.concat(b, [x, x], 0), [[0, 1, 2], [3, 4, 5], [0, 1, 2], [3, 4, 5]]),
        (lambda b, x: emit.arithmetic(b, "add", x, x), [[0, 2, 4], [6, 8, 10]]),
        (lambda b, x: emit.gather(b, x, b.constant(np.array([1])), 0), [[3, 4, 5]]),
        (lambda b, x: emit.expand_to(b, emit.slice_(b, x, [0], [0], [1]), (2, 3)), [[0, 1, 2], [0, 1, 2]]),
        (lambda b, x: emit.where(b, emit.compare(b, "less_than", x, elementwise.number(b, 2, FP32)), x, emit.scale(b, x, 1.0)), [[0, 1, 2], [3, 4, 5]]),
        (lambda b, x: emit.tile(b, x, [1, 2]), [[0, 1, 2, 0, 1, 2], [3, 4, 5, 3, 4, 5]]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("target", TARGETS)
def test_constants_are_computed_at_once(target: str, make: Make, want: list[list[float]]) -> None:
    b, _ = started(target)
    made = make(b, b.constant(np.arange(6, dtype=np.float32).reshape(2, 3)))
    assert made.const is not None and types(b) == []
    np.testing.assert_array_equal(made.const, np.array(want, np.float32))
    assert made.dtype is FP32


CASES: dict[str, tuple[tuple[D.Dim, ...], Make, tuple[D.Dim, ...], list[str]]] = {
    # a dimension that stays where it is is copied; neighbours are merged without a shape tensor
    "reshape copies": ((N, 4), lambda b, x: emit.reshape(b, x, (N, 2, 2)), (N, 2, 2), ["reshape2"]),
    "reshape merges": ((2, N, M), lambda b, x: emit.reshape(b, x, (N * 2, M)), (N * 2, M), ["flatten_contiguous_range"]),
    "reshape infers": ((N, M), lambda b, x: emit.reshape(b, x, (N, 1, M)), (N, 1, M), ["reshape2"]),
    "nothing to do": ((N, 4), lambda b, x: emit.reshape(b, x, (N, 4)), (N, 4), []),
    "slice": ((N, 4), lambda b, x: emit.slice_(b, x, [1], [1], [3]), (N, 2), ["slice"]),
    "a whole slice": ((N, 4), lambda b, x: emit.slice_(b, x, [1], [0], [4]), (N, 4), []),
    "backwards": ((N, 4), lambda b, x: emit.slice_(b, x, [1], [-1], [-(2**31)], [-1]), (N, 4), ["flip"]),
    "with a step": ((N, 4), lambda b, x: emit.slice_(b, x, [1], [0], [4], [2]), (N, 2), ["strided_slice"]),
    # oneDNN's slice does not take a start before the first element
    "before the first": ((N, 4), lambda b, x: emit.slice_(b, x, [0], [-3], [2**31 - 1]), (D.minimum(N, 3), 4), ["strided_slice"]),
    "a scalar is an attribute": ((N, 4), lambda b, x: emit.arithmetic(b, "mul", x, elementwise.number(b, 2, FP32)), (N, 4), ["scale"]),
    "one over": ((N, 4), lambda b, x: emit.arithmetic(b, "div", elementwise.number(b, 1, FP32), x), (N, 4), ["reciprocal"]),
    "squeeze": ((N, 1, 4), lambda b, x: emit.squeeze(b, x, [1]), (N, 4), ["reshape2"]),
    # floats that differ by less than 1e-8 are "equal" in releases up to 2.6
    "equal": ((N, 4), lambda b, x: emit.compare(b, "equal", x, x), (N, 4), ["less_equal", "greater_equal", "logical_and"]),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("target", ["2.3", "2.6", "3"])
def test_forms_with_open_sizes(target: str, name: str) -> None:
    shape, make, out, operators = CASES[name]
    b, (x,) = started(target, x=(FP32, shape))
    made = make(b, x)
    assert (made.shape, types(b)) == (out, operators)


@pytest.mark.parametrize(
    ("target", "operators"),
    [("2.3", ["isnan_v2", "where"]), ("2.6", ["isnan_v2", "where"]), ("3", [])],
)
def test_the_larger_of_two_is_nan_where_one_is(target: str, operators: list[str]) -> None:
    """Paddle before 3 gives the second where the first is NaN."""
    b, (x, y) = started(target, x=(FP32, (N, 4)), y=(FP32, (N, 4)))
    emit.maximum(b, x, y)
    assert types(b) == ["elementwise_max", *operators]


@pytest.mark.parametrize("kind", [DType.INT8, DType.UINT8])
def test_small_integers_wrap_around(kind: DType) -> None:
    """oneDNN takes them for quantised numbers, which saturate: they are added as int32."""
    b, (x, y) = started(x=(kind, (4,)), y=(kind, (4,)))
    made = emit.arithmetic(b, "add", x, y)
    assert made.dtype is kind and types(b) == ["cast", "cast", "elementwise_add", "cast"]


def test_a_lower_rank_gets_the_rank_of_the_other() -> None:
    """A first operand of lower rank trips oneDNN's memory descriptors."""
    b, (x, y) = started(x=(FP32, (4,)), y=(FP32, (N, 4)))
    made = emit.arithmetic(b, "sub", x, y)
    assert made.shape == (N, 4) and types(b)[0] in ("unsqueeze2", "reshape2")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda b, x: emit.transpose(b, x, [0, 0]), "is no permutation"),
        (lambda b, x: emit.squeeze(b, x), "known only at run time"),
        (lambda b, x: emit.slice_(b, x, [2], [0], [1]), "axis 2 does not exist"),
        (lambda b, x: emit.slice_(b, x, [0], [0], [1], [0]), "a step of 0"),
        (lambda b, x: emit.concat(b, [x, emit.reshape(b, x, (N * 4,))], 0), "do not go together"),
    ],
)
def test_what_makes_no_sense_is_refused(make: Callable[..., Any], message: str) -> None:
    b, (x,) = started(x=(FP32, (N, 4)))
    with pytest.raises(UnsupportedError, match=message):
        make(b, x)


@pytest.mark.parametrize("target", TARGETS)
def test_products_and_repetitions_in_the_operators_of_the_target(target: str) -> None:
    """1.8 has ``matmul``, which broadcasts no batches, and an ``expand`` that is what ``tile`` is since."""
    b, (x, y) = started(target, x=(FP32, (N, 2, 3)), y=(FP32, (1, 3, 4)))
    made = emit.matmul(b, x, y)
    assert made.shape == (N, 2, 4)
    old = target == "1.8"
    assert ("matmul" if old else "matmul_v2") in types(b) and ("expand" in types(b)) is old
    b, (x,) = started(target, x=(FP32, (1, 3)))
    assert emit.expand_to(b, x, (5, 3)).shape == (5, 3) and types(b) == ["expand" if old else "expand_v2"]
    if old:
        assert b.block.ops[-1].attr("expand_times") == [5, 1]
    b, (x,) = started(target, x=(FP32, (2, 3)))
    assert emit.tile(b, x, [1, 4]).shape == (2, 12) and types(b) == ["expand" if old else "tile"]


def test_what_may_be_one_is_decided_at_run_time_in_1_8() -> None:
    """Of the sizes themselves: a dimension of 1 is repeated, another stays."""
    b, (x, _) = started("1.8", x=(FP32, (N, 3)), y=(FP32, (M, 3)))
    assert emit.expand_to(b, x, (M, 3)).shape == (M, 3)
    assert types(b)[-1] == "expand" and "elementwise_floordiv" in types(b)
