"""Quantised programs: QuantizeLinear and DequantizeLinear; what :mod:`mconv.passes.quantize_forms` says of Paddle's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Optional

import numpy as np

from mconv.exporters.onnx.context import Context
from mconv.exporters.onnx.errors import Unsupported
from mconv.exporters.onnx.registry import paddle_op
from mconv.passes.quantize_forms import AWAY, BITS, LEVELS
from mconv.program.dtypes import DType
from mconv.program.schemas import attributes_of
from mconv.program.value import Value


def _scale(ctx: Context, scale: Value, axis: int) -> Value:
    """The step of each integer: a number, or one for each index of *axis*."""
    if axis >= 0:
        ctx.needs(13, "a scale per channel")
        whole = ctx.reshape(scale, [-1])
    else:
        if scale.size != 1:
            raise Unsupported(f"a scale of shape {list(scale.shape or ())} for a whole tensor")
        whole = ctx.scalar(scale)
    if whole.is_const and whole.dtype is not DType.BF16:
        return ctx.const(np.asarray(whole.const) / np.asarray(LEVELS, whole.dtype.numpy), whole.dtype)
    made: Value = ctx.op("Div", whole, float(LEVELS))
    return made


def _zero(ctx: Context, scale: Value) -> Value:
    shape = ctx.static(scale, "the shape of a scale")
    return ctx.const(np.zeros(shape, np.int8))


def _eight(bit_length: int) -> None:
    if bit_length != BITS:
        raise Unsupported(f"integers of {bit_length} bits")


def _quantized(ctx: Context, x: Value, scale: Value, axis: int, round_type: int) -> tuple[Value, Value]:
    """int8, and the steps. Where Paddle rounds halves away from 0, ONNX rounds them to even: one step, on exact halves."""
    if round_type == AWAY:  # to -127 … 127
        bound = scale if axis < 0 else _beside(ctx, scale, axis, ctx.rank(x))
        bound = ctx.scalar(bound) if axis < 0 else bound
        x = ctx.op("Max", ctx.op("Min", x, bound), ctx.op("Neg", bound))
    step = _scale(ctx, scale, axis)
    return ctx.op("QuantizeLinear", x, step, _zero(ctx, step), axis=axis if axis >= 0 else None), step


def _beside(ctx: Context, scale: Value, axis: int, rank: int) -> Value:
    """A scale per channel in a shape that is broadcast to the tensor's."""
    return ctx.reshape(scale, [-1, *[1] * (rank - 1 - axis)])


def _dequantized(ctx: Context, q: Value, step: Value, axis: int) -> Value:
    made: Value = ctx.op("DequantizeLinear", q, step, _zero(ctx, step), axis=axis if axis >= 0 else None)
    return made


def _stored(ctx: Context, x: Value) -> Value:
    """A stored tensor of whole numbers as int8."""
    array = np.asarray(x.const)
    if array.dtype != np.int8 and (np.abs(array).max(initial=0) > 128 or not (array == np.rint(array)).all()):
        raise Unsupported("a weight that is no int8")
    return ctx.const(array.astype(np.int8))


@dataclass(frozen=True)
class Levels:
    """What the operators of Paddle 2.3 on say of the whole numbers."""

    quant_axis: int = -1
    bit_length: int = 8
    round_type: int = 0
    qmin: int = -128
    qmax: int = 127


@paddle_op("quantize_linear", outputs=["Y"])
@attributes_of(Levels)
def quantize_linear(
    ctx: Context,
    X: Value,
    Scale: Value,
    ZeroPoint: Optional[Value] = None,
    InAccum: Optional[Value] = None,
    InState: Optional[Value] = None,
    *,
    only_observer: bool = False,
    **levels: Any,
) -> Value:
    if only_observer:
        return X
    said = Levels(**levels)
    _eight(said.bit_length)
    made, _ = _quantized(ctx, X, Scale, said.quant_axis, said.round_type)
    (name,) = ctx.paddle.output("Y")
    readers = [op.type for _, op in ctx.exporter.program.ops() if name in op.input_names]
    # the numbers are whole, in a tensor of floats in Paddle
    return made if set(readers) == {"dequantize_linear"} else ctx.cast(made, X.dtype)


@paddle_op("dequantize_linear", outputs=["Y"])
@attributes_of(Levels)
def dequantize_linear(
    ctx: Context,
    X: Value,
    Scale: Value,
    ZeroPoint: Optional[Value] = None,
    InAccum: Optional[Value] = None,
    InState: Optional[Value] = None,
    *,
    only_observer: bool = False,
    **levels: Any,
) -> Value:
    if only_observer:
        return X
    said = Levels(**levels)
    _eight(said.bit_length)
    quant_axis, step = said.quant_axis, _scale(ctx, Scale, said.quant_axis)
    if X.is_const and X.dtype is not DType.BF16:
        return _dequantized(ctx, _stored(ctx, X), step, quant_axis)
    if X.dtype is DType.INT8:
        return _dequantized(ctx, X, step, quant_axis)
    whole = ctx.cast(X, Scale.dtype)  # numbers that something else has made
    made: Value = ctx.op("Mul", whole, step if quant_axis < 0 else _beside(ctx, step, quant_axis, ctx.rank(X)))
    return made


# the form of PaddleSlim before 2.3: whole numbers in tensors of floats, halves away from 0 --------------------------


def _whole(ctx: Context, x: Value, scale: Value, bits: int, even: bool) -> Value:
    """``round(clip(x, -scale, scale) · (2^(bits-1) - 1) / scale)``; *scale* is broadcast to *x*."""
    levels = float(2 ** (bits - 1) - 1)
    inside = ctx.op("Max", ctx.op("Min", x, scale), ctx.op("Neg", scale))
    wide = ctx.op("Mul", inside, ctx.op("Div", ctx.const(levels, x.dtype), scale))
    if even:
        return ctx.op("Round", wide)
    made: Value = ctx.op("Mul", ctx.op("Sign", wide), ctx.op("Floor", ctx.op("Add", ctx.op("Abs", wide), 0.5)))
    return made


def _largest(ctx: Context, x: Value, axis: Optional[int]) -> Value:
    """The largest magnitude of a tensor, or for each index of *axis*, kept as dimensions of 1."""
    rank = ctx.rank(x)
    axes = [i for i in range(rank) if i != axis]
    return ctx.reduce("ReduceMax", ctx.op("Abs", x), axes, keep=True)


@paddle_op("fake_quantize_range_abs_max", "fake_quantize_moving_average_abs_max", outputs=["Out", "OutScale"])
def fake_quantize(
    ctx: Context,
    X: Value,
    InScale: Value,
    Iter: Optional[Value] = None,
    InAccum: Optional[Value] = None,
    InState: Optional[Value] = None,
    *,
    bit_length: int = 8,
    round_type: int = AWAY,
) -> tuple[Value, Value]:
    return _whole(ctx, X, ctx.scalar(InScale), bit_length, round_type != AWAY), InScale


@paddle_op("fake_quantize_dequantize_moving_average_abs_max", outputs=["Out", "OutScale"])
def fake_quantize_dequantize(
    ctx: Context,
    X: Value,
    InScale: Value,
    InAccum: Optional[Value] = None,
    InState: Optional[Value] = None,
    *,
    bit_length: int = 8,
    round_type: int = AWAY,
) -> tuple[Value, Value]:
    if bit_length == BITS:
        made, step = _quantized(ctx, X, InScale, -1, round_type)
        return _dequantized(ctx, made, step, -1), InScale
    scale = ctx.scalar(InScale)
    whole = _whole(ctx, X, scale, bit_length, round_type != AWAY)
    return ctx.op("Mul", whole, ctx.op("Div", scale, float(2 ** (bit_length - 1) - 1))), InScale


@paddle_op(
    "fake_quantize_abs_max",
    "fake_quantize_dequantize_abs_max",
    "fake_channel_wise_quantize_abs_max",
    "fake_channel_wise_quantize_dequantize_abs_max",
    outputs=["Out", "OutScale"],
)
def fake_quantize_weight(
    ctx: Context, X: Value, *, bit_length: int = 8, quant_axis: int = 0, round_type: int = AWAY
) -> tuple[Value, Value]:
    kind = ctx.paddle.type
    scale = _largest(ctx, X, quant_axis if "channel_wise" in kind else None)
    made = _whole(ctx, X, scale, bit_length, round_type != AWAY)
    if "dequantize" in kind:
        made = ctx.op("Mul", made, ctx.op("Div", scale, float(2 ** (bit_length - 1) - 1)))
    return made, ctx.reshape(scale, [-1])


@paddle_op("fake_dequantize_max_abs")
def fake_dequantize(ctx: Context, X: Value, Scale: Value, *, max_range: float) -> Value:
    made: Value = ctx.op("Mul", X, ctx.op("Div", ctx.scalar(Scale), max_range))
    return made


@paddle_op("fake_channel_wise_dequantize_max_abs")
def fake_channel_wise_dequantize(
    ctx: Context,
    X: Value,
    Scales: list[Value],
    *,
    quant_bits: list[int] = [8],  # noqa: B006
    quant_axis: int = 0,
    x_num_col_dims: int = 1,
) -> Value:
    """With one list of scales *X* is a weight; with two the result of an operator, the second for its activation."""
    rank = ctx.rank(X)
    axis = quant_axis if len(Scales) == 1 else x_num_col_dims
    channels = _beside(ctx, Scales[0], ctx.axis(axis, rank), rank)
    made: Value = ctx.op("Mul", X, ctx.op("Div", channels, float(2 ** (quant_bits[0] - 1) - 1)))
    if len(Scales) > 1:
        made = ctx.op("Mul", made, ctx.op("Div", ctx.scalar(Scales[1]), float(2 ** (quant_bits[1] - 1) - 1)))
    return made


@paddle_op("moving_average_abs_max_scale", outputs=["Out", "OutScale"])
def observer(
    ctx: Context,
    X: Value,
    InAccum: Optional[Value] = None,
    InState: Optional[Value] = None,
) -> tuple[Value, None]:
    return X, None
