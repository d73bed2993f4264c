"""Convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional

from mconv.emit import conv as convolution
from mconv.emit.window import Window, auto_padded
from mconv.onnx.context import Context
from mconv.onnx.registry import onnx_op
from mconv.program import dims as D
from mconv.program.schemas import attributes_of
from mconv.program.value import Value


def _kernel(ctx: Context, w: Value, kernel_shape: Optional[Sequence[int]]) -> Sequence[D.Dim]:
    ctx.rank(w)
    assert w.shape is not None
    sizes = w.shape[2:]
    if kernel_shape is None:
        return sizes
    if len(kernel_shape) != len(sizes) or any(isinstance(s, int) and s != k for s, k in zip(sizes, kernel_shape)):
        raise ctx.refuse(f"kernel_shape {list(kernel_shape)} is not that of the weights, {list(sizes)}")
    return kernel_shape


def _window(
    ctx: Context,
    w: Value,
    *,
    dilations: Optional[list[int]] = None,
    kernel_shape: Optional[list[int]] = None,
    pads: Optional[list[int]] = None,
    strides: Optional[list[int]] = None,
) -> Window:
    return Window.make(_kernel(ctx, w, kernel_shape), strides, dilations, pads)


@onnx_op("Conv", since=1)
@attributes_of(_window)
def conv(
    ctx: Context,
    x: Value,
    w: Value,
    bias: Optional[Value] = None,
    *,
    auto_pad: str = "NOTSET",
    group: int = 1,
    **sizes: Any,
) -> Value:
    ctx.rank(x)
    assert x.shape is not None
    window = _window(ctx, w, **sizes)
    return convolution.conv(ctx, x, w, bias, auto_padded(window, auto_pad, x.shape[2:]), group)


@onnx_op("ConvTranspose", since=1)
@attributes_of(_window)
def conv_transpose(
    ctx: Context,
    x: Value,
    w: Value,
    bias: Optional[Value] = None,
    *,
    auto_pad: str = "NOTSET",
    group: int = 1,
    output_padding: Optional[list[int]] = None,
    output_shape: Optional[list[int]] = None,
    **sizes: Any,
) -> Value:
    ctx.rank(x)
    assert x.shape is not None
    window = _window(ctx, w, **sizes)
    extra = output_padding or [0] * len(window.kernel)
    if output_shape:
        wanted = output_shape[-len(window.kernel) :]
        window = convolution.transposed_pads(x.shape[2:], window, extra, wanted, auto_pad == "SAME_UPPER")
    elif auto_pad == "VALID":
        window = window.unpadded()
    elif auto_pad != "NOTSET":  # as many rows as inputs times the stride, which no size is needed for
        if any(e + o < s for e, o, s in zip(window.extent, extra, window.strides)):
            raise ctx.refuse(f"auto_pad {auto_pad} with a stride that is larger than the kernel")
        window = convolution.transposed_pads([1] * len(extra), window, extra, window.strides, auto_pad == "SAME_UPPER")
    return convolution.conv_transpose(ctx, x, w, bias, window, group, extra)


@onnx_op("DeformConv", since=19)
@attributes_of(_window)
def deform_conv(
    ctx: Context,
    x: Value,
    w: Value,
    offset: Value,
    bias: Optional[Value] = None,
    mask: Optional[Value] = None,
    *,
    group: int = 1,
    offset_group: int = 1,
    **sizes: Any,
) -> Value:
    return convolution.deform_conv(ctx, x, w, offset, bias, mask, _window(ctx, w, **sizes), group, offset_group)
