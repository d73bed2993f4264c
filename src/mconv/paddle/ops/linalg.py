"""Matrices."""

from __future__ import annotations

from typing import Any, Optional

from mconv import emit
from mconv.emit import reduction
from mconv.paddle.context import Context
from mconv.paddle.registry import Unsupported, paddle_op
from mconv.program import dims as D
from mconv.program.value import Value


@paddle_op("matmul")
def matmul(ctx: Context, x: Value, y: Value, *, transpose_x: bool, transpose_y: bool) -> Value:
    return emit.matmul(ctx.b, x, y, trans_x=transpose_x, trans_y=transpose_y)


@paddle_op("legacy_matmul")
def legacy_matmul(ctx: Context, x: Value, y: Value, *, transpose_x: bool, transpose_y: bool, alpha: float) -> Value:
    return emit.scale(ctx.b, emit.matmul(ctx.b, x, y, trans_x=transpose_x, trans_y=transpose_y), alpha)


@paddle_op("matmul_with_flatten")
def matmul_with_flatten(ctx: Context, x: Value, y: Value, *, x_num_col_dims: int, y_num_col_dims: int) -> Value:
    b = ctx.b
    xs, ys = x.shape or (), y.shape or ()
    if len(ys) == 2 and y_num_col_dims == 1 and x_num_col_dims == len(xs) - 1:  # over the last axis only
        return emit.matmul(b, x, y)
    made = emit.matmul(b, emit.flatten(b, x, x_num_col_dims), emit.flatten(b, y, y_num_col_dims))
    return emit.reshape(b, made, (*xs[:x_num_col_dims], *ys[y_num_col_dims:]))


@paddle_op("linear_v2")
def linear(ctx: Context, x: Value, weight: Value, bias: Optional[Value], *, transpose_weight: bool) -> Value:
    return emit.linear(ctx.b, x, weight, bias, trans_y=transpose_weight)


@paddle_op("fc")
def fc(
    ctx: Context,
    x: Value,
    weight: Value,
    bias: Optional[Value] = None,
    *,
    in_num_col_dims: int,
    activation_type: str,
    padding_weights: bool,
) -> Value:
    if padding_weights:
        raise Unsupported("padded weights")
    b = ctx.b
    shape = x.shape or ()
    flat = emit.reshape(b, x, (*shape[:in_num_col_dims], D.product(shape[in_num_col_dims:])))
    made = emit.linear(b, flat, weight, bias)
    return emit.unary(b, activation_type, made) if activation_type else made


@paddle_op("fused_gemm_epilogue")
def gemm_epilogue(
    ctx: Context, x: Value, y: Value, bias: Value, *, trans_x: bool, trans_y: bool, activation: str
) -> tuple:
    b = ctx.b
    made = emit.binary(b, "elementwise_add", emit.matmul(b, x, y, trans_x=trans_x, trans_y=trans_y), bias)
    return (made if activation == "none" else emit.unary(b, activation, made)), None


@paddle_op("bmm", "mv")
def bmm(ctx: Context, x: Value, y: Value) -> Value:
    return emit.matmul(ctx.b, x, y)


@paddle_op("dot")
def dot(ctx: Context, x: Value, y: Value) -> Value:
    return reduction.reduce(ctx.b, "sum", emit.arithmetic(ctx.b, "mul", x, y), [-1])


@paddle_op("addmm", "baddbmm")
def addmm(ctx: Context, x: Value, a: Value, c: Value, *, alpha: float, beta: float) -> Value:
    b = ctx.b
    product = emit.matmul(b, a, c)
    scaled = product if alpha == 1.0 else emit.scale(b, product, alpha)
    if not beta:
        return scaled
    return emit.binary(b, "elementwise_add", scaled, x if beta == 1.0 else emit.scale(b, x, beta))


@paddle_op("multi_dot")
def multi_dot(ctx: Context, values: list[Value]) -> Value:
    made = values[0]
    for v in values[1:]:
        made = emit.matmul(ctx.b, made, v)
    return made


@paddle_op("einsum")
def einsum(ctx: Context, values: list[Value], *, equation: str) -> tuple:
    return ctx.op("einsum", Operands=values, equation=equation, result=ctx.spec()), None, None


@paddle_op("slogdet", "slogdet_v2")
def slogdet(ctx: Context, x: Value) -> Any:
    made = ctx.op("slogdeterminant", Input=x, result=(x.dtype, (2, *(x.shape or ())[:-2])))
    if (x.rank or 2) == 2 and not ctx.has_0d:
        made = ctx.reshaped(made, (2,))  # the determinant of one matrix came as [1]
    if len(ctx.operation.outputs) == 1:
        return made
    b = ctx.b
    parts = [emit.squeeze(b, emit.slice_(b, made, [0], [i], [i + 1]), [0]) for i in (0, 1)]
    return tuple(parts)


@paddle_op("svdvals")
def svdvals(ctx: Context, x: Value) -> Value:
    shape = x.shape or ()
    small = D.minimum(shape[-1], shape[-2])
    made = ctx.op_outputs(
        "svd",
        X=x,
        full_matrices=False,
        results={
            "U": (x.dtype, (*shape[:-1], small)),
            "S": (x.dtype, (*shape[:-2], small)),
            "VH": (x.dtype, (*shape[:-2], small, shape[-1])),
        },
    )
    return made[1]


@paddle_op("cross")
def cross(ctx: Context, x: Value, y: Value, *, axis: int) -> Value:
    b = ctx.b
    shape = D.broadcast(x.shape, y.shape)
    if shape is None:
        raise Unsupported("operands of unknown rank")
    x, y = (emit.expand_to(b, v, shape, (x, y)) for v in (x, y))
    where = next((i for i, d in enumerate(shape) if d == 3), 0) if axis == 9 else axis  # 9 stands for: the first of 3
    return ctx.op("cross", X=x, Y=y, dim=where, result=(x.dtype, shape))


@paddle_op("lstsq")
def lstsq(ctx: Context, x: Value, y: Value, rcond: Any, *, driver: str) -> tuple:
    number = ctx.number(rcond)
    if number is None:
        raise Unsupported("rcond that is computed at run time")
    names = ("Solution", "Residuals", "Rank", "SingularValues")
    known = ctx.b.signature("lstsq")["outputs"]
    specs = {n: ctx.spec(i) for i, n in enumerate(names) if n in known}
    made = dict(zip(specs, ctx.op_outputs("lstsq", X=x, Y=y, rcond=float(number), driver=driver, results=specs)))
    return tuple(made.get(n) for n in names)


@paddle_op("lu_solve")
def lu_solve(ctx: Context, y: Value, lu: Value, pivots: Value, *, trans: str) -> Any:
    if ctx.has("lu_solve"):
        return ctx.generic()
    if trans != "N":
        raise Unsupported(f"lu_solve with trans={trans!r}")
    b = ctx.b
    shape = lu.shape or ()
    square = (lu.dtype, shape)
    swaps, low, up = ctx.op_outputs(
        "lu_unpack",
        X=lu,
        Pivots=pivots,
        unpack_ludata=True,
        unpack_pivots=True,
        results={"Pmat": square, "L": square, "U": square},
    )
    # P·L·U·x = y
    made = emit.matmul(b, swaps, y, trans_x=True)
    for factor, upper in ((low, False), (up, True)):
        made = ctx.op(
            "triangular_solve",
            X=factor,
            Y=made,
            upper=upper,
            transpose=False,
            unitriangular=not upper,
            result=(y.dtype, y.shape),
        )
    return made
