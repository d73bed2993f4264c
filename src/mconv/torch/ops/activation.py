"""Activations: one tensor in, one of the same type and shape out."""

from __future__ import annotations

from typing import Any, Callable, Optional

from mconv.emit import activation, arithmetic, compare, reduction, scale, split, unary, where
from mconv.emit.elementwise import number
from mconv.program.value import Value
from mconv.torch.context import AtenContext, Number
from mconv.torch.ops.arithmetic import of_one
from mconv.torch.registry import aten_op

# ATen's name → the function that emits it
_SIMPLE: dict[str, Callable[[AtenContext, Value], Value]] = {
    "relu": activation.relu,
    "silu": activation.swish,
    "hardswish": activation.hard_swish,
    "mish": activation.mish,
    "sigmoid": lambda ctx, x: unary(ctx, "sigmoid", x),
    "tanh": lambda ctx, x: unary(ctx, "tanh", x),
    "hardsigmoid": lambda ctx, x: activation.hard_sigmoid(ctx, x, 1.0 / 6.0, 0.5),
    "selu": lambda ctx, x: activation.selu(ctx, x, 1.6732632423543772, 1.0507009873554805),
    "log_sigmoid": lambda ctx, x: unary(ctx, "logsigmoid", x),
}

for _name, _emit in _SIMPLE.items():
    of_one(_emit, f"{_name}.default")


@aten_op("gelu.default")
def gelu(ctx: AtenContext, self: Value, approximate: str = "none") -> Value:
    return activation.gelu(ctx, self, approximate=approximate == "tanh")


@aten_op("relu6.default")
def relu6(ctx: AtenContext, self: Value) -> Value:
    return hardtanh(ctx, self, 0, 6)


@aten_op("hardtanh.default")
def hardtanh(ctx: AtenContext, self: Value, min_val: Number = -1, max_val: Number = 1) -> Value:
    return activation.clip(ctx, self, number(ctx, min_val, self.dtype), number(ctx, max_val, self.dtype))


@aten_op("leaky_relu.default")
def leaky_relu(ctx: AtenContext, self: Value, negative_slope: Number = 0.01) -> Value:
    return activation.leaky_relu(ctx, self, float(negative_slope))


@aten_op("rrelu.default")
def rrelu(
    ctx: AtenContext,
    self: Value,
    lower: Number = 0.125,
    upper: Number = 1.0 / 3.0,
    training: bool = False,
    generator: Optional[Any] = None,
) -> Value:
    if training:
        raise ctx.refuse("it is in training mode, where it gives other numbers each time")
    return activation.leaky_relu(ctx, self, (lower + upper) / 2)


@aten_op("prelu.default", "_prelu_kernel.default")
def prelu(ctx: AtenContext, self: Value, weight: Value) -> Value:
    from mconv.emit import reshape
    from mconv.emit.weights import view

    rank = self.rank or 0
    if weight.rank == 1 and rank >= 2:  # a slope per channel; prelu_kernel has it reshaped already
        shape = (weight.shape[0], *[1] * (rank - 2))  # type: ignore[index]
        weight = view(ctx, weight, shape) if weight.is_const else reshape(ctx, weight, shape)  # type: ignore[arg-type]
    elif weight.rank == rank and weight.shape and weight.shape[0] == 1 and rank >= 2:
        weight = reshape(ctx, weight, weight.shape[1:])
    return activation.prelu(ctx, self, weight)


@aten_op("elu.default")
def elu(ctx: AtenContext, self: Value, alpha: Number = 1, scale: Number = 1, input_scale: Number = 1) -> Value:
    if scale == 1 and input_scale == 1:
        return activation.elu(ctx, self, float(alpha))
    return _scaled_elu(ctx, self, float(alpha), float(scale), float(input_scale))


def _scaled_elu(ctx: AtenContext, x: Value, alpha: float, factor: float, inner: float) -> Value:
    zero = number(ctx, 0, x.dtype)
    low = unary(ctx, "exp", scale(ctx, arithmetic(ctx, "min", x, zero), inner))
    negative = scale(ctx, low, factor * alpha, -factor * alpha)
    return where(ctx, compare(ctx, "greater_than", x, zero), scale(ctx, x, factor), negative)


@aten_op("celu.default")
def celu(ctx: AtenContext, self: Value, alpha: Number = 1.0) -> Value:
    return activation.celu(ctx, self, float(alpha))


@aten_op("softplus.default")
def softplus(ctx: AtenContext, self: Value, beta: Number = 1, threshold: Number = 20) -> Value:
    # oneDNN knows no threshold, which makes no difference from 20 on
    made = unary(ctx, "softplus", self, beta=float(beta), threshold=20.0)
    if threshold >= 20:
        return made
    above = compare(ctx, "greater_than", scale(ctx, self, float(beta)), number(ctx, threshold, self.dtype))
    return where(ctx, above, self, made)


@aten_op("softshrink.default")
def softshrink(ctx: AtenContext, self: Value, lambd: Number = 0.5) -> Value:
    return activation.shrink(ctx, self, float(lambd), float(lambd))


@aten_op("hardshrink.default")
def hardshrink(ctx: AtenContext, self: Value, lambd: Number = 0.5) -> Value:
    return activation.shrink(ctx, self, float(lambd), 0.0)


@aten_op("threshold.default")
def threshold(ctx: AtenContext, self: Value, threshold: Number, value: Number) -> Value:
    below = compare(ctx, "less_equal", self, number(ctx, threshold, self.dtype))
    return where(ctx, below, number(ctx, value, self.dtype), self)


@aten_op("glu.default")
def glu(ctx: AtenContext, self: Value, dim: int = -1) -> Value:
    size = (self.shape or ())[dim]
    half = ctx.static_int(size, "the size of the dimension that GLU halves") // 2
    value, gate = split(ctx, self, [half, half], dim)
    return arithmetic(ctx, "mul", value, unary(ctx, "sigmoid", gate))


def _softmax(name: str, emit: Callable[[AtenContext, Value, int], Value], alone: int) -> None:
    @aten_op(f"_{name}.default", f"{name}.int")
    def convert(ctx: AtenContext, self: Value, dim: int) -> Value:
        x = ctx.cast(self, ctx.out_dtype)
        if self.rank:
            return emit(ctx, x, dim)
        return arithmetic(ctx, "add", scale(ctx, x, 0.0), number(ctx, alone, x.dtype))


_softmax("softmax", reduction.softmax, 1)
_softmax("log_softmax", reduction.log_softmax, 0)
