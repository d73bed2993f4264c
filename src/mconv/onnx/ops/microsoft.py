"""Operators of the domain com.microsoft, which ONNX Runtime's optimiser and exporters emit: element by element, products,
and those on quantised tensors."""

from __future__ import annotations

from typing import Callable, Optional

from mconv.emit import activation, arithmetic, concat, matmul, reshape, scale, transpose, unary
from mconv.emit import quantize as q
from mconv.emit import reduction as r
from mconv.emit.elementwise import number
from mconv.emit.sizes import axis_of
from mconv.onnx.context import Context
from mconv.onnx.ops.microsoft_quantized import real, small
from mconv.onnx.registry import onnx_op
from mconv.program.builder import Value
from mconv.program.dtypes import DType

DOMAIN = "com.microsoft"


@onnx_op("Gelu", domain=DOMAIN)
def gelu(ctx: Context, x: Value) -> Value:
    return activation.gelu(ctx, x, approximate=False)


@onnx_op("FastGelu", domain=DOMAIN)
def fast_gelu(ctx: Context, x: Value, bias: Optional[Value] = None) -> Value:
    return activation.gelu(ctx, x if bias is None else arithmetic(ctx, "add", x, bias), approximate=True)


@onnx_op("BiasGelu", domain=DOMAIN)
def bias_gelu(ctx: Context, x: Value, bias: Value) -> Value:
    return activation.gelu(ctx, arithmetic(ctx, "add", x, bias), approximate=False)


@onnx_op("QuickGelu", domain=DOMAIN)
def quick_gelu(ctx: Context, x: Value, *, alpha: float = 1.702) -> Value:
    return activation.swish(ctx, x, alpha)


@onnx_op("BiasAdd", domain=DOMAIN)
def bias_add(ctx: Context, x: Value, bias: Value, skip: Value) -> Value:
    return arithmetic(ctx, "add", arithmetic(ctx, "add", x, bias), skip)


@onnx_op("BiasSoftmax", domain=DOMAIN)
def bias_softmax(ctx: Context, x: Value, bias: Value, *, axis: int = 1, is_inner_broadcast: int) -> Value:
    rank = ctx.rank(x)
    axis = axis_of(axis, rank)
    if axis != rank - 1:
        raise ctx.refuse("the softmax is over more than the last dimension")
    if not is_inner_broadcast and ctx.rank(bias) != rank:
        raise ctx.refuse("the bias is repeated over the outer dimensions")
    return r.softmax(ctx, arithmetic(ctx, "add", x, bias), axis)


# products ---------------------------------------------------------------------------------------------------------------


def _batch_first(ctx: Context, x: Value, moved: int) -> Value:
    """*x* with its first dimension put before the last one: what transBatch undoes."""
    rank = ctx.rank(x)
    if not moved:
        return x
    return transpose(ctx, x, [*range(1, rank - 1), 0, rank - 1])


@onnx_op("FusedMatMul", domain=DOMAIN)
def fused_matmul(
    ctx: Context,
    a: Value,
    b: Value,
    *,
    alpha: float = 1.0,
    transA: int = 0,
    transB: int = 0,
    transBatchA: int = 0,
    transBatchB: int = 0,
) -> Value:
    a, b = _batch_first(ctx, a, transBatchA), _batch_first(ctx, b, transBatchB)
    made = matmul(ctx, a, b, trans_x=bool(transA), trans_y=bool(transB))
    return made if alpha == 1.0 else scale(ctx, made, alpha)


@onnx_op("TransposeMatMul", domain=DOMAIN)
def transpose_matmul(
    ctx: Context, a: Value, b: Value, *, alpha: float = 1.0, transA: int = 0, transB: int = 0
) -> Value:
    return fused_matmul(ctx, a, b, alpha=alpha, transA=transA, transB=transB)


_AFTER_GEMM: dict[str, Callable[[Context, Value, float, float], Value]] = {
    "Relu": lambda ctx, x, alpha, beta: activation.relu(ctx, x),
    "LeakyRelu": lambda ctx, x, alpha, beta: activation.leaky_relu(ctx, x, alpha),
    "Sigmoid": lambda ctx, x, alpha, beta: unary(ctx, "sigmoid", x),
    "Tanh": lambda ctx, x, alpha, beta: unary(ctx, "tanh", x),
    "HardSigmoid": lambda ctx, x, alpha, beta: activation.hard_sigmoid(ctx, x, alpha, beta),
}


@onnx_op("FusedGemm", domain=DOMAIN)
def fused_gemm(
    ctx: Context,
    a: Value,
    b: Value,
    c: Optional[Value] = None,
    *,
    activation: str,
    activation_alpha: float = 0.01,
    activation_beta: float = 0.0,
    activation_gamma: float = 0.0,
    alpha: float = 1.0,
    beta: float = 1.0,
    transA: int = 0,
    transB: int = 0,
) -> Value:
    from mconv.onnx.ops.matmul import gemm

    if activation not in _AFTER_GEMM:
        raise ctx.refuse(f"the activation {activation!r} after it")
    made = gemm(ctx, a, b, c, alpha=alpha, beta=beta, transA=transA, transB=transB)
    return _AFTER_GEMM[activation](ctx, made, activation_alpha, activation_beta)


# quantised tensors -------------------------------------------------------------------------------------------------------


def _qlinear_binary(name: str, kind: str) -> None:
    def convert(
        ctx: Context,
        a: Value,
        a_scale: Value,
        a_zero_point: Optional[Value],
        b: Value,
        b_scale: Value,
        b_zero_point: Optional[Value],
        c_scale: Value,
        c_zero_point: Optional[Value] = None,
    ) -> Value:
        made = arithmetic(ctx, kind, real(ctx, a, a_scale, a_zero_point), real(ctx, b, b_scale, b_zero_point))
        return small(ctx, made, c_scale, c_zero_point, a.dtype)

    convert.__qualname__ = name
    onnx_op(name, domain=DOMAIN)(convert)


_qlinear_binary("QLinearAdd", "add")
_qlinear_binary("QLinearMul", "mul")


@onnx_op("QLinearSigmoid", domain=DOMAIN)
def qlinear_sigmoid(
    ctx: Context, x: Value, x_scale: Value, x_zero: Optional[Value], y_scale: Value, y_zero: Optional[Value] = None
) -> Value:
    return small(ctx, unary(ctx, "sigmoid", real(ctx, x, x_scale, x_zero)), y_scale, y_zero, x.dtype)


@onnx_op("QLinearLeakyRelu", domain=DOMAIN)
def qlinear_leaky_relu(
    ctx: Context,
    x: Value,
    x_scale: Value,
    x_zero: Optional[Value],
    y_scale: Value,
    y_zero: Optional[Value] = None,
    *,
    alpha: float = 0.01,
) -> Value:
    made = activation.leaky_relu(ctx, real(ctx, x, x_scale, x_zero), alpha)
    return small(ctx, made, y_scale, y_zero, x.dtype)


@onnx_op("QLinearSoftmax", domain=DOMAIN)
def qlinear_softmax(
    ctx: Context,
    x: Value,
    x_scale: Value,
    x_zero: Optional[Value],
    y_scale: Value,
    y_zero: Value,
    *,
    axis: int = -1,
    opset: int,
) -> Value:
    axis = axis_of(axis, ctx.rank(x))
    if opset < 13 and axis != ctx.rank(x) - 1:
        raise ctx.refuse("the softmax is over more than the last dimension")
    return small(ctx, r.softmax(ctx, real(ctx, x, x_scale, x_zero), axis), y_scale, y_zero, x.dtype)


@onnx_op("QLinearConcat", domain=DOMAIN)
def qlinear_concat(ctx: Context, y_scale: Value, y_zero: Value, *parts: Value, axis: int) -> Value:
    if len(parts) % 3 or not parts:
        raise ctx.refuse("its inputs are not tensors with their scales and zero points")
    numbers = [real(ctx, *parts[i : i + 3]) for i in range(0, len(parts), 3)]
    return small(ctx, concat(ctx, numbers, axis), y_scale, y_zero, parts[0].dtype)


@onnx_op("QLinearGlobalAveragePool", domain=DOMAIN)
def qlinear_global_average_pool(
    ctx: Context,
    x: Value,
    x_scale: Value,
    x_zero: Value,
    y_scale: Value,
    y_zero: Value,
    *,
    channels_last: int = 0,
) -> Value:
    rank = ctx.rank(x)
    over = range(1, rank - 1) if channels_last else range(2, rank)
    mean = r.reduce(ctx, "mean", real(ctx, x, x_scale, x_zero), list(over), keep=True)
    return small(ctx, mean, y_scale, y_zero, x.dtype)


@onnx_op("QGemm", domain=DOMAIN)
def qgemm(
    ctx: Context,
    a: Value,
    a_scale: Value,
    a_zero: Value,
    b: Value,
    b_scale: Value,
    b_zero: Value,
    c: Optional[Value] = None,
    y_scale: Optional[Value] = None,
    y_zero: Optional[Value] = None,
    *,
    alpha: float = 1.0,
    transA: int = 0,
    transB: int = 0,
) -> Value:
    a = transpose(ctx, a, [1, 0]) if transA else a
    b = transpose(ctx, b, [1, 0]) if transB else b
    exact = q.product(ctx, a, a_zero, b, b_zero)
    if c is not None:  # int32, in units of the product of the scales
        exact = arithmetic(ctx, "add", exact, ctx.cast(c, exact.dtype))
    one = number(ctx, 1, DType.FP32)
    scalar = reshape(ctx, a_scale, ())
    factor = q.factor(
        ctx, scalar, q.by_column(ctx, b_scale) or b_scale, one if y_scale is None else reshape(ctx, y_scale, ())
    )
    factor = factor if alpha == 1.0 else scale(ctx, factor, alpha)
    if y_scale is None:
        return arithmetic(ctx, "mul", ctx.cast(exact, DType.FP32), factor)
    return q.requantize(ctx, exact, factor, None if y_zero is None else reshape(ctx, y_zero, ()), a.dtype)
