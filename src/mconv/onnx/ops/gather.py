"""Choosing elements, and putting them, by index or by condition."""

from __future__ import annotations

from typing import Optional

from mconv import emit
from mconv.emit import reorder, scatter
from mconv.emit.gather import gather_blocks
from mconv.onnx.context import Context
from mconv.onnx.registry import onnx_op
from mconv.program.value import Value


@onnx_op("Gather", since=1)
def gather(ctx: Context, x: Value, indices: Value, *, axis: int = 0) -> Value:
    return emit.gather(ctx, x, indices, axis)


@onnx_op("GatherElements", since=11)
def gather_elements(ctx: Context, x: Value, indices: Value, *, axis: int = 0) -> Value:
    return emit.take_along_axis(ctx, x, indices, axis)


@onnx_op("GatherND", since=11)
def gather_nd(ctx: Context, x: Value, indices: Value, *, batch_dims: int = 0) -> Value:
    return gather_blocks(ctx, x, indices, batch_dims)


@onnx_op("Scatter", since=9)
@onnx_op("ScatterElements", since=11)
def scatter_elements(
    ctx: Context, x: Value, indices: Value, updates: Value, *, axis: int = 0, reduction: str = "none"
) -> Value:
    return scatter.scatter_elements(ctx, x, indices, updates, axis, reduction)


@onnx_op("ScatterND", since=11)
def scatter_nd(ctx: Context, x: Value, indices: Value, updates: Value, *, reduction: str = "none") -> Value:
    return scatter.scatter_nd(ctx, x, indices, updates, reduction)


@onnx_op("TensorScatter", since=24)
def tensor_scatter(
    ctx: Context,
    cache: Value,
    update: Value,
    write_indices: Optional[Value] = None,
    *,
    axis: int = -2,
    mode: str = "linear",
) -> Value:
    if mode not in ("linear", "circular"):
        raise ctx.refuse(f"the mode {mode!r}")
    return scatter.scatter_rows(ctx, cache, update, write_indices, axis, circular=mode == "circular")


@onnx_op("NonZero", since=9)
def nonzero(ctx: Context, x: Value) -> Value:
    return reorder.nonzero(ctx, x)


@onnx_op("Compress", since=9)
def compress(ctx: Context, x: Value, condition: Value, *, axis: Optional[int] = None) -> Value:
    return reorder.compress(ctx, x, condition, axis)


@onnx_op("Unique", since=11)
def unique(ctx: Context, x: Value, *, axis: Optional[int] = None, sorted: int = 1) -> tuple[Value, ...]:
    return reorder.unique(ctx, x, axis, in_order=bool(sorted))


@onnx_op("ReverseSequence", since=10)
def reverse_sequence(ctx: Context, x: Value, lengths: Value, *, time_axis: int = 0, batch_axis: int = 1) -> Value:
    return reorder.reverse_sequence(ctx, x, lengths, time_axis, batch_axis)
