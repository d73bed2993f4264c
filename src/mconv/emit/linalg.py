"""Linear algebra of the matrices in the last two dimensions, by Paddle's operators (LAPACK, float32 and float64)."""

from __future__ import annotations

from mconv.emit.known import need_rank
from mconv.emit.shape import expand_to
from mconv.program import dims as D
from mconv.program.builder import Builder
from mconv.program.value import Value


def inverse(b: Builder, x: Value) -> Value:
    return b.op("inverse", Input=x, result=(x.dtype, x.shape))


def cholesky(b: Builder, x: Value, *, upper: bool) -> Value:
    return b.op("cholesky", X=x, upper=upper)


def solve(b: Builder, a: Value, right: Value) -> Value:
    """The x of ``a · x = right``; both have two dimensions or more, those before them broadcast."""
    a, right = _alike(b, a, right)
    return b.op("solve", X=a, Y=right, result=(right.dtype, right.shape))


def triangular_solve(b: Builder, a: Value, right: Value, *, upper: bool, unit: bool) -> Value:
    """The x of ``a · x = right`` for a triangular *a*; *unit*: its diagonal is taken for ones."""
    a, right = _alike(b, a, right)
    options = {"upper": upper, "transpose": False, "unitriangular": unit}
    return b.op("triangular_solve", X=a, Y=right, result=(right.dtype, right.shape), **options)


def _alike(b: Builder, a: Value, right: Value) -> tuple[Value, Value]:
    """Both with the same dimensions before the matrices."""
    x, y = need_rank(a, "solve"), need_rank(right, "solve")
    batch = D.broadcast(x[:-2], y[:-2])
    assert batch is not None
    return expand_to(b, a, (*batch, *x[-2:])), expand_to(b, right, (*batch, *y[-2:]))
