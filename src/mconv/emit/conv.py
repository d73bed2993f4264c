"""Convolutions, with the bias in the form that Paddle's fusion passes know."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

import numpy as np

from mconv.emit.known import need_rank
from mconv.emit.shape import fill, squeeze, unsqueeze
from mconv.emit.slicing import concat, slice_
from mconv.emit.weights import view
from mconv.emit.window import Window, pad_spatial
from mconv.errors import UnsupportedError
from mconv.program import dims as D
from mconv.program.builder import Builder
from mconv.program.dtypes import DType
from mconv.program.value import Value


def conv(b: Builder, x: Value, w: Value, bias: Optional[Value], window: Window, groups: int = 1) -> Value:
    """A convolution over one to three spatial dimensions.

    Args:
        x: [N, C, …].
        w: [O, C / groups, …kernel].
        bias: [O] or None.
    """
    shape, filters = need_rank(x, "Conv"), need_rank(w, "Conv")
    k = len(shape) - 2
    if not 1 <= k <= 3 or len(filters) != len(shape):
        raise UnsupportedError(f"Conv: an input of rank {len(shape)} with a filter of rank {len(filters)}")
    _check_channels(shape[1], filters[1], groups)
    if _kept(b, w):
        return b.cast(conv(b, *_doubled(b, x, w, bias), window, groups), x.dtype)
    out = (shape[0], filters[0], *window.out(shape[2:]))
    if not window.static and not window.same:
        x, window = pad_spatial(b, x, window.begin, window.end), window.unpadded()
    ones = [2] if k == 1 else []
    x, w, window = _lifted(b, x, w, window)
    lifted = (*out[:2], *[1] * len(ones), *out[2:])
    depthwise = k < 3 and groups > 1 and groups == shape[1]
    made = b.op(
        "conv3d" if k == 3 else "depthwise_conv2d" if depthwise else "conv2d",
        Input=x,
        Filter=w,
        strides=window.strides,
        paddings=[0] * 2 * len(window.kernel) if not window.static else window.paddings,
        padding_algorithm=window.algorithm,
        dilations=window.dilations,
        groups=groups,
        data_format="NCDHW" if k == 3 else "NCHW",
        result=(x.dtype, lifted),
    )
    made = channel_bias(b, made, bias)
    return squeeze(b, made, ones) if ones else made


def _kept(b: Builder, w: Value) -> bool:
    """Whether oneDNN (2.6 and 3) would go on with the weights of the first run though others come."""
    return w.dtype is not DType.FP64 and b.varies(w)


def _doubled(b: Builder, x: Value, w: Value, bias: Optional[Value]) -> tuple[Value, Value, Optional[Value]]:
    """In float64, which oneDNN leaves to Paddle's own kernels."""
    return b.cast(x, DType.FP64), b.cast(w, DType.FP64), None if bias is None else b.cast(bias, DType.FP64)


def _check_channels(channels: D.Dim, per_group: D.Dim, groups: int) -> None:
    if isinstance(channels, int) and isinstance(per_group, int) and channels != per_group * groups:
        raise UnsupportedError(f"Conv: {channels} channels do not go with a filter for {per_group} in {groups} groups")


def _lifted(b: Builder, x: Value, w: Value, window: Window) -> tuple[Value, Value, Window]:
    """One spatial dimension as two, the first of 1: Paddle's operators take two or three."""
    if len(window.kernel) != 1:
        return x, w, window
    x = unsqueeze(b, x, [2])
    if w.is_const:
        assert w.shape is not None
        w = view(b, w, (*w.shape[:2], 1, *w.shape[2:]))  # type: ignore[arg-type]
    else:
        w = unsqueeze(b, w, [2])
    return x, w, window.lifted(1)


def channel_bias(b: Builder, x: Value, bias: Optional[Value]) -> Value:
    """*x* ([N, C, …]) plus a number per channel: the form that fuses into a convolution (``axis`` 1, bias [C])."""
    if bias is None:
        return x
    return b.op("elementwise_add", X=x, Y=bias, axis=1)


def conv_transpose(
    b: Builder,
    x: Value,
    w: Value,
    bias: Optional[Value],
    window: Window,
    groups: int = 1,
    output_padding: Sequence[int] = (),
) -> Value:
    """A transposed convolution over one to three spatial dimensions.

    Args:
        x: [N, C, …].
        w: [C, O / groups, …kernel].
        bias: [O] or None.
        window: its padding is what is cut off the result.
        output_padding: rows put on at the end of the result.
    """
    shape, filters = need_rank(x, "ConvTranspose"), need_rank(w, "ConvTranspose")
    k = len(shape) - 2
    if not 1 <= k <= 3 or len(filters) != len(shape):
        raise UnsupportedError(f"ConvTranspose: an input of rank {len(shape)} with a filter of rank {len(filters)}")
    if _kept(b, w):
        double = conv_transpose(b, *_doubled(b, x, w, bias), window, groups, output_padding)
        return b.cast(double, x.dtype)
    extra = list(output_padding) or [0] * k
    if len(extra) != k or not window.static:
        raise UnsupportedError("ConvTranspose: padding or output_padding that does not fit the dimensions")
    channels = filters[1] * groups
    # padding beyond what is cut off: rows of nothing (but the bias) at the end
    ends = [q - e for q, e in zip(window.end, extra)]
    cut = window.with_pads(window.begin, [max(e, 0) for e in ends])  # type: ignore[type-var]
    missing = [max(-e, 0) for e in ends]  # type: ignore[type-var]
    inner = tuple(
        (n - 1) * s + e - p - q for n, s, e, p, q in zip(shape[2:], cut.strides, cut.extent, cut.begin, cut.end)
    )
    if any(isinstance(n, int) and n < 1 for n in inner):
        raise UnsupportedError("ConvTranspose: more is cut off than there is")
    ones = [2] if k == 1 else []
    x, w, cut = _lifted(b, x, w, cut)
    kind = "conv3d_transpose" if k == 3 else "conv2d_transpose"
    # Paddle 3 translates a program that has it not into one that it refuses (enable_new_ir, which PaddleX sets)
    more: dict[str, list[int]] = {"output_padding": []} if "output_padding" in b.signature(kind)["attrs"] else {}
    made = b.op(
        kind,
        Input=x,
        Filter=w,
        strides=cut.strides,
        paddings=cut.paddings,
        padding_algorithm="EXPLICIT",
        dilations=cut.dilations,
        groups=groups,
        output_size=[],
        **more,
        data_format="NCDHW" if k == 3 else "NCHW",
        result=(x.dtype, (shape[0], channels, *[1] * len(ones), *inner)),
    )
    made = pad_spatial(b, made, [0] * len(cut.kernel), [0] * len(ones) + missing)
    made = channel_bias(b, made, bias)
    return squeeze(b, made, ones) if ones else made


def deform_conv(
    b: Builder,
    x: Value,
    w: Value,
    offset: Value,
    bias: Optional[Value],
    mask: Optional[Value],
    window: Window,
    groups: int = 1,
    offset_groups: int = 1,
) -> Value:
    """A deformable convolution over two dimensions.

    Args:
        x: [N, C, H, W].
        w: [O, C / groups, kh, kw].
        offset: [N, offset_groups · kh · kw · 2, oh, ow], row then column.
        mask: [N, offset_groups · kh · kw, oh, ow] or None (ones).
    """
    shape, filters = need_rank(x, "DeformConv"), need_rank(w, "DeformConv")
    if len(shape) != 4:
        raise UnsupportedError(f"DeformConv over {len(shape) - 2} dimensions: Paddle has two")
    out = (shape[0], filters[0], *window.out(shape[2:]))
    if window.begin != window.end:  # the operator pads alike on both sides; outside is zero either way
        x, window = pad_spatial(b, x, window.begin, window.end), window.unpadded()
    wanted = filters[0]
    if isinstance(wanted, int) and wanted % offset_groups:
        # the operator demands it, though nothing depends on it: filters of zeros, whose channels are cut off again
        if groups != 1:
            raise UnsupportedError("DeformConv: offset_group does not divide the output channels")
        rest = offset_groups - wanted % offset_groups
        w = concat(b, [w, fill(b, (rest, *filters[1:]), 0, w.dtype)], 0)
    if mask is None:
        positions = offset_groups * int(np.prod(window.kernel))
        mask = fill(b, (shape[0], positions, *out[2:]), 1, x.dtype)
    made = b.op(
        "deformable_conv",
        Input=x,
        Offset=offset,
        Mask=mask,
        Filter=w,
        strides=window.strides,
        paddings=D.numbers(window.begin),
        dilations=window.dilations,
        groups=groups,
        deformable_groups=offset_groups,
        im2col_step=1,  # must divide the batch
        result=(x.dtype, (out[0], need_rank(w, "DeformConv")[0], *out[2:])),
    )
    if isinstance(wanted, int):
        made = slice_(b, made, [1], [0], [wanted])
    return channel_bias(b, made, bias)


def transposed_pads(
    sizes: Sequence[D.Dim], window: Window, output_padding: Sequence[int], wanted: Sequence[int], upper: bool
) -> Window:
    """The window whose padding makes a transposed convolution of *sizes* give *wanted* (ONNX ``output_shape``).

    An odd row goes to the end with *upper*, else to the beginning.
    """
    begin, end = [], []
    extra = list(output_padding) or [0] * len(window.kernel)
    for n, s, e, o, want in zip(sizes, window.strides, window.extent, extra, wanted):
        total = s * (n - 1) + o + e - want
        if not isinstance(total, int):
            raise UnsupportedError("ConvTranspose: output_shape with an input size known only at run time")
        # more than the kernel fills: rows of nothing at the end
        first = 0 if total < 0 else total // 2 if upper else total - total // 2
        begin.append(first)
        end.append(total - first)
    return window.with_pads(begin, end)
