"""Elements in another order, repeated, in windows, or cut to a triangle."""

from __future__ import annotations

from typing import Any, Callable

import numpy as np

from mconv import emit
from mconv.emit import reorder, slicing
from mconv.paddle.context import Context
from mconv.paddle.registry import Unsupported, paddle_op
from mconv.program.dtypes import DType
from mconv.program.value import Value


@paddle_op("transpose")
def transpose(ctx: Context, x: Value, *, perm: list[int]) -> Value:
    rank = len(perm)
    return emit.transpose(ctx.b, x, [p % rank for p in perm]) if rank else x


@paddle_op("trans_layout")
def trans_layout(ctx: Context, x: Value, *, perm: list[int]) -> Value:
    return transpose(ctx, x, perm=perm)


@paddle_op("tril", "triu")
def triangle(ctx: Context, x: Value, *, diagonal: int) -> Value:
    lower = ctx.operation.name.rstrip("_").endswith("tril")
    b = ctx.b
    if x.dtype is DType.BOOL:
        made = b.op("tril_triu", X=b.cast(x, DType.INT32), diagonal=diagonal, lower=lower)
        return b.cast(made, DType.BOOL)
    return ctx.op("tril_triu", X=x, diagonal=diagonal, lower=lower, result=(x.dtype, x.shape))


@paddle_op("roll")
def roll(ctx: Context, x: Value, shifts: Any, *, axis: list[int]) -> Value:
    known = slicing.axes_attribute(ctx.b, "roll", axis)
    return ctx.op("roll", X=x, shifts=ctx.ints(shifts), **known, result=(x.dtype, x.shape))


@paddle_op("flip")
def flip(ctx: Context, x: Value, *, axis: list[int]) -> Value:
    return emit.flip(ctx.b, x, axis)


@paddle_op("repeat_interleave")
def repeat_interleave(ctx: Context, x: Value, *, repeats: int, axis: int, output_size: int = -1) -> Value:
    """Every element *repeats* times: a new dimension, expanded and merged."""
    b = ctx.b
    shape = list(x.shape or ())
    axis %= len(shape)
    wide = emit.unsqueeze(b, x, [axis + 1])
    wide = emit.expand_to(b, wide, [*shape[: axis + 1], repeats, *shape[axis + 1 :]])
    return emit.reshape(b, wide, [*shape[:axis], shape[axis] * repeats, *shape[axis + 1 :]])


@paddle_op("repeat_interleave_with_tensor_index")
def repeat_by_tensor(ctx: Context, x: Value, repeats: Value, *, axis: int, output_size: int = -1) -> Value:
    spec = ctx.spec()
    if ctx.has("repeat_interleave"):
        sig = ctx.b.signature("repeat_interleave")
        if "RepeatsTensor" in sig["inputs"]:
            return ctx.op("repeat_interleave", X=x, RepeatsTensor=repeats, dim=axis, Repeats=0, result=spec)
    raise Unsupported("repetitions that are computed at run time")


@paddle_op("pixel_unshuffle")
def pixel_unshuffle(ctx: Context, x: Value, *, downscale_factor: int, data_format: str) -> Any:
    if ctx.has("pixel_unshuffle"):
        return ctx.generic()
    return _channels_first(
        ctx, x, data_format, lambda v: emit.space_to_depth(ctx.b, v, downscale_factor, column_major=True)
    )


@paddle_op("channel_shuffle")
def channel_shuffle(ctx: Context, x: Value, *, groups: int, data_format: str) -> Any:
    if ctx.has("channel_shuffle"):
        return ctx.generic()
    return _channels_first(ctx, x, data_format, lambda v: reorder.channel_shuffle(ctx.b, v, groups))


def _channels_first(ctx: Context, x: Value, data_format: str, convert: Callable[[Value], Value]) -> Value:
    """What takes [N, C, H, W], on [N, H, W, C] as well."""
    if data_format != "NHWC":
        return convert(x)
    return emit.transpose(ctx.b, convert(emit.transpose(ctx.b, x, [0, 3, 1, 2])), [0, 2, 3, 1])


@paddle_op("tensor_unfold")
def tensor_unfold(ctx: Context, x: Value, *, axis: int, size: int, step: int) -> Value:
    """Windows of *size* every *step*, in a new last dimension."""
    b = ctx.b
    shape = list(x.shape or ())
    axis %= len(shape)
    whole = shape[axis]
    if not isinstance(whole, int):
        raise Unsupported("windows over a size that is known only at run time")
    starts = np.arange(0, whole - size + 1, step)
    index = (starts[:, None] + np.arange(size)).reshape(-1).astype(np.int64)
    taken = emit.gather(b, x, b.constant(index), axis)
    made = emit.reshape(b, taken, [*shape[:axis], len(starts), size, *shape[axis + 1 :]])
    order = [i for i in range(len(shape) + 1) if i != axis + 1] + [axis + 1]
    return emit.transpose(b, made, order)
