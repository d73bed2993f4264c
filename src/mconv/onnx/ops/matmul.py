"""Matrix products."""

from __future__ import annotations

from typing import Optional

from mconv import emit
from mconv.onnx.context import Context
from mconv.onnx.registry import onnx_op
from mconv.program.builder import Value


@onnx_op("MatMul", since=1)
def matmul(ctx: Context, a: Value, b: Value) -> Value:
    return emit.matmul(ctx, a, b)


@onnx_op("Gemm", since=7)
def gemm(
    ctx: Context,
    a: Value,
    b: Value,
    c: Optional[Value] = None,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    transA: int = 0,  # noqa: N803 - the attribute's name in ONNX
    transB: int = 0,  # noqa: N803
) -> Value:
    return emit.linear(ctx, a, b, c, alpha=alpha, beta=beta, trans_x=bool(transA), trans_y=bool(transB))
