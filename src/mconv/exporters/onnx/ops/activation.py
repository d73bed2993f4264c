"""Activations: one node where the opset has it, its parts where it has not."""

from __future__ import annotations

import math
from typing import Optional

from mconv.exporters.onnx.context import Context
from mconv.exporters.onnx.errors import Unsupported
from mconv.exporters.onnx.registry import paddle_op
from mconv.program.value import Value


@paddle_op("relu")
def relu(ctx: Context, X: Value) -> Value:
    return ctx.op("Max", X, 0) if X.dtype.is_int else ctx.op("Relu", X)


@paddle_op("relu6")
def relu6(ctx: Context, X: Value, *, threshold: float = 6.0) -> Value:
    return ctx.clip(X, 0.0, threshold)


@paddle_op("brelu")
def brelu(ctx: Context, X: Value, *, t_min: float = 0.0, t_max: float = 24.0) -> Value:
    return ctx.clip(X, t_min, t_max)


@paddle_op("leaky_relu")
def leaky_relu(ctx: Context, X: Value, *, alpha: float = 0.02) -> Value:
    return ctx.op("LeakyRelu", X, alpha=alpha)


@paddle_op("elu")
def elu(ctx: Context, X: Value, *, alpha: float = 1.0) -> Value:
    return ctx.op("Elu", X, alpha=alpha)


@paddle_op("celu")
def celu(ctx: Context, X: Value, *, alpha: float = 1.0) -> Value:
    return ctx.op("Celu", X, alpha=alpha) if ctx.opset >= 12 else ctx.op("Elu", X, alpha=alpha)


@paddle_op("selu")
def selu(ctx: Context, X: Value, *, scale: float = 1.0507009873554805, alpha: float = 1.6732632423543772) -> Value:
    return ctx.op("Selu", X, alpha=alpha, gamma=scale)


@paddle_op("gelu")
def gelu(ctx: Context, X: Value, *, approximate: bool = False) -> Value:
    """``Gelu`` from opset 20 on; before, the parts that runtimes recognise."""
    if ctx.opset >= 20:
        return ctx.op("Gelu", X, approximate="tanh" if approximate else "none")
    if approximate:
        cubic = ctx.op("Mul", ctx.op("Mul", ctx.op("Mul", X, X), X), 0.044715)
        inner = ctx.op("Mul", ctx.op("Add", X, cubic), math.sqrt(2 / math.pi))
        return ctx.op("Mul", ctx.op("Mul", X, ctx.op("Add", ctx.op("Tanh", inner), 1.0)), 0.5)
    inner = ctx.op("Erf", ctx.op("Div", X, math.sqrt(2.0)))
    return ctx.op("Mul", ctx.op("Mul", X, ctx.op("Add", inner, 1.0)), 0.5)


@paddle_op("silu")
def silu(ctx: Context, X: Value) -> Value:
    return ctx.op("Mul", X, ctx.op("Sigmoid", X))


@paddle_op("swish")
def swish(ctx: Context, X: Value, *, beta: float = 1.0) -> Value:
    return ctx.op("Mul", X, ctx.op("Sigmoid", X if beta == 1.0 else ctx.op("Mul", X, beta)))


@paddle_op("mish")
def mish(ctx: Context, X: Value, *, threshold: float = 20.0) -> Value:
    return ctx.op("Mul", X, ctx.op("Tanh", softplus(ctx, X)))


@paddle_op("softplus")
def softplus(ctx: Context, X: Value, *, beta: float = 1.0, threshold: float = 20.0) -> Value:
    if beta == 1.0:
        return ctx.op("Softplus", X)  # above a threshold of 20 the difference is below float32
    scaled = ctx.op("Mul", X, beta)
    return ctx.op("Where", ctx.op("Greater", scaled, threshold), X, ctx.op("Div", ctx.op("Softplus", scaled), beta))


@paddle_op("logsigmoid")
def logsigmoid(ctx: Context, X: Value) -> Value:
    return ctx.op("Neg", ctx.op("Softplus", ctx.op("Neg", X)))


@paddle_op("hard_sigmoid")
def hard_sigmoid(ctx: Context, X: Value, *, slope: float = 0.2, offset: float = 0.5) -> Value:
    return ctx.op("HardSigmoid", X, alpha=slope, beta=offset)


@paddle_op("hard_swish")
def hard_swish(ctx: Context, X: Value, *, threshold: float = 6.0, scale: float = 6.0, offset: float = 3.0) -> Value:
    if (threshold, scale, offset) != (6.0, 6.0, 3.0):
        return ctx.op("Div", ctx.op("Mul", X, ctx.clip(ctx.op("Add", X, offset), 0.0, threshold)), scale)
    if ctx.opset >= 14:
        return ctx.op("HardSwish", X)
    return ctx.op("Mul", X, ctx.op("HardSigmoid", X, alpha=1 / 6, beta=0.5))


@paddle_op("hard_shrink")
def hard_shrink(ctx: Context, X: Value, *, threshold: float = 0.5) -> Value:
    return ctx.op("Where", ctx.op("Greater", ctx.op("Abs", X), threshold), X, ctx.const(0.0, X.dtype))


@paddle_op("softshrink")
def softshrink(ctx: Context, X: Value, *, lambda_: float = 0.5) -> Value:
    return ctx.op("Shrink", X, bias=lambda_, lambd=lambda_)


@paddle_op("tanh_shrink")
def tanh_shrink(ctx: Context, X: Value) -> Value:
    return ctx.op("Sub", X, ctx.op("Tanh", X))


@paddle_op("thresholded_relu")
def thresholded_relu(ctx: Context, X: Value, *, threshold: float = 1.0, value: float = 0.0) -> Value:
    return ctx.op("Where", ctx.op("Greater", X, threshold), X, ctx.const(value, X.dtype))


@paddle_op("stanh")
def stanh(ctx: Context, X: Value, *, scale_a: float = 0.67, scale_b: float = 1.7159) -> Value:
    return ctx.op("Mul", ctx.op("Tanh", ctx.op("Mul", X, scale_a)), scale_b)


@paddle_op("soft_relu")
def soft_relu(ctx: Context, X: Value, *, threshold: float = 40.0) -> Value:
    return ctx.op("Softplus", ctx.clip(X, -threshold, threshold))


@paddle_op("prelu")
def prelu(ctx: Context, X: Value, Alpha: Value, *, mode: str = "all", data_format: str = "NCHW") -> Value:
    rank = ctx.rank(X)
    if mode == "all":
        return ctx.op("PRelu", X, ctx.reshape(Alpha, [1] * min(rank, 1)))
    if mode == "channel":
        last = data_format[-1] == "C"
        shape = [1] * rank
        shape[-1 if last else 1] = -1
        return ctx.op("PRelu", X, ctx.reshape(Alpha, shape if last else shape[1:]))
    if mode == "element":
        return ctx.op("PRelu", X, Alpha)
    raise Unsupported(f"mode {mode!r}")


@paddle_op("rrelu")
def rrelu(ctx: Context, X: Value, *, lower: float = 0.125, upper: float = 1 / 3) -> Value:
    return ctx.op("LeakyRelu", X, alpha=(lower + upper) / 2)


@paddle_op("maxout")
def maxout(ctx: Context, X: Value, *, groups: int, axis: int = 1) -> Value:
    axis = ctx.axis(axis, ctx.rank(X))
    shape: list[int] = [0] * ctx.rank(X)
    channels = ctx.size(X, axis)
    shape[axis : axis + 1] = [channels // groups, groups]
    if axis + 1 < ctx.rank(X):  # a 0 behind the new dimension would copy the wrong one
        sizes = [ctx.dim(X, i) for i in range(ctx.rank(X))]
        target = ctx.vector([*sizes[:axis], channels // groups, groups, *sizes[axis + 1 :]])
        return ctx.reduce("ReduceMax", ctx.reshape(X, target), [axis + 1])
    return ctx.reduce("ReduceMax", ctx.reshape(X, shape), [axis + 1])


@paddle_op("logit")
def logit(ctx: Context, X: Value, *, eps: float = 1e-6) -> Value:
    x = ctx.clip(X, eps, 1 - eps) if eps else X
    return ctx.op("Log", ctx.op("Div", x, ctx.op("Sub", ctx.const(1.0, x.dtype), x)))


@paddle_op("swiglu", outputs=["out"])
def swiglu(ctx: Context, x: Value, y: Optional[Value] = None) -> Value:
    if y is None:
        size = ctx.size(x, -1, "the last dimension is")
        x, y = ctx.split(x, [size // 2, size // 2], ctx.rank(x) - 1)
    return ctx.op("Mul", silu(ctx, x), y)


@paddle_op("dropout", "dropout_nd")
def dropout(
    ctx: Context,
    X: Value,
    Seed: Optional[Value] = None,
    *,
    dropout_prob: float = 0.5,
    dropout_implementation: str = "downgrade_in_infer",
    axis: Optional[list[int]] = None,
) -> Value:
    if dropout_implementation == "upscale_in_train" or dropout_prob == 0:
        return X
    return ctx.op("Mul", X, 1.0 - dropout_prob)
