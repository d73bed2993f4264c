"""Sorting, running sums and extremes, and distinct elements."""

from __future__ import annotations

from typing import Any, Optional

from mconv import emit
from mconv.emit import reduction, running
from mconv.emit.zero_size import counted, one_if_any, register
from mconv.paddle.context import Context
from mconv.paddle.registry import Unsupported, paddle_op
from mconv.program import dims as D
from mconv.program.dtypes import DType
from mconv.program.value import Value


@paddle_op("topk")
def topk(ctx: Context, x: Value, k: Any, *, axis: int, largest: bool, sorted: bool) -> tuple:
    if not x.rank:
        return x, emit.fill(ctx.b, (), 0, DType.INT64)
    known = ctx.dims(k)
    shape = list(x.shape or ())
    where = axis % len(shape)
    arguments: dict[str, Any] = {"k": 1}
    if known is not None and isinstance(known[0], int):
        arguments["k"] = known[0]
        shape[where] = known[0]
    else:
        arguments["K"] = ctx.one(ctx.tensor(k))
        shape[where] = known[0] if known is not None else D.Sym.fresh("topk")
    values, positions = ctx.op_outputs(
        "top_k_v2",
        X=x,
        axis=where,
        largest=largest,
        sorted=sorted,
        **arguments,
        results={"Out": (x.dtype, tuple(shape)), "Indices": (DType.INT64, tuple(shape))},
    )
    return values, positions


@paddle_op("argsort")
def argsort(ctx: Context, x: Value, *, axis: int, descending: bool, stable: bool = False) -> tuple:
    if not x.rank:
        return x, emit.fill(ctx.b, (), 0, DType.INT64)
    spec = {"Out": (x.dtype, x.shape), "Indices": (DType.INT64, x.shape)}
    arguments = {"stable": stable} if "stable" in ctx.b.signature("argsort")["attrs"] else {}
    values, positions = ctx.op_outputs(
        "argsort", X=x, axis=axis % x.rank, descending=descending, **arguments, results=spec
    )
    return values, positions


@paddle_op("cumsum")
def cumsum(ctx: Context, x: Value, axis: Any, *, flatten: bool, exclusive: bool, reverse: bool) -> Value:
    where = ctx.int(axis)
    if not x.rank:
        x = emit.reshape(ctx.b, x, (1,))
    if flatten:
        x = emit.reshape(ctx.b, x, (D.product(x.shape or ()),))
    made = ctx.op(
        "cumsum", X=x, axis=where, flatten=False, exclusive=exclusive, reverse=reverse, result=(x.dtype, x.shape)
    )
    return made if len(ctx.spec()[1]) == made.rank else emit.reshape(ctx.b, made, ())


@paddle_op("logcumsumexp")
def logcumsumexp(ctx: Context, x: Value, *, axis: int, flatten: bool, exclusive: bool, reverse: bool) -> Any:
    if ctx.has("logcumsumexp"):
        return ctx.generic()
    if flatten:
        x, axis = emit.reshape(ctx.b, x, (D.product(x.shape or ()),)), 0
    return reduction.log_cumulative_sum_exp(ctx.b, x, axis, exclusive=exclusive, reverse=reverse)


@paddle_op("cummax", "cummin")
def cumulative(ctx: Context, x: Value, *, axis: int, dtype: Optional[DType]) -> Any:
    op = ctx.name
    if ctx.has(op):
        return ctx.generic()
    kind, _ = ctx.spec(1)
    if not x.rank:
        return x, emit.fill(ctx.b, (), 0, kind)
    made, positions = running.running_extreme(ctx.b, x, axis, largest=op == "cummax")
    return made, None if positions is None else ctx.b.cast(positions, kind)


@paddle_op("unique")
def unique(
    ctx: Context,
    x: Value,
    *,
    return_index: bool,
    return_inverse: bool,
    return_counts: bool,
    axis: list[int],
    dtype: Optional[DType],
    is_sorted: bool,
) -> tuple:
    specs = {"Out": ctx.spec(), **{k: ctx.any_spec(i) for i, k in enumerate(("Indices", "Index", "Counts"), 1)}}
    made = ctx.op_outputs(
        "unique",
        X=x,
        return_index=True if not is_sorted else return_index,
        return_inverse=return_inverse,
        return_counts=return_counts,
        axis=axis,
        dtype=int(dtype) if dtype is not None else int(DType.INT64),
        is_sorted=is_sorted,
        results={k: s for k, s in specs.items() if s is not None},
    )
    found = dict(zip([k for k, s in specs.items() if s is not None], made))
    _count(ctx, x, found, axis)
    return tuple(found.get(k) for k in specs)


@paddle_op("unique_consecutive")
def unique_consecutive(ctx: Context, x: Value, **attributes: Any) -> Any:
    """Of each run of equal elements one, the run of each element, the lengths of the runs."""
    made = ctx.generic()
    found = {k: v for k, v in zip(("Out", "Index", "Counts"), made) if v is not None}
    _count(ctx, x, found, list(attributes.get("axis") or ()))
    return made


def _count(ctx: Context, x: Value, made: dict[str, Value], axis: list[int]) -> None:
    """Of nothing there is nothing that is distinct, but its padding is."""
    b = ctx.b
    index = axis[0] if axis else 0
    size, given = (made["Out"].shape or (0,))[index], counted(b, x.shape or ())
    if not given or not isinstance(size, D.Sym):
        return
    if axis and given != counted(b, (x.shape or ())[index : index + 1]):
        raise Unsupported("the slices that are compared may have no elements")
    found = D.Sym.fresh("unique")
    b.origins[found] = (made["Out"], index)
    register(b, size, found * one_if_any(b, given))
    for name, length in (("Indices", size), ("Counts", size), ("Index", _elements(x, axis))):
        if name in made:
            made[name].shape = (length,)


def _elements(x: Value, axis: list[int]) -> D.Dim:
    return (x.shape or (0,))[axis[0]] if axis else D.product(x.shape or ())
