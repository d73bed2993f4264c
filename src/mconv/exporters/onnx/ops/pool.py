"""Pooling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional

import numpy as np

from mconv.exporters.onnx.context import Context
from mconv.exporters.onnx.errors import Unsupported
from mconv.exporters.onnx.ops.conv import Sliding, channels_back, channels_first, paddings
from mconv.exporters.onnx.registry import paddle_op
from mconv.program import dims as D
from mconv.program.dtypes import DType
from mconv.program.schemas import attributes_of
from mconv.program.value import Value

_LOWEST = float(np.finfo(np.float32).min)  # of no element, in Paddle of every type


@paddle_op("pool2d", "pool3d")
@attributes_of(Sliding)
def pool(
    ctx: Context,
    X: Value,
    *,
    pooling_type: str,
    ksize: list[int],
    global_pooling: bool = False,
    exclusive: bool = True,
    adaptive: bool = False,
    ceil_mode: bool = False,
    **attributes: Any,
) -> Value:
    at = Sliding(**attributes)
    x, last = channels_first(ctx, X, at.data_format)
    spatial = ctx.rank(x) - 2
    if len(ksize) == 1:
        ksize = ksize * spatial
    biggest = pooling_type == "max"
    if global_pooling or (adaptive and all(k == 1 for k in ksize)):
        made = ctx.op("GlobalMaxPool" if biggest else "GlobalAveragePool", x)
        return channels_back(ctx, made, last)
    if adaptive:
        return channels_back(ctx, _adaptive(ctx, x, ksize, biggest), last)
    pads = paddings(ctx, at.paddings_, at.padding_algorithm, spatial)
    if ceil_mode and pads is not None and _may_start_outside(x, ksize, at.strides, pads):
        if biggest:
            padded = _padded_by_strides(ctx, x, at.strides, pads, _LOWEST)
            made = ctx.op("MaxPool", padded, kernel_shape=ksize, strides=at.strides)
        else:
            made = _means_of_all_windows(ctx, x, ksize, at.strides, pads, exclusive)
        return channels_back(ctx, made, last)
    shared: dict[str, Any] = {
        "kernel_shape": ksize,
        "strides": at.strides,
        "pads": pads,
        "auto_pad": "SAME_UPPER" if pads is None else None,
        "ceil_mode": int(ceil_mode) or None,
    }
    if biggest:
        return channels_back(ctx, ctx.op("MaxPool", x, **shared), last)
    shared["count_include_pad"] = None if exclusive else 1
    if ceil_mode and not exclusive and ctx.opset < 19:
        # Paddle and opset 19 on do not count what lies beyond the padding, runtimes before differ: count by hand
        return channels_back(ctx, _counted(ctx, x, shared, spatial), last)
    return channels_back(ctx, ctx.op("AveragePool", x, **shared), last)


def _may_start_outside(x: Value, reach: Sequence[int], strides: list[int], pads: list[int]) -> bool:
    """Whether the last of the windows, which *reach* so far, may start beyond the input where their number is rounded up.

    Paddle keeps such a window, ONNX has none.
    """
    spatial = len(reach)
    for n, k, s, p, q in zip((x.shape or ())[2:], reach, strides, pads[:spatial], pads[spatial:]):
        if s + q > k and (not isinstance(n, int) or -(-(n + p + q - k) // s) * s >= n + p):
            return True
    return False


def _means_of_all_windows(
    ctx: Context, x: Value, kernel: list[int], strides: list[int], pads: list[int], exclusive: bool
) -> Value:
    """The mean of a window outside is 0 by a count that is not above 0, as Paddle counts."""
    spatial = len(kernel)
    made = _sums(ctx, x, kernel, strides, pads)
    for axis, (k, s, p, q) in enumerate(zip(kernel, strides, pads[:spatial], pads[spatial:]), start=2):
        size = ctx.dim(x, axis)
        low = ctx.op("Sub", ctx.op("Mul", ctx.arange(ctx.dim(made, axis)), s), p)
        high, limit = ctx.op("Add", low, k), size if exclusive else ctx.op("Add", size, q)
        low, high = (ctx.cast(v, x.dtype) for v in (low, ctx.op("Where", ctx.op("Less", high, limit), high, limit)))
        count = ctx.op("Sub", high, ctx.op("Relu", low) if exclusive else low)
        made = ctx.op("Div", made, ctx.unsqueeze(count, list(range(1, spatial + 2 - axis))))
    return made


def _sums(ctx: Context, x: Value, kernel: list[int], strides: list[int], pads: list[int]) -> Value:
    """The sum over each of the windows whose number is rounded up."""
    padded = _padded_by_strides(ctx, x, strides, pads, 0.0)
    return ctx.op("Mul", ctx.op("AveragePool", padded, kernel_shape=kernel, strides=strides), float(np.prod(kernel)))


def _padded_by_strides(ctx: Context, x: Value, strides: list[int], pads: list[int], value: float) -> Value:
    """*x* with so much behind it that the number of windows rounded down is what Paddle rounds up, for every size."""
    spatial = len(strides)
    ends = [q + s - 1 for q, s in zip(pads[spatial:], strides)]
    return ctx.op("Pad", x, [0, 0, *pads[:spatial], 0, 0, *ends], ctx.const(value, x.dtype))


def _counted(ctx: Context, x: Value, shared: dict[str, Any], spatial: int) -> Value:
    """The mean over windows that end beyond the padding: the padding by zeros first, then without it."""
    pads = shared["pads"] or [0] * (2 * spatial)
    whole = [0, 0, *pads[:spatial], 0, 0, *pads[spatial:]]
    padded = ctx.op("Pad", x, whole)
    return ctx.op("AveragePool", padded, kernel_shape=shared["kernel_shape"], strides=shared["strides"], ceil_mode=1)


def _adaptive(ctx: Context, x: Value, out: list[int], biggest: bool) -> Value:
    """Even windows are ordinary pooling; uneven ones are cut out, one axis after the other."""
    sizes = (x.shape or ())[2:]
    if not all(isinstance(d, int) for d in sizes):
        raise Unsupported(f"adaptive pooling to {out} of sizes known only at run time")
    known = D.numbers(sizes)
    wanted = [k if o == -1 else o for o, k in zip(out, known)]
    if all(o and k % o == 0 for o, k in zip(wanted, known)):
        window = [k // o for o, k in zip(wanted, known)]
        return ctx.op("MaxPool" if biggest else "AveragePool", x, kernel_shape=window, strides=window)
    for axis, (o, k) in enumerate(zip(wanted, known)):
        edges = [((i * k) // o, -((-(i + 1) * k) // o)) for i in range(o)]
        if biggest:
            x = largest(ctx, x, edges, axis + 2)
        else:  # a product with the matrix of weights
            weights = np.zeros((k, o), np.float32)
            for i, (a, b) in enumerate(edges):
                weights[a:b, i] = 1 / (b - a)
            x = along(ctx, x, ctx.const(weights.astype(x.dtype.numpy)), axis + 2)
    return x


def largest(ctx: Context, x: Value, edges: Sequence[tuple[int, int]], axis: int) -> Value:
    """The largest of each window, from the first position to before the second, of one axis."""
    parts = [ctx.reduce("ReduceMax", ctx.slice(x, [a], [b], [axis]), [axis], True) for a, b in edges]
    return ctx.concat(parts, axis)


def along(ctx: Context, x: Value, matrix: Value, axis: int) -> Value:
    """The product of *x* with a matrix [n, m] over one of its axes."""
    rank = ctx.rank(x)
    if axis == rank - 1:
        return ctx.op("MatMul", x, matrix)
    turned, back = ctx.moved_last(x, axis)
    return ctx.transpose(ctx.op("MatMul", turned, matrix), back)


@paddle_op("max_pool2d_with_index", "max_pool3d_with_index", outputs=["Out", "Mask"])
def max_pool_with_index(
    ctx: Context,
    X: Value,
    *,
    ksize: list[int],
    global_pooling: bool = False,
    adaptive: bool = False,
    strides: list[int] = [1, 1],  # noqa: B006
    paddings_: list[int] = [0, 0],  # noqa: B006
    dilations: list[int] = [1, 1],  # noqa: B006
    ceil_mode: bool = False,
) -> tuple[Value, Optional[Value]]:
    """The index is that of the element in its own plane; ONNX counts through the whole tensor."""
    spatial = ctx.rank(X) - 2
    sizes = (X.shape or ())[2:]
    known = [int(d) for d in sizes if isinstance(d, int)]
    mask_read = any(ctx.exporter.uses.get(n, 0) for n in ctx.paddle.output("Mask"))
    pads: list[int] = [*paddings_[:spatial], *paddings_[:spatial]]
    if adaptive or global_pooling:
        if len(known) < spatial:
            if not adaptive or mask_read or any(k != 1 for k in ksize):
                raise Unsupported("pooling of sizes known only at run time")
            return ctx.op("GlobalMaxPool", X), None
        wanted = known if global_pooling else ksize
        if global_pooling:
            window = known
        elif any(k % o for o, k in zip(wanted, known)):
            if mask_read:
                raise Unsupported("indices of uneven windows")
            return _adaptive(ctx, X, list(ksize), True), None
        else:
            window = [k // o for o, k in zip(wanted, known)]
        ksize, strides, pads = window, window, [0] * (2 * spatial)
    x, begins = X, [0] * spatial
    reach = [d * (k - 1) + 1 for d, k in zip([*dilations, 1], ksize)]
    if ceil_mode and _may_start_outside(X, reach, strides, pads):
        x, begins = _padded_by_strides(ctx, X, strides, pads, _LOWEST), pads[:spatial]
        pads, ceil_mode = [0] * (2 * spatial), False
    shared: dict[str, Any] = {
        "kernel_shape": ksize,
        "strides": strides,
        "pads": pads,
        "ceil_mode": int(ceil_mode) or None,
    }
    if any(d != 1 for d in dilations[:spatial]):
        shared["dilations"] = dilations
    if not mask_read:
        return ctx.op("MaxPool", x, **shared), None
    values, at = ctx.op("MaxPool", x, outputs=2, **shared)
    return values, ctx.cast(_in_plane(ctx, at, X, x, begins), DType.INT32)


def _in_plane(ctx: Context, at: Value, x: Value, padded: Value, begins: list[int]) -> Value:
    """The positions *at* of the whole of *padded*, each in its plane of *x*, which begins there; -1 of what is outside."""
    axes = range(2, ctx.rank(x))
    if padded is x:
        plane = ctx.dim(x, 2)
        for axis in axes[1:]:
            plane = ctx.op("Mul", plane, ctx.dim(x, axis))
        return ctx.op("Mod", at, plane)
    made, step = ctx.const(np.zeros((), np.int64)), ctx.const(np.ones((), np.int64))
    inside = ctx.const(np.ones((), np.bool_))
    for axis, begin in reversed(list(zip(axes, begins))):
        size = ctx.dim(padded, axis)
        place = ctx.op("Sub", ctx.op("Mod", at, size), begin)
        at = ctx.op("Div", at, size)
        within = ctx.op("And", ctx.op("Less", place, ctx.dim(x, axis)), ctx.op("Less", -1, place))
        inside = ctx.op("And", inside, within)
        made = ctx.op("Add", made, ctx.op("Mul", place, step))
        step = ctx.op("Mul", step, ctx.dim(x, axis))
    return ctx.op("Where", inside, made, ctx.const(np.full((), -1, np.int64)))


@paddle_op("unpool", "unpool3d")
def unpool(
    ctx: Context,
    X: Value,
    Indices: Value,
    *,
    unpooling_type: str = "max",
    ksize: list[int],
    strides: list[int] = [1, 1],  # noqa: B006
    paddings_: list[int] = [0, 0],  # noqa: B006
    output_size: list[int] = [],  # noqa: B006
    data_format: str = "NCHW",
) -> Value:
    """Each value to its position in its own plane."""
    spatial = ctx.rank(X) - 2
    out = list(output_size)[-spatial:]
    if not out or any(d <= 0 for d in out):
        sizes = ctx.static(X, "a size")[2:]
        out = [(s - 1) * st - 2 * p + k for s, st, p, k in zip(sizes, strides, paddings_, ksize)]
    count = int(np.prod(out))
    planes = ctx.vector([ctx.dim(X, 0), ctx.dim(X, 1)])
    empty = ctx.full(ctx.vector([planes, count]), 0, X.dtype)
    at = ctx.op("Reshape", ctx.cast(Indices, DType.INT64), [0, 0, -1])
    values = ctx.op("Reshape", X, [0, 0, -1])
    filled = ctx.op("ScatterElements", empty, at, values, axis=2)
    return ctx.op("Reshape", filled, [0, 0, *out])


@paddle_op("lp_pool2d", outputs=["out"])
@attributes_of(Sliding)
def lp_pool2d(
    ctx: Context,
    x: Value,
    *,
    kernel_size: list[int],
    norm_type: float,
    ceil_mode: bool = False,
    exclusive: bool = True,  # says nothing: the powers are summed
    pooling_type: str = "",
    **attributes: Any,
) -> Value:
    at = Sliding(**attributes)
    x, last = channels_first(ctx, x, at.data_format)
    pads = paddings(ctx, at.paddings_, at.padding_algorithm, 2)
    if pads is None or not norm_type or np.isinf(norm_type):
        raise Unsupported("padding SAME, or a norm of 0 or inf")
    powers = ctx.op("Pow", x, norm_type)
    if ceil_mode:
        sums = _sums(ctx, powers, kernel_size, at.strides, pads)
    else:
        sizes: dict[str, Any] = {"kernel_shape": kernel_size, "strides": at.strides, "pads": pads}
        sums = ctx.op("Mul", ctx.op("AveragePool", powers, count_include_pad=1, **sizes), float(np.prod(kernel_size)))
    return channels_back(ctx, ctx.op("Pow", sums, 1 / norm_type), last)
