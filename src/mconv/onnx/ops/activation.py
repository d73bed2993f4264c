"""Activations: one input, one output of the same type and shape."""

from __future__ import annotations

from typing import Callable, Optional

import numpy as np

from mconv.emit import activation, fill
from mconv.emit.elementwise import number
from mconv.emit.known import foldable
from mconv.onnx.context import Context, Result
from mconv.onnx.registry import onnx_op
from mconv.program.dtypes import DType
from mconv.program.value import Value

# ONNX's name → its first opset, and what emits it
_SIMPLE: dict[str, tuple[int, Callable[[Context, Value], Value]]] = {
    "HardSwish": (14, activation.hard_swish),
    "Mish": (18, activation.mish),
    "Relu": (1, activation.relu),
    "Round": (11, activation.round_half_even),
    "Softplus": (1, activation.softplus),
}


def _simple(name: str, since: int, emit: Callable[[Context, Value], Value]) -> None:
    @onnx_op(name, since=since)
    def convert(ctx: Context, x: Value) -> Value:
        return emit(ctx, x)


for _name, (_since, _emit) in _SIMPLE.items():
    _simple(_name, _since, _emit)


@onnx_op("LeakyRelu", since=1)
def leaky_relu(ctx: Context, x: Value, *, alpha: float = 0.01) -> Value:
    return activation.leaky_relu(ctx, x, alpha)


@onnx_op("PRelu", since=1)
def prelu_by_channel(ctx: Context, x: Value, slope: Value) -> Value:
    """Before opset 7 the slope is one number, or one per channel."""
    if slope.size != 1 and slope.rank == 1 and ctx.rank(x) > 2:
        from mconv.emit import unsqueeze

        slope = unsqueeze(ctx, slope, list(range(1, ctx.rank(x) - 1)))
    return activation.prelu(ctx, x, slope)


@onnx_op("PRelu", since=7)
def prelu(ctx: Context, x: Value, slope: Value) -> Value:
    return activation.prelu(ctx, x, slope)


@onnx_op("Elu", since=1)
def elu(ctx: Context, x: Value, *, alpha: float = 1.0) -> Value:
    return activation.elu(ctx, x, alpha)


@onnx_op("Selu", since=1)
def selu_of_opset_1(ctx: Context, x: Value, *, alpha: float = 1.6732, gamma: float = 1.0507) -> Value:
    return activation.selu(ctx, x, alpha, gamma)


@onnx_op("Selu", since=6)
def selu(
    ctx: Context, x: Value, *, alpha: float = 1.67326319217681884765625, gamma: float = 1.05070102214813232421875
) -> Value:
    return activation.selu(ctx, x, alpha, gamma)


@onnx_op("Celu", since=12)
def celu(ctx: Context, x: Value, *, alpha: float = 1.0) -> Value:
    if alpha == 0:
        raise ctx.refuse("alpha is 0")
    return activation.celu(ctx, x, alpha)


@onnx_op("ThresholdedRelu", since=1)
def thresholded_relu(ctx: Context, x: Value, *, alpha: float = 1.0) -> Value:
    return activation.thresholded_relu(ctx, x, alpha)


@onnx_op("HardSigmoid", since=1)
def hard_sigmoid(ctx: Context, x: Value, *, alpha: float = 0.2, beta: float = 0.5) -> Value:
    return activation.hard_sigmoid(ctx, x, alpha, beta)


@onnx_op("Gelu", since=20)
def gelu(ctx: Context, x: Value, *, approximate: str = "none") -> Value:
    if approximate not in ("none", "tanh"):
        raise ctx.refuse(f"approximate is {approximate!r}")
    return activation.gelu(ctx, x, approximate=approximate == "tanh")


@onnx_op("Swish", since=24)
def swish(ctx: Context, x: Value, *, alpha: float = 1.0) -> Value:
    return activation.swish(ctx, x, alpha)


@onnx_op("Shrink", since=9)
def shrink(ctx: Context, x: Value, *, bias: float = 0.0, lambd: float = 0.5) -> Value:
    if not x.dtype.is_float:
        return ctx.cast(activation.shrink(ctx, ctx.cast(x, DType.FP64), lambd, bias), x.dtype)
    return activation.shrink(ctx, x, lambd, bias)


@onnx_op("Clip", since=1)
def clip_by_attributes(
    ctx: Context,
    x: Value,
    *,
    min: Optional[float] = None,
    max: Optional[float] = None,
) -> Value:
    low, high = (None if bound is None else number(ctx, bound, x.dtype) for bound in (min, max))
    return activation.clip(ctx, x, low, high)


@onnx_op("Clip", since=11)
def clip(ctx: Context, x: Value, low: Optional[Value] = None, high: Optional[Value] = None) -> Value:
    for what, bound in (("min", low), ("max", high)):
        if bound is not None and (bound.rank or 0) > 0 and bound.size != 1:
            raise ctx.refuse(f"its {what} is of shape {list(bound.shape or ())}, where ONNX takes one number")
    return activation.clip(ctx, x, low, high)


# dropout: nothing is dropped when a model is only run ------------------------------------------------------------------


def _dropout(ctx: Context, x: Value, mask: DType) -> Result:
    if not ctx.wants(1):
        return x
    if x.shape is None:
        raise ctx.refuse("the rank of its input is unknown")
    return x, fill(ctx, x.shape, 1, mask)


@onnx_op("Dropout", since=1)
def dropout_of_opset_1(ctx: Context, x: Value, *, ratio: float = 0.5, is_test: int = 0) -> Result:
    if not is_test and ratio:
        raise ctx.refuse("it drops elements at random: is_test is 0")
    return _dropout(ctx, x, x.dtype)


@onnx_op("Dropout", since=7)
def dropout_of_opset_7(ctx: Context, x: Value, *, ratio: float = 0.5) -> Result:
    return _dropout(ctx, x, x.dtype if ctx.opset < 10 else DType.BOOL)


@onnx_op("Dropout", since=12)
def dropout(
    ctx: Context,
    x: Value,
    ratio: Optional[Value] = None,
    training_mode: Optional[Value] = None,
) -> Result:
    if training_mode is not None:
        none = ratio is not None and foldable(ratio) and not np.any(ratio.const)
        if not none and (not foldable(training_mode) or np.any(training_mode.const)):
            raise ctx.refuse("it drops elements at random: training_mode is set, or known only at run time")
    return _dropout(ctx, x, DType.BOOL)
