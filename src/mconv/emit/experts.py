"""Products with one matrix of several for each row, as mixtures of experts have them."""

from __future__ import annotations

import numpy as np

from mconv.emit.expr import Expr, arange, concat
from mconv.emit.known import need_rank
from mconv.emit.linear import matmul
from mconv.emit.shape import squeeze
from mconv.emit.slicing import slice_
from mconv.emit.weights import computed
from mconv.errors import UnsupportedError
from mconv.program import dims as D
from mconv.program.builder import Builder
from mconv.program.dtypes import DType
from mconv.program.value import Value


def grouped_matmul(b: Builder, x: Value, weights: Value, ends: Value) -> Value:
    """Rows of *x* ([S, K]) times one matrix of *weights* ([E, K, N]) each: [S, N].

    Args:
        ends: [E] integers, the row at which those of each matrix end, that of the last being S. A group may be empty.

    Raises:
        UnsupportedError: the number of matrices is not known.
    """
    rows, inner = need_rank(x, "a grouped product")
    count = need_rank(weights, "a grouped product")[0]
    if not isinstance(count, int):
        raise UnsupportedError("a grouped product whose number of groups is known only at run time")
    last = Expr(b, ends).cast(DType.INT64)
    zero = Expr(b, np.zeros(1), DType.INT64)
    first = concat([zero, last.slice(0, 0, count - 1)], 0) if count > 1 else zero
    # an empty group takes a row all the same, since not every release multiplies none; nothing reads its product
    empty = first.equals(last).cast(DType.INT64)
    stop = last + empty
    padded = concat([Expr(b, x), Expr(b, np.zeros((1, 1)), x.dtype).expand(1, inner)], 0)
    products = []
    for i in range(count):
        own = slice_(b, padded.value, [0], first.slice(0, i, i + 1).value, stop.slice(0, i, i + 1).value)
        products.append(Expr(b, matmul(b, own, _matrix(b, weights, i))))
    row = arange(b, rows, DType.INT64)
    passed = (row.reshape(rows, 1) >= last.reshape(1, count)).cast(DType.INT64)
    taken = (passed * empty.reshape(1, count)).sum(1, keep=False)  # rows of empty groups before this one
    return concat(products, 0).gather(row + taken).value


def _matrix(b: Builder, weights: Value, i: int) -> Value:
    """One of the matrices; of a constant, a parameter of its own."""
    shape = need_rank(weights, "a grouped product")[1:]
    if weights.is_const and D.is_static(shape):
        return computed(b, [weights], tuple(D.numbers(shape)), lambda a: a[i], weights.dtype)
    return squeeze(b, slice_(b, weights, [0], [i], [i + 1]), [0])
