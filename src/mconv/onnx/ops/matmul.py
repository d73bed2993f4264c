"""Matrix products."""

from __future__ import annotations

from typing import Any, Optional

from mconv import emit
from mconv.emit import einsum as einstein
from mconv.onnx.context import Context
from mconv.onnx.ops.cast import wrapped
from mconv.onnx.registry import onnx_op
from mconv.program.schemas import attributes_of
from mconv.program.value import Value


@onnx_op("MatMul", since=1)
def matmul(ctx: Context, a: Value, b: Value) -> Value:
    return wrapped(ctx, emit.matmul(ctx, a, b), ctx.type_out())


@onnx_op("Gemm", since=7)
def gemm(
    ctx: Context,
    a: Value,
    b: Value,
    c: Optional[Value] = None,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    transA: int = 0,
    transB: int = 0,
) -> Value:
    made = emit.linear(ctx, a, b, c, alpha=alpha, beta=beta, trans_x=bool(transA), trans_y=bool(transB))
    return wrapped(ctx, made, ctx.type_out())


@onnx_op("Gemm", since=1)
@attributes_of(gemm)
def gemm_before_opset_7(ctx: Context, a: Value, b: Value, c: Value, *, broadcast: int = 0, **attributes: Any) -> Value:
    return gemm(ctx, a, b, c, **attributes)


@onnx_op("Einsum", since=12)
def einsum(ctx: Context, *operands: Value, equation: str) -> Value:
    return einstein.einsum(ctx, equation, operands)
