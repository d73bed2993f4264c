"""The same elements in another shape or order."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, Optional

from mconv.emit import arithmetic, dim_tensor, gather, reshape, transpose, unary
from mconv.emit.elementwise import number
from mconv.emit.generate import remainder, tile
from mconv.emit.known import axis_of, need_rank, replaced
from mconv.emit.ranges import iota, spread
from mconv.emit.reorder import depth_to_space, space_to_depth
from mconv.emit.scatter import scatter_elements
from mconv.emit.shape import expand_to, unsqueeze
from mconv.emit.slicing import flip as emit_flip
from mconv.program import dims as D
from mconv.program.dtypes import DType
from mconv.program.value import Value
from mconv.torch.context import AtenContext
from mconv.torch.registry import aten_op

Size = Sequence[D.Dim]


@aten_op("view.default", "_unsafe_view.default", "_reshape_alias.default", "reshape.default")
@aten_op("squeeze.default", "squeeze.dim", "squeeze.dims")
def view(
    ctx: AtenContext,
    self: Value,
    size: Optional[Size] = None,
    shape: Optional[Size] = None,
    stride: Optional[Size] = None,
    dim: Any = None,
) -> Value:
    return reshape(ctx, self, ctx.out_shape)


@aten_op("view.dtype")
def view_dtype(ctx: AtenContext, self: Value) -> Value:
    if ctx.out_dtype is self.dtype:
        return self
    raise ctx.refuse(f"it reads the bytes of {self.dtype.label} as {ctx.out_dtype.label}")


@aten_op("unsqueeze.default")
def unsqueeze_(ctx: AtenContext, self: Value, dim: int) -> Value:
    return unsqueeze(ctx, self, [dim])


@aten_op("permute.default")
def permute(ctx: AtenContext, self: Value, dims: Sequence[int]) -> Value:
    rank = len(need_rank(self, "permute"))
    return transpose(ctx, self, [axis_of(d, rank) for d in dims])


@aten_op("transpose.int")
def transpose_(ctx: AtenContext, self: Value, dim0: int, dim1: int) -> Value:
    order = list(range(len(need_rank(self, "transpose"))))
    if order:
        order[dim0], order[dim1] = order[dim1], order[dim0]
    return transpose(ctx, self, order)


@aten_op("t.default")
def t(ctx: AtenContext, self: Value) -> Value:
    return transpose(ctx, self, [1, 0]) if self.rank == 2 else self


@aten_op("expand.default")
def expand(ctx: AtenContext, self: Value, size: Size) -> Value:
    return expand_to(ctx, self, ctx.out_shape)


def _in_rank(ctx: AtenContext, x: Value, rank: int) -> Value:
    missing = rank - len(need_rank(x, "repeat"))
    return unsqueeze(ctx, x, list(range(missing))) if missing else x


@aten_op("repeat.default")
def repeat(ctx: AtenContext, self: Value, repeats: Size) -> Value:
    return tile(ctx, _in_rank(ctx, self, len(repeats)), repeats)


@aten_op("tile.default")
def tile_(ctx: AtenContext, self: Value, dims: Size) -> Value:
    rank = max(len(dims), self.rank or 0)
    return tile(ctx, _in_rank(ctx, self, rank), [1] * (rank - len(dims)) + list(dims))


@aten_op("flip.default")
def flip(ctx: AtenContext, self: Value, dims: Sequence[int]) -> Value:
    return emit_flip(ctx, self, dims) if dims else self


@aten_op("roll.default")
def roll(ctx: AtenContext, self: Value, shifts: Sequence[D.Dim], dims: Sequence[int] = ()) -> Value:
    if not dims:
        flat = reshape(ctx, self, [D.product(need_rank(self, "roll"))])
        return reshape(ctx, _rolled(ctx, flat, shifts, [0]), ctx.out_shape)
    rank = len(need_rank(self, "roll"))
    return _rolled(ctx, self, shifts, [axis_of(d, rank) for d in dims])


def _rolled(ctx: AtenContext, x: Value, shifts: Sequence[D.Dim], axes: Sequence[int]) -> Value:
    known = [(s, a) for s, a in zip(shifts, axes) if isinstance(s, int)]
    if known:
        x = unary(ctx, "roll", x, shifts=[s for s, _ in known], axis=[a for _, a in known])
    for shift, axis in zip(shifts, axes):
        if not isinstance(shift, int):
            size = need_rank(x, "roll")[axis]
            position = arithmetic(ctx, "sub", iota(ctx, size), dim_tensor(ctx, shift))
            x = gather(ctx, x, remainder(ctx, position, dim_tensor(ctx, size)), axis, wrap=False)
    return x


@aten_op("pixel_shuffle.default")
def pixel_shuffle(ctx: AtenContext, self: Value, upscale_factor: int) -> Value:
    return _batched(ctx, self, lambda x: depth_to_space(ctx, x, upscale_factor, column_major=True))


@aten_op("pixel_unshuffle.default")
def pixel_unshuffle(ctx: AtenContext, self: Value, downscale_factor: int) -> Value:
    return _batched(ctx, self, lambda x: space_to_depth(ctx, x, downscale_factor, column_major=True))


def _batched(ctx: AtenContext, x: Value, convert: Any) -> Value:
    """*convert*, which takes four dimensions, on three as well."""
    rank = len(need_rank(x, "pixel_shuffle"))
    if rank == 4:
        made: Value = convert(x)
        return made
    if rank != 3:
        raise ctx.refuse(f"{rank} dimensions")
    return reshape(ctx, convert(unsqueeze(ctx, x, [0])), ctx.out_shape)


# views by strides ----------------------------------------------------------------------------------------------------


@aten_op("diagonal.default")
def diagonal(ctx: AtenContext, self: Value, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Value:
    flat, index, axes = _by_diagonal(ctx, self, offset, dim1, dim2, ctx.out_shape[-1])
    return gather(ctx, flat, index, len(axes) - 2, wrap=False)


def _by_diagonal(
    ctx: AtenContext, x: Value, offset: int, dim1: int, dim2: int, count: D.Dim
) -> tuple[Value, Value, list[int]]:
    """*x* with two dimensions made one behind the others, the *count* positions of a diagonal in it, and the order of
    dimensions that it has been brought into before."""
    shape = need_rank(x, "diagonal")
    rank = len(shape)
    first, second = axis_of(dim1, rank), axis_of(dim2, rank)
    rest = [i for i in range(rank) if i not in (first, second)]
    rows, columns = shape[first], shape[second]
    order = [*rest, first, second]
    flat = reshape(ctx, transpose(ctx, x, order), (*[shape[i] for i in rest], rows * columns))
    step = dim_tensor(ctx, columns + 1)
    index = arithmetic(ctx, "mul", iota(ctx, count), step)
    begin = offset if offset >= 0 else -offset * columns
    if begin != 0:
        index = arithmetic(ctx, "add", index, dim_tensor(ctx, begin))
    return flat, index, order


@aten_op("diagonal_scatter.default")
def diagonal_scatter(ctx: AtenContext, self: Value, src: Value, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Value:
    parts, shape = need_rank(src, "diagonal_scatter"), need_rank(self, "diagonal_scatter")
    flat, index, order = _by_diagonal(ctx, self, offset, dim1, dim2, parts[-1])
    axis = len(order) - 2
    index = expand_to(ctx, spread(ctx, index, axis, axis + 1), parts)
    made = scatter_elements(ctx, flat, index, ctx.cast(src, self.dtype), axis)
    made = reshape(ctx, made, [shape[i] for i in order])
    return transpose(ctx, made, [order.index(i) for i in range(len(order))])


@aten_op("unfold.default")
def unfold(ctx: AtenContext, self: Value, dimension: int, size: int, step: int) -> Value:
    """Windows along a dimension; their elements become a last dimension."""
    shape = need_rank(self, "unfold")
    rank = len(shape)
    axis = axis_of(dimension, rank)
    count = ctx.out_shape[axis]
    starts = arithmetic(ctx, "mul", iota(ctx, count), number(ctx, step, DType.INT64))
    index = arithmetic(ctx, "add", spread(ctx, starts, 0, 2), spread(ctx, iota(ctx, size), 1, 2))
    index = reshape(ctx, index, (count * size,))
    made = gather(ctx, self, index, axis, wrap=False)
    made = reshape(ctx, made, replaced(shape, axis, count, size))
    return transpose(ctx, made, [*range(axis + 1), *range(axis + 2, rank + 1), axis + 1])


@aten_op("as_strided.default")
def as_strided(
    ctx: AtenContext, self: Value, size: Size, stride: Size, storage_offset: Optional[D.Dim] = None
) -> Value:
    """Of tensors that lie in memory without gaps, in the order of their axes or in another one, as transposed ones do."""
    source = ctx.node.args[0].meta["val"]
    order = _memory_order(ctx, source)
    if order is None:
        raise ctx.refuse("a view by strides of a tensor that has gaps or repetitions in memory")
    self = transpose(ctx, self, order)
    begin = 0 if storage_offset is None else storage_offset
    if source.storage_offset() != 0:
        raise ctx.refuse("a view by strides of a part of a tensor")
    if not size:
        index = reshape(ctx, dim_tensor(ctx, begin), ())
        return gather(ctx, reshape(ctx, self, (D.product(need_rank(self, "as_strided")),)), index, 0, wrap=False)
    ones = [1] * len(size)
    steps = (
        arithmetic(ctx, "mul", spread(ctx, iota(ctx, n), axis, len(size)), reshape(ctx, dim_tensor(ctx, s), ones))
        for axis, (n, s) in enumerate(zip(size, stride))
    )
    index = functools.reduce(lambda x, y: arithmetic(ctx, "add", x, y), steps)
    if begin != 0:
        index = arithmetic(ctx, "add", index, reshape(ctx, dim_tensor(ctx, begin), ones))
    flat = reshape(ctx, self, (D.product(need_rank(self, "as_strided")),))
    positions = reshape(ctx, index, (D.product(size),))
    return reshape(ctx, gather(ctx, flat, positions, 0, wrap=False), tuple(size))


def _memory_order(ctx: AtenContext, source: Any) -> Optional[list[int]]:
    """The axes of a torch tensor from the one with the widest stride to the one whose elements lie side by side; None
    where no order of them has each element in memory just once.

    Sizes are compared as expressions and, as torch knows more of them than these say (``n // 8 * 8 == n``), by their
    values where the model was traced.
    """
    sizes, strides = source.shape, source.stride()
    order: list[int] = []
    step: D.Dim = 1
    traced = 1
    left = [axis for axis, n in enumerate(sizes) if ctx.dim_of(n) != 1]
    while left:
        found = [a for a in reversed(left) if ctx.dim_of(strides[a]) == step]
        found = found or [a for a in reversed(left) if _traced(strides[a]) == traced]
        if not found:
            return None
        left.remove(found[0])
        order.insert(0, found[0])
        step, traced = step * ctx.dim_of(sizes[found[0]]), traced * _traced(sizes[found[0]])
    return [axis for axis in range(len(sizes)) if axis not in order] + order


def _traced(size: Any) -> int:
    """A size where the model was traced; -1 for one that only data say."""
    hint = size if isinstance(size, int) else size.node.hint
    return -1 if hint is None else int(hint)
