"""Reductions, cumulative sums, and what sorts or picks the largest."""

from __future__ import annotations

from typing import Any, Callable, Optional

from mconv.exporters.onnx.context import Context
from mconv.exporters.onnx.registry import paddle_op
from mconv.exporters.onnx.types import highest, lowest
from mconv.program.dtypes import DType
from mconv.program.value import Value


def _axes(ctx: Context, X: Value, dim: Any, reduce_all: bool) -> Optional[list[int]]:
    """The axes in order, or None for all of them."""
    given = [dim] if isinstance(dim, int) else list(dim)
    rank = ctx.rank(X)
    if reduce_all or not given:
        return None
    axes = sorted(set(ctx.axes(given, rank)))
    return None if len(axes) == rank and rank <= 1 else axes


def _reduction(name: str, op: str) -> None:
    @paddle_op(f"reduce_{name}")
    def convert(
        ctx: Context,
        X: Value,
        *,
        dim: list[int] = [0],  # noqa: B006 - Paddle's default
        keep_dim: bool = False,
        reduce_all: bool = False,
        out_dtype: int = -1,
    ) -> Value:
        if out_dtype >= 0:
            X = ctx.cast(X, DType(out_dtype))
        (x,) = ctx.wide(X)
        if op == "ReduceProd" and x.dtype is DType.FP64:
            x = ctx.cast(x, DType.FP32)
        kept = ctx.declared_dtype(X.dtype) if out_dtype < 0 else X.dtype
        made = ctx.reduce(op, x, _axes(ctx, X, dim, reduce_all), keep_dim)
        return ctx.cast(made, kept)


for _name in ("sum", "mean", "max", "min", "prod"):
    _reduction(_name, f"Reduce{_name.capitalize()}")
_reduction("amax", "ReduceMax")
_reduction("amin", "ReduceMin")


def _truth(name: str) -> None:
    @paddle_op(f"reduce_{name}")
    def convert(
        ctx: Context,
        X: Value,
        *,
        dim: list[int] = [0],  # noqa: B006 - Paddle's default
        keep_dim: bool = False,
        reduce_all: bool = False,
        out_dtype: int = -1,
    ) -> Value:
        """Of truth values: the smallest or largest of 0 and 1; for no elements the neutral one."""
        x = ctx.cast(ctx.cast(X, DType.BOOL), DType.INT32)
        axes = _axes(ctx, X, dim, reduce_all)
        if name == "any":
            return ctx.op("Greater", ctx.reduce("ReduceSum", x, axes, keep_dim), 0)
        missing = ctx.op("Sub", ctx.const(1, DType.INT32), x)
        return ctx.op("Equal", ctx.reduce("ReduceSum", missing, axes, keep_dim), 0)


_truth("any")
_truth("all")


@paddle_op("mean")
def mean(ctx: Context, X: Value) -> Value:
    return ctx.reduce("ReduceMean", X, None)


@paddle_op("logsumexp")
def logsumexp(
    ctx: Context,
    X: Value,
    *,
    axis: list[int] = [0],  # noqa: B006
    keepdim: bool = False,
    reduce_all: bool = False,
) -> Value:
    return ctx.reduce("ReduceLogSumExp", X, _axes(ctx, X, axis, reduce_all), keepdim)


@paddle_op("squared_l2_norm")
def squared_l2_norm(ctx: Context, X: Value) -> Value:
    return ctx.reshape(ctx.reduce("ReduceSumSquare", X, None), [1])


@paddle_op("frobenius_norm")
def frobenius_norm(
    ctx: Context,
    X: Value,
    *,
    dim: list[int] = [0],  # noqa: B006
    keep_dim: bool = False,
    reduce_all: bool = False,
    out_dtype: int = -1,
) -> Value:
    return ctx.reduce("ReduceL2", X, _axes(ctx, X, dim, reduce_all), keep_dim)


@paddle_op("p_norm")
def p_norm(
    ctx: Context,
    X: Value,
    *,
    porder: float = 2.0,
    axis: int = -1,
    epsilon: float = 1e-12,
    keepdim: bool = False,
    asvector: bool = False,
) -> Value:
    axes = None if asvector else [ctx.axis(axis, ctx.rank(X))]
    if porder == 2:
        return ctx.reduce("ReduceL2", X, axes, keepdim)
    size = ctx.op("Abs", X)
    if porder == 1:
        return ctx.reduce("ReduceL1", X, axes, keepdim)
    if porder == float("inf"):
        return ctx.reduce("ReduceMax", size, axes, keepdim)
    if porder == float("-inf"):
        return ctx.reduce("ReduceMin", size, axes, keepdim)
    if porder == 0:
        return ctx.reduce("ReduceSum", ctx.cast(ctx.op("Greater", size, 0.0), X.dtype), axes, keepdim)
    powers = ctx.reduce("ReduceSum", ctx.op("Pow", size, porder), axes, keepdim)
    return ctx.op("Pow", powers, 1.0 / porder)


@paddle_op("norm", outputs=["Out", "Norm"])
def norm(ctx: Context, X: Value, *, axis: int = -1, epsilon: float = 1e-10) -> tuple[Value, Value]:
    squares = ctx.reduce("ReduceSumSquare", X, [ctx.axis(axis, ctx.rank(X))], True)
    size = ctx.op("Sqrt", ctx.op("Add", squares, epsilon))
    return ctx.op("Div", X, size), size


@paddle_op("cumsum")
def cumsum(
    ctx: Context,
    X: Value,
    AxisTensor: Optional[Value] = None,
    *,
    axis: int = -1,
    flatten: bool = False,
    exclusive: bool = False,
    reverse: bool = False,
) -> Value:
    (x,) = ctx.wide(X)
    if flatten:
        x, axis = ctx.reshape(x, [-1]), 0
    where = ctx.const(axis, DType.INT64) if AxisTensor is None else ctx.cast(AxisTensor, DType.INT64)
    if AxisTensor is not None:
        where = ctx.scalar(where)
    return ctx.cast(ctx.op("CumSum", x, where, exclusive=int(exclusive), reverse=int(reverse)), X.dtype)


def _extreme(name: str, op: str) -> None:
    @paddle_op(name)
    def convert(
        ctx: Context,
        X: Value,
        *,
        axis: int = 0,
        keepdims: bool = False,
        flatten: bool = False,
        dtype: int = int(DType.INT64),
    ) -> Value:
        (x,) = ctx.wide(X)
        if x.dtype is DType.INT64 and ctx.opset < 13:
            x = ctx.cast(x, DType.FP64)
        if flatten:
            found = ctx.op(op, ctx.reshape(x, [-1]), axis=0, keepdims=int(keepdims))
            if keepdims:
                found = ctx.reshape(found, [1] * max(ctx.rank(X), 1))
        elif ctx.rank(x) == 0:
            found = ctx.reshape(ctx.op(op, ctx.reshape(x, [1]), axis=0, keepdims=0), [])
        else:
            found = ctx.op(op, x, axis=ctx.axis(axis, ctx.rank(x)), keepdims=int(keepdims))
        return ctx.cast(found, DType(dtype) if dtype >= 0 else DType.INT64)


_extreme("arg_max", "ArgMax")
_extreme("arg_min", "ArgMin")


@paddle_op("top_k", "top_k_v2", outputs=["Out", "Indices"])
def top_k(
    ctx: Context,
    X: Value,
    K: Optional[Value] = None,
    *,
    k: int = 1,
    axis: int = -1,
    largest: bool = True,
    sorted: bool = True,
) -> tuple[Value, Value]:
    count = ctx.const([k], DType.INT64) if K is None else ctx.vector(K)
    x = X
    if ctx.rank(x) == 0:
        values, at = ctx.op("TopK", ctx.reshape(x, [1]), count, outputs=2)
        return ctx.reshape(values, []), ctx.reshape(at, [])
    values, at = ctx.op(
        "TopK", x, count, axis=ctx.axis(axis, ctx.rank(x)), largest=int(largest), sorted=int(sorted), outputs=2
    )
    return values, at


@paddle_op("argsort", outputs=["Out", "Indices"])
def argsort(
    ctx: Context, X: Value, *, axis: int = -1, descending: bool = False, stable: bool = False
) -> tuple[Value, Value]:
    if ctx.rank(X) == 0:
        return X, ctx.const(0, DType.INT64)
    axis = ctx.axis(axis, ctx.rank(X))
    (x,) = ctx.wide(X)
    values, at = ctx.op("TopK", x, ctx.dim(x, axis), axis=axis, largest=int(descending), sorted=1, outputs=2)
    return ctx.cast(values, X.dtype), at


@paddle_op("kthvalue", outputs=["Out", "Indices"])
def kthvalue(ctx: Context, X: Value, *, k: int, axis: int = -1, keepdim: bool = False) -> tuple[Value, Value]:
    rank = ctx.rank(X)
    axis = ctx.axis(axis, rank)
    x = X if rank else ctx.reshape(X, [1])
    values, at = ctx.op("TopK", x, [k], axis=axis, largest=0, sorted=1, outputs=2)
    last = [ctx.slice(v, [k - 1], [k], [axis]) for v in (values, at)]
    if not rank:
        return ctx.reshape(last[0], []), ctx.reshape(last[1], [])
    if not keepdim:
        last = [ctx.squeeze(v, [axis]) for v in last]
    return last[0], last[1]


@paddle_op("cumprod")
def cumprod(ctx: Context, X: Value, *, dim: int, exclusive: bool = False, reverse: bool = False) -> Value:
    """The product of all elements that a triangle of the length of the axis selects."""
    axis, rank = ctx.axis(dim, ctx.rank(X)), ctx.rank(X)
    if rank == 0:
        return X
    (x,) = ctx.wide(X)
    _, factors = _triangle(ctx, x, axis, 1, exclusive, reverse)
    if factors.dtype is DType.FP64:
        return ctx.cast(ctx.reduce("ReduceProd", ctx.cast(factors, DType.FP32), [axis + 1]), X.dtype)
    return ctx.cast(ctx.reduce("ReduceProd", factors, [axis + 1]), X.dtype)


def _triangle(
    ctx: Context, x: Value, axis: int, neutral: float, exclusive: bool = False, reverse: bool = False
) -> tuple[Value, Value]:
    """What counts for each result along *axis*: a mask [n, n, 1 …], and [… n, n …] of the elements, else *neutral*."""
    n = ctx.scalar(ctx.dim(x, axis))
    steps = ctx.arange(n)
    i, j = ctx.unsqueeze(steps, [1]), ctx.unsqueeze(steps, [0])
    low, high = (i, j) if reverse else (j, i)
    counts = ctx.op("Less", low, high) if exclusive else ctx.op("Not", ctx.op("Greater", low, high))
    mask = ctx.unsqueeze(counts, list(range(2, 1 + ctx.rank(x) - axis)))
    return mask, ctx.op("Where", mask, ctx.unsqueeze(x, [axis]), ctx.const(neutral, x.dtype))


@paddle_op("logcumsumexp")
def logcumsumexp(
    ctx: Context, X: Value, *, axis: int = -1, flatten: bool = False, exclusive: bool = False, reverse: bool = False
) -> Value:
    x = ctx.reshape(X, [-1]) if flatten else X
    where = 0 if flatten else ctx.axis(axis, ctx.rank(x))
    _, spread = _triangle(ctx, x, where, float("-inf"), exclusive, reverse)
    return ctx.reduce("ReduceLogSumExp", spread, [where + 1])


def _running(name: str, op: str, neutral: Callable[[DType], float]) -> None:
    @paddle_op(name, outputs=["out", "indices"])
    def convert(ctx: Context, x: Value, *, axis: int = -1, dtype: int = int(DType.INT64)) -> tuple[Value, Value]:
        where, rank = ctx.axis(axis, ctx.rank(x)), ctx.rank(x)
        if rank == 0:
            return x, ctx.const(0, DType(dtype))
        mask, spread = _triangle(ctx, x, where, neutral(x.dtype))
        best = ctx.reduce(f"Reduce{op}", spread, [where + 1])
        # of equal ones the last: the largest index that is selected and has the value
        steps = ctx.arange(ctx.dim(x, where))
        index = ctx.unsqueeze(steps, list(range(1, rank - where)))
        hit = ctx.op("And", mask, ctx.op("Equal", spread, ctx.unsqueeze(best, [where + 1])))
        at = ctx.reduce("ReduceMax", ctx.op("Where", hit, index, ctx.const(-1, DType.INT64)), [where + 1])
        return best, ctx.cast(at, DType(dtype))


_running("cummax", "Max", lowest)
_running("cummin", "Min", highest)


@paddle_op("trace")
def trace(ctx: Context, Input: Value, *, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Value:
    from mconv.exporters.onnx.ops.matrix import diagonal_of

    return ctx.reduce("ReduceSum", diagonal_of(ctx, Input, offset, axis1, axis2), [ctx.rank(Input) - 2])
