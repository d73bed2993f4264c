"""Deformable convolution by its parts: the shifted positions are sampled, then multiplied by the filters."""

from __future__ import annotations

from typing import Optional

import numpy as np

from mconv.exporters.onnx.context import Context
from mconv.exporters.onnx.errors import Unsupported
from mconv.exporters.onnx.registry import paddle_op
from mconv.exporters.onnx.types import numbers
from mconv.program.dtypes import DType
from mconv.program.value import Value


@paddle_op("deformable_conv", "deformable_conv_v1", outputs=["Output"])
def deformable_conv(
    ctx: Context,
    Input: Value,
    Offset: Value,
    Filter: Value,
    Mask: Optional[Value] = None,
    *,
    strides: list[int] = [1, 1],  # noqa: B006
    paddings_: list[int] = [0, 0],  # noqa: B006
    dilations: list[int] = [1, 1],  # noqa: B006
    groups: int = 1,
    deformable_groups: int = 1,
) -> Value:
    """``DeformConv`` is there from opset 19 on, and in few runtimes: bilinear samples by GatherElements instead.

    Offsets are [N, 2·dg·kh·kw, OH, OW], first by group, then by position in the window, then (y, x).
    """
    sizes, kernel = numbers((Input.shape or ())[1:2]), numbers((Filter.shape or ())[1:])
    if not sizes or kernel is None:
        raise Unsupported("channels or windows are known only at run time")
    inner, kh, kw = kernel
    channels, k, dg = sizes[0], kh * kw, deformable_groups
    out = ctx.dim(Filter, 0)
    n, height, width = ctx.dim(Input, 0), ctx.dim(Input, 2), ctx.dim(Input, 3)
    rows, columns = ctx.dim(Offset, 2), ctx.dim(Offset, 3)
    positions = ctx.op("Mul", rows, columns)
    kind = Input.dtype

    def grid(count: Value, stride: int, pad: int, dilation: int, kernel: int, across: bool) -> Value:
        """Where the window's positions lie without offsets: [1, 1, k, OH, 1] or [1, 1, k, 1, OW]."""
        steps = ctx.arange(count)
        start = ctx.op("Sub", ctx.op("Mul", steps, stride), pad)
        inside = np.arange(kernel) * dilation
        of_each = np.tile(inside, kh) if across else np.repeat(inside, kw)
        base = ctx.const(of_each.reshape(1, 1, k, 1, 1).astype(np.int64))
        line = ctx.op("Reshape", start, [1, 1, 1, 1, -1] if across else [1, 1, 1, -1, 1])
        return ctx.cast(ctx.op("Add", base, line), kind)

    offsets = ctx.op("Reshape", Offset, ctx.vector([n, dg, k, 2, rows, columns]))
    y_off, x_off = (ctx.squeeze(v, [3]) for v in ctx.split(offsets, [1, 1], 3))
    y = ctx.op("Add", y_off, grid(rows, strides[0], paddings_[0], dilations[0], kh, False))
    x = ctx.op("Add", x_off, grid(columns, strides[1], paddings_[1], dilations[1], kw, True))
    flat = ctx.op("Reshape", Input, ctx.vector([n, dg, channels // dg, ctx.op("Mul", height, width)]))
    spread_to = ctx.vector([n, dg, channels // dg, ctx.op("Mul", positions, k)])
    y0, x0 = ctx.op("Floor", y), ctx.op("Floor", x)
    top, left = ctx.op("Sub", y, y0), ctx.op("Sub", x, x0)
    last_y, last_x = ctx.op("Sub", height, 1), ctx.op("Sub", width, 1)
    total = None
    for dy in (0, 1):
        for dx in (0, 1):
            yy = ctx.cast(ctx.op("Add", y0, float(dy)), DType.INT64)
            xx = ctx.cast(ctx.op("Add", x0, float(dx)), DType.INT64)
            beyond = [ctx.op("Less", yy, 0), ctx.op("Greater", yy, last_y)]
            beyond += [ctx.op("Less", xx, 0), ctx.op("Greater", xx, last_x)]
            out_of = ctx.op("Or", ctx.op("Or", beyond[0], beyond[1]), ctx.op("Or", beyond[2], beyond[3]))
            wy = top if dy else ctx.op("Sub", ctx.const(1.0, kind), top)
            wx = left if dx else ctx.op("Sub", ctx.const(1.0, kind), left)
            weight = ctx.op("Where", out_of, ctx.const(0.0, kind), ctx.op("Mul", wy, wx))
            if Mask is not None:
                weight = ctx.op("Mul", weight, ctx.op("Reshape", Mask, ctx.vector([n, dg, k, rows, columns])))
            at = ctx.op("Add", ctx.op("Mul", ctx.op("Min", ctx.op("Max", yy, 0), last_y), width),
                        ctx.op("Min", ctx.op("Max", xx, 0), last_x))  # fmt: skip
            at = ctx.op("Expand", ctx.op("Reshape", at, ctx.vector([n, dg, 1, -1])), spread_to)
            sample = ctx.op("GatherElements", flat, at, axis=3)
            part = ctx.op("Mul", sample, ctx.op("Reshape", weight, ctx.vector([n, dg, 1, -1])))
            total = part if total is None else ctx.op("Add", total, part)
    assert total is not None
    columns_of = ctx.op("Reshape", total, ctx.vector([n, groups, inner * k, positions]))
    filters = ctx.reshape(Filter, [groups, -1, inner * k])
    made = ctx.op("MatMul", filters, columns_of)
    return ctx.op("Reshape", made, ctx.vector([n, out, rows, columns]))
