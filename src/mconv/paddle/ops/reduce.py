"""Reductions."""

from __future__ import annotations

from typing import Any, Optional

import numpy as np

from mconv import emit
from mconv.emit import histogram, reduction
from mconv.emit.padding import or_else
from mconv.emit.zero_size import counted, true_size
from mconv.paddle.context import Context
from mconv.paddle.registry import Unsupported, paddle_op
from mconv.program import dims as D
from mconv.program.dtypes import DType
from mconv.program.value import Value

# what differs in the gradient only, and what truth values have
_KINDS = {"amax": "max", "amin": "min", "all": "min", "any": "max"}


def reduced_shape(shape: Any, axes: list[int], keepdim: bool) -> Any:
    """What is left of a shape without *axes* (counted from the front; empty: all)."""
    if shape is None:
        return None
    drop = set(axes) if axes else set(range(len(shape)))
    return tuple(1 if i in drop else d for i, d in enumerate(shape) if keepdim or i not in drop)


def reduce(ctx: Context, kind: str, x: Value, axes: list[int], keepdim: bool) -> Value:
    """:func:`mconv.emit.reduction.reduce` over *axes* (empty: all)."""
    return reduction.reduce(ctx.b, kind, x, axes or None, keep=keepdim)


@paddle_op("max", "min", "mean")
def simple(ctx: Context, x: Value, axis: Any, *, keepdim: bool) -> Value:
    return reduce(ctx, ctx.name, x, ctx.ints(axis), keepdim)


@paddle_op("all", "any", "amax", "amin")
def by_attribute(ctx: Context, x: Value, *, axis: list[int], keepdim: bool) -> Value:
    if ctx.name in ("all", "any"):
        x = ctx.b.cast(x, DType.BOOL)
    return reduce(ctx, _KINDS[ctx.name], x, axis, keepdim)


@paddle_op("sum")
def total(ctx: Context, x: Value, axis: Any, *, dtype: Optional[DType], keepdim: bool) -> Value:
    kind, _ = ctx.spec()
    return reduce(ctx, "sum", ctx.b.cast(x, kind), ctx.ints(axis), keepdim)


@paddle_op("prod")
def product(ctx: Context, x: Value, axis: Any, *, keepdim: bool, reduce_all: bool = False) -> Value:
    return reduce(ctx, "prod", x, [] if reduce_all else ctx.ints(axis), keepdim)


@paddle_op("logsumexp")
def logsumexp(ctx: Context, x: Value, *, axis: list[int], keepdim: bool, reduce_all: bool = False) -> Value:
    rank = x.rank or 0
    if not rank:
        return x
    axes = sorted({a % rank for a in axis}) if axis and not reduce_all else list(range(rank))
    return ctx.op(
        "logsumexp",
        X=x,
        axis=axes,
        keepdim=keepdim,
        reduce_all=len(axes) == rank,
        result=(x.dtype, reduced_shape(x.shape, axes, keepdim)),
    )


@paddle_op("frobenius_norm")
def frobenius_norm(ctx: Context, x: Value, axis: Any, *, keep_dim: bool, reduce_all: bool) -> Value:
    axes = [] if reduce_all else ctx.ints(axis)
    shape = reduced_shape(x.shape, [a % (x.rank or 1) for a in axes], keep_dim)
    return ctx.op(
        "frobenius_norm", X=x, dim=axes or [0], keep_dim=keep_dim, reduce_all=not axes, result=(x.dtype, shape)
    )


@paddle_op("p_norm")
def p_norm(ctx: Context, x: Value, *, porder: float, axis: int, epsilon: float, keepdim: bool, asvector: bool) -> Value:
    if not x.rank:
        return emit.unary(ctx.b, "abs", x)
    if asvector and not keepdim and "asvector" not in ctx.b.signature("p_norm")["attrs"]:
        x, axis, asvector = emit.reshape(ctx.b, x, (D.product(x.shape or ()),)), 0, False
    axes = [] if asvector else [axis % (x.rank or 1)]
    return ctx.op(
        "p_norm",
        X=x,
        porder=porder,
        axis=axis,
        epsilon=epsilon,
        keepdim=keepdim,
        asvector=asvector,
        result=(x.dtype, reduced_shape(x.shape, axes, keepdim)),
    )


@paddle_op("argmax", "argmin")
def arg(ctx: Context, x: Value, axis: Any, *, keepdims: bool, flatten: bool, dtype: Optional[DType]) -> Value:
    kind, _ = ctx.spec()
    if not x.rank:
        return emit.fill(ctx.b, (), 0, kind)
    op = {"argmax": "arg_max", "argmin": "arg_min"}[ctx.name]
    where = ctx.int(axis)
    axes = [] if flatten else [where % x.rank]
    if x.dtype is DType.BOOL:
        x = ctx.b.cast(x, DType.INT32)
    return _extreme(ctx, op, x, where, axes, keepdims, flatten, kind)


def _extreme(
    ctx: Context, op: str, x: Value, axis: int, axes: list[int], keep: bool, flatten: bool, kind: DType
) -> Value:
    return ctx.op(
        op,
        X=x,
        axis=axis,
        keepdims=keep,
        flatten=flatten,
        dtype=int(kind),
        result=(kind, reduced_shape(x.shape, axes, keep)),
    )


@paddle_op("numel")
def numel(ctx: Context, x: Value) -> Value:
    kind, _ = ctx.spec()
    if x.size is not None:
        return ctx.b.constant(np.array(x.size, kind.numpy))
    made = ctx.op("size", Input=x, result=(kind, ()))
    made.data = (D.product(x.shape or ()),)
    return made


@paddle_op("squared_l2_norm")
def squared_l2_norm(ctx: Context, x: Value) -> Value:
    return reduce(ctx, "sum", emit.unary(ctx.b, "square", x), [], False)


@paddle_op("var", "std")
def variance(
    ctx: Context, x: Value, *, axis: list[int], keepdim: bool, unbiased: bool = True, correction: float = 1.0
) -> Value:
    return moments(ctx, x, axis, keepdim, correction if unbiased else 0.0, root=ctx.operation.name.endswith("std"))


@paddle_op("variance")
def population_variance(ctx: Context, x: Value, *, axis: list[int], keepdim: bool) -> Value:
    return moments(ctx, x, axis, keepdim, 0.0, root=False)


def moments(ctx: Context, x: Value, axis: list[int], keepdim: bool, correction: float, *, root: bool) -> Value:
    spread, _ = reduction.variance(ctx.b, x, axis or None, correction, keep=keepdim)
    return emit.unary(ctx.b, "sqrt", spread) if root else spread


@paddle_op("nansum")
def nansum(ctx: Context, x: Value, *, axis: list[int], dtype: Optional[DType], keepdim: bool) -> Value:
    b = ctx.b
    kind, _ = ctx.spec()
    bad = ctx.op("isnan_v2", X=x, result=(DType.BOOL, x.shape))
    clean = emit.where(b, bad, b.constant(np.zeros((), x.dtype.numpy), x.dtype), x)
    return reduce(ctx, "sum", b.cast(clean, kind), axis, keepdim)


@paddle_op("max_with_index", "min_with_index")
def with_index(ctx: Context, x: Value, *, dim: int, keepdim: bool, flatten: bool) -> tuple:
    largest = ctx.operation.name.endswith("max_with_index")
    axes = [] if flatten else [dim % (x.rank or 1)]
    value = reduce(ctx, "max" if largest else "min", x, axes, keepdim)
    kind = ctx.spec(1)[0]
    return value, _extreme(ctx, "arg_max" if largest else "arg_min", x, dim, axes, keepdim, flatten, kind)


@paddle_op("reduce_as")
def reduce_as(ctx: Context, x: Value, target: Value) -> Value:
    """Summed over the dimensions that broadcasting *target* to *x* would add or repeat."""
    shape, wanted = x.shape, target.shape
    if shape is None or wanted is None:
        raise Unsupported("a rank that is not known")
    extra = len(shape) - len(wanted)
    axes = list(range(extra)) + [i + extra for i, d in enumerate(wanted) if d == 1 and shape[i + extra] != 1]
    if any(d != shape[i + extra] and d != 1 for i, d in enumerate(wanted)):
        raise Unsupported("which dimensions are summed is known only at run time")
    if not axes:
        return x
    return emit.reshape(ctx.b, reduce(ctx, "sum", x, axes, True), wanted)


@paddle_op("dist")
def dist(ctx: Context, x: Value, y: Value, *, p: float) -> Value:
    """The p-norm of the difference."""
    b = ctx.b
    flat = emit.reshape(b, emit.binary(b, "elementwise_sub", x, y), (D.product(D.broadcast(x.shape, y.shape) or ()),))
    return ctx.op(
        "p_norm", X=flat, porder=p, axis=0, epsilon=1e-12, keepdim=False, asvector=False, result=(x.dtype, ())
    )


@paddle_op("bincount")
def bincount(ctx: Context, x: Value, weights: Optional[Value], minlength: Value) -> Any:
    b = ctx.b
    if minlength.is_const and not counted(b, x.shape or ()):
        return ctx.generic()
    least = ctx.one(b.cast(minlength, DType.INT64))
    kind = DType.INT64 if weights is None else weights.dtype
    return histogram.bincount(b, x, weights, least, kind, ctx.spec()[1][0])


@paddle_op("equal_all")
def equal_all(ctx: Context, x: Value, y: Value) -> Any:
    """Whether two tensors have the same sizes and the same elements."""
    b = ctx.b
    given = counted(b, [*(x.shape or ()), *(y.shape or ())])
    made = ctx.op("equal_all", X=x, Y=y, result=(DType.BOOL, ()))
    if not given:
        return made
    made = or_else(b, given, made, b.constant(np.array(True)))
    for one, other in zip(x.shape or (), y.shape or ()):
        if one != other and counted(b, [one, other]):
            first, second = (emit.dim_tensor(b, true_size(b, d)) for d in (one, other))
            same = emit.reshape(b, emit.compare(b, "equal", first, second), made.shape or ())
            made = emit.logical(b, "logical_and", made, same)
    return made


@paddle_op("median", "nanmedian")
def median(ctx: Context, x: Value, *, axis: list[int], keepdim: bool, mode: str = "avg") -> tuple:
    """The middle of the sorted numbers (``avg``: of an even number, the mean of the two in the middle)."""
    b = ctx.b
    shape = x.shape or ()
    rank = len(shape)
    axes = sorted({a % rank for a in axis}) if axis else list(range(rank))
    rest = [i for i in range(rank) if i not in axes]
    count = D.product(shape[i] for i in axes)
    kept = tuple(shape[i] for i in rest)
    rows = emit.reshape(b, emit.transpose(b, x, [*rest, *axes]), (*kept, count))
    last = len(kept)
    missing = ctx.op("isnan_v2", X=rows, result=(DType.BOOL, rows.shape))
    infinite = b.constant(np.array(np.inf, x.dtype.numpy), x.dtype)
    ordered, _ = ctx.op_outputs(
        "argsort",
        X=emit.where(b, missing, infinite, rows),
        axis=last,
        descending=False,
        results={"Out": (x.dtype, rows.shape), "Indices": (DType.INT64, rows.shape)},
    )
    gone = reduce(ctx, "sum", b.cast(missing, DType.INT64), [last], True)
    nan = b.constant(np.array(np.nan, x.dtype.numpy), x.dtype)
    zero = b.constant(np.array(0, np.int64))
    size = emit.reshape(b, emit.dim_tensor(b, count), (1,) * (last + 1))
    if ctx.operation.name.endswith("nanmedian"):
        valid = emit.arithmetic(b, "sub", size, gone)
        none = emit.compare(b, "equal", valid, zero)
    else:
        valid = emit.expand_to(b, size, (*kept, 1))
        none = emit.compare(b, "greater_than", gone, zero)
    positions = [_half(ctx, emit.scale(b, valid, 1.0, shift)) for shift in (-1.0, 0.0)]
    values = [emit.take_along_axis(b, ordered, position, last) for position in positions]
    made = values[0] if mode == "min" else emit.scale(b, emit.binary(b, "elementwise_add", *values), 0.5)
    made = emit.where(b, none, nan, made)
    out = tuple(1 if i in axes else d for i, d in enumerate(shape) if keepdim or i in rest)
    return emit.reshape(b, made, out), None


def _half(ctx: Context, x: Value) -> Value:
    """x // 2, zero where x is negative."""
    b = ctx.b
    half = emit.binary(b, "elementwise_floordiv", x, b.constant(np.array(2, np.int64)))
    return emit.maximum(b, half, b.constant(np.array(0, np.int64)))
