"""Cutting, joining, and putting parts into place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

import numpy as np

from mconv.emit import arithmetic, concat, slice_, split, squeeze, transpose
from mconv.emit.elementwise import number
from mconv.emit.known import INT32_MAX, axis_of, need_rank
from mconv.emit.ranges import iota
from mconv.emit.shape import reshape, unsqueeze
from mconv.emit.sizes import dim_tensor
from mconv.program import dims as D
from mconv.program.dtypes import DType
from mconv.program.value import Value
from mconv.torch.context import AtenContext
from mconv.torch.registry import aten_op


def _bounds(start: Optional[D.Dim], end: Optional[D.Dim]) -> tuple[D.Dim, D.Dim]:
    first: D.Dim = 0 if start is None else start
    last: D.Dim = INT32_MAX if end is None or (isinstance(end, int) and end > INT32_MAX) else end
    return first, last


@aten_op("slice.Tensor")
def slice_tensor(
    ctx: AtenContext,
    self: Value,
    dim: int = 0,
    start: Optional[D.Dim] = None,
    end: Optional[D.Dim] = None,
    step: D.Dim = 1,
) -> Value:
    first, last = _bounds(start, end)
    axis = axis_of(dim, len(need_rank(self, "slice")))
    size = need_rank(self, "slice")[axis]
    if first == 0 and step == 1 and (last == size or ctx.out_shape[axis] == size):
        return self
    made = slice_(ctx, self, [dim], [first], [last], [ctx.static_int(step, "the step of a slice")])
    return _as_torch_says(ctx, made)


def _as_torch_says(ctx: AtenContext, x: Value) -> Value:
    """Torch knows the sizes of slices better, having checked them."""
    if not x.is_const and x.shape is not None and all(not isinstance(d, int) or d > 0 for d in x.shape):
        x.shape = ctx.out_shape
    return x


@aten_op("select.int")
def select(ctx: AtenContext, self: Value, dim: int, index: D.Dim) -> Value:
    return _selected(ctx, self, dim, index)


def _selected(ctx: AtenContext, x: Value, dim: int, index: D.Dim) -> Value:
    end = INT32_MAX if index == -1 else index + 1
    return squeeze(ctx, _of_one(slice_(ctx, x, [dim], [index], [end]), dim), [dim])


def _of_one(x: Value, dim: int) -> Value:
    """A slice of one element at a position that is known to be inside."""
    if x.shape is not None and not x.is_const:
        shape = list(x.shape)
        shape[dim] = 1
        x.shape = tuple(shape)
    return x


@aten_op("unbind.int")
def unbind(ctx: AtenContext, self: Value, dim: int = 0) -> list[Value]:
    size = ctx.static_int(need_rank(self, "unbind")[dim], "the size of the dimension that is taken apart")
    if size == 0:
        return []
    return [squeeze(ctx, part, [dim]) for part in split(ctx, self, [1] * size, dim)]


@aten_op("split.Tensor", "unsafe_split.Tensor", "split_with_sizes.default", "unsafe_split_with_sizes.default")
@aten_op("split_with_sizes_copy.default")
def parts(
    ctx: AtenContext,
    self: Value,
    split_size: Optional[D.Dim] = None,
    split_sizes: Optional[Sequence[D.Dim]] = None,
    dim: int = 0,
) -> list[Value]:
    return split(ctx, self, [shape[dim] for _, shape in ctx.specs()], dim)


@aten_op("cat.default")
def cat(ctx: AtenContext, tensors: Sequence[Value], dim: int = 0) -> Value:
    # empty vectors go with everything
    kept = [x for x in tensors if x.shape != (0,)] or list(tensors[:1])
    return concat(ctx, [ctx.cast(x, ctx.out_dtype) for x in kept], dim)


@aten_op("stack.default")
def stack(ctx: AtenContext, tensors: Sequence[Value], dim: int = 0) -> Value:
    axis = axis_of(dim, len(ctx.out_shape))
    return concat(ctx, [unsqueeze(ctx, ctx.cast(x, ctx.out_dtype), [axis]) for x in tensors], axis)


# the other way round: a copy of a tensor with a part replaced --------------------------------------------------------


@aten_op("select_scatter.default")
def select_scatter(ctx: AtenContext, self: Value, src: Value, dim: int, index: D.Dim) -> Value:
    axis = axis_of(dim, len(need_rank(self, "select_scatter")))
    end = None if index == -1 else index + 1
    return _replaced(ctx, self, unsqueeze(ctx, ctx.cast(src, self.dtype), [axis]), axis, index, end, 1)


@aten_op("slice_scatter.default")
def slice_scatter(
    ctx: AtenContext,
    self: Value,
    src: Value,
    dim: int = 0,
    start: Optional[D.Dim] = None,
    end: Optional[D.Dim] = None,
    step: D.Dim = 1,
) -> Value:
    axis = axis_of(dim, len(need_rank(self, "slice_scatter")))
    by = ctx.static_int(step, "the step of a slice")
    return _replaced(ctx, self, ctx.cast(src, self.dtype), axis, start, end, by)


def _replaced(
    ctx: AtenContext, x: Value, part: Value, axis: int, start: Optional[D.Dim], end: Optional[D.Dim], step: int
) -> Value:
    shape, count = need_rank(x, "slice_scatter"), need_rank(part, "slice_scatter")[axis]
    if count == 0:
        return x
    first, _ = _bounds(start, end)
    if isinstance(first, int) and first < 0:
        size = shape[axis]
        first = max(size + first, 0) if isinstance(size, int) else size + first
    if count == shape[axis]:
        return part
    if step != 1:
        rows = arithmetic(ctx, "mul", iota(ctx, count), number(ctx, step, DType.INT64))
        rows = arithmetic(ctx, "add", rows, reshape(ctx, dim_tensor(ctx, first), (1,)))
        order = [axis, *(i for i in range(len(shape)) if i != axis)]
        back = [int(i) for i in np.argsort(order)]
        turned = ctx.op(
            "scatter", X=transpose(ctx, x, order), Ids=rows, Updates=transpose(ctx, part, order), overwrite=True
        )
        return transpose(ctx, turned, back)
    last = first + count
    pieces = [] if first == 0 else [slice_(ctx, x, [axis], [0], [first])]
    pieces.append(part)
    if last != shape[axis]:
        pieces.append(slice_(ctx, x, [axis], [last], [INT32_MAX]))
    return concat(ctx, pieces, axis)
