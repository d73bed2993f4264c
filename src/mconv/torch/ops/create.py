"""Tensors made from sizes and numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional, Union

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


@aten_op("full.default")
def full(ctx: AtenContext, size: Size, fill_value: Number, dtype: Optional[DType] = None) -> Value:
    return filled(ctx, fill_value)


@aten_op("full_like.default")
def full_like(ctx: AtenContext, self: Value, fill_value: Number, dtype: Optional[DType] = None) -> Value:
    return filled(ctx, fill_value)


@aten_op("new_full.default")
def new_full(ctx: AtenContext, self: Value, size: Size, fill_value: Number, dtype: Optional[DType] = None) -> Value:
    return filled(ctx, fill_value)


@aten_op("fill.Scalar", "fill.Tensor")
def fill_(ctx: AtenContext, self: Value, value: Any) -> Value:
    return filled(ctx, value)


def _constant(name: str, value: int) -> None:
    def made(ctx: AtenContext, size: Size, dtype: Optional[DType] = None) -> Value:
        return filled(ctx, value)

    def like(ctx: AtenContext, self: Value, dtype: Optional[DType] = None) -> Value:
        return filled(ctx, value)

    def new(ctx: AtenContext, self: Value, size: Size, dtype: Optional[DType] = None) -> Value:
        return filled(ctx, value)

    made.__qualname__, like.__qualname__, new.__qualname__ = name, f"{name}_like", f"new_{name}"
    aten_op(f"{name}.default")(made)
    aten_op(f"{name}_like.default")(like)
    aten_op(f"new_{name}.default")(new)


_constant("zeros", 0)
_constant("ones", 1)


@aten_op("zero.default")
def zero(ctx: AtenContext, self: Value) -> Value:
    return filled(ctx, 0)


# what an empty tensor holds is not defined; these hold zeros
@aten_op("empty.memory_format")
def empty(ctx: AtenContext, size: Size, dtype: Optional[DType] = None) -> Value:
    return filled(ctx, 0)


@aten_op("empty_like.default")
def empty_like(ctx: AtenContext, self: Value, dtype: Optional[DType] = None) -> Value:
    return filled(ctx, 0)


@aten_op("new_empty.default")
def new_empty(ctx: AtenContext, self: Value, size: Size, dtype: Optional[DType] = None) -> Value:
    return filled(ctx, 0)


@aten_op("empty_strided.default", "empty_permuted.default")
def empty_strided(
    ctx: AtenContext,
    size: Size,
    stride: Optional[Size] = None,
    physical_layout: Optional[Size] = None,
    dtype: Optional[DType] = None,
) -> Value:
    return filled(ctx, 0)


@aten_op("new_empty_strided.default")
def new_empty_strided(ctx: AtenContext, self: Value, size: Size, stride: Size, dtype: Optional[DType] = None) -> Value:
    return filled(ctx, 0)


@aten_op("scalar_tensor.default")
def scalar_tensor(ctx: AtenContext, s: Any, dtype: Optional[DType] = None) -> Value:
    return ctx.tensor(s, ctx.out_dtype)


@aten_op("arange.start_step", "arange.default", "arange.start")
def arange(ctx: AtenContext, end: Any, start: Any = 0, step: Any = 1, dtype: Optional[DType] = None) -> Value:
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
def eye(ctx: AtenContext, n: D.Dim, m: Optional[D.Dim] = None, dtype: Optional[DType] = None) -> Value:
    return emit_eye(ctx, n, n if m is None else m, 0, ctx.out_dtype)


@aten_op("tril.default")
def tril(ctx: AtenContext, self: Value, diagonal: D.Dim = 0) -> Value:
    return triangle(ctx, self, _diagonal(ctx, diagonal), False)


@aten_op("triu.default")
def triu(ctx: AtenContext, self: Value, diagonal: D.Dim = 0) -> Value:
    return triangle(ctx, self, _diagonal(ctx, diagonal), True)


@aten_op("tril_indices.default")
def tril_indices(ctx: AtenContext, row: int, col: int, offset: int = 0, dtype: Optional[DType] = None) -> Value:
    positions = np.tril_indices(ctx.static_int(row, "the size"), offset, ctx.static_int(col, "the size"))
    return ctx.constant(np.stack(positions).astype(ctx.out_dtype.numpy))


@aten_op("triu_indices.default")
def triu_indices(ctx: AtenContext, row: int, col: int, offset: int = 0, dtype: Optional[DType] = None) -> Value:
    positions = np.triu_indices(ctx.static_int(row, "the size"), offset, ctx.static_int(col, "the size"))
    return ctx.constant(np.stack(positions).astype(ctx.out_dtype.numpy))


def _diagonal(ctx: AtenContext, k: D.Dim) -> Union[int, Value]:
    return k if isinstance(k, int) else ctx.tensor(k)
