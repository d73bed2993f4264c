"""Tensors made from nothing but sizes: identity matrices, triangles, one-hot vectors, repetitions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Union

import numpy as np

from mconv.emit.elementwise import arithmetic, binary, compare, where
from mconv.emit.known import FOLD_LIMIT, axis_of, bind_shape, dims_of, foldable, need_rank
from mconv.emit.ranges import iota, spread
from mconv.emit.shape import fill, repeated, reshape, unsqueeze
from mconv.emit.sizes import at_least_one, dim_tensor
from mconv.emit.zero_size import from_data
from mconv.errors import UnsupportedError
from mconv.program import dims as D
from mconv.program.builder import Builder
from mconv.program.dtypes import DType
from mconv.program.value import Value


def remainder(b: Builder, x: Value, divisor: Value) -> Value:
    """The remainder of the sign of a positive integer divisor, which ``elementwise_mod`` gives in every release."""
    if foldable(x, divisor):
        return b.constant(np.mod(np.asarray(x.const), np.asarray(divisor.const)), x.dtype)
    return binary(b, "elementwise_mod", x, divisor)


def eye(b: Builder, rows: D.Dim, columns: D.Dim, k: int, dtype: DType) -> Value:
    """A [rows, columns] matrix of ones where column - row = k, of zeros elsewhere."""
    if isinstance(rows, int) and isinstance(columns, int) and rows * columns <= FOLD_LIMIT:
        return b.constant(np.eye(rows, columns, k, dtype.numpy), dtype)
    return b.cast(compare(b, "equal", _diagonals(b, rows, columns, 2), b.constant(np.array([[k]], np.int64))), dtype)


def _diagonals(b: Builder, rows: D.Dim, columns: D.Dim, rank: int) -> Value:
    """column - row of a matrix, as int64 of *rank* dimensions."""
    return arithmetic(b, "sub", spread(b, iota(b, columns), rank - 1, rank), spread(b, iota(b, rows), rank - 2, rank))


def triangle(b: Builder, x: Value, k: Union[int, Value], upper: bool) -> Value:
    """*x* with zeros below (*upper*) or above the *k*-th diagonal of its last two dimensions."""
    shape = need_rank(x, "Trilu")
    if len(shape) < 2:
        raise UnsupportedError("Trilu: a matrix is needed")
    if foldable(x) and isinstance(k, int):
        made = np.triu(np.asarray(x.const), k) if upper else np.tril(np.asarray(x.const), k)
        return b.constant(made, x.dtype)
    if x.size == 0:
        return x
    if isinstance(k, int):
        k = max(min(k, 2**31 - 1), -(2**31) + 1)
        return b.op("tril_triu", X=x, diagonal=k, lower=not upper)
    diagonal = reshape(b, b.cast(k, DType.INT64), [1] * len(shape))
    order = "greater_equal" if upper else "less_equal"
    kept = compare(b, order, _diagonals(b, shape[-2], shape[-1], len(shape)), diagonal)
    return where(b, kept, x, b.constant(np.zeros([1] * len(shape), x.dtype.numpy), x.dtype))


def one_hot(b: Builder, index: Value, depth: D.Dim, off: Value, on: Value, axis: int = -1) -> Value:
    """*on* where the new dimension *axis* of size *depth* is at the index, *off* elsewhere (scalars of one type).

    Negative indices count from the end; those outside of the depth are *off* everywhere.
    """
    rank = len(need_rank(index, "OneHot")) + 1
    axis = axis_of(axis, rank)
    index = unsqueeze(b, b.cast(index, DType.INT64), [axis])
    zero = b.constant(np.zeros([1] * rank, np.int64))
    size = reshape(b, dim_tensor(b, depth), [1] * rank)
    index = where(b, compare(b, "less_than", index, zero), arithmetic(b, "add", index, size), index)
    hit = compare(b, "equal", index, spread(b, iota(b, depth), axis, rank))
    if foldable(off, on) and not np.any(off.const):
        ones = b.cast(hit, on.dtype)
        return ones if np.all(np.asarray(on.const) == 1) else binary(b, "elementwise_mul", ones, on)
    return where(b, hit, reshape(b, on, [1] * rank), reshape(b, off, [1] * rank))


def tile(b: Builder, x: Value, repeats: Union[Sequence[D.Dim], Value]) -> Value:
    """*x* repeated along every dimension; *repeats* may be a 1-D integer tensor."""
    shape = need_rank(x, "Tile")
    known = dims_of(repeats) if isinstance(repeats, Value) else list(repeats)
    if known is None:
        assert isinstance(repeats, Value)
        if from_data(b, repeats):
            repeats, named = at_least_one(b, repeats, "tile")
            held = tuple(d * n for d, n in zip(shape, named))
            return repeated(b, x, repeats, held)
        out: tuple[D.Dim, ...] = tuple(D.Sym.fresh("tile") for _ in shape)
        return bind_shape(b, repeated(b, x, repeats, out))
    if len(known) != len(shape):
        raise UnsupportedError(f"Tile: {len(known)} repetitions for {len(shape)} dimensions")
    out = tuple(d * r for d, r in zip(shape, known))
    if all(r == 1 for r in known):
        return x
    if 0 in out:
        return fill(b, out, 0, x.dtype)
    if D.is_static(known):
        times = D.numbers(known)
        if foldable(x) and D.is_static(out) and D.number(D.product(out)) <= FOLD_LIMIT:
            return b.constant(np.tile(np.asarray(x.const), times), x.dtype)
    return bind_shape(b, repeated(b, x, known, out))
