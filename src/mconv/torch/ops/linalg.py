"""Linear algebra of matrices in the last two dimensions."""

from __future__ import annotations

from mconv.emit import fill, reshape, unary
from mconv.emit.known import need_rank
from mconv.emit.linalg import cholesky, inverse, solve, triangular_solve
from mconv.emit.linear import turned
from mconv.emit.reduction import determinant
from mconv.emit.shape import unsqueeze
from mconv.program.value import Value
from mconv.torch.context import AtenContext
from mconv.torch.registry import aten_op

_DECOMPOSITION = "the decomposition that is"


def _no_error(ctx: AtenContext, output: int) -> Value:
    """The flag that says that a matrix was not singular; a singular one gives what the runtime makes of it."""
    dtype, shape = ctx.specs()[output]
    return fill(ctx, shape, 0, dtype)


@aten_op("linalg_inv_ex.default")
def linalg_inv_ex(ctx: AtenContext, A: Value) -> tuple[Value, Value]:
    return inverse(ctx, A), _no_error(ctx, 1)


@aten_op("linalg_cholesky_ex.default")
def linalg_cholesky_ex(ctx: AtenContext, self: Value, upper: bool = False) -> tuple[Value, Value]:
    return cholesky(ctx, self, upper=upper), _no_error(ctx, 1)


@aten_op("_linalg_det.default")
def linalg_det(ctx: AtenContext, A: Value) -> tuple[Value, None, None]:
    ctx.leave_unread(_DECOMPOSITION, 1, 2)
    return determinant(ctx, A), None, None


@aten_op("_linalg_slogdet.default")
def linalg_slogdet(ctx: AtenContext, A: Value) -> tuple[Value, Value, None, None]:
    ctx.leave_unread(_DECOMPOSITION, 2, 3)
    made = determinant(ctx, A)
    sign = unary(ctx, "sign", made)
    size = unary(ctx, "log", unary(ctx, "abs", made))
    return sign, size, None, None


@aten_op("_linalg_solve_ex.default")
def linalg_solve_ex(ctx: AtenContext, A: Value, B: Value, left: bool = True) -> tuple[Value, None, None, Value]:
    ctx.leave_unread(_DECOMPOSITION, 1, 2)
    matrices, right = need_rank(A, "solve"), need_rank(B, "solve")
    vector = len(right) == 1 or (len(right) == len(matrices) - 1 and right == matrices[:-1])
    if vector:
        B = unsqueeze(ctx, B, [len(right)])
    made = solve(ctx, A, B) if left else turned(ctx, solve(ctx, turned(ctx, A), turned(ctx, B)))
    made = reshape(ctx, made, ctx.out_shape) if vector else made
    return made, None, None, _no_error(ctx, 3)


@aten_op("linalg_solve_triangular.default")
def linalg_solve_triangular(
    ctx: AtenContext, self: Value, B: Value, upper: bool, left: bool = True, unitriangular: bool = False
) -> Value:
    if left:
        return triangular_solve(ctx, self, B, upper=upper, unit=unitriangular)
    made = triangular_solve(ctx, turned(ctx, self), turned(ctx, B), upper=not upper, unit=unitriangular)
    return turned(ctx, made)
