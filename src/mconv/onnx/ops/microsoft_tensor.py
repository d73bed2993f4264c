"""com.microsoft's operators on tensors as such, most of them as ONNX has them, and the fused ones of diffusion models."""

from __future__ import annotations

from typing import Any, Optional

from mconv.emit import activation, arithmetic, linalg, matmul, reduction, unsqueeze
from mconv.emit.expr import Expr
from mconv.emit.shape import channels_first, channels_last
from mconv.onnx.context import Context, Result
from mconv.onnx.ops import gather, microsoft_norm, pool, slicing, tensor
from mconv.onnx.ops.microsoft import fast_gelu
from mconv.onnx.registry import onnx_op
from mconv.program.dtypes import DType
from mconv.program.schemas import attributes_of
from mconv.program.value import Value

DOMAIN = "com.microsoft"

for _name, _same in {"GatherND": gather.gather_nd, "Pad": slicing.pad, "Trilu": tensor.trilu}.items():
    onnx_op(_name, domain=DOMAIN)(_same)


@onnx_op("Range", domain=DOMAIN)
def range_(ctx: Context, start: Value, limit: Value, delta: Optional[Value] = None) -> Value:
    return tensor.range_(ctx, start, limit, ctx.constant(1, start.dtype) if delta is None else delta)


@onnx_op("ExpandDims", domain=DOMAIN)
def expand_dims(ctx: Context, x: Value, axis: Value) -> Value:
    (at,) = ctx.static_ints(axis, "axis")
    return unsqueeze(ctx, x, [at if at >= 0 else at + ctx.rank(x) + 1])


@onnx_op("Unique", domain=DOMAIN)
def unique(ctx: Context, x: Value) -> Result:
    made, _, inverse, counts = gather.unique(ctx, x, sorted=0)
    return made, inverse, counts


@onnx_op("Inverse", domain=DOMAIN)
def inverse(ctx: Context, x: Value) -> Value:
    return ctx.cast(linalg.inverse(ctx, ctx.cast(x, DType.FP32) if x.dtype is DType.FP16 else x), x.dtype)


@onnx_op("CDist", domain=DOMAIN)
def cdist(ctx: Context, a: Value, b: Value, *, metric: str = "sqeuclidean") -> Value:
    if metric not in ("sqeuclidean", "euclidean"):
        raise ctx.refuse(f"the metric {metric!r}")
    x, y = Expr(ctx, a).unsqueeze(1), Expr(ctx, b).unsqueeze(0)
    squares = Expr(ctx, reduction.reduce(ctx, "sum", (x - y).square().value, [2]))
    return (squares if metric == "sqeuclidean" else squares.sqrt()).value


@onnx_op("NhwcMaxPool", domain=DOMAIN)
@attributes_of(pool.max_pool, but=["storage_order"])
def nhwc_max_pool(ctx: Context, x: Value, **attributes: Any) -> Value:
    ctx.rank(x)
    first = ctx.cast(channels_first(ctx, x), DType.FP32)
    made = pool.max_pool(ctx, first, **attributes)
    assert isinstance(made, Value)
    return ctx.cast(channels_last(ctx, made), x.dtype)


# diffusion models -----------------------------------------------------------------------------------------------------


@onnx_op("BiasSplitGelu", domain=DOMAIN)
def bias_split_gelu(ctx: Context, x: Value, bias: Value) -> Value:
    whole = Expr(ctx, arithmetic(ctx, "add", x, bias))
    width = whole.shape[-1]
    if not isinstance(width, int):
        raise ctx.refuse("the number of features is known only at run time")
    left, right = (whole.slice(len(whole.shape) - 1, i * width // 2, (i + 1) * width // 2) for i in (0, 1))
    return (left * Expr(ctx, activation.gelu(ctx, right.value, approximate=False))).value


@onnx_op("SkipGroupNorm", domain=DOMAIN)
@attributes_of(microsoft_norm.group_norm)
def skip_group_norm(
    ctx: Context, x: Value, gamma: Value, beta: Value, skip: Value, bias: Optional[Value] = None, **attributes: Any
) -> Result:
    rank = ctx.rank(x)
    skip = unsqueeze(ctx, skip, [1, 2]) if skip.rank == 2 and rank == 4 else skip
    total = arithmetic(ctx, "add", x, skip)
    total = total if bias is None else arithmetic(ctx, "add", total, bias)
    return microsoft_norm.group_norm(ctx, total, gamma, beta, **attributes), total


@onnx_op("GemmFastGelu", domain=DOMAIN)
def gemm_fast_gelu(ctx: Context, x: Value, w: Value, bias: Optional[Value] = None) -> Value:
    return fast_gelu(ctx, matmul(ctx, x, w), bias)


@onnx_op("GatedRelativePositionBias", domain=DOMAIN)
def gated_relative_position_bias(
    ctx: Context,
    query: Value,
    query_bias: Value,
    rel_pos: Value,
    weight: Value,
    bias: Value,
    eco_a: Value,
    *,
    num_heads: int,
) -> Value:
    """WavLM's: ``rel_pos · (a · (b · eco_a - 1) + 2)`` with gates a and b of each query."""
    from mconv.emit import attention

    heads = attention.heads(ctx, arithmetic(ctx, "add", query, query_bias), num_heads)
    gates = heads @ Expr(ctx, weight) + Expr(ctx, bias)
    batch, count, length, width = gates.shape
    if not isinstance(width, int):
        raise ctx.refuse("the number of gates is known only at run time")
    halves = gates.reshape(batch, count, length, 2, width // 2).sum(4, keep=False).sigmoid()
    a, b = (halves.slice(3, i, i + 1) for i in (0, 1))
    return (Expr(ctx, rel_pos) * (a * (b * Expr(ctx, eco_a) - 1.0) + 2.0)).value
