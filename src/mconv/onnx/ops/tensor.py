"""Tensors as such: constants, sizes, and what is made from sizes alone."""

from __future__ import annotations

import math
from typing import Any, Optional

import numpy as np

from mconv import budget, emit
from mconv.emit import generate, ranges
from mconv.emit.sizes import as_numbers
from mconv.errors import CorruptModelError
from mconv.onnx.context import Context
from mconv.onnx.registry import onnx_op
from mconv.onnx.types import MAX_RANK, paddle_dtype, to_array
from mconv.program import dims as D
from mconv.program.dtypes import DType
from mconv.program.schemas import attributes_of
from mconv.program.value import Value


@onnx_op("Identity", since=1)
def identity(ctx: Context, x: Value) -> Value:
    return x


@onnx_op("Constant", since=1)
def constant(
    ctx: Context,
    *,
    value: Optional[Value] = None,
    value_float: Optional[float] = None,
    value_floats: Optional[list[float]] = None,
    value_int: Optional[int] = None,
    value_ints: Optional[list[int]] = None,
    value_string: Optional[str] = None,
    value_strings: Optional[list[str]] = None,
    sparse_value: Optional[Any] = None,
) -> Value:
    if value is not None:
        return value
    if value_float is not None or value_floats is not None:
        return ctx.constant(np.array(value_floats if value_float is None else value_float, np.float32))
    if value_int is not None or value_ints is not None:
        return ctx.constant(np.array(value_ints if value_int is None else value_int, np.int64))
    if sparse_value is not None:
        return ctx.constant(_dense(sparse_value))
    raise ctx.refuse("Paddle has no tensors of strings")


def _dense(sparse: Any) -> np.ndarray:
    """A SparseTensorProto as an array: indices are positions in the flattened tensor, or one row of coordinates each."""
    what = "a sparse constant"
    values, indices, dims = to_array(sparse.values, what), to_array(sparse.indices, what), tuple(sparse.dims)
    if any(d < 0 for d in dims) or len(dims) > MAX_RANK:
        raise CorruptModelError(f"{what} has dimensions {list(dims[:8])}")
    size = math.prod(dims)
    limits = np.array(dims if indices.ndim == 2 else [size], object)
    rows = indices if indices.ndim == 2 else indices.reshape(-1, 1)
    fits = values.ndim == 1 and indices.ndim in (1, 2) and rows.shape == (len(values), len(limits))
    if not fits or indices.dtype != np.int64 or (rows < 0).any() or (rows >= limits).any():
        raise CorruptModelError(f"{what} has values at positions that do not fit its shape {list(dims)}")
    budget.memory(size * values.itemsize, what)
    dense = np.zeros(dims, values.dtype)
    if indices.ndim == 1:
        dense.reshape(-1)[indices] = values
    else:
        dense[tuple(indices.T)] = values
    return dense


@onnx_op("Shape", since=1)
def shape(ctx: Context, x: Value, *, start: int = 0, end: Optional[int] = None) -> Value:
    whole = emit.sizes_of(ctx, x)
    if start == 0 and end is None:
        return whole
    picked = range(ctx.rank(x))[start:end]
    return emit.slice_(ctx, whole, [0], [picked.start], [max(picked.stop, picked.start)])


@onnx_op("Size", since=1)
def size(ctx: Context, x: Value) -> Value:
    ctx.rank(x)
    return emit.reshape(ctx, as_numbers(ctx, [D.product(x.shape or ())]), [])


@onnx_op("ConstantOfShape", since=9)
def constant_of_shape(ctx: Context, shape: Value, *, value: Optional[Value] = None) -> Value:
    number = np.float32(0) if value is None else np.asarray(value.const).reshape(-1)[0]
    dtype = DType.FP32 if value is None else value.dtype
    known = ctx.known_dims(shape)
    dims = known if known is not None else ctx.declared()
    return emit.fill(ctx, shape if dims is None else dims, number.item(), dtype)


@onnx_op("EyeLike", since=9)
def eye_like(ctx: Context, x: Value, *, dtype: Optional[int] = None, k: int = 0) -> Value:
    if ctx.rank(x) != 2:
        raise ctx.refuse("a matrix is needed")
    rows, columns = x.shape or ()
    kind = x.dtype if dtype is None else paddle_dtype(dtype, "EyeLike")[0]
    return generate.eye(ctx, rows, columns, k, kind)


@onnx_op("Range", since=11)
def range_(ctx: Context, start: Value, limit: Value, delta: Value) -> Value:
    return ranges.arange(ctx, start, limit, delta)


@onnx_op("Trilu", since=14)
def trilu(ctx: Context, x: Value, k: Optional[Value] = None, *, upper: int = 1) -> Value:
    known = [0] if k is None else ctx.known_dims(k)
    diagonal = known[0] if known and isinstance(known[0], int) else k
    assert diagonal is not None
    return generate.triangle(ctx, x, diagonal, bool(upper))


@onnx_op("OneHot", since=9)
def one_hot(ctx: Context, indices: Value, depth: Value, values: Value, *, axis: int = -1) -> Value:
    off, on = (emit.slice_(ctx, values, [0], [i], [i + 1]) for i in (0, 1))
    known = ctx.known_dims(depth)
    if known is None and depth.is_const:
        known = [int(np.asarray(depth.const).reshape(-1)[0])]
    declared = ctx.declared(rank=ctx.rank(indices) + 1)
    if known is not None:
        wide: D.Dim = known[0]
    elif declared is not None:
        wide = declared[axis]
    else:  # a dimension of this size, to be measured
        count = ctx.cast(emit.reshape(ctx, depth, [1]), DType.INT64)
        zero, one = (ctx.constant(np.array([v], np.int64)) for v in (0, 1))
        wide = (ranges.arange(ctx, zero, count, one).shape or (0,))[0]
    return generate.one_hot(ctx, indices, wide, off, on, axis)


_RANDOM = "it gives other numbers at every run, so that no conversion of it could be checked"


@onnx_op("RandomNormal")
@onnx_op("RandomUniform")
def random(
    ctx: Context,
    *,
    shape: Optional[list[int]] = None,
    dtype: int = 1,
    mean: float = 0.0,
    scale: float = 1.0,
    low: float = 0.0,
    high: float = 1.0,
) -> Value:
    raise ctx.refuse(_RANDOM)


@onnx_op("RandomNormalLike")
@onnx_op("RandomUniformLike")
@onnx_op("Bernoulli", since=15)
@onnx_op("Multinomial", since=7)
@attributes_of(random, but=["shape"])
def random_like(ctx: Context, x: Value, *, sample_size: int = 1, **attributes: Any) -> Value:
    raise ctx.refuse(_RANDOM)
