"""Copies, conversions between element types, and what does nothing in inference."""

from __future__ import annotations

from typing import Optional

from mconv.emit.shape import expand_to
from mconv.program.dtypes import DType
from mconv.program.value import Value
from mconv.torch.context import AtenContext
from mconv.torch.registry import aten_op


@aten_op("_to_copy.default", "to.dtype", "to.dtype_layout", "type_as.default")
def to_copy(ctx: AtenContext, self: Value, other: Optional[Value] = None) -> Value:
    return ctx.cast(self, ctx.out_dtype)


@aten_op(
    "clone.default", "alias.default", "detach.default", "contiguous.default", "lift_fresh_copy.default",
    "lift_fresh.default", "_conj.default", "resolve_conj.default", "resolve_neg.default", "alias_copy.default",
)  # fmt: skip
def same(ctx: AtenContext, self: Value) -> Value:
    return self


@aten_op("copy.default")
def copy(ctx: AtenContext, self: Value, src: Value) -> Value:
    return expand_to(ctx, ctx.cast(src, self.dtype), ctx.out_shape)


@aten_op("dropout.default", "feature_dropout.default", "alpha_dropout.default", "feature_alpha_dropout.default")
def dropout(ctx: AtenContext, input: Value, p: float, train: bool) -> Value:
    if train and p:
        raise ctx.refuse("it is in training mode, where it gives other numbers each time")
    return input


@aten_op("native_dropout.default")
def native_dropout(ctx: AtenContext, input: Value, p: float, train: Optional[bool]) -> tuple[Value, Optional[Value]]:
    from mconv.emit import fill

    made = dropout(ctx, input, p, train is None or train)
    return made, fill(ctx, ctx.specs()[1][1], True, DType.BOOL) if ctx.wants(1) else None
