"""Parts of tensors, read and written."""

from __future__ import annotations

from typing import Any, Optional

import numpy as np

from mconv.exporters.onnx.context import Context
from mconv.exporters.onnx.errors import Unsupported
from mconv.exporters.onnx.ops.creation import Listed, dims_of
from mconv.exporters.onnx.registry import paddle_op
from mconv.program.dtypes import DType
from mconv.program.schemas import attributes_of
from mconv.program.value import Value

_FAR = 1 << 62
_COUNTS_ENDS_BACKWARDS = 3000000  # ProgramDesc.version of the first Paddle to which -1 is the last element there, too


def _bounds(ctx: Context, given: list[int], tensor: Optional[Value], parts: list[Value]) -> Value:
    return dims_of(ctx, [min(g, _FAR) for g in given], tensor, parts)


@paddle_op("slice")
def slice_(
    ctx: Context,
    Input: Value,
    StartsTensor: Optional[Value] = None,
    EndsTensor: Optional[Value] = None,
    StartsTensorList: list[Value] = [],  # noqa: B006
    EndsTensorList: list[Value] = [],  # noqa: B006
    *,
    axes: list[int],
    starts: list[int] = [],  # noqa: B006
    ends: list[int] = [],  # noqa: B006
    decrease_axis: list[int] = [],  # noqa: B006
) -> Value:
    if isinstance(Input, list):
        raise Unsupported("of a tensor array")
    first = _bounds(ctx, starts, StartsTensor, StartsTensorList)
    last = _bounds(ctx, ends, EndsTensor, EndsTensorList)
    if decrease_axis and len(decrease_axis) == len(axes) == 1:
        if ctx.known(first) is None:
            return ctx.op("Gather", Input, ctx.reshape(first, []), axis=ctx.axis(axes[0], ctx.rank(Input)))
        return ctx.op("Gather", Input, ctx.const(ctx.known(first)[0], DType.INT64), axis=axes[0])  # type: ignore[index]
    if decrease_axis:  # one element: -1 as its start is followed by the end, not by 0
        known, ended = ctx.known(first), ctx.known(last)
        if known is not None and ended is not None:
            last = ctx.const([_FAR if s == -1 and a in decrease_axis else e for s, e, a in zip(known, ended, axes)])
    made = ctx.op("Slice", Input, first, last, list(axes))
    return ctx.squeeze(made, sorted(ctx.axes(decrease_axis, ctx.rank(Input))))


def _ends_before_3(ctx: Context, x: Value, last: Value, step: Value, axes: list[int]) -> Value:
    """Where a step backwards ends in Paddle before 3: -1 is through the first element, less than -size before it."""
    ends, steps = ctx.known(last), ctx.known(step)
    if steps is not None and all(s > 0 for s in steps):
        return last
    if ends is not None and steps is not None:
        parts: list[Value] = []
        for axis, end, s in zip(axes, ends, steps):
            part = ctx.const([-_FAR if s < 0 and end == -1 else end], DType.INT64)
            if s < 0 and end < -1:
                part = ctx.op("Max", part, ctx.op("Neg", ctx.dim(x, axis)))
            parts.append(part)
        return ctx.concat(parts, axis=0)
    sizes = ctx.concat([ctx.dim(x, axis) for axis in axes], axis=0)
    through = ctx.op(
        "Where", ctx.op("Equal", last, -1), ctx.const(-_FAR, DType.INT64), ctx.op("Max", last, ctx.op("Neg", sizes))
    )
    return ctx.op("Where", ctx.op("Less", step, 0), through, last)


@paddle_op("strided_slice")
def strided_slice(
    ctx: Context,
    Input: Value,
    StartsTensor: Optional[Value] = None,
    EndsTensor: Optional[Value] = None,
    StridesTensor: Optional[Value] = None,
    StartsTensorList: list[Value] = [],  # noqa: B006
    EndsTensorList: list[Value] = [],  # noqa: B006
    StridesTensorList: list[Value] = [],  # noqa: B006
    *,
    axes: list[int],
    starts: list[int] = [],  # noqa: B006
    ends: list[int] = [],  # noqa: B006
    strides: list[int] = [],  # noqa: B006
    decrease_axis: list[int] = [],  # noqa: B006
) -> Value:
    first = _bounds(ctx, starts, StartsTensor, StartsTensorList)
    last = _bounds(ctx, ends, EndsTensor, EndsTensorList)
    step = _bounds(ctx, strides, StridesTensor, StridesTensorList)
    if ctx.exporter.program.version < _COUNTS_ENDS_BACKWARDS:
        last = _ends_before_3(ctx, Input, last, step, axes)
    made = ctx.op("Slice", Input, first, last, list(axes), step)
    return ctx.squeeze(made, sorted(ctx.axes(decrease_axis, ctx.rank(Input))))


@paddle_op("crop_tensor", "crop")
def crop(
    ctx: Context,
    X: Value,
    Shape: Optional[Value] = None,
    ShapeTensor: list[Value] = [],  # noqa: B006
    Offsets: Optional[Value] = None,
    OffsetsTensor: list[Value] = [],  # noqa: B006
    *,
    shape: list[int] = [],  # noqa: B006
    offsets: list[int] = [],  # noqa: B006
) -> Value:
    rank = ctx.rank(X)
    first = _bounds(ctx, offsets or [0] * rank, Offsets, OffsetsTensor)
    sizes = _bounds(ctx, shape, Shape, ShapeTensor)
    known = ctx.known(sizes)
    if known is not None and -1 in known:
        starts = ctx.known(first)
        if starts is None:
            raise Unsupported("an open size from an offset that is computed at run time")
        last: Any = [_FAR if k == -1 else s + k for s, k in zip(starts, known)]
    else:
        last = ctx.op("Add", first, sizes)
    return ctx.op("Slice", X, first, last, list(range(rank)))


@paddle_op("set_value", "set_value_with_tensor")
@attributes_of(Listed)
def set_value(
    ctx: Context,
    Input: Value,
    ValueTensor: Optional[Value] = None,
    StartsTensorList: list[Value] = [],  # noqa: B006
    EndsTensorList: list[Value] = [],  # noqa: B006
    StepsTensorList: list[Value] = [],  # noqa: B006
    *,
    axes: list[int],
    starts: list[int] = [],  # noqa: B006
    ends: list[int] = [],  # noqa: B006
    steps: list[int] = [],  # noqa: B006
    decrease_axes: list[int] = [],  # noqa: B006
    none_axes: list[int] = [],  # noqa: B006
    dtype: int = int(DType.FP32),
    shape: list[int] = [],  # noqa: B006
    **lists: Any,
) -> Value:
    """The positions that a slice names are the same slice of the positions of all elements."""
    x = Input
    if ValueTensor is None:
        ValueTensor = ctx.const(np.asarray(Listed(**lists).given).astype(x.dtype.numpy).reshape(shape))
    value = ctx.cast(ValueTensor, x.dtype)
    rank = ctx.rank(x)
    if not axes:
        return ctx.expand(value, ctx.shape(x))
    first = _bounds(ctx, starts, None, StartsTensorList)
    last = _bounds(ctx, ends, None, EndsTensorList)
    step = _bounds(ctx, steps or [1] * len(axes), None, StepsTensorList)
    if ctx.exporter.program.version < _COUNTS_ENDS_BACKWARDS:  # -1 is through the first element, as is all before it
        through = ctx.op("And", ctx.op("Less", step, 0), ctx.op("Equal", last, -1))
        last = ctx.op("Where", through, ctx.const(-_FAR, DType.INT64), last)
    count = ctx.op("Size", x)
    numbers = ctx.arange(count)
    positions = ctx.op("Reshape", numbers, ctx.shape(x))
    chosen = ctx.op("Slice", positions, first, last, list(axes), step)
    sizes = [ctx.dim(chosen, i) for i in range(rank)]
    # the value is broadcast to what is left after the axes that a number (and not a slice) has taken
    kept = [i for i in range(rank) if i not in ctx.axes(decrease_axes, rank)]
    if none_axes:
        value = ctx.squeeze(value, [a for a in none_axes if a < ctx.rank(value)])
    shown = ctx.op("Expand", value, ctx.vector([sizes[i] for i in kept]) if kept else ctx.const([], DType.INT64))
    flat_at = ctx.op("Reshape", chosen, [-1])
    flat = ctx.op("ScatterElements", ctx.op("Reshape", x, [-1]), flat_at, ctx.op("Reshape", shown, [-1]), axis=0)
    return ctx.op("Reshape", flat, ctx.shape(x))


@paddle_op("pad")
def pad(
    ctx: Context,
    X: Value,
    PadValue: Optional[Value] = None,
    Paddings: Optional[Value] = None,
    *,
    paddings: list[int] = [],  # noqa: B006
    pad_value: float = 0.0,
) -> Value:
    given = paddings
    fill = ctx.const(pad_value, X.dtype) if PadValue is None else ctx.cast(ctx.scalar(PadValue), X.dtype)
    if Paddings is not None:
        raise Unsupported("paddings computed at run time")
    return _padded(ctx, X, [*given[::2], *given[1::2]], "constant", fill)


_MODES = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap", "edge": "edge"}


@paddle_op("pad3d", "pad2d")
def pad3d(
    ctx: Context,
    X: Value,
    Paddings: Optional[Value] = None,
    *,
    paddings: list[int] = [],  # noqa: B006
    mode: str = "constant",
    value: float = 0.0,
    pad_value: float = 0.0,
    data_format: str = "NCDHW",
) -> Value:
    two = ctx.paddle.type == "pad2d"
    rank = ctx.rank(X)
    spatial = rank - 2
    last = data_format in ("NDHWC", "NHWC", "NLC")
    fill = ctx.const(pad_value if two else value, X.dtype)
    known = paddings if Paddings is None else ctx.known(Paddings)
    order = [0, 1] if two else [2 * (spatial - 1 - i) for i in range(spatial)]  # of pairs: the last axis comes first
    if known is None:
        tensor = ctx.vector(Paddings)  # type: ignore[arg-type]
        low = ctx.op("Gather", tensor, order, axis=0)
        high = ctx.op("Gather", tensor, [o + 1 for o in order], axis=0)
        zero = ctx.const([0, 0], DType.INT64)
        one = ctx.const([0], DType.INT64)
        pads: Any = ctx.vector([one, low, one, one, high, one] if last else [zero, low, zero, high])
        return _padded(ctx, X, pads, mode, fill)
    if two:
        low_, high_ = [known[0], known[2]], [known[1], known[3]]
    else:
        low_, high_ = [known[o] for o in order], [known[o + 1] for o in order]
    pads = [0, *low_, 0, 0, *high_, 0] if last else [0, 0, *low_, 0, 0, *high_]
    return _padded(ctx, X, pads, mode, fill)


def _padded(ctx: Context, x: Value, pads: Any, mode: str, fill: Value) -> Value:
    kind = _MODES.get(mode)
    if kind is None:
        raise Unsupported(f"mode {mode!r}")
    if isinstance(pads, list) and not any(pads):
        return x
    if kind == "wrap" and ctx.opset < 19:
        return _wrapped(ctx, x, pads)
    (wide,) = ctx.wide(x)
    value = ctx.cast(fill, wide.dtype) if kind == "constant" else None
    return ctx.cast(ctx.op("Pad", wide, pads, value, mode=kind), x.dtype)


def _wrapped(ctx: Context, x: Value, pads: Any) -> Value:
    if not isinstance(pads, list):
        raise Unsupported("circular paddings computed at run time")
    rank = len(pads) // 2
    for axis in range(rank):
        low, high = pads[axis], pads[axis + rank]
        if low or high:
            parts = [x]
            if low:
                parts.insert(0, ctx.slice(x, [-low], [_FAR], [axis]))
            if high:
                parts.append(ctx.slice(x, [0], [high], [axis]))
            x = ctx.concat(parts, axis)
    return x


@paddle_op("pad_constant_like")
def pad_constant_like(ctx: Context, X: Value, Y: Value, *, pad_value: float = 0.0) -> Value:
    more = ctx.op("Sub", ctx.shape(X), ctx.shape(Y))
    zeros = ctx.const([0] * ctx.rank(X), DType.INT64)
    return ctx.op("Pad", Y, ctx.vector([zeros, more]), ctx.const(pad_value, Y.dtype))
