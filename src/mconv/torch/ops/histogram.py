"""Counting, positions among sorted numbers, repetition by numbers."""

from __future__ import annotations

from typing import Any, Optional

from mconv.emit import histogram
from mconv.emit.known import need_rank
from mconv.emit.shape import reshape
from mconv.program import dims as D
from mconv.program.dtypes import DType
from mconv.program.value import Value
from mconv.torch.context import AtenContext, Number
from mconv.torch.registry import aten_op


@aten_op("histc.default")
def histc(ctx: AtenContext, self: Value, bins: int = 100, min: Number = 0, max: Number = 0) -> Value:
    return ctx.cast(histogram.histogram(ctx, self, bins, float(min), float(max)), ctx.out_dtype)


@aten_op("bincount.default")
def bincount(ctx: AtenContext, self: Value, weights: Optional[Value] = None, minlength: Any = 0) -> Value:
    """The number of bins is that of the largest number, plus one, and *minlength* at the least."""
    least = reshape(ctx, ctx.tensor(minlength, DType.INT64), (1,))
    return histogram.bincount(ctx, self, weights, least, ctx.out_dtype, ctx.out_shape[0])


@aten_op("searchsorted.Tensor", "searchsorted.Scalar")
def searchsorted(
    ctx: AtenContext,
    sorted_sequence: Value,
    self: Any,
    right: bool = False,
    side: Optional[str] = None,
    sorter: Optional[Value] = None,
) -> Value:
    if sorter is not None:
        raise ctx.refuse("the sequence is sorted by the sorter, not by itself")
    values = ctx.tensor(self)
    made = histogram.searchsorted(ctx, sorted_sequence, values, right=right or side == "right")
    return ctx.cast(made, ctx.out_dtype)


@aten_op("bucketize.Tensor", "bucketize.Scalar")
def bucketize(ctx: AtenContext, self: Any, boundaries: Value, right: bool = False) -> Value:
    return searchsorted(ctx, boundaries, self, right)


@aten_op("repeat_interleave.Tensor")
def repeat_interleave(ctx: AtenContext, repeats: Value, output_size: Optional[D.Dim] = None) -> Value:
    need_rank(repeats, "repeat_interleave")
    return ctx.cast(histogram.repeated_positions(ctx, repeats, ctx.out_shape[0]), ctx.out_dtype)
