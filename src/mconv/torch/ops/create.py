"""Tensors made from sizes and numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Callable, Optional, Union

import numpy as np

from mconv.emit import arithmetic, fill
from mconv.emit.elementwise import number
from mconv.emit.generate import eye as emit_eye
from mconv.emit.generate import triangle
from mconv.emit.ranges import iota
from mconv.emit.shape import expand_to
from mconv.program import dims as D
from mconv.program.dtypes import DType
from mconv.program.value import Value
from mconv.torch.context import AtenContext, Number
from mconv.torch.registry import aten_op

Size = Sequence[D.Dim]


def filled(ctx: AtenContext, value: Union[Number, D.Sym]) -> Value:
    """The node's result, full of one number."""
    if isinstance(value, (bool, int, float)):
        return fill(ctx, ctx.out_shape, value, ctx.out_dtype)
    return expand_to(ctx, ctx.tensor(value, ctx.out_dtype), ctx.out_shape)


@aten_op("full.default", "full_like.default", "new_full.default")
def full(ctx: AtenContext, fill_value: Number, self: Optional[Value] = None, size: Optional[Size] = None) -> Value:
    return filled(ctx, fill_value)


@aten_op("fill.Scalar", "fill.Tensor")
def fill_(ctx: AtenContext, self: Value, value: Any) -> Value:
    return filled(ctx, value)


def _constant(number: int, *overloads: str) -> None:
    @aten_op(*overloads)
    def convert(
        ctx: AtenContext, self: Optional[Value] = None, size: Optional[Size] = None, stride: Optional[Size] = None
    ) -> Value:
        return filled(ctx, number)


_constant(1, "ones.default", "ones_like.default", "new_ones.default")
_constant(0, "zeros.default", "zeros_like.default", "new_zeros.default", "zero.default")
# what an empty tensor holds is not defined; these hold zeros
_constant(0, "empty.memory_format", "empty_like.default", "empty_strided.default", "empty_permuted.default")
_constant(0, "new_empty.default", "new_empty_strided.default")


@aten_op("scalar_tensor.default")
def scalar_tensor(ctx: AtenContext, s: Any) -> Value:
    return ctx.tensor(s, ctx.out_dtype)


@aten_op("arange.start_step", "arange.default", "arange.start")
def arange(ctx: AtenContext, end: Any, start: Any = 0, step: Any = 1) -> Value:
    (count,) = ctx.out_shape
    kind = ctx.out_dtype
    exact = all(not isinstance(v, float) or v == int(v) for v in (start, step))
    made = iota(ctx, count, DType.INT64 if exact else DType.FP64)
    wide = made.dtype
    if step != 1:
        made = arithmetic(ctx, "mul", made, _number(ctx, step, wide))
    if start != 0:
        made = arithmetic(ctx, "add", made, _number(ctx, start, wide))
    return ctx.cast(made, kind)


def _number(ctx: AtenContext, value: Any, dtype: DType) -> Value:
    return number(ctx, value, dtype) if isinstance(value, (int, float)) else ctx.tensor(value, dtype)


@aten_op("eye.default", "eye.m")
def eye(ctx: AtenContext, n: D.Dim, m: Optional[D.Dim] = None) -> Value:
    return emit_eye(ctx, n, n if m is None else m, 0, ctx.out_dtype)


def _triangle(name: str, upper: bool, positions: Callable[..., tuple[np.ndarray, ...]]) -> None:
    @aten_op(f"{name}.default")
    def convert(ctx: AtenContext, self: Value, diagonal: D.Dim = 0) -> Value:
        return triangle(ctx, self, _diagonal(ctx, diagonal), upper)

    @aten_op(f"{name}_indices.default")
    def indices(ctx: AtenContext, row: int, col: int, offset: int = 0) -> Value:
        found = positions(ctx.static_int(row, "the size"), offset, ctx.static_int(col, "the size"))
        return ctx.constant(np.stack(found).astype(ctx.out_dtype.numpy))


def _diagonal(ctx: AtenContext, k: D.Dim) -> Union[int, Value]:
    return k if isinstance(k, int) else ctx.tensor(k)


_triangle("tril", False, np.tril_indices)
_triangle("triu", True, np.triu_indices)
