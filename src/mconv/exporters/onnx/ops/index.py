"""Gathering, scattering and selecting."""

from __future__ import annotations

from typing import Optional

from mconv.exporters.onnx.context import Context
from mconv.exporters.onnx.errors import Unsupported
from mconv.exporters.onnx.registry import paddle_op
from mconv.exporters.onnx.types import highest, lowest
from mconv.program.dtypes import DType
from mconv.program.value import Value


def _index(ctx: Context, x: Value) -> Value:
    return x if x.dtype in (DType.INT32, DType.INT64) else ctx.cast(x, DType.INT64)


@paddle_op("lookup_table_v2", "lookup_table", "c_embedding")
def embedding(
    ctx: Context, W: Value, Ids: Value, *, padding_idx: int = -1, is_distributed: bool = False, start_index: int = 0
) -> Value:
    if start_index:
        raise Unsupported("a part of a distributed table")
    ids = Ids
    if ctx.paddle.type == "lookup_table" and (ids.shape or (None,))[-1] == 1:
        ids = ctx.squeeze(ids, [ctx.rank(ids) - 1])
    found = ctx.op("Gather", W, _index(ctx, ids), axis=0)
    if padding_idx == -1:
        return found
    rows = W.shape[0] if W.shape else None
    if padding_idx < 0 and isinstance(rows, int):
        padding_idx += rows
    padded = ctx.unsqueeze(ctx.op("Equal", ids, padding_idx), [ctx.rank(ids)])
    return ctx.op("Where", padded, ctx.const(0.0, W.dtype), found)


@paddle_op("gather")
def gather(ctx: Context, X: Value, Index: Value, Axis: Optional[Value] = None, *, axis: int = 0) -> Value:
    where = axis if Axis is None else ctx.ints(Axis, "the axis")[0]
    index = _index(ctx, Index)
    if ctx.rank(index) == 2:  # [n, 1] is a list too
        index = ctx.reshape(index, [-1])
    return ctx.op("Gather", X, index, axis=ctx.axis(where, ctx.rank(X)))


@paddle_op("gather_nd")
def gather_nd(ctx: Context, X: Value, Index: Value) -> Value:
    last = Index.shape[-1] if Index.shape else None
    if last == 0:
        return ctx.expand(X, ctx.vector([*[ctx.dim(Index, i) for i in range(ctx.rank(Index) - 1)], ctx.shape(X)]))
    return ctx.op("GatherND", X, ctx.cast(Index, DType.INT64))


@paddle_op("index_select")
def index_select(ctx: Context, X: Value, Index: Value, *, dim: int = 0) -> Value:
    return ctx.op("Gather", X, _index(ctx, Index), axis=ctx.axis(dim, ctx.rank(X)))


@paddle_op("index_sample")
def index_sample(ctx: Context, X: Value, Index: Value) -> Value:
    return ctx.op("GatherElements", X, _index(ctx, Index), axis=1)


@paddle_op("take_along_axis", outputs=["Result"])
def take_along_axis(ctx: Context, Input: Value, Index: Value, *, Axis: int = 0) -> Value:
    return ctx.op("GatherElements", Input, _index(ctx, Index), axis=ctx.axis(Axis, ctx.rank(Input)))


_REDUCTIONS = {"assign": None, "add": "add", "mul": "mul", "multiply": "mul", "amax": "max", "amin": "min"}


@paddle_op("put_along_axis", outputs=["Result"])
def put_along_axis(
    ctx: Context,
    Input: Value,
    Index: Value,
    Value: Value,
    *,
    Axis: int = 0,
    Reduce: str = "assign",
    Include_self: bool = True,
) -> Value:
    if Reduce not in _REDUCTIONS:
        raise Unsupported(f"reduction {Reduce!r}")
    reduction = _REDUCTIONS[Reduce]
    axis = ctx.axis(Axis, ctx.rank(Input))
    index = _index(ctx, Index)
    updates = ctx.expand(ctx.cast(Value, Input.dtype), ctx.shape(index))
    x = Input
    if not Include_self and reduction is not None:
        neutral = {"add": 0, "mul": 1, "max": lowest(x.dtype), "min": highest(x.dtype)}[reduction]
        x = ctx.op("ScatterElements", x, index, ctx.full(ctx.shape(index), neutral, x.dtype), axis=axis)
    if reduction in ("max", "min"):
        ctx.needs(18, "ScatterElements with the largest or smallest")
    elif reduction is not None:
        ctx.needs(16, "ScatterElements with a sum or product")
    return ctx.op("ScatterElements", x, index, updates, axis=axis, reduction=reduction)


@paddle_op("scatter")
def scatter(ctx: Context, X: Value, Ids: Value, Updates: Value, *, overwrite: bool = True) -> Value:
    ids = ctx.cast(Ids if ctx.rank(Ids) == 1 else ctx.reshape(Ids, [-1]), DType.INT64)
    index = ctx.unsqueeze(ids, [1])
    if ctx.rank(Updates) < ctx.rank(X):
        Updates = ctx.unsqueeze(Updates, [0])
    if overwrite:
        return ctx.op("ScatterND", X, index, Updates)
    ctx.needs(16, "ScatterND with a sum")
    zeros = ctx.op("ScatterND", X, index, ctx.full_like(Updates, 0))  # the rows named begin at 0
    return ctx.op("ScatterND", zeros, index, Updates, reduction="add")


@paddle_op("scatter_nd_add")
def scatter_nd_add(ctx: Context, X: Value, Index: Value, Updates: Value) -> Value:
    ctx.needs(16, "ScatterND with a sum")
    last = Index.shape[-1] if Index.shape else None
    if last == 0:
        return ctx.op("Add", X, ctx.reduce("ReduceSum", Updates, list(range(ctx.rank(Index) - 1))))
    return ctx.op("ScatterND", X, ctx.cast(Index, DType.INT64), Updates, reduction="add")


@paddle_op("index_add")
def index_add(ctx: Context, X: Value, Index: Value, AddValue: Value, *, axis: int = 0) -> Value:
    ctx.needs(16, "ScatterElements with a sum")
    where, rank = ctx.axis(axis, ctx.rank(X)), ctx.rank(X)
    index = ctx.unsqueeze(ctx.cast(Index, DType.INT64), [i for i in range(rank) if i != where])
    index = ctx.expand(index, ctx.shape(AddValue))
    return ctx.op("ScatterElements", X, index, AddValue, axis=where, reduction="add")


@paddle_op("index_put", outputs=["out"])
def index_put(ctx: Context, x: Value, indices: list[Value], value: Value, *, accumulate: bool = False) -> Value:
    if len(indices) == 1 and indices[0].dtype is DType.BOOL:
        mask = indices[0]
        if value.size == 1 and not accumulate:
            mask = ctx.unsqueeze(mask, list(range(ctx.rank(mask), ctx.rank(x))))
            return ctx.op("Where", mask, ctx.cast(ctx.reshape(value, []), x.dtype), x)
        index = ctx.transpose(ctx.op("NonZero", mask), [1, 0])
    else:
        parts = [ctx.cast(i, DType.INT64) for i in indices]
        shapes = [ctx.shape(p) for p in parts]
        for shape in shapes:
            parts = [ctx.expand(p, shape) for p in parts]
        rank = ctx.rank(parts[0])
        index = ctx.concat([ctx.unsqueeze(p, [rank]) for p in parts], rank)
    depth = ctx.rank(mask) if len(indices) == 1 and indices[0].dtype is DType.BOOL else len(indices)
    outer = [ctx.dim(index, i) for i in range(ctx.rank(index) - 1)]
    rest = [ctx.dim(x, i) for i in range(depth, ctx.rank(x))]
    updates = ctx.op("Expand", ctx.cast(value, x.dtype), ctx.vector([*outer, *rest]))
    if accumulate:
        ctx.needs(16, "ScatterND with a sum")
    return ctx.op("ScatterND", x, index, updates, reduction="add" if accumulate else None)


@paddle_op("masked_select", outputs=["Y"])
def masked_select(ctx: Context, X: Value, Mask: Value) -> Value:
    x = ctx.expand(X, ctx.shape(Mask))
    mask = ctx.expand(Mask, ctx.shape(X))
    return ctx.op("Compress", ctx.op("Reshape", x, [-1]), ctx.op("Reshape", mask, [-1]), axis=0)


@paddle_op("where")
def where(ctx: Context, Condition: Value, X: Value, Y: Value) -> Value:
    (x, y) = (X, Y)
    if X.dtype is DType.INT16:
        x, y = ctx.wide(X, Y)
    return ctx.cast(ctx.op("Where", ctx.cast(Condition, DType.BOOL), x, y), X.dtype)


@paddle_op("where_index")
def where_index(ctx: Context, Condition: Value) -> Value:
    rank = ctx.rank(Condition)
    if rank == 0:
        found = ctx.op("NonZero", ctx.reshape(Condition, [1]))
        return ctx.slice(ctx.transpose(found, [1, 0]), [0], [0], [1])
    x = Condition if Condition.dtype in (DType.BOOL, DType.FP32, DType.INT32, DType.INT64, DType.UINT8) else ctx.cast(
        Condition, DType.BOOL
    )  # fmt: skip
    return ctx.transpose(ctx.op("NonZero", x), [1, 0])


@paddle_op("multiplex")
def multiplex(ctx: Context, X: list[Value], Ids: Value) -> Value:
    stacked = ctx.concat([ctx.unsqueeze(x, [1]) for x in X], 1)  # [n, candidates, …]
    ids = ctx.cast(ctx.reshape(Ids, [-1, 1]), DType.INT64)
    return ctx.op("GatherND", stacked, ids, batch_dims=1)


@paddle_op("unique", outputs=["Out", "Indices", "Index", "Counts"])
def unique(
    ctx: Context,
    X: Value,
    *,
    dtype: int = int(DType.INT64),
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: list[int] = [],  # noqa: B006
    is_sorted: bool = False,
) -> tuple[Optional[Value], ...]:
    kind = DType(dtype)
    x = X if X.dtype is not DType.INT32 else ctx.cast(X, DType.INT64)
    where_ = ctx.axis(axis[0], ctx.rank(X)) if axis else None
    values, first, inverse, counts = ctx.op(
        "Unique", x, axis=where_, sorted=int(is_sorted or bool(return_index)), outputs=4
    )
    return (
        ctx.cast(values, X.dtype),
        ctx.cast(first, kind) if return_index else None,
        ctx.cast(inverse, kind),
        ctx.cast(counts, kind) if return_counts else None,
    )


@paddle_op("unique_consecutive", outputs=["Out", "Index", "Counts"])
def unique_consecutive(
    ctx: Context,
    X: Value,
    *,
    dtype: int = int(DType.INT64),
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: list[int] = [],  # noqa: B006
) -> tuple[Optional[Value], ...]:
    if axis:
        raise Unsupported("along an axis")
    kind = DType(dtype)
    x = ctx.op("Reshape", X, [-1])
    new = ctx.op("Not", ctx.op("Equal", ctx.slice(x, [1], [1 << 62], [0]), ctx.slice(x, [0], [-1], [0])))
    some = ctx.op("Equal", ctx.slice(x, [0], [1], [0]), ctx.slice(x, [0], [1], [0]))  # the first, where there is one
    starts = ctx.concat([some, new], 0)
    values = ctx.op("Compress", x, starts, axis=0)
    group = ctx.op("Sub", ctx.op("CumSum", ctx.cast(starts, DType.INT64), ctx.const(0, DType.INT64)), 1)
    inverse = ctx.cast(group, kind) if return_inverse else None
    if not return_counts:
        return values, inverse, None
    at = ctx.reshape(ctx.op("NonZero", starts), [-1])
    ends = ctx.concat([ctx.slice(at, [1], [1 << 62], [0]), ctx.dim(x, 0)], 0)
    ends = ctx.slice(ends, [0], ctx.dim(at, 0), [0])
    return values, inverse, ctx.cast(ctx.op("Sub", ends, at), kind)


@paddle_op("searchsorted")
def searchsorted(
    ctx: Context, SortedSequence: Value, Values: Value, *, out_int32: bool = False, right: bool = False
) -> Value:
    """How many elements of the sequence are below each value."""
    rank = ctx.rank(Values)
    sequence = SortedSequence
    values = ctx.unsqueeze(Values, [rank])
    rows = ctx.rank(sequence)
    if rows > 1:
        sequence = ctx.unsqueeze(sequence, [rank - 1])
    op = "LessOrEqual" if right else "Less"
    if right and ctx.opset < 12:
        below = ctx.op("Not", ctx.op("Greater", sequence, values))
    else:
        below = ctx.op(op, sequence, values)
    count = ctx.reduce("ReduceSum", ctx.cast(below, DType.INT64), [rank])
    return ctx.cast(count, DType.INT32 if out_int32 else DType.INT64)


@paddle_op("bincount")
def bincount(ctx: Context, X: Value, Weights: Optional[Value] = None, *, minlength: int = 0) -> Value:
    x = ctx.cast(X, DType.INT64)
    ctx.needs(16, "ScatterElements with a sum")
    # of nothing the largest is -1
    padded = ctx.concat([x, ctx.const([-1], DType.INT64)], 0)
    count = ctx.op("Max", ctx.op("Add", ctx.reduce("ReduceMax", padded, [0], True), 1), minlength)
    kind = DType.INT64 if Weights is None else Weights.dtype
    weights = ctx.full_like(x, 1, DType.INT64) if Weights is None else Weights
    made = ctx.op("ScatterElements", ctx.full(count, 0, kind), x, weights, axis=0, reduction="add")
    return ctx.cast(made, ctx.declared_dtype(kind))


@paddle_op("shard_index")
def shard_index(
    ctx: Context, X: Value, *, index_num: int, nshards: int, shard_id: int, ignore_value: int = -1
) -> Value:
    size = (index_num + nshards - 1) // nshards
    mine = ctx.op("Equal", ctx.op("Div", X, size), shard_id)
    return ctx.op("Where", mine, ctx.op("Mod", X, size), ctx.const(ignore_value, X.dtype))
