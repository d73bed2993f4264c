"""Convolutions, plain and transposed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Optional, Union

import numpy as np

from mconv.emit import conv as convolution
from mconv.emit import reshape
from mconv.emit.known import need_rank
from mconv.emit.shape import unsqueeze
from mconv.emit.window import Window
from mconv.program import dims as D
from mconv.program.schemas import attributes_of
from mconv.program.value import Value
from mconv.torch.context import AtenContext
from mconv.torch.registry import aten_op

Ints = Union[int, Sequence[D.Dim]]


def ints(ctx: AtenContext, values: Ints, count: int, what: str) -> list[int]:
    """One number for all dimensions, or one for each."""
    given = [values] if isinstance(values, int) else list(values)
    numbers = [ctx.static_int(v, what) for v in given]
    return numbers * count if len(numbers) == 1 else numbers


def unbatched(ctx: AtenContext, x: Value, spatial: int) -> Value:
    """*x* with a batch dimension, which torch lets be left out."""
    return unsqueeze(ctx, x, [0]) if len(need_rank(x, "a window")) == spatial + 1 else x


def as_given(ctx: AtenContext, x: Value) -> Value:
    """The node's result, whose input :func:`unbatched` may have given a batch."""
    return reshape(ctx, x, ctx.out_shape) if x.rank != len(ctx.out_shape) else x


Sizes = Union[int, Sequence[Any]]  # those that are known only at run time are refused


@dataclass(frozen=True)
class Steps:
    """What convolutions are told beside their tensors."""

    stride: Sizes = 1
    padding: Any = 0  # Sizes, or "same" or "valid"
    dilation: Sizes = 1
    groups: int = 1

    def window(self, ctx: AtenContext, w: Value) -> Window:
        """The window of the filters *w*."""
        kernel = need_rank(w, "a convolution")[2:]
        k = len(kernel)
        strides, dilations = ints(ctx, self.stride, k, "the stride"), ints(ctx, self.dilation, k, "the dilation")
        if self.padding == "same":
            total = [d * (ctx.static_int(n, "the size of the kernel") - 1) for d, n in zip(dilations, kernel)]
            pads = [t // 2 for t in total] + [t - t // 2 for t in total]
        elif self.padding == "valid":
            pads = [0] * 2 * k
        else:
            pads = ints(ctx, self.padding, k, "the padding") * 2
        return Window.make(kernel, strides, dilations, pads)


@aten_op("conv1d.default", "conv2d.default", "conv3d.default", "conv1d.padding", "conv2d.padding", "conv3d.padding")
@attributes_of(Steps)
def conv(ctx: AtenContext, input: Value, weight: Value, bias: Optional[Value] = None, **options: Any) -> Value:
    steps = Steps(**options)
    window = steps.window(ctx, weight)
    x = unbatched(ctx, input, len(window.kernel))
    return as_given(ctx, convolution.conv(ctx, x, weight, bias, window, steps.groups))


@aten_op("conv_transpose1d.default", "conv_transpose2d.input", "conv_transpose3d.input")
@attributes_of(Steps)
def conv_transpose(
    ctx: AtenContext,
    input: Value,
    weight: Value,
    bias: Optional[Value] = None,
    output_padding: Ints = 0,
    **options: Any,
) -> Value:
    steps = Steps(**options)
    window = steps.window(ctx, weight)
    k = len(window.kernel)
    extra = ints(ctx, output_padding, k, "the output padding")
    x = unbatched(ctx, input, k)
    return as_given(ctx, convolution.conv_transpose(ctx, x, weight, bias, window, steps.groups, extra))


@aten_op("convolution.default")
@attributes_of(Steps)
def convolution_(
    ctx: AtenContext,
    input: Value,
    weight: Value,
    bias: Optional[Value],
    transposed: bool,
    output_padding: Ints,
    **options: Any,
) -> Value:
    if transposed:
        return conv_transpose(ctx, input, weight, bias, output_padding, **options)
    return conv(ctx, input, weight, bias, **options)


# windows as columns --------------------------------------------------------------------------------------------------


@aten_op("im2col.default")
def im2col(ctx: AtenContext, self: Value, kernel_size: Ints, dilation: Ints, padding: Ints, stride: Ints) -> Value:
    """Every window of [N, C, H, W] as a column: a convolution with one filter for each position of the window."""
    x = unbatched(ctx, self, 2)
    weight, channels = _pickers(ctx, x, need_rank(x, "im2col")[1], kernel_size)
    window = Steps(stride, padding, dilation).window(ctx, weight)
    made = convolution.conv(ctx, x, weight, None, window, channels)
    return reshape(ctx, made, ctx.out_shape)


@aten_op("col2im.default")
def col2im(
    ctx: AtenContext,
    self: Value,
    output_size: Sequence[D.Dim],
    kernel_size: Ints,
    dilation: Ints,
    padding: Ints,
    stride: Ints,
) -> Value:
    """Columns added up where they came from: the transposed convolution."""
    x = unsqueeze(ctx, self, [0]) if self.rank == 2 else self
    size = [ctx.static_int(s, "the size of the result") for s in output_size]
    kernel = ints(ctx, kernel_size, 2, "the size of the kernel")
    n, columns, _ = need_rank(x, "col2im")
    weight, channels = _pickers(ctx, x, D.floordiv(columns, kernel[0] * kernel[1]), kernel)
    window = Steps(stride, padding, dilation).window(ctx, weight)
    rows = window.out(size)
    grid = reshape(ctx, x, (n, columns, *rows))
    # rows that no window reaches
    reached = [
        (r - 1) * s + e - p - q for r, s, e, p, q in zip(rows, window.strides, window.extent, window.begin, window.end)
    ]
    extra = [s - ctx.static_int(r, "the size of the result") for s, r in zip(size, reached)]
    made = convolution.conv_transpose(ctx, grid, weight, None, window, channels, extra)
    return reshape(ctx, made, ctx.out_shape)


def _pickers(ctx: AtenContext, x: Value, channels: D.Dim, kernel_size: Ints) -> tuple[Value, int]:
    """Filters that each pick one position of a window, for every channel: [C · kh · kw, 1, kh, kw]."""
    c = ctx.static_int(channels, "the number of channels")
    kh, kw = ints(ctx, kernel_size, 2, "the size of the kernel")
    one = np.eye(kh * kw).reshape(kh * kw, 1, kh, kw)
    return ctx.constant(np.tile(one, (c, 1, 1, 1)), x.dtype), c
