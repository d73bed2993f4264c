"""Reductions, softmax, running sums."""

from __future__ import annotations

from typing import Callable, Optional

import numpy as np

from mconv.emit import compare, order, ranges, reduction, reshape, where
from mconv.emit.known import axis_of, need_rank
from mconv.onnx.context import Context
from mconv.onnx.ops.cast import wrapped
from mconv.onnx.registry import onnx_op
from mconv.program import dims as D
from mconv.program.value import Value


def _reduction(name: str, kind: str, by_input: int) -> None:
    """Register a reduction whose axes are an attribute, and from opset *by_input* on an input."""

    @onnx_op(name, since=1)
    def by_attribute(ctx: Context, x: Value, *, axes: Optional[list[int]] = None, keepdims: int = 1) -> Value:
        made = reduction.reduce(ctx, kind, x, axes or None, keep=bool(keepdims))
        return wrapped(ctx, made, ctx.type_out())

    @onnx_op(name, since=by_input)
    def by_tensor(
        ctx: Context, x: Value, axes: Optional[Value] = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0
    ) -> Value:
        known = [] if axes is None or axes.size == 0 else ctx.known_dims(axes)
        if known is None:
            made = reduction.reduce_by_tensor(ctx, kind, x, axes, keep=bool(keepdims), declared=ctx.declared())  # type: ignore[arg-type]
        elif not known and noop_with_empty_axes:
            if kind not in reduction.PLAIN:
                raise ctx.refuse("ONNX does not say what it does over no axes")
            return x
        else:
            chosen = ctx.static_ints(axes, "axes") if known else None
            made = reduction.reduce(ctx, kind, x, chosen, keep=bool(keepdims))
        return wrapped(ctx, made, ctx.type_out())


_reduction("ReduceSum", "sum", 13)
_reduction("ReduceMean", "mean", 18)
_reduction("ReduceMax", "max", 18)
_reduction("ReduceMin", "min", 18)
_reduction("ReduceProd", "prod", 18)
_reduction("ReduceL1", "l1", 18)
_reduction("ReduceL2", "l2", 18)
_reduction("ReduceLogSum", "log_sum", 18)
_reduction("ReduceLogSumExp", "log_sum_exp", 18)
_reduction("ReduceSumSquare", "sum_square", 18)


# softmax -------------------------------------------------------------------------------------------------------------


def _hardmax(ctx: Context, x: Value, axis: int) -> Value:
    shape = need_rank(x, "Hardmax")
    best = order.arg_extreme(ctx, x, axis, largest=True, keep=True)
    positions = ranges.spread(ctx, ranges.iota(ctx, shape[axis]), axis, len(shape))
    return ctx.cast(compare(ctx, "equal", positions, best), x.dtype)


_KINDS = {"Softmax": reduction.softmax, "LogSoftmax": reduction.log_softmax, "Hardmax": _hardmax}


def _softmax(name: str) -> None:
    kind = _KINDS[name]

    @onnx_op(name, since=1)
    def flattened(ctx: Context, x: Value, *, axis: int = 1) -> Value:
        """Before opset 13 the dimensions from *axis* on are one."""
        shape = need_rank(x, name)
        axis = axis + len(shape) if axis < 0 else axis
        if axis == len(shape) - 1 or all(d == 1 for d in shape[axis + 1 :]):
            return kind(ctx, x, axis)
        matrix = reshape(ctx, x, (D.product(shape[:axis]), D.product(shape[axis:])))
        return reshape(ctx, kind(ctx, matrix, 1), shape)

    @onnx_op(name, since=13)
    def along(ctx: Context, x: Value, *, axis: int = -1) -> Value:
        return kind(ctx, x, axis_of(axis, ctx.rank(x)))


for _name in _KINDS:
    _softmax(_name)


# running sums and determinants ---------------------------------------------------------------------------------------


def _running(name: str, since: int, kind: Callable[..., Value]) -> None:
    """Register a running sum or product, whose axis is an input."""

    @onnx_op(name, since=since)
    def convert(ctx: Context, x: Value, axis: Value, *, exclusive: int = 0, reverse: int = 0) -> Value:
        rank = ctx.rank(x)
        if axis.rank is not None and (axis.rank > 1 or axis.rank == 1 and axis.shape not in ((1,), None)):
            raise ctx.refuse(f"its axis is of shape {list(axis.shape or ())}, where ONNX takes one number")

        def along(i: int) -> Value:
            return wrapped(ctx, kind(ctx, x, i, exclusive=bool(exclusive), reverse=bool(reverse)), ctx.type_out())

        if ctx.known_dims(axis) is not None or rank == 1:
            return along(0 if rank == 1 else axis_of(ctx.static_ints(axis, "axis")[0], rank))
        # only one of the few along any axis is wanted
        axis = reshape(ctx, axis, (1,))
        made = along(rank - 1)
        for i in range(rank - 1):
            names = ctx.constant(np.array([i, i - rank], axis.dtype.numpy))
            named = reduction.reduce(ctx, "max", compare(ctx, "equal", axis, names), [0], keep=True)
            made = where(ctx, named, along(i), made)
        return made


_running("CumSum", 11, reduction.cumulative_sum)
_running("CumProd", 26, reduction.cumulative_product)


@onnx_op("Det", since=11)
def det(ctx: Context, x: Value) -> Value:
    return reduction.determinant(ctx, x)


# order ---------------------------------------------------------------------------------------------------------------


def _arg(name: str, largest: bool) -> None:
    @onnx_op(name, since=1)
    def convert(ctx: Context, x: Value, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Value:
        return order.arg_extreme(ctx, x, axis, largest=largest, keep=bool(keepdims), last=bool(select_last_index))


_arg("ArgMax", True)
_arg("ArgMin", False)


@onnx_op("TopK", since=1)
def top_k_by_attribute(ctx: Context, x: Value, *, k: int, axis: int = -1) -> tuple[Optional[Value], ...]:
    return order.top_k(ctx, x, k, axis, indices=ctx.wants(1))


@onnx_op("TopK", since=10)
def top_k(
    ctx: Context, x: Value, k: Value, *, axis: int = -1, largest: int = 1, sorted: int = 1
) -> tuple[Optional[Value], ...]:
    known = ctx.known_dims(k)
    number = int(known[0]) if known is not None and isinstance(known[0], int) else k
    return order.top_k(ctx, x, number, axis, largest=bool(largest), indices=ctx.wants(1))
