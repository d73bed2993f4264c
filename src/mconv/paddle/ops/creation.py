"""Tensors made from numbers."""

from __future__ import annotations

from typing import Any, Optional

import numpy as np

from mconv import emit
from mconv.paddle.context import Context, Number
from mconv.paddle.registry import Unsupported, paddle_op
from mconv.program import dims as D
from mconv.program.dtypes import DType
from mconv.program.value import Value


def filled(ctx: Context, shape: Any, value: Any, dtype: DType) -> Value:
    """A tensor of one number; the number as the element type can hold it."""
    if isinstance(value, complex):
        if value.imag:
            raise Unsupported(f"a fill with {value}")
        value = value.real
    if not isinstance(value, (bool, int, float)):
        raise Unsupported(f"a fill with {value!r}")
    if not dtype.is_float and isinstance(value, float):
        value = int(value)
    return emit.fill(ctx.b, shape, value, dtype)


@paddle_op("full", "full_")
def full(ctx: Context, *output: Any, value: Any, dtype: Optional[DType], shape: Any = None) -> Value:
    kind, dims = ctx.spec()
    return filled(ctx, dims if D.is_static(dims) else shape, value, kind)


@paddle_op("full_int_array")
def full_int_array(ctx: Context, *, value: list[int], dtype: Optional[DType]) -> Value:
    return ctx.b.constant(np.array(value, np.int32 if dtype is DType.INT32 else np.int64).reshape(-1))


@paddle_op("zeros", "ones")
def zeros(ctx: Context, *, shape: Any, dtype: Optional[DType]) -> Value:
    kind, dims = ctx.spec()
    return filled(ctx, dims, int(ctx.operation.name == "pd_op.ones"), kind)


@paddle_op("empty")
def empty(ctx: Context, shape: Any, *, dtype: Optional[DType]) -> Value:
    """Whatever was in memory is as good as zero."""
    return _full_by(ctx, shape, 0)


@paddle_op("empty_like", "zeros_like", "ones_like")
def like(ctx: Context, x: Value, *, dtype: Optional[DType]) -> Value:
    return _full_like(ctx, x, int(ctx.operation.name == "pd_op.ones_like"))


@paddle_op("full_like")
def full_like(ctx: Context, x: Value, value: Value, *, dtype: Optional[DType]) -> Value:
    number = ctx.number(value)
    if number is None:
        kind, _ = ctx.spec()
        zeros = _full_like(ctx, x, 0)
        return emit.binary(ctx.b, "elementwise_add", zeros, ctx.b.cast(value, kind))
    return _full_like(ctx, x, number)


def _full_like(ctx: Context, x: Value, number: Any) -> Value:
    kind, dims = ctx.spec(like=x.shape)
    if D.is_static(dims):
        return filled(ctx, dims, number, kind)
    return ctx.op("fill_any_like", X=x, value=float(number), dtype=int(kind), result=(kind, dims))


def _full_by(ctx: Context, shape: Any, number: Any) -> Value:
    kind, dims = ctx.spec()
    known = ctx.dims(shape)
    if known is not None or D.is_static(dims):
        return filled(ctx, dims if D.is_static(dims) else known, number, kind)
    return filled(ctx, ctx.tensor(shape), number, kind)


@paddle_op("full_with_tensor")
def full_with_tensor(ctx: Context, value: Value, shape: Any, *, dtype: Optional[DType]) -> Value:
    number = ctx.number(value)
    if number is not None:
        return _full_by(ctx, shape, number)
    kind, dims = ctx.spec()
    known = ctx.dims(shape)
    arguments: dict[str, Any] = {"shape": list(D.to_paddle(dims))}
    if known is None or not D.is_static(known):
        arguments = {"shape": [], "ShapeTensor": ctx.tensor(shape)}
    # the fill takes a [1] tensor of the result's type
    one = ctx.one(ctx.b.cast(value, kind))
    return ctx.op("fill_constant", ValueTensor=one, dtype=int(kind), value=0.0, **arguments, result=(kind, dims))


@paddle_op("full_batch_size_like")
def full_batch_size_like(
    ctx: Context,
    x: Value,
    *,
    shape: list[int],
    dtype: Optional[DType],
    value: Number,
    input_dim_idx: int,
    output_dim_idx: int,
) -> Value:
    kind, dims = ctx.spec()
    return ctx.op(
        "fill_constant_batch_size_like",
        Input=x,
        shape=shape,
        dtype=int(kind),
        value=float(value),
        str_value=str(value),
        input_dim_idx=input_dim_idx,
        output_dim_idx=output_dim_idx,
        result=(kind, dims),
    )


@paddle_op("assign_value", "assign_value_")
def assign_value(ctx: Context, *output: Any, shape: list[int], dtype: Optional[DType], values: list[Any]) -> Value:
    kind, _ = ctx.spec()
    if kind is DType.BF16:
        made = ctx.b.constant(np.array(values, np.float32).reshape(shape))
        return ctx.b.cast(made, kind)
    return ctx.b.constant(np.array(values).reshape(shape).astype(kind.numpy), kind)


@paddle_op("builtin.constant")
def constant(ctx: Context, *, value: Any = None, **attrs: Any) -> Value:
    kind, dims = ctx.spec()
    if value is None or not D.is_static(dims):
        raise Unsupported("a constant that is not in the file")
    return ctx.b.constant(np.array(value).reshape(dims).astype(kind.numpy), kind)


@paddle_op("assign_out_")
def assign_out(ctx: Context, x: Value, output: Value) -> Value:
    return ctx.op("assign", X=x)


@paddle_op("arange")
def arange(ctx: Context, start: Value, end: Value, step: Value, *, dtype: Optional[DType]) -> Value:
    kind, dims = ctx.spec()
    numbers = [ctx.number(v) for v in (start, end, step)]
    if all(n is not None for n in numbers):
        array = np.arange(*numbers)  # type: ignore[arg-type]
        if array.size <= 1 << 16:
            return ctx.b.constant(array.astype(kind.numpy), kind)
    bounds = [ctx.dims(v) if v.dtype.is_int else None for v in (start, end, step)]
    size: D.Dim = dims[0]
    if bounds[0] == [0] and bounds[2] == [1] and bounds[1] is not None:
        size = bounds[1][0]
    values = [ctx.one(ctx.b.cast(v, kind)) for v in (start, end, step)]
    return ctx.op("range", Start=values[0], End=values[1], Step=values[2], result=(kind, (size,)))


@paddle_op("linspace", "logspace")
def linspace(ctx: Context, start: Value, stop: Value, number: Value, *base: Value, dtype: Optional[DType]) -> Value:
    kind, dims = ctx.spec()
    numbers = [ctx.number(v) for v in (start, stop, number, *base)]
    if all(n is not None for n in numbers):
        grid = np.linspace(numbers[0], numbers[1], int(numbers[2]))  # type: ignore[arg-type]
        if base:
            grid = np.power(float(numbers[3]), grid)  # type: ignore[arg-type]
        return ctx.b.constant(grid.astype(kind.numpy), kind)
    if base:
        raise Unsupported("logspace with bounds of run time")
    values = [ctx.one(v) for v in (ctx.b.cast(start, kind), ctx.b.cast(stop, kind), ctx.b.cast(number, DType.INT32))]
    return ctx.op("linspace", Start=values[0], Stop=values[1], Num=values[2], dtype=int(kind), result=(kind, dims))


@paddle_op("eye")
def eye(ctx: Context, num_rows: Value, num_columns: Value, *, dtype: Optional[DType]) -> Value:
    kind, dims = ctx.spec()
    rows, columns = ctx.number(num_rows), ctx.number(num_columns)
    if rows is None or columns is None:
        rows_dim, columns_dim = ctx.dims(num_rows), ctx.dims(num_columns)
        if not rows_dim or rows_dim != columns_dim:
            raise Unsupported("the size is computed at run time")
        # the identity is where the row's number is the column's
        steps = _steps(ctx, num_rows)
        n = steps.shape[0]  # type: ignore[index]
        column = emit.reshape(ctx.b, steps, (n, 1))
        return ctx.b.cast(emit.compare(ctx.b, "equal", column, emit.reshape(ctx.b, steps, (1, n))), kind)
    rows, columns = int(rows), int(columns)
    columns = rows if columns < 0 else columns
    if rows * columns <= 1 << 12:
        return ctx.b.constant(np.eye(rows, columns).astype(kind.numpy), kind)
    return ctx.op("eye", num_rows=rows, num_columns=columns, dtype=int(kind), result=(kind, (rows, columns)))


def _steps(ctx: Context, end: Value) -> Value:
    b = ctx.b
    size = (ctx.dims(end) or [D.Sym.fresh("range")])[0]
    start, step = b.constant(np.array([0], np.int64)), b.constant(np.array([1], np.int64))
    stop = ctx.one(b.cast(end, DType.INT64))
    return ctx.op("range", Start=start, End=stop, Step=step, result=(DType.INT64, (size,)))


@paddle_op("tril_indices")
def tril_indices(ctx: Context, *, rows: int, cols: int, offset: int, dtype: Optional[DType]) -> Value:
    kind, _ = ctx.spec()
    return ctx.b.constant(np.array(np.tril_indices(rows, offset, cols)).astype(kind.numpy), kind)


@paddle_op("triu_indices")
def triu_indices(ctx: Context, *, row: int, col: int, offset: int, dtype: Optional[DType]) -> Value:
    kind, _ = ctx.spec()
    return ctx.b.constant(np.array(np.triu_indices(row, offset, col)).astype(kind.numpy), kind)


@paddle_op("uniform")
def uniform(ctx: Context, shape: Any, low: Value, high: Value, *, dtype: Optional[DType], seed: int) -> Value:
    kind, dims = ctx.spec()
    bounds = [ctx.number(low), ctx.number(high)]
    if bounds[0] is None or bounds[1] is None:
        raise Unsupported("a random range that is computed at run time")
    arguments: dict[str, Any] = {"shape": list(D.to_paddle(dims))}
    if not D.is_static(dims):
        arguments = {"shape": [], "ShapeTensor": ctx.tensor(shape)}
    return ctx.op(
        "uniform_random",
        **arguments,
        min=float(bounds[0]),
        max=float(bounds[1]),
        seed=seed,
        dtype=int(kind),
        result=(kind, dims),
    )
