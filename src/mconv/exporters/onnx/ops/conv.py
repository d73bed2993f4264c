"""Convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

from mconv.exporters.onnx.context import Context
from mconv.exporters.onnx.errors import Unsupported
from mconv.exporters.onnx.registry import paddle_op
from mconv.exporters.onnx.types import numbers
from mconv.program.dtypes import DType
from mconv.program.schemas import attributes_of
from mconv.program.value import Value

_DOUBLE = "a convolution of float64 is computed in float32: ONNX Runtime has no other"


def paddings(ctx: Context, given: Sequence[int], algorithm: str, spatial: int) -> Optional[list[int]]:
    """ONNX's ``pads`` (all beginnings, then all ends); None for SAME, which is said by ``auto_pad``."""
    if algorithm == "VALID":
        return [0] * (2 * spatial)
    if algorithm == "SAME":
        return None
    if len(given) == spatial:
        return [*given, *given]
    if len(given) == 2 * spatial:
        return [*given[::2], *given[1::2]]
    raise Unsupported(f"paddings {list(given)}")


def channels_first(ctx: Context, x: Value, data_format: str) -> tuple[Value, bool]:
    """*x* with its channels in the second position, and whether they were the last."""
    if data_format not in ("NHWC", "NDHWC", "NLC"):
        return x, False
    rank = ctx.rank(x)
    return ctx.transpose(x, [0, rank - 1, *range(1, rank - 1)]), True


def channels_back(ctx: Context, x: Value, last: bool) -> Value:
    rank = ctx.rank(x)
    return ctx.transpose(x, [0, *range(2, rank), 1]) if last else x


def _kernel(ctx: Context, w: Value) -> list[int]:
    sizes = (w.shape or ())[2:]
    return [int(d) for d in sizes if isinstance(d, int)]


@dataclass(frozen=True)
class Sliding:
    """How a window goes over a tensor, in Paddle's words."""

    strides: list[int] = field(default_factory=lambda: [1, 1])
    paddings_: list[int] = field(default_factory=lambda: [0, 0])
    padding_algorithm: str = "EXPLICIT"
    data_format: str = "NCHW"


@dataclass(frozen=True)
class Filters(Sliding):
    dilations: list[int] = field(default_factory=lambda: [1, 1])
    groups: int = 1


@paddle_op("conv2d", "conv3d", "depthwise_conv2d", outputs=["Output"])
@attributes_of(Filters)
def conv(
    ctx: Context,
    Input: Value,
    Filter: Value,
    Bias: Optional[Value] = None,
    ResidualData: Optional[Value] = None,
    **attributes: Any,
) -> Value:
    if Input.dtype is DType.FP64:
        ctx.note(_DOUBLE)
        single = [v and ctx.cast(v, DType.FP32) for v in (Input, Filter, Bias, ResidualData)]
        return ctx.cast(conv(ctx, *single, **attributes), DType.FP64)
    at = Filters(**attributes)
    x, last = channels_first(ctx, Input, at.data_format)
    spatial = ctx.rank(Filter) - 2
    pads = paddings(ctx, at.paddings_, at.padding_algorithm, spatial)
    if Bias is not None and Bias.rank != 1:
        Bias = ctx.reshape(Bias, [-1])
    made = ctx.op(
        "Conv",
        x,
        Filter,
        Bias,
        kernel_shape=_kernel(ctx, Filter),
        strides=at.strides[:spatial] if len(at.strides) > 1 else at.strides * spatial,
        dilations=[1] * spatial if at.padding_algorithm == "SAME" else at.dilations,
        group=at.groups,
        pads=pads,
        auto_pad="SAME_UPPER" if pads is None else None,
    )
    if ResidualData is not None:
        made = ctx.op("Add", made, ResidualData)
    return channels_back(ctx, made, last)


@paddle_op("conv2d_transpose", "conv3d_transpose", "depthwise_conv2d_transpose", outputs=["Output"])
@attributes_of(Filters)
def conv_transpose(
    ctx: Context,
    Input: Value,
    Filter: Value,
    Bias: Optional[Value] = None,
    *,
    output_padding: list[int] = [],  # noqa: B006
    output_size: list[int] = [],  # noqa: B006
    **attributes: Any,
) -> Value:
    if Input.dtype is DType.FP64:
        ctx.note(_DOUBLE)
        single = [v and ctx.cast(v, DType.FP32) for v in (Input, Filter, Bias)]
        made = conv_transpose(ctx, *single, output_padding=output_padding, output_size=output_size, **attributes)
        return ctx.cast(made, DType.FP64)
    at = Filters(**attributes)
    strides, dilations = at.strides, at.dilations
    x, last = channels_first(ctx, Input, at.data_format)
    spatial = ctx.rank(Filter) - 2
    kernel = _kernel(ctx, Filter)
    if at.padding_algorithm == "SAME":
        pads: Optional[list[int]] = _same(strides, kernel)
        dilations = [1] * spatial
    else:
        pads = paddings(ctx, at.paddings_, at.padding_algorithm, spatial)
    extra: Optional[list[int]] = list(output_padding) if any(output_padding) else None
    if output_size and extra is None:
        sizes = numbers((x.shape or ())[2:])
        if sizes is None:
            raise Unsupported("an output size for sizes known only at run time")
        assert pads is not None
        extra = [
            output_size[i]
            - ((sizes[i] - 1) * strides[i] - pads[i] - pads[i + spatial] + dilations[i] * (kernel[i] - 1) + 1)
            for i in range(spatial)
        ]
    made = ctx.op(
        "ConvTranspose",
        x,
        Filter,
        Bias,
        kernel_shape=kernel,
        strides=strides,
        dilations=dilations,
        group=at.groups,
        pads=pads,
        output_padding=extra if extra and any(extra) else None,
    )
    return channels_back(ctx, made, last)


def _same(strides: Sequence[int], kernel: Sequence[int]) -> list[int]:
    """What is cut off so that the result is *stride* times as long, as Paddle cuts it."""
    whole = [max(k - s, 0) for k, s in zip(kernel, strides)]
    return [*[w // 2 for w in whole], *[w - w // 2 for w in whole]]
