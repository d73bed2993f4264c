"""Operators of the domain com.microsoft, which ONNX Runtime's optimiser and exporters emit: element by element, and products;
those on quantised tensors are in microsoft_quantized.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Callable, Optional

from mconv.emit import activation, arithmetic, cells, matmul, scale, transpose
from mconv.emit import reduction as r
from mconv.emit.expr import Expr
from mconv.emit.known import axis_of
from mconv.onnx.context import Context
from mconv.onnx.ops.matmul import gemm
from mconv.onnx.registry import onnx_op
from mconv.program.schemas import attributes_of
from mconv.program.value import Value

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
@onnx_op("TransposeMatMul", domain=DOMAIN)
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


_FURTHER: dict[str, Callable[[Context, Expr, float, float, float], Any]] = {
    "": lambda ctx, x, a, b, c: x.value,
    "Celu": lambda ctx, x, a, b, c: activation.celu(ctx, x.value, a),
    "Clip": lambda ctx, x, a, b, c: x.clip(a, b).value,
    "HardSwish": lambda ctx, x, a, b, c: activation.hard_swish(ctx, x.value),
    "ParametricSoftplus": lambda ctx, x, a, b, c: (Expr(ctx, activation.softplus(ctx, (x * b).value)) * a).value,
    "Selu": lambda ctx, x, a, b, c: activation.selu(ctx, x.value, a, c),
}


def activated(ctx: Context, x: Value, name: str, numbers: Sequence[float]) -> Value:
    """What ONNX Runtime has fused behind a product or a convolution: the recurrent layers' functions and a few more.

    Args:
        numbers: of the function, alpha, beta and gamma.
    """
    if name in _FURTHER:
        return _FURTHER[name](ctx, Expr(ctx, x), *[*numbers, 0.0, 0.0, 0.0][:3])
    return cells.activations([name], numbers[:1], numbers[1:2])[0](Expr(ctx, x)).value


@onnx_op("FusedGemm", domain=DOMAIN)
@attributes_of(gemm)
def fused_gemm(
    ctx: Context,
    a: Value,
    b: Value,
    c: Optional[Value] = None,
    *,
    activation: str,
    activation_alpha: float = 0.0,
    activation_beta: float = 0.0,
    activation_gamma: float = 0.0,
    **attributes: Any,
) -> Value:
    numbers = [activation_alpha, activation_beta, activation_gamma]
    return activated(ctx, gemm(ctx, a, b, c, **attributes), activation, numbers)
