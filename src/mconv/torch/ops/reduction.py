"""Sums, means, extremes, variances and norms over dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional, Union

from mconv.emit import compare, reduction, reshape, unary
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


def _summing(name: str, kind: str, *overloads: str) -> None:
    def convert(
        ctx: AtenContext, self: Value, dim: Dims = None, keepdim: bool = False, dtype: Optional[DType] = None
    ) -> Value:
        return _reduced(ctx, kind, ctx.cast(self, ctx.out_dtype), dim, keepdim)

    convert.__qualname__ = name
    aten_op(*overloads)(convert)


_summing("sum", "sum", "sum.default", "sum.dim_IntList")
_summing("mean", "mean", "mean.default", "mean.dim")
_summing("prod", "prod", "prod.default", "prod.dim_int")


def _extreme(name: str, kind: str) -> None:
    def whole(ctx: AtenContext, self: Value, dim: Dims = None, keepdim: bool = False) -> Value:
        return _reduced(ctx, kind, self, dim, keepdim)

    def along(ctx: AtenContext, self: Value, dim: int, keepdim: bool = False) -> tuple[Value, Optional[Value]]:
        if self.rank == 0:
            return self, number(ctx, 0, DType.INT64)
        positions = arg_extreme(ctx, self, dim, largest=kind == "max", keep=keepdim) if ctx.wants(1) else None
        return _reduced(ctx, kind, self, dim, keepdim), positions

    whole.__qualname__, along.__qualname__ = f"a{name}", name
    aten_op(f"a{name}.default", f"{name}.default")(whole)
    aten_op(f"{name}.dim")(along)


_extreme("max", "max")
_extreme("min", "min")


@aten_op("aminmax.default")
def aminmax(ctx: AtenContext, self: Value, dim: Optional[int] = None, keepdim: bool = False) -> tuple[Value, Value]:
    return _reduced(ctx, "min", self, dim, keepdim), _reduced(ctx, "max", self, dim, keepdim)


def _truth(name: str, kind: str) -> None:
    def convert(ctx: AtenContext, self: Value, dim: Dims = None, keepdim: bool = False) -> Value:
        if not isinstance(dim, int) and dim is not None and not len(dim):
            return ctx.cast(ctx.cast(self, DType.BOOL), ctx.out_dtype)  # no dimension at all
        return ctx.cast(_reduced(ctx, kind, ctx.cast(self, DType.BOOL), dim, keepdim), ctx.out_dtype)

    convert.__qualname__ = name
    aten_op(f"{name}.default", f"{name}.dim", f"{name}.dims")(convert)


_truth("any", "max")
_truth("all", "min")


@aten_op("_is_all_true.default")
def is_all_true(ctx: AtenContext, self: Value) -> Value:
    return _reduced(ctx, "min", self, None)


@aten_op("_is_any_true.default")
def is_any_true(ctx: AtenContext, self: Value) -> Value:
    return _reduced(ctx, "max", self, None)


def _register_extreme(name: str, largest: bool) -> None:
    def convert(ctx: AtenContext, self: Value, dim: Optional[int] = None, keepdim: bool = False) -> Value:
        if dim is None:
            self, dim, keepdim = reshape(ctx, self, (D.product(need_rank(self, name)),)), 0, False
            return reshape(ctx, arg_extreme(ctx, self, dim, largest=largest, keep=keepdim), ctx.out_shape)
        return arg_extreme(ctx, self, dim, largest=largest, keep=keepdim)

    convert.__qualname__ = name
    aten_op(f"{name}.default")(convert)


_register_extreme("argmax", True)
_register_extreme("argmin", False)


@aten_op("logsumexp.default")
def logsumexp(ctx: AtenContext, self: Value, dim: Dims, keepdim: bool = False) -> Value:
    return _reduced(ctx, "log_sum_exp", ctx.cast(self, ctx.out_dtype), dim, keepdim)


# variance ------------------------------------------------------------------------------------------------------------


def _variance(
    ctx: AtenContext, x: Value, dim: Dims, correction: Optional[Number], keepdim: bool
) -> tuple[Value, Value]:
    """Variance and mean."""
    return reduction.variance(ctx, x, _axes(x, dim), 1 if correction is None else correction, keep=keepdim)


def _correction(unbiased: bool) -> int:
    return 1 if unbiased else 0


@aten_op("var.correction")
def var(
    ctx: AtenContext, self: Value, dim: Dims = None, correction: Optional[Number] = None, keepdim: bool = False
) -> Value:
    return _variance(ctx, self, dim, correction, keepdim)[0]


@aten_op("var.dim", "var.default")
def var_dim(ctx: AtenContext, self: Value, dim: Dims = None, unbiased: bool = True, keepdim: bool = False) -> Value:
    return _variance(ctx, self, dim, _correction(unbiased), keepdim)[0]


@aten_op("std.correction")
def std(
    ctx: AtenContext, self: Value, dim: Dims = None, correction: Optional[Number] = None, keepdim: bool = False
) -> Value:
    return unary(ctx, "sqrt", _variance(ctx, self, dim, correction, keepdim)[0])


@aten_op("std.dim", "std.default")
def std_dim(ctx: AtenContext, self: Value, dim: Dims = None, unbiased: bool = True, keepdim: bool = False) -> Value:
    return unary(ctx, "sqrt", _variance(ctx, self, dim, _correction(unbiased), keepdim)[0])


@aten_op("var_mean.correction")
def var_mean(
    ctx: AtenContext, self: Value, dim: Dims = None, correction: Optional[Number] = None, keepdim: bool = False
) -> tuple[Value, Value]:
    return _variance(ctx, self, dim, correction, keepdim)


@aten_op("std_mean.correction")
def std_mean(
    ctx: AtenContext, self: Value, dim: Dims = None, correction: Optional[Number] = None, keepdim: bool = False
) -> tuple[Value, Value]:
    variance, mean = _variance(ctx, self, dim, correction, keepdim)
    return unary(ctx, "sqrt", variance), mean


# norms ---------------------------------------------------------------------------------------------------------------


@aten_op("linalg_vector_norm.default")
def vector_norm(
    ctx: AtenContext,
    self: Value,
    ord: Number = 2,
    dim: Dims = None,
    keepdim: bool = False,
    dtype: Optional[DType] = None,
) -> Value:
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
