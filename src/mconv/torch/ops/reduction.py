"""Sums, means, extremes, variances and norms over dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional, Union

from mconv.emit import arithmetic, compare, reduction, reshape, unary
from mconv.emit.elementwise import number
from mconv.emit.known import axis_of, need_rank
from mconv.emit.order import arg_extreme
from mconv.program import dims as D
from mconv.program.dtypes import DType
from mconv.program.value import Value
from mconv.torch.context import AtenContext, Number
from mconv.torch.registry import aten_op

Dims = Union[int, Sequence[int], None]


def _axes(x: Value, dim: Dims) -> Optional[list[int]]:
    """None and an empty list are all dimensions."""
    if dim is None or (not isinstance(dim, int) and not len(dim)):
        return None
    rank = len(need_rank(x, "a reduction"))
    return sorted({axis_of(d, rank) for d in ([dim] if isinstance(dim, int) else dim)})


def _reduced(ctx: AtenContext, kind: str, x: Value, dim: Dims, keepdim: bool = False) -> Value:
    return reduction.reduce(ctx, kind, x, _axes(x, dim), keep=keepdim)


def _summing(kind: str, *overloads: str) -> None:
    @aten_op(*overloads)
    def convert(ctx: AtenContext, self: Value, dim: Dims = None, keepdim: bool = False) -> Value:
        return _reduced(ctx, kind, ctx.cast(self, ctx.out_dtype), dim, keepdim)


_summing("sum", "sum.default", "sum.dim_IntList")
_summing("mean", "mean.default", "mean.dim")
_summing("prod", "prod.default", "prod.dim_int")
_summing("log_sum_exp", "logsumexp.default")


def _extreme(kind: str) -> None:
    @aten_op(f"a{kind}.default", f"{kind}.default")
    def whole(ctx: AtenContext, self: Value, dim: Dims = None, keepdim: bool = False) -> Value:
        return _reduced(ctx, kind, self, dim, keepdim)

    @aten_op(f"{kind}.dim")
    def along(ctx: AtenContext, self: Value, dim: int, keepdim: bool = False) -> tuple[Value, Optional[Value]]:
        if self.rank == 0:
            return self, number(ctx, 0, DType.INT64)
        positions = arg_extreme(ctx, self, dim, largest=kind == "max", keep=keepdim) if ctx.wants(1) else None
        return _reduced(ctx, kind, self, dim, keepdim), positions


_extreme("max")
_extreme("min")


@aten_op("aminmax.default")
def aminmax(ctx: AtenContext, self: Value, dim: Optional[int] = None, keepdim: bool = False) -> tuple[Value, Value]:
    return _reduced(ctx, "min", self, dim, keepdim), _reduced(ctx, "max", self, dim, keepdim)


def _truth(name: str, kind: str) -> None:
    @aten_op(f"{name}.default", f"{name}.dim", f"{name}.dims", f"_is_{name}_true.default")
    def convert(ctx: AtenContext, self: Value, dim: Dims = None, keepdim: bool = False) -> Value:
        if not isinstance(dim, int) and dim is not None and not len(dim):
            return ctx.cast(ctx.cast(self, DType.BOOL), ctx.out_dtype)  # no dimension at all
        return ctx.cast(_reduced(ctx, kind, ctx.cast(self, DType.BOOL), dim, keepdim), ctx.out_dtype)


_truth("any", "max")
_truth("all", "min")


def _register_extreme(name: str, largest: bool) -> None:
    @aten_op(f"{name}.default")
    def convert(ctx: AtenContext, self: Value, dim: Optional[int] = None, keepdim: bool = False) -> Value:
        if dim is None:
            self, dim, keepdim = reshape(ctx, self, (D.product(need_rank(self, name)),)), 0, False
            return reshape(ctx, arg_extreme(ctx, self, dim, largest=largest, keep=keepdim), ctx.out_shape)
        return arg_extreme(ctx, self, dim, largest=largest, keep=keepdim)


_register_extreme("argmax", True)
_register_extreme("argmin", False)


# variance ------------------------------------------------------------------------------------------------------------


def _variance(
    ctx: AtenContext, x: Value, dim: Dims, correction: Optional[Number], keepdim: bool
) -> tuple[Value, Value]:
    """Variance and mean."""
    return reduction.variance(ctx, x, _axes(x, dim), 1 if correction is None else correction, keep=keepdim)


def _spread(name: str, root: bool) -> None:
    """Variances or standard deviations, alone or with the mean."""

    def both(ctx: AtenContext, x: Value, dim: Dims, correction: Optional[Number], keepdim: bool) -> tuple[Value, Value]:
        variance, mean = _variance(ctx, x, dim, correction, keepdim)
        return unary(ctx, "sqrt", variance) if root else variance, mean

    @aten_op(f"{name}.correction")
    def corrected(
        ctx: AtenContext, self: Value, dim: Dims = None, correction: Optional[Number] = None, keepdim: bool = False
    ) -> Value:
        return both(ctx, self, dim, correction, keepdim)[0]

    @aten_op(f"{name}.dim", f"{name}.default")
    def by_flag(ctx: AtenContext, self: Value, dim: Dims = None, unbiased: bool = True, keepdim: bool = False) -> Value:
        return both(ctx, self, dim, int(unbiased), keepdim)[0]

    @aten_op(f"{name}_mean.correction")
    def with_mean(
        ctx: AtenContext, self: Value, dim: Dims = None, correction: Optional[Number] = None, keepdim: bool = False
    ) -> tuple[Value, Value]:
        return both(ctx, self, dim, correction, keepdim)


_spread("var", root=False)
_spread("std", root=True)


# norms ---------------------------------------------------------------------------------------------------------------


@aten_op("linalg_vector_norm.default")
def vector_norm(ctx: AtenContext, self: Value, ord: Number = 2, dim: Dims = None, keepdim: bool = False) -> Value:
    x = ctx.cast(self, ctx.out_dtype)
    if ord in (1, 2):
        return _reduced(ctx, f"l{int(ord)}", x, dim, keepdim)
    size = unary(ctx, "abs", x)
    if ord in (float("inf"), -float("inf")):
        return _reduced(ctx, "max" if ord > 0 else "min", size, dim, keepdim)
    if ord == 0:
        there = compare(ctx, "not_equal", x, number(ctx, 0, x.dtype))
        return _reduced(ctx, "sum", ctx.cast(there, x.dtype), dim, keepdim)
    total = _reduced(ctx, "sum", unary(ctx, "pow", size, factor=float(ord)), dim, keepdim)
    return unary(ctx, "pow", total, factor=1.0 / ord)


@aten_op("dist.default")
def dist(ctx: AtenContext, self: Value, other: Value, p: Number = 2) -> Value:
    return vector_norm(ctx, arithmetic(ctx, "sub", self, other), p)
