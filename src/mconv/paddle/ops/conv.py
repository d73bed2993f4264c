"""Convolution, pooling, interpolation, padding."""

from __future__ import annotations

from typing import Any, Optional, TypedDict

import numpy as np

from mconv import emit
from mconv.emit.interpolate import Axis, Method, resize, scaled
from mconv.emit.pad import pad as emit_pad
from mconv.emit.shape import channels_first, channels_last
from mconv.emit.window import pad_spatial
from mconv.paddle.context import Context
from mconv.paddle.registry import Unsupported, paddle_op
from mconv.program import dims as D
from mconv.program.builder import Builder
from mconv.program.dtypes import DType
from mconv.program.schemas import attributes_of
from mconv.program.targets import PADDLE_2_6, PADDLE_3
from mconv.program.value import Value


class Transposed(TypedDict):
    """What is passed on of a transposed convolution."""

    strides: list[int]
    paddings: list[int]
    output_padding: list[int]
    padding_algorithm: str
    groups: int
    dilations: list[int]


class Pooling(TypedDict):
    """What is passed on of pooling."""

    strides: list[int]
    paddings: list[int]
    global_pooling: bool
    adaptive: bool
    padding_algorithm: str


class Interpolation(TypedDict):
    """What is passed on of interpolation, but for the sizes that operands give."""

    out_d: int
    out_h: int
    out_w: int
    interp_method: str
    align_corners: bool
    align_mode: int


@paddle_op("conv2d_transpose", "depthwise_conv2d_transpose", "conv2d_transpose_bias")
@attributes_of(Transposed)
def conv2d_transpose(
    ctx: Context, x: Value, filter: Value, *operands: Any, data_format: str, **attributes: Any
) -> Value:
    name = ctx.name
    bias = operands[0] if name.endswith("_bias") else None
    sizes = ctx.ints(operands[-1], "the size of the output")
    made = ctx.op(
        "conv2d_transpose" if bias is not None else name,
        Input=x,
        Filter=filter,
        output_size=sizes,
        data_format=data_format,
        **attributes,
        result=ctx.spec(),
    )
    if bias is None:
        return made
    channels = (1, -1, 1, 1) if data_format != "NHWC" else (1, 1, 1, -1)
    shaped = emit.reshape(ctx.b, bias, tuple(d if d > 0 else (bias.shape or (1,))[0] for d in channels))
    return emit.binary(ctx.b, "elementwise_add", made, shaped)


@paddle_op("conv3d_transpose")
@attributes_of(Transposed)
def conv3d_transpose(
    ctx: Context, x: Value, filter: Value, *, output_size: list[int], data_format: str, **attributes: Any
) -> Value:
    return ctx.op(
        "conv3d_transpose",
        Input=x,
        Filter=filter,
        output_size=output_size,
        data_format=data_format,
        **attributes,
        result=ctx.spec(),
    )


@paddle_op("pool2d", "pool3d")
@attributes_of(Pooling)
def pool(
    ctx: Context,
    x: Value,
    size: Any = None,
    *,
    ceil_mode: bool,
    exclusive: bool,
    data_format: str,
    pooling_type: str,
    kernel_size: Optional[list[int]] = None,
    **attributes: Any,
) -> Value:
    dtype, shape = ctx.spec(like=_spatial(x, data_format))
    # 2.6 with oneDNN gives pools of channels last another shape
    turned = data_format[-1] == "C" and ctx.b.target == PADDLE_2_6
    if turned:
        x, shape = channels_first(ctx.b, x), None if shape is None else (shape[0], shape[-1], *shape[1:-1])
        data_format = f"NC{data_format[1:-1]}"
    made = ctx.op(
        ctx.name,
        X=x,
        ksize=kernel_size if kernel_size is not None else ctx.ints(size, "the size of the window"),
        ceil_mode=ceil_mode,
        exclusive=exclusive,
        data_format=data_format,
        pooling_type=pooling_type,
        **attributes,
        result=(dtype, shape),
    )
    return channels_last(ctx.b, made) if turned else made


def _spatial(x: Value, data_format: str) -> Any:
    """The shape of *x* with its spatial sizes unknown."""
    if x.shape is None:
        return None
    last = data_format.endswith("C")
    return [
        d if i == 0 or i == (len(x.shape) - 1 if last else 1) else D.Sym.fresh("pool") for i, d in enumerate(x.shape)
    ]


@paddle_op("lp_pool2d")
@attributes_of(pool)
def lp_pool2d(
    ctx: Context,
    x: Value,
    size: Any = None,
    *,
    kernel_size: Optional[list[int]] = None,
    norm_type: float,
    ceil_mode: bool,
    **attributes: Any,
) -> Value:
    """The p-th root of the sum of p-th powers in the window: an average that counts every position, times its size."""
    if not norm_type or np.isinf(norm_type):
        raise Unsupported(f"lp_pool2d with the norm {norm_type}")
    b = ctx.b
    window = kernel_size if kernel_size is not None else ctx.ints(size)
    last = attributes["data_format"] == "NHWC"  # by hand: 2.6 with oneDNN gives pools of NHWC another shape
    planes = channels_first(b, x) if last else x
    powers = ctx.op("pow", X=planes, factor=norm_type, result=(x.dtype, planes.shape))
    if ceil_mode:
        if attributes["padding_algorithm"] == "SAME":
            raise Unsupported("lp_pool2d with ceil_mode and padding SAME")
        powers = _padded_by_strides(b, powers, attributes["strides"], attributes["paddings"])
        attributes |= {"paddings": [0, 0], "padding_algorithm": "EXPLICIT"}
    _dtype, shape = ctx.spec()
    mean = ctx.op(
        "pool2d",
        X=powers,
        ksize=window,
        ceil_mode=False,
        **{**attributes, "exclusive": False, "pooling_type": "avg", "data_format": "NCHW"},
        result=(x.dtype, shape if shape is None or not last else [shape[0], shape[3], *shape[1:3]]),
    )
    total = emit.scale(b, mean, float(np.prod(window)))
    made = ctx.op("pow", X=total, factor=1.0 / norm_type, result=(x.dtype, total.shape))
    return channels_last(b, made) if last else made


def _padded_by_strides(b: Builder, x: Value, strides: list[int], paddings: list[int]) -> Value:
    """*x* with so much behind it that the number of windows rounded down is what ``ceil_mode`` rounds up."""
    begins, ends = (paddings, paddings) if len(paddings) == 2 else (paddings[::2], paddings[1::2])
    return pad_spatial(b, x, begins, [q + s - 1 for q, s in zip(ends, strides)])


def _axes(x: Value, wanted: list[Any], data_format: str) -> list[Axis]:
    """The dimensions to resize; *wanted* are their sizes, or factors where they are floats."""
    first = 1 if data_format[-1] == "C" else 2
    shape = (x.shape or ())[first:]
    return [
        Axis(first + i, n, scaled(n, to), to) if isinstance(to, float) else Axis(first + i, n, to)
        for i, (n, to) in enumerate(zip(shape, wanted))
    ]


def _otherwise(
    ctx: Context, x: Value, wanted: list[Any], data_format: str, attributes: dict[str, Any]
) -> Optional[Method]:
    """How to resize where the target's operator computes something else; None where it does the same.

    oneDNN (2.3 to 3.3) rounds the position of the nearest element in a way of its own, unless each is there n times. A
    result of one element along a dimension is the middle one for Paddle 3's ``linear_interp`` and ``trilinear_interp``
    with half pixels, and the first one before.
    """
    name = ctx.name.partition("_")[0]
    if attributes["align_corners"]:
        return None
    if name == "nearest":
        factors = [axis.factor for axis in _axes(x, wanted, data_format)]
        each = all(f is not None and f >= 1 and f == int(f) for f in factors)
        return None if each else Method("nearest", "asymmetric", "floor")
    middle = name in ("linear", "trilinear") and attributes["align_mode"] == 0 and ctx.b.target != PADDLE_3
    return Method("linear") if middle and any(to == 1 and isinstance(to, int) for to in wanted) else None


@paddle_op("bilinear_interp", "nearest_interp", "bicubic_interp", "linear_interp", "trilinear_interp")
@attributes_of(Interpolation)
def interpolate(
    ctx: Context,
    x: Value,
    out_size: Optional[Value],
    size_tensor: Optional[list[Value]],
    scale_tensor: Optional[Value],
    *,
    data_format: str,
    scale: list[float],
    **attributes: Any,
) -> Value:
    op = ctx.name + "_v2"
    arguments: dict[str, Any] = {}
    sizes = [attributes.pop(name) for name in ("out_d", "out_h", "out_w")]
    at = {1: [2], 2: [1, 2], 3: [0, 1, 2]}[(x.rank or 3) - 2]
    measured: list[D.Dim] = []
    for given in (out_size, size_tensor):
        if given is None:
            continue
        known = ctx.dims(given)
        measured = list(known or ())
        if known is not None and D.is_static(known):
            for i, d in zip(at, known):
                sizes[i] = int(d)  # type: ignore[arg-type]
        elif given is out_size:
            arguments["OutSize"] = ctx.tensor(out_size)
        else:
            arguments["SizeTensor"] = [ctx.one(ctx.b.cast(v, DType.INT32)) for v in size_tensor or ()]
        scale = []
    if scale_tensor is not None and not arguments:
        number = ctx.number(scale_tensor)
        if number is None:
            arguments["Scale"] = scale_tensor
        else:
            scale = [float(number)] * len(at)
    wanted = scale * len(at) if len(scale) == 1 else scale or measured or [sizes[i] for i in at]
    if measured or not arguments:
        method = _otherwise(ctx, x, wanted, data_format, attributes)
        if method is not None:
            axes = _axes(x, wanted, data_format)
            return resize(ctx.b, x, axes, method)
    return ctx.op(
        op,
        X=x,
        data_layout=data_format,
        out_d=sizes[0],
        out_h=sizes[1],
        out_w=sizes[2],
        scale=scale,
        **attributes,
        **arguments,
        result=ctx.spec(like=_spatial(x, data_format)),
    )


@paddle_op("pad")
def pad(ctx: Context, x: Value, pad_value: Any, *, paddings: list[int], pad_from_left_axis: bool = True) -> Value:
    number = ctx.number(pad_value)
    if number is None:
        raise Unsupported("a value of padding that is computed at run time")
    pairs = list(zip(paddings[::2], paddings[1::2]))
    if not pad_from_left_axis and len(pairs) == x.rank:
        pairs = pairs[::-1]
    # not the operator of that name, which hangs or crashes under oneDNN in 2.6 and 3
    return emit_pad(
        ctx.b,
        x,
        [p for p, _ in pairs],
        [p for _, p in pairs],
        "constant",
        ctx.b.constant(np.array(number).astype(x.dtype.numpy), x.dtype),
    )


@paddle_op("pad3d")
def pad3d(ctx: Context, x: Value, paddings: Any, *, mode: str, pad_value: float, data_format: str) -> Value:
    known = ctx.dims(paddings)
    arguments: dict[str, Any] = {}
    if known is not None and D.is_static(known):
        arguments["paddings"] = D.numbers(known)
    else:
        arguments["Paddings"] = ctx.tensor(paddings)
    return ctx.op(
        "pad3d", X=x, **arguments, mode=mode, value=float(pad_value), data_format=data_format, result=ctx.spec()
    )


@paddle_op("deformable_conv")
def deformable_conv(
    ctx: Context,
    x: Value,
    offset: Value,
    filter: Value,
    mask: Optional[Value] = None,
    **attrs: Any,
) -> Value:
    op = "deformable_conv_v1" if mask is None else "deformable_conv"
    inputs: dict[str, Any] = {"Input": x, "Offset": offset, "Filter": filter}
    if mask is not None:
        inputs["Mask"] = mask
    return ctx.op(op, **inputs, **attrs, result=ctx.spec())
