"""Products of matrices."""

from __future__ import annotations

from typing import Optional

from mconv.exporters.onnx.context import Context
from mconv.exporters.onnx.errors import Unsupported
from mconv.exporters.onnx.registry import paddle_op
from mconv.program.dtypes import DType
from mconv.program.value import Value


def product(
    ctx: Context, x: Value, y: Value, trans_x: bool = False, trans_y: bool = False, alpha: float = 1.0
) -> Value:
    """``x @ y`` of the last two dimensions."""
    rx, ry = ctx.rank(x), ctx.rank(y)
    if rx == ry == 2 and (trans_x or trans_y) and x.dtype in (DType.FP32, DType.FP64, DType.FP16):
        return ctx.op("Gemm", x, y, transA=int(trans_x), transB=int(trans_y), alpha=alpha if alpha != 1 else None)
    if trans_x and rx > 1:
        x = ctx.transpose(x, [*range(rx - 2), rx - 1, rx - 2])
    if trans_y and ry > 1:
        y = ctx.transpose(y, [*range(ry - 2), ry - 1, ry - 2])
    made = ctx.op("MatMul", x, y)
    return made if alpha == 1 else ctx.op("Mul", made, alpha)


@paddle_op("matmul_v2")
def matmul_v2(ctx: Context, X: Value, Y: Value, *, trans_x: bool = False, trans_y: bool = False) -> Value:
    return product(ctx, X, Y, trans_x, trans_y)


@paddle_op("matmul")
def matmul(
    ctx: Context,
    X: Value,
    Y: Value,
    *,
    transpose_X: bool = False,
    transpose_Y: bool = False,
    alpha: float = 1.0,
    head_number: int = 1,
) -> Value:
    if head_number > 1:
        raise Unsupported(f"head_number={head_number}")
    made = product(ctx, X, Y, transpose_X, transpose_Y, alpha)
    return ctx.reshape(made, [1]) if made.rank == 0 else made


@paddle_op("mul")
def mul(
    ctx: Context,
    X: Value,
    Y: Value,
    *,
    x_num_col_dims: int = 1,
    y_num_col_dims: int = 1,
    scale_x: float = 1.0,
    scale_y: list[float] = [1.0],  # noqa: B006 - Paddle's default
    scale_out: float = 1.0,
) -> Value:
    """Both flattened to matrices; over the last axis only it is a plain product."""
    rx, ry = ctx.rank(X), ctx.rank(Y)
    if scale_x != 1.0 or scale_out != 1.0 or list(scale_y) != [1.0]:
        raise Unsupported("it is quantized")
    if ry == 2 and x_num_col_dims == rx - 1 and y_num_col_dims == 1:
        return ctx.op("MatMul", X, Y)
    x = X if rx == 2 else ctx.op("Flatten", X, axis=x_num_col_dims)
    y = Y if ry == 2 else ctx.op("Flatten", Y, axis=y_num_col_dims)
    made = ctx.op("MatMul", x, y)
    if x_num_col_dims == 1 and y_num_col_dims == ry - 1:
        return made
    sizes = [ctx.dim(X, i) for i in range(x_num_col_dims)] + [ctx.dim(Y, i) for i in range(y_num_col_dims, ry)]
    return ctx.reshape(made, ctx.vector(sizes))


@paddle_op("fc")
def fc(
    ctx: Context,
    Input: Value,
    W: Value,
    Bias: Optional[Value] = None,
    *,
    in_num_col_dims: int = 1,
    activation_type: str = "",
    padding_weights: bool = False,
) -> Value:
    if padding_weights or activation_type not in ("", "relu"):
        raise Unsupported(f"activation {activation_type!r}, padded weights {padding_weights}")
    if ctx.rank(Input) == 2 and Bias is not None:
        made = ctx.op("Gemm", Input, W, Bias if Bias.rank == 1 else ctx.reshape(Bias, [-1]))
    else:
        made = mul(ctx, Input, W, x_num_col_dims=in_num_col_dims)
        made = ctx.op("Add", made, Bias) if Bias is not None else made
    return ctx.op("Relu", made) if activation_type else made


@paddle_op("bmm")
def bmm(ctx: Context, X: Value, Y: Value) -> Value:
    return ctx.op("MatMul", X, Y)


@paddle_op("mv")
def mv(ctx: Context, X: Value, Vec: Value) -> Value:
    return ctx.op("MatMul", X, Vec)


@paddle_op("dot")
def dot(ctx: Context, X: Value, Y: Value) -> Value:
    (x, y) = ctx.wide(X, Y)
    rank = ctx.rank(X)
    made = ctx.reduce("ReduceSum", ctx.op("Mul", x, y), [rank - 1] if rank else None)
    declared = ctx.declared()
    if declared is not None and declared.shape is not None and len(declared.shape) == rank and rank > 1:
        made = ctx.unsqueeze(made, [rank - 1])
    return ctx.cast(made, X.dtype)


@paddle_op("multi_dot")
def multi_dot(ctx: Context, X: list[Value]) -> Value:
    made = X[0]
    for x in X[1:]:
        made = ctx.op("MatMul", made, x)
    return made


@paddle_op("kron")
def kron(ctx: Context, X: Value, Y: Value) -> Value:
    rank = max(ctx.rank(X), ctx.rank(Y))
    x = ctx.unsqueeze(X, list(range(rank - ctx.rank(X))))
    y = ctx.unsqueeze(Y, list(range(rank - ctx.rank(Y))))
    sizes = [ctx.op("Mul", ctx.dim(x, i), ctx.dim(y, i)) for i in range(rank)]
    a = ctx.unsqueeze(x, [2 * i + 1 for i in range(rank)])
    b = ctx.unsqueeze(y, [2 * i for i in range(rank)])
    (a, b) = ctx.wide(a, b)
    return ctx.cast(ctx.reshape(ctx.op("Mul", a, b), ctx.vector(sizes)), X.dtype)


@paddle_op("einsum")
def einsum(ctx: Context, Operands: list[Value], *, equation: str) -> Value:
    return ctx.op("Einsum", *Operands, equation=equation.replace(" ", ""))


@paddle_op("bilinear_tensor_product")
def bilinear(ctx: Context, X: Value, Y: Value, Weight: Value, Bias: Optional[Value] = None) -> Value:
    made = ctx.op("Einsum", X, Weight, Y, equation="bi,oij,bj->bo")
    return made if Bias is None else ctx.op("Add", made, Bias)


@paddle_op("cross")
def cross(ctx: Context, X: Value, Y: Value, *, dim: int = 9) -> Value:
    sizes = X.shape or ()
    axis = next((i for i, d in enumerate(sizes) if d == 3), None) if dim == 9 else ctx.axis(dim, ctx.rank(X))
    if axis is None:
        raise Unsupported("no dimension is known to be 3")
    x, y = ctx.wide(X, Y)

    def turned(v: Value, order: list[int]) -> Value:
        return ctx.op("Gather", v, order, axis=axis)

    first = ctx.op("Mul", turned(x, [1, 2, 0]), turned(y, [2, 0, 1]))
    second = ctx.op("Mul", turned(x, [2, 0, 1]), turned(y, [1, 2, 0]))
    return ctx.cast(ctx.op("Sub", first, second), X.dtype)


@paddle_op("dist")
def dist(ctx: Context, X: Value, Y: Value, *, p: float = 2.0) -> Value:
    from mconv.exporters.onnx.ops.reduction import p_norm

    return p_norm(ctx, ctx.op("Sub", X, Y), porder=p, asvector=True)


@paddle_op("determinant")
def determinant(ctx: Context, Input: Value) -> Value:
    return ctx.op("Det", Input)


@paddle_op("matrix_power")
def matrix_power(ctx: Context, X: Value, *, n: int) -> Value:
    if n < 0:
        raise Unsupported("an inverse: ONNX has none")
    size = X.shape[-1] if X.shape else None
    if n == 0:
        if not isinstance(size, int):
            raise Unsupported("the size of the matrix is known only at run time")
        import numpy as np

        eye = ctx.const(np.eye(size).astype(X.dtype.numpy))
        return ctx.expand(eye, ctx.shape(X))
    made: Optional[Value] = None
    power = X
    while True:
        if n & 1:
            made = power if made is None else ctx.op("MatMul", made, power)
        n >>= 1
        if not n:
            assert made is not None
            return made
        power = ctx.op("MatMul", power, power)


@paddle_op("fused_gemm_epilogue")
def fused_gemm_epilogue(
    ctx: Context,
    X: Value,
    Y: Value,
    Bias: Value,
    *,
    trans_x: bool = False,
    trans_y: bool = False,
    activation: str = "none",
) -> Value:
    made = ctx.op("Add", product(ctx, X, Y, trans_x, trans_y), Bias)
    if activation == "none":
        return made
    from mconv.exporters.onnx.ops.activation import gelu

    if activation not in ("relu", "gelu"):
        raise Unsupported(f"activation {activation!r}")
    return ctx.op("Relu", made) if activation == "relu" else gelu(ctx, made)


@paddle_op("fused_softmax_mask", outputs=["Out"])
def fused_softmax_mask(ctx: Context, X: Value, Mask: Value) -> Value:
    return ctx.op("Softmax", ctx.op("Add", X, Mask), axis=ctx.rank(X) - 1)
