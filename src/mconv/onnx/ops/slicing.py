"""Joining, cutting and padding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional, Union

import numpy as np

from mconv import emit
from mconv.emit import reorder
from mconv.emit.elementwise import arithmetic, compare
from mconv.emit.known import INT32_MAX
from mconv.emit.pad import pad as emit_pad
from mconv.emit.ranges import iota
from mconv.emit.size_arithmetic import compute, join
from mconv.emit.sizes import dim_tensor
from mconv.emit.slicing import split_evenly
from mconv.errors import CorruptModelError
from mconv.onnx.context import Context
from mconv.onnx.registry import onnx_op
from mconv.program import dims as D
from mconv.program.dtypes import DType
from mconv.program.value import Value


@onnx_op("Concat", since=1)
def concat_1(ctx: Context, *inputs: Value, axis: int = 1) -> Value:
    return emit.concat(ctx, inputs, axis)


@onnx_op("Concat", since=4)
def concat(ctx: Context, *inputs: Value, axis: int) -> Value:
    return emit.concat(ctx, inputs, axis)


# Split ------------------------------------------------------------------------------------------------------------


@onnx_op("Split", since=1)
def split_1(
    ctx: Context, x: Value, sizes: Optional[Value] = None, *, axis: int = 0, split: Optional[list[int]] = None
) -> tuple[Value, ...]:
    return _split(ctx, x, sizes, axis, None) if split is None else split_2(ctx, x, axis=axis, split=split)


@onnx_op("Split", since=2)
def split_2(ctx: Context, x: Value, *, axis: int = 0, split: Optional[list[int]] = None) -> tuple[Value, ...]:
    if split is None:
        return tuple(split_evenly(ctx, x, ctx.n_outputs, axis))
    return tuple(emit.split(ctx, x, split, axis))


@onnx_op("Split", since=13)
def split_13(ctx: Context, x: Value, split: Optional[Value] = None, *, axis: int = 0) -> tuple[Value, ...]:
    return _split(ctx, x, split, axis, None)


@onnx_op("Split", since=18)
def split_18(
    ctx: Context, x: Value, split: Optional[Value] = None, *, axis: int = 0, num_outputs: Optional[int] = None
) -> tuple[Value, ...]:
    return _split(ctx, x, split, axis, num_outputs)


def _split(ctx: Context, x: Value, sizes: Optional[Value], axis: int, parts: Optional[int]) -> tuple[Value, ...]:
    rank = ctx.rank(x)
    if sizes is None:
        dim = (x.shape or ())[axis]
        if parts is not None and parts != ctx.n_outputs:
            raise CorruptModelError(f"it has {ctx.n_outputs} outputs, and num_outputs is {parts}")
        if parts is None or isinstance(dim, int) and dim % parts == 0:
            return tuple(split_evenly(ctx, x, parts or ctx.n_outputs, axis))
        size = D.ceildiv(dim, parts)  # the last one is smaller
        return tuple(emit.split(ctx, x, [size] * (parts - 1) + [dim - size * (parts - 1)], axis))
    known = ctx.known_dims(sizes)
    if known is None:
        shapes = [ctx.declared(i) for i in range(ctx.n_outputs)]
        if D.is_static(x.shape) and all(s is not None and len(s) == rank for s in shapes):
            known = [s[axis] for s in shapes if s is not None]
    if known is not None:
        return tuple(emit.split(ctx, x, known, axis))
    pieces: list[Value] = []
    start = ctx.constant(np.zeros(1, np.int64))
    for i in range(ctx.n_outputs):
        end = arithmetic(ctx, "add", start, ctx.cast(emit.slice_(ctx, sizes, [0], [i], [i + 1]), DType.INT64))
        pieces.append(emit.slice_(ctx, x, [axis], start, end))
        start = end
    return tuple(pieces)


# Slice ------------------------------------------------------------------------------------------------------------


@onnx_op("Slice", since=1)
def slice_1(ctx: Context, x: Value, *, starts: list[int], ends: list[int], axes: Optional[list[int]] = None) -> Value:
    return emit.slice_(ctx, x, list(range(len(starts))) if axes is None else axes, starts, ends)


@onnx_op("Slice", since=10)
def slice_10(
    ctx: Context,
    x: Value,
    starts: Value,
    ends: Value,
    axes: Optional[Value] = None,
    steps: Optional[Value] = None,
) -> Value:
    count = (starts.shape or (None,))[0]
    known_axes = list(range(count)) if axes is None and isinstance(count, int) else ctx.known_dims(axes)
    known_steps = [1] * count if steps is None and isinstance(count, int) else ctx.known_dims(steps)
    if known_axes is None or known_steps is None or not D.is_static(known_axes) or not D.is_static(known_steps):
        declared = ctx.declared()
        if declared is not None and 0 in declared:
            return emit.fill(ctx, declared, 0, x.dtype)
        return reorder.slice_at_run_time(ctx, x, starts, ends, axes, steps)
    paces, positions = D.numbers(known_steps), D.numbers(known_axes)
    return emit.slice_(ctx, x, positions, _backward_starts(ctx, x, positions, starts, paces), ends, paces)


def _backward_starts(
    ctx: Context, x: Value, axes: Sequence[int], starts: Value, steps: Sequence[int]
) -> Union[Value, list[D.Dim]]:
    """Starts of which those of backward steps are no earlier than the first element, where numpy takes nothing."""
    backwards = [i for i, step in enumerate(steps) if step < 0]
    shape = x.shape
    if not backwards or shape is None:
        return starts
    known = ctx.known_dims(starts)
    if known is None:
        sizes = [dim_tensor(ctx, shape[axes[i]]) if i in backwards else INT32_MAX for i in range(len(steps))]
        columns = [ctx.constant(np.array([v], np.int64)) if isinstance(v, int) else v for v in sizes]
        least = compute(ctx, "mul", join(ctx, columns), ctx.constant(np.array([-1], np.int64)))
        return compute(ctx, "max", ctx.cast(starts, DType.INT64), least)
    made = list(known)
    for i in backwards:
        start, dim = made[i], shape[axes[i]]
        if not isinstance(start, int) or start < -1:
            made[i] = D.maximum(start, -dim)
    return made


# Pad --------------------------------------------------------------------------------------------------------------


@onnx_op("Pad", since=1)
def pad_1(ctx: Context, x: Value, *, paddings: list[int], mode: str = "constant", value: float = 0.0) -> Value:
    return pad_2(ctx, x, pads=paddings, mode=mode, value=value)


@onnx_op("Pad", since=2)
def pad_2(ctx: Context, x: Value, *, pads: list[int], mode: str = "constant", value: float = 0.0) -> Value:
    half = len(pads) // 2
    return emit_pad(ctx, x, pads[:half], pads[half:], mode, ctx.constant(np.array(value, x.dtype.numpy), x.dtype))


@onnx_op("Pad", since=11)
def pad(
    ctx: Context,
    x: Value,
    pads: Value,
    constant_value: Optional[Value] = None,
    axes: Optional[Value] = None,
    *,
    mode: str = "constant",
) -> Value:
    rank = ctx.rank(x)
    known = ctx.known_dims(pads)
    positions = list(range(rank)) if axes is None else ctx.known_dims(axes)
    if known is not None and positions is not None and D.is_static(positions):
        begins: list[D.Dim] = [0] * rank
        ends: list[D.Dim] = [0] * rank
        for i, axis in enumerate(positions):
            begins[axis], ends[axis] = known[i], known[i + len(positions)]  # type: ignore[index]
        return emit_pad(ctx, x, begins, ends, mode, constant_value)
    count = rank if axes is None else (axes.shape or (None,))[0]
    if not isinstance(count, int):
        raise ctx.refuse("the number of padded dimensions is known only at run time")
    halves = [emit.slice_(ctx, pads, [0], [i], [i + count]) for i in (0, count)]
    if axes is not None:
        halves = [_placed(ctx, v, axes, count, rank) for v in halves]
    return emit_pad(ctx, x, halves[0], halves[1], mode, constant_value)


def _placed(ctx: Context, numbers: Value, axes: Value, count: int, rank: int) -> Value:
    """Numbers given for some axes as a vector for all of them, zero elsewhere; int64 [rank]."""
    wide = ctx.cast(axes, DType.INT64)
    rows = emit.reshape(ctx, iota(ctx, rank), [rank, 1])
    hits = []
    for offset in (0, rank):  # negative axes count from the end
        wanted = arithmetic(ctx, "add", wide, ctx.constant(np.array([offset], np.int64)))
        hits.append(ctx.cast(compare(ctx, "equal", rows, emit.reshape(ctx, wanted, [1, count])), DType.INT64))
    hit = arithmetic(ctx, "add", hits[0], hits[1])
    table = arithmetic(ctx, "mul", hit, emit.reshape(ctx, ctx.cast(numbers, DType.INT64), [1, count]))
    return ctx.op("reduce_sum", X=table, dim=[1], keep_dim=False, reduce_all=False, result=(DType.INT64, (rank,)))


@onnx_op("CenterCropPad", since=18)
def center_crop_pad(ctx: Context, x: Value, shape: Value, *, axes: Optional[list[int]] = None) -> Value:
    rank = ctx.rank(x)
    positions = list(range(rank)) if axes is None else [a % rank for a in axes]
    wanted = ctx.known_dims(shape)
    declared = ctx.declared(rank=rank)
    if wanted is None and declared is not None:
        wanted = [declared[a] for a in positions]
    dims = list(x.shape or ())
    if wanted is not None and D.is_static(wanted) and D.is_static([dims[a] for a in positions]):
        low, high = [0] * rank, [0] * rank
        for axis, want in zip(positions, wanted):
            change = int(want) - int(dims[axis])  # type: ignore[arg-type]
            low[axis] = int(change / 2)
            high[axis] = change - low[axis]
        return emit_pad(ctx, x, low, high)
    sizes = emit.sizes_of(ctx, x)
    have = emit.concat(ctx, [emit.slice_(ctx, sizes, [0], [a], [a + 1]) for a in positions], 0)
    change_ = arithmetic(ctx, "sub", ctx.cast(shape, DType.INT64), have)
    before = arithmetic(ctx, "div", change_, ctx.constant(np.array([2], np.int64)))
    after = arithmetic(ctx, "sub", change_, before)
    number = ctx.constant(np.array(positions, np.int64))
    halves = [_placed(ctx, v, number, len(positions), rank) for v in (before, after)]
    return emit_pad(ctx, x, halves[0], halves[1])
