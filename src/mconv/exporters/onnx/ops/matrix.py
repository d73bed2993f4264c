"""Diagonals and triangles."""

from __future__ import annotations

from mconv.exporters.onnx.context import Context
from mconv.exporters.onnx.errors import Unsupported
from mconv.exporters.onnx.registry import paddle_op
from mconv.program.dtypes import DType
from mconv.program.value import Value


@paddle_op("tril_triu")
def tril_triu(ctx: Context, X: Value, *, diagonal: int = 0, lower: bool = False) -> Value:
    if ctx.opset >= 14 and X.dtype in (DType.FP32, DType.FP64, DType.INT64):
        k = ctx.const(diagonal, DType.INT64)
        return ctx.op("Trilu", X, k, upper=int(not lower))
    rows = ctx.unsqueeze(ctx.arange(ctx.dim(X, -2)), [1])
    columns = ctx.unsqueeze(ctx.arange(ctx.dim(X, -1)), [0])
    beyond = ctx.op("Greater", columns, ctx.op("Add", rows, diagonal))
    if lower:
        kept = ctx.op("Not", beyond)
    else:
        kept = ctx.op("Not", ctx.op("Less", columns, ctx.op("Add", rows, diagonal)))
    (x,) = ctx.wide(X)
    return ctx.cast(ctx.op("Where", kept, x, ctx.const(0, x.dtype)), X.dtype)


def diagonal_of(ctx: Context, x: Value, offset: int, axis1: int, axis2: int) -> Value:
    """The diagonal of two axes as the last axis."""
    rank = ctx.rank(x)
    a, b = ctx.axis(axis1, rank), ctx.axis(axis2, rank)
    x = ctx.transpose(x, [*[i for i in range(rank) if i not in (a, b)], a, b])
    rows, columns = ctx.dim(x, rank - 2), ctx.dim(x, rank - 1)
    below, right = max(-offset, 0), max(offset, 0)
    count = ctx.op("Min", ctx.op("Sub", rows, below), ctx.op("Sub", columns, right))
    steps = ctx.arange(ctx.op("Max", count, 0))
    at = ctx.op("Add", ctx.op("Mul", ctx.op("Add", steps, below), columns), ctx.op("Add", steps, right))
    flat = ctx.reshape(x, ctx.vector([*[ctx.dim(x, i) for i in range(rank - 2)], ctx.op("Mul", rows, columns)]))
    return ctx.op("Gather", flat, at, axis=rank - 2)


@paddle_op("diagonal")
def diagonal(ctx: Context, Input: Value, *, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Value:
    return diagonal_of(ctx, Input, offset, axis1, axis2)


def _embedded(ctx: Context, x: Value, offset: int, fill: Value) -> Value:
    """Matrices with the last axis of *x* as their diagonal and *fill* elsewhere."""
    rank = ctx.rank(x)
    n = ctx.dim(x, -1)
    size = ctx.op("Add", n, abs(offset))
    steps = ctx.arange(size)
    rows, columns = ctx.unsqueeze(steps, [1]), ctx.unsqueeze(steps, [0])
    on = ctx.op("Equal", columns, ctx.op("Add", rows, offset))
    # the element of row i is i, or i + offset below the main diagonal
    position = steps if offset >= 0 else ctx.op("Add", steps, offset)
    bounded = ctx.op("Max", ctx.op("Min", position, ctx.op("Sub", ctx.scalar(n), 1)), 0)
    spread = ctx.unsqueeze(ctx.op("Gather", x, bounded, axis=rank - 1), [rank])
    return ctx.op("Where", on, spread, fill)


@paddle_op("diag_v2")
def diag_v2(ctx: Context, X: Value, *, offset: int = 0, padding_value: float = 0.0) -> Value:
    if ctx.rank(X) == 2:
        return diagonal_of(ctx, X, offset, 0, 1)
    x = X if ctx.rank(X) else ctx.reshape(X, [1])
    return _embedded(ctx, x, offset, ctx.const(padding_value, X.dtype))


@paddle_op("diag_embed")
def diag_embed(ctx: Context, Input: Value, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Value:
    made = _embedded(ctx, Input, offset, ctx.const(0, Input.dtype))
    rank = ctx.rank(made)
    a, b = ctx.axis(dim1, rank), ctx.axis(dim2, rank)
    order = list(range(rank - 2))
    for axis, source in sorted([(a, rank - 2), (b, rank - 1)]):
        order.insert(axis, source)
    return ctx.transpose(made, order)


@paddle_op("fill_diagonal")
def fill_diagonal(ctx: Context, X: Value, *, value: float = 0.0, offset: int = 0, wrap: bool = False) -> Value:
    if ctx.rank(X) != 2:
        raise Unsupported(f"of {ctx.rank(X)} dimensions")
    rows, columns = (ctx.unsqueeze(ctx.arange(ctx.dim(X, i)), [1 - i]) for i in (0, 1))
    if wrap:
        period = ctx.op("Add", ctx.dim(X, 1), 1)
        rows = ctx.op("Mod", rows, period)
    on = ctx.op("Equal", columns, ctx.op("Add", rows, offset))
    return ctx.op("Where", on, ctx.const(value, X.dtype), X)


@paddle_op("fill_diagonal_tensor")
def fill_diagonal_tensor(ctx: Context, X: Value, Y: Value, *, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Value:
    rank = ctx.rank(X)
    a, b = ctx.axis(dim1, rank), ctx.axis(dim2, rank)
    order = [*[i for i in range(rank) if i not in (a, b)], a, b]
    Y = ctx.squeeze(Y, list(range(ctx.rank(Y) - rank + 1)))  # of a matrix it has a dimension of 1 before it
    x = ctx.transpose(X, order)
    rows, columns = ctx.arange(ctx.dim(x, -2)), ctx.arange(ctx.dim(x, -1))
    on = ctx.op("Equal", ctx.unsqueeze(columns, [0]), ctx.op("Add", ctx.unsqueeze(rows, [1]), offset))
    position = rows if offset >= 0 else ctx.op("Add", rows, offset)
    bounded = ctx.op("Max", ctx.op("Min", position, ctx.op("Sub", ctx.scalar(ctx.dim(Y, -1)), 1)), 0)
    spread = ctx.unsqueeze(ctx.op("Gather", Y, bounded, axis=ctx.rank(Y) - 1), [ctx.rank(Y)])
    made = ctx.op("Where", on, spread, x)
    return ctx.transpose(made, [order.index(i) for i in range(rank)])
