"""What changes the form of a tensor and none of its elements."""

from __future__ import annotations

from typing import Optional

import numpy as np

from mconv.exporters.onnx.context import Context
from mconv.exporters.onnx.errors import Unsupported
from mconv.exporters.onnx.ops.conv import channels_back, channels_first
from mconv.exporters.onnx.ops.creation import dims_of
from mconv.exporters.onnx.registry import paddle_op
from mconv.exporters.onnx.types import numbers
from mconv.program.dtypes import DType
from mconv.program.value import Value


@paddle_op("reshape", "reshape2")
def reshape(
    ctx: Context,
    X: Value,
    Shape: Optional[Value] = None,
    ShapeTensor: list[Value] = [],  # noqa: B006
    *,
    shape: list[int] = [],  # noqa: B006
) -> Value:
    if Shape is not None or ShapeTensor:
        return ctx.reshape(X, dims_of(ctx, [], Shape, ShapeTensor))
    return ctx.reshape(X, shape)


@paddle_op("view_shape", outputs=["out"])
def view_shape(ctx: Context, input: Value, *, dims: list[int]) -> Value:
    return ctx.reshape(input, dims)


@paddle_op("flatten_contiguous_range")
def flatten_contiguous_range(ctx: Context, X: Value, *, start_axis: int = 1, stop_axis: int = 1) -> Value:
    rank = ctx.rank(X)
    if rank == 0:
        return ctx.reshape(X, [1])
    first, last = ctx.axis(start_axis, rank), ctx.axis(stop_axis, rank)
    if first == last:
        return X
    sizes = X.shape or ()
    behind = list(sizes[last + 1 :])
    inside = sizes[first : last + 1]
    if numbers(behind) is not None:
        known = numbers(inside)
        merged = int(np.prod(known)) if known is not None else -1
        dims = [d if isinstance(d, int) else 0 for d in sizes[:first]] + [merged, *behind]
        return ctx.reshape(X, dims)
    whole = [ctx.dim(X, i) for i in range(rank)]
    product = whole[first]
    for size in whole[first + 1 : last + 1]:
        product = ctx.op("Mul", product, size)
    return ctx.op("Reshape", X, ctx.vector([*whole[:first], product, *whole[last + 1 :]]))


@paddle_op("flatten", "flatten2")
def flatten(ctx: Context, X: Value, *, axis: int = 1) -> Value:
    return ctx.op("Flatten", X, axis=axis)


@paddle_op("transpose", "transpose2")
def transpose(ctx: Context, X: Value, *, axis: list[int], data_format: str = "AnyLayout") -> Value:
    return ctx.transpose(X, axis)


@paddle_op("squeeze", "squeeze2")
def squeeze(ctx: Context, X: Value, AxesTensor: Optional[Value] = None, *, axes: list[int] = []) -> Value:  # noqa: B006
    rank = ctx.rank(X)
    given = axes if AxesTensor is None else ctx.ints(AxesTensor, "the axes")
    sizes = X.shape or ()
    if given:
        chosen = ctx.axes(given, rank)
        if any(not isinstance(sizes[a], int) for a in chosen):
            declared = ctx.declared()
            if declared is not None and len(declared.shape or ()) == rank - len(set(chosen)):
                return ctx.squeeze(X, sorted(set(chosen)))
        return ctx.squeeze(X, sorted({a for a in chosen if sizes[a] == 1}))
    return ctx.squeeze(X, [a for a in range(rank) if sizes[a] == 1])


@paddle_op("unsqueeze", "unsqueeze2")
def unsqueeze(
    ctx: Context,
    X: Value,
    AxesTensor: Optional[Value] = None,
    AxesTensorList: list[Value] = [],  # noqa: B006
    *,
    axes: list[int] = [],  # noqa: B006
) -> Value:
    given = list(axes)
    if AxesTensor is not None:
        given = ctx.ints(AxesTensor, "the axes")
    elif AxesTensorList:
        given = [ctx.ints(a, "an axis")[0] for a in AxesTensorList]
    # one after the other, each counted in what there is then: not what ONNX means by a list
    rank, order = ctx.rank(X), list(range(ctx.rank(X)))
    for axis in given:
        order.insert(axis + len(order) + 1 if axis < 0 else axis, -1)
    return ctx.unsqueeze(X, [i for i, old in enumerate(order) if old < 0]) if len(order) > rank else X


@paddle_op("concat")
def concat(ctx: Context, X: list[Value], AxisTensor: Optional[Value] = None, *, axis: int = 0) -> Value:
    where = axis if AxisTensor is None else ctx.ints(AxisTensor, "the axis")[0]
    xs = [x for x in X if not (x.rank == 1 and x.shape == (0,) and any((y.rank or 0) > 1 for y in X))]
    return ctx.concat(xs, ctx.axis(where, ctx.rank(xs[0])))


@paddle_op("split")
def split(
    ctx: Context,
    X: Value,
    AxisTensor: Optional[Value] = None,
    SectionsTensorList: list[Value] = [],  # noqa: B006
    *,
    num: int = 0,
    sections: list[int] = [],  # noqa: B006
    axis: int = 0,
) -> list[Value]:
    where = ctx.axis(axis if AxisTensor is None else ctx.ints(AxisTensor, "the axis")[0], ctx.rank(X))
    size = X.shape[where] if X.shape is not None else None
    count = len(ctx.paddle.output("Out"))
    parts: Optional[list[int]] = list(sections)
    if SectionsTensorList:
        parts = [ctx.ints(s, "a size")[0] for s in SectionsTensorList]
    if parts and -1 in parts and isinstance(size, int):
        parts[parts.index(-1)] = size - sum(p for p in parts if p != -1)
    if not parts and isinstance(size, int):
        if size % count:
            raise Unsupported(f"{size} in {count} equal parts")
        parts = [size // count] * count
    if parts and -1 not in parts:
        return ctx.split(X, parts, where)
    if count == 1:
        return [X]
    if not parts and ctx.opset >= 18:
        return list(ctx.op("Split", X, axis=where, num_outputs=count, outputs=count))
    if not parts and ctx.opset < 13:
        return list(ctx.op("Split", X, axis=where, outputs=count))
    whole = ctx.dim(X, where)
    if not parts:
        each = ctx.op("Div", whole, count)
        return list(ctx.op("Split", X, ctx.vector([each] * count), axis=where, outputs=count))
    rest = ctx.op("Sub", whole, sum(p for p in parts if p != -1))
    if ctx.opset < 13:
        ctx.needs(13, "Split into computed sizes")
    return list(ctx.op("Split", X, ctx.vector([rest if p == -1 else p for p in parts]), axis=where, outputs=count))


@paddle_op("unbind")
def unbind(ctx: Context, X: Value, *, axis: int = 0) -> list[Value]:
    return _parts(ctx, X, axis, len(ctx.paddle.output("Out")))


@paddle_op("unstack", outputs=["Y"])
def unstack(ctx: Context, X: Value, *, axis: int = 0, num: int = 0) -> list[Value]:
    return _parts(ctx, X, axis, len(ctx.paddle.output("Y")))


def _parts(ctx: Context, X: Value, axis: int, count: int) -> list[Value]:
    where = ctx.axis(axis, ctx.rank(X))
    return [ctx.squeeze(part, [where]) for part in ctx.split(X, [1] * count, where)]


@paddle_op("stack", outputs=["Y"])
def stack(ctx: Context, X: list[Value], *, axis: int = 0) -> Value:
    where = ctx.axis(axis, ctx.rank(X[0]) + 1)
    return ctx.concat([ctx.unsqueeze(x, [where]) for x in X], where)


@paddle_op("expand_v2")
def expand_v2(
    ctx: Context,
    X: Value,
    Shape: Optional[Value] = None,
    expand_shapes_tensor: list[Value] = [],  # noqa: B006
    *,
    shape: list[int] = [],  # noqa: B006
) -> Value:
    dims = dims_of(ctx, shape, Shape, expand_shapes_tensor)
    known = ctx.known(dims)
    if known is not None:  # -1: as it is, which 1 means too
        return ctx.expand(X, [1 if d == -1 else d for d in known])
    return ctx.expand(X, ctx.op("Max", dims, 1) if -1 in shape else dims)


@paddle_op("expand_as_v2")
def expand_as_v2(ctx: Context, X: Value, Y: Optional[Value] = None, *, target_shape: list[int] = []) -> Value:  # noqa: B006
    if Y is not None:
        return ctx.expand(X, ctx.shape(Y))
    return ctx.expand(X, [1 if d == -1 else d for d in target_shape])


@paddle_op("expand")
def expand_v1(
    ctx: Context,
    X: Value,
    ExpandTimes: Optional[Value] = None,
    expand_times_tensor: list[Value] = [],  # noqa: B006
    *,
    expand_times: list[int] = [],  # noqa: B006
) -> Value:
    return ctx.op("Tile", X, dims_of(ctx, expand_times, ExpandTimes, expand_times_tensor))


@paddle_op("tile")
def tile(
    ctx: Context,
    X: Value,
    RepeatTimes: Optional[Value] = None,
    repeat_times_tensor: list[Value] = [],  # noqa: B006
    *,
    repeat_times: list[int] = [],  # noqa: B006
) -> Value:
    times = dims_of(ctx, repeat_times, RepeatTimes, repeat_times_tensor)
    count = ctx.size(times, 0, "how many repetitions there are is")
    rank = ctx.rank(X)
    if count < rank:
        times = ctx.vector([*[1] * (rank - count), times]) if count else ctx.const([1] * rank, DType.INT64)
    elif count > rank:
        X = ctx.unsqueeze(X, list(range(count - rank)))
    known = ctx.known(times)
    return X if known is not None and all(t == 1 for t in known) else ctx.op("Tile", X, times)


@paddle_op("broadcast_tensors")
def broadcast_tensors(ctx: Context, X: list[Value]) -> list[Value]:
    shapes = [ctx.shape(x) for x in X]
    found = []
    for x in X:
        made = x
        for other, dims in zip(X, shapes):
            if other is not x:
                made = ctx.expand(made, dims)
        found.append(made)
    return found


@paddle_op("flip", "reverse")
def flip(ctx: Context, X: Value, *, axis: list[int]) -> Value:
    axes = ctx.axes([axis] if isinstance(axis, int) else axis, ctx.rank(X))
    if not axes:
        return X
    count = len(axes)
    return ctx.slice(X, [-1] * count, [-(1 << 62)] * count, axes, [-1] * count)


@paddle_op("roll")
def roll(
    ctx: Context,
    X: Value,
    ShiftsTensor: Optional[Value] = None,
    *,
    shifts: list[int] = [],  # noqa: B006
    axis: list[int] = [],  # noqa: B006
) -> Value:
    moves = shifts if ShiftsTensor is None else ctx.ints(ShiftsTensor, "the shifts")
    x = X
    if not axis:
        x, axis = ctx.reshape(X, [-1]), [0]
        return ctx.reshape(_rolled(ctx, x, moves[0], 0), ctx.shape(X))
    for move, where in zip(moves, ctx.axes(axis, ctx.rank(X))):
        x = _rolled(ctx, x, move, where)
    return x


def _rolled(ctx: Context, x: Value, move: int, axis: int) -> Value:
    size = x.shape[axis] if x.shape is not None else None
    if isinstance(size, int):
        move = move % size if size else 0
        if not move:
            return x
        start = ctx.const([size - move], DType.INT64)
    else:
        whole = ctx.dim(x, axis)
        start = ctx.op("Sub", whole, ctx.op("Mod", ctx.const([move], DType.INT64), ctx.op("Max", whole, 1)))
    first = ctx.slice(x, start, [1 << 62], [axis])
    second = ctx.slice(x, [0], start, [axis])
    return ctx.concat([first, second], axis)


@paddle_op("pixel_shuffle")
def pixel_shuffle(ctx: Context, X: Value, *, upscale_factor: int = 1, data_format: str = "NCHW") -> Value:
    x, last = channels_first(ctx, X, data_format)
    return channels_back(ctx, ctx.op("DepthToSpace", x, blocksize=upscale_factor, mode="CRD"), last)


@paddle_op("pixel_unshuffle")
def pixel_unshuffle(ctx: Context, X: Value, *, downscale_factor: int = 1, data_format: str = "NCHW") -> Value:
    """Blocks into channels; ``SpaceToDepth`` has the channels last."""
    x, last = channels_first(ctx, X, data_format)
    channels = ctx.size(x, 1)
    b = downscale_factor
    made = ctx.op("SpaceToDepth", x, blocksize=b)  # [N, b*b*C, H, W], the block first
    order = np.arange(b * b * channels).reshape(b * b, channels).T.reshape(-1)
    made = ctx.op("Gather", made, order.astype(np.int64), axis=1)
    return channels_back(ctx, made, last)


@paddle_op("channel_shuffle")
def channel_shuffle(ctx: Context, X: Value, *, groups: int, data_format: str = "NCHW") -> Value:
    axis = 3 if data_format == "NHWC" else 1
    channels = ctx.size(X, axis)
    order = np.arange(channels).reshape(groups, channels // groups).T.reshape(-1)
    return ctx.op("Gather", X, order.astype(np.int64), axis=axis)


@paddle_op("shuffle_channel")
def shuffle_channel(ctx: Context, X: Value, *, group: int = 1) -> Value:
    return channel_shuffle(ctx, X, groups=group)


@paddle_op("temporal_shift")
def temporal_shift(
    ctx: Context, X: Value, *, seg_num: int, shift_ratio: float = 0.25, data_format: str = "NCHW"
) -> Value:
    x, last = channels_first(ctx, X, data_format)
    sizes = numbers((x.shape or ())[1:])
    if sizes is None or len(sizes) != 3:
        raise Unsupported("channels or sizes are known only at run time")
    c, h, w = sizes
    first, second = int(c * shift_ratio), int(c * 2 * shift_ratio)
    y = ctx.reshape(x, [-1, seg_num, c, h, w])
    a, b, rest = ctx.split(y, [first, second - first, c - second], 2)
    pads = np.zeros((2, 5), np.int64)
    pads[0, 1] = 1
    a = ctx.slice(ctx.op("Pad", a, pads.reshape(-1)), [0], [-1], [1])
    b = ctx.slice(ctx.op("Pad", b, pads[::-1].reshape(-1)), [1], [1 << 62], [1])
    made = ctx.reshape(ctx.concat([a, b, rest], 2), [-1, c, h, w])
    return channels_back(ctx, made, last)
