"""Taking and setting elements."""

from __future__ import annotations

from typing import Any, Optional

import numpy as np

from mconv import emit
from mconv.emit.gather import coordinates, wrapped
from mconv.emit.scatter import scatter_elements, scatter_nd
from mconv.emit.selection import selected
from mconv.emit.slicing import flip
from mconv.emit.zero_size import counted
from mconv.paddle.context import Context, table_op
from mconv.paddle.ops.shapes import INT32_MAX
from mconv.paddle.registry import Unsupported, paddle_op
from mconv.program import dims as D
from mconv.program.dtypes import DType
from mconv.program.targets import PADDLE_3
from mconv.program.value import Value

# what gives no negative number, and what hands on what it is given
_POSITIONS = frozenset({"where_index", "arg_max", "arg_min", "argsort", "top_k_v2", "shape", "size", "unique"})
_HANDED_ON = frozenset({"cast", "assign", "reshape2", "unsqueeze2", "squeeze2", "slice", "strided_slice", "transpose2"})


@paddle_op("slice")
def slice_(
    ctx: Context,
    x: Value,
    starts: Any,
    ends: Any,
    *,
    axes: list[int],
    infer_flags: list[int],
    decrease_axis: list[int],
) -> Value:
    b = ctx.b
    kind, stated = ctx.spec()
    first, last = ctx.dims(starts), ctx.dims(ends)
    rank = x.rank or 0
    decrease = [a % rank for a in decrease_axis]
    if x.is_const or x.data is not None or not decrease or counted(b, x.shape or ()):
        made = emit.slice_(
            b,
            x,
            axes,
            first if first is not None else ctx.tensor(starts),
            last if last is not None else ctx.tensor(ends),
        )
        if not decrease:
            return made
        data = made.data
        made = emit.reshape(b, made, tuple(d for i, d in enumerate(made.shape or ()) if i not in decrease))
        if data is not None:
            made.data = data
        return made
    shape: list[D.Dim] = list(x.shape or ())
    for i, a in enumerate(axes):
        known = first is not None and last is not None
        a %= rank
        shape[a] = emit.sliced_dim(shape[a], first[i], last[i], 1) if known else D.Sym.fresh("slice")  # type: ignore[index]
    out = tuple(d for i, d in enumerate(shape) if i not in decrease)
    arguments: dict[str, Any] = {"axes": [a % rank for a in axes], "decrease_axis": decrease}
    flags = 1
    for name, given, values in (("starts", starts, first), ("ends", ends, last)):
        if values is not None and D.is_static(values):
            arguments[name] = [max(min(int(v), INT32_MAX), -INT32_MAX) for v in values]  # type: ignore[arg-type]
        else:
            tensor = ctx.tensor(given) if values is None else emit.shape_tensor(b, values, DType.INT32)
            arguments[name.capitalize() + "Tensor"] = tensor
            arguments[name] = [-1] * len(axes)
            flags = -1
    return ctx.op("slice", Input=x, infer_flags=[flags] * len(axes), **arguments, result=(kind, out))


@paddle_op("strided_slice")
def strided_slice(ctx: Context, x: Value, starts: Any, ends: Any, strides: Any, *, axes: list[int]) -> Value:
    steps = ctx.ints(strides, "a step")
    first, last = ctx.dims(starts), ctx.dims(ends)
    rank = x.rank or 0
    turned = [
        i
        for i, s in enumerate(steps)
        if s < 0
        and first is not None
        and last is not None
        and _backwards(first[i], last[i], (x.shape or ())[axes[i] % rank])
    ]
    if turned and first is not None and last is not None:
        x = flip(ctx.b, x, [axes[i] for i in turned])
        steps = [-s if i in turned else s for i, s in enumerate(steps)]
        first = [0 if i in turned else d for i, d in enumerate(first)]
        last = [INT32_MAX if i in turned else d for i, d in enumerate(last)]
    return emit.slice_(
        ctx.b,
        x,
        axes,
        first if first is not None else ctx.tensor(starts),
        last if last is not None else ctx.tensor(ends),
        steps,
    )


def _backwards(start: D.Dim, end: D.Dim, size: D.Dim) -> bool:
    """Whether a slice with a negative step goes from the last element to the first."""
    if not isinstance(start, int) or not isinstance(end, int):
        return False
    largest = size if isinstance(size, int) else INT32_MAX - 1
    return (start == -1 or start >= largest - 1) and end < -largest


def _from_the_start(ctx: Context, index: Value, *sizes: D.Dim) -> Value:
    """Indices without negative ones, which count from the end since Paddle 3.0 and are refused at run time before.

    Args:
        sizes: of the dimension that they pick from; of several, *index* holds coordinates in its last dimension.
    """
    b = ctx.b
    if b.target == PADDLE_3 or counted(b, index.shape or ()) or _never_negative(ctx, index.name):
        return index
    return coordinates(b, index, sizes) if len(sizes) > 1 else wrapped(b, index, *sizes)


def _never_negative(ctx: Context, name: Optional[str]) -> bool:
    for op in reversed(ctx.b.block.ops):
        if name not in op.output_names:
            continue
        if op.type in _POSITIONS:
            return True
        if op.type not in _HANDED_ON:
            return False
        name = (op.input("X") or op.input("Input"))[0]
    return False


@paddle_op("gather_nd")
def gather_nd(ctx: Context, x: Value, index: Value) -> Any:
    depth = (index.shape or (None,))[-1]
    if not isinstance(depth, int) or not 0 < depth <= len(x.shape or ()):
        return ctx.generic()
    return table_op(ctx, ctx.name, [x, _from_the_start(ctx, index, *(x.shape or ())[:depth])])


@paddle_op("scatter_nd_add")
def scatter_nd_add(ctx: Context, x: Value, index: Value, updates: Value) -> Any:
    depth = (index.shape or (None,))[-1]
    if not isinstance(depth, int) or not 0 < depth <= len(x.shape or ()):
        return ctx.generic()
    return table_op(ctx, ctx.name, [x, _from_the_start(ctx, index, *(x.shape or ())[:depth]), updates])


@paddle_op("scatter")
def scatter(ctx: Context, x: Value, index: Value, updates: Value, **_: Any) -> Any:
    return table_op(ctx, ctx.name, [x, _from_the_start(ctx, index, (x.shape or (1,))[0]), updates])


@paddle_op("gather")
def gather(ctx: Context, x: Value, index: Value, axis: Any) -> Value:
    b = ctx.b
    where = ctx.int(axis)
    kind, stated = ctx.spec()
    shape = x.shape or ()
    where %= len(shape) or 1
    if x.data is not None or x.is_const:
        return emit.gather(b, x, index, where)
    index = _from_the_start(ctx, index, shape[where] if shape else 1)
    index_shape = index.shape or ()
    flat = emit.reshape(b, index, (D.product(index_shape),)) if len(index_shape) != 1 else index
    out = (*shape[:where], *(flat.shape or ()), *shape[where + 1 :])
    made = ctx.op("gather", X=x, Index=flat, axis=where, result=(kind, out))
    # a matrix of indices counts as a vector
    if not index_shape or (len(stated) != len(out)):
        return ctx.reshaped(made, (*shape[:where], *index_shape, *shape[where + 1 :]))
    return made


@paddle_op("index_select")
def index_select(ctx: Context, x: Value, index: Value, *, axis: int) -> Value:
    shape = x.shape or ()
    where = axis % len(shape)
    if not index.rank:
        index = emit.reshape(ctx.b, index, (1,))
    index = _from_the_start(ctx, index, shape[where])
    out = (*shape[:where], *(index.shape or ()), *shape[where + 1 :])
    return ctx.op("index_select", X=x, Index=index, dim=where, result=(x.dtype, out))


@paddle_op("index_select_strided")
def index_one(ctx: Context, x: Value, *, index: int, axis: int) -> Value:
    made = emit.slice_(ctx.b, x, [axis], [index], [index + 1 if index != -1 else INT32_MAX])
    return emit.squeeze(ctx.b, made, [axis])


@paddle_op("take_along_axis")
def take_along_axis(ctx: Context, x: Value, index: Value, *, axis: int) -> Value:
    return emit.take_along_axis(ctx.b, x, index, axis)


@paddle_op("put_along_axis")
def put_along_axis(
    ctx: Context, x: Value, index: Value, value: Value, *, axis: int, reduce: str, include_self: bool = True
) -> Value:
    shape = index.shape or ()
    if value.shape != shape:
        value = emit.expand_to(ctx.b, value, shape)
    index = _from_the_start(ctx, index, (x.shape or (1,))[axis])
    arguments: dict[str, Any] = {}
    if "Include_self" in ctx.b.signature("put_along_axis")["attrs"]:
        arguments["Include_self"] = include_self
    elif not include_self and reduce != "assign":
        raise Unsupported(f"put_along_axis with reduce={reduce!r} and include_self=False")
    elif reduce in ("amin", "amax"):
        return scatter_elements(ctx.b, x, index, value, axis, reduce[1:])
    elif reduce == "mean":
        raise Unsupported("put_along_axis with reduce='mean'")
    return ctx.op(
        "put_along_axis",
        Input=x,
        Index=index,
        Value=value,
        Axis=axis,
        Reduce=reduce,
        **arguments,
        result=(x.dtype, x.shape),
    )


@paddle_op("one_hot")
def one_hot(ctx: Context, x: Value, num_classes: Any) -> Value:
    kind, _ = ctx.spec()
    depth = ctx.dims(num_classes)
    if depth is None or not isinstance(depth[0], int):
        raise Unsupported("a number of classes that is computed at run time")
    shape = x.shape or ()
    made = ctx.op(
        "one_hot_v2",
        X=x,
        depth=depth[0],
        dtype=int(kind),
        allow_out_of_range=False,
        result=(kind, (*(shape or ((1,) if not ctx.has_0d else ())), depth[0])),
    )
    return made if shape or ctx.has_0d else ctx.reshaped(made, (depth[0],))


@paddle_op("index_put")
def index_put(ctx: Context, x: Value, indices: list[Value], value: Value, *, accumulate: bool) -> Any:
    if ctx.has("index_put"):
        return ctx.generic()
    b = ctx.b
    shape = x.shape or ()
    if len(indices) == 1 and indices[0].dtype is DType.BOOL:
        mask = indices[0]
        if (mask.rank or 0) == len(shape) and value.size == 1:
            held = emit.binary(b, "elementwise_add", x, value) if accumulate else value
            return emit.where(b, mask, b.cast(held, x.dtype), x)
        positions = selected(b, mask)
    else:
        if any(i.dtype is DType.BOOL for i in indices):
            raise Unsupported("masks and indices together")
        common = D.broadcast(*(i.shape for i in indices))
        if common is None:
            raise Unsupported("indices of unknown rank")
        spread = [b.cast(emit.expand_to(b, i, common, indices), DType.INT64) for i in indices]
        positions = emit.concat(b, [emit.unsqueeze(b, i, [len(common)]) for i in spread], len(common))
    depth = (positions.shape or ())[-1]
    assert isinstance(depth, int)
    updates = emit.expand_to(b, b.cast(value, x.dtype), (*(positions.shape or ())[:-1], *shape[depth:]))
    return scatter_nd(b, x, positions, updates, "add" if accumulate else "none")


@paddle_op("index_add")
def index_add(ctx: Context, x: Value, index: Value, value: Value, *, axis: int) -> Any:
    b = ctx.b
    rank = x.rank or 1
    axis %= rank
    index = _from_the_start(ctx, index, (x.shape or (1,))[axis])
    if ctx.has("index_add"):
        return table_op(ctx, ctx.name, [x, index, value])
    perm = [axis] + [i for i in range(rank) if i != axis]
    back = [perm.index(i) for i in range(rank)]
    turned, updates = emit.transpose(b, x, perm), emit.transpose(b, value, perm)
    positions = emit.unsqueeze(b, index, [1])
    made = ctx.op("scatter_nd_add", X=turned, Index=positions, Updates=updates, result=(x.dtype, turned.shape))
    return emit.transpose(b, made, back)


def _nothing(start: D.Dim, end: D.Dim, step: D.Dim) -> bool:
    """Whether a slice has no elements, whatever the size of its dimension."""
    if not (isinstance(start, int) and isinstance(end, int) and isinstance(step, int)) or (start < 0) != (end < 0):
        return False
    return start >= end if step > 0 else start <= end


@paddle_op("set_value", "set_value_with_tensor")
def set_value(
    ctx: Context,
    x: Value,
    *operands: Any,
    axes: list[int],
    decrease_axes: list[int],
    none_axes: list[int],
    shape: Optional[list[int]] = None,
    values: Optional[list[Any]] = None,
) -> Value:
    """``x[…] = value``."""
    b = ctx.b
    if values is None:
        tensor, starts, ends, steps = operands
    else:
        tensor, (starts, ends, steps) = None, operands
    bounds = [ctx.dims(operand) for operand in (starts, ends, steps)]
    if any(_nothing(*of_axis) for of_axis in zip(*(bound or () for bound in bounds))):
        return x  # 2.6 and before refuse it
    arguments: dict[str, Any] = {}
    for name, operand in (("starts", starts), ("ends", ends), ("steps", steps)):
        known = ctx.dims(operand)
        if known is not None and D.is_static(known):
            arguments[name] = D.numbers(known)
        else:
            tensors = operand if isinstance(operand, list) else None
            if tensors is None:
                whole = ctx.tensor(operand, DType.INT64)
                tensors = [emit.slice_(b, whole, [0], [i], [i + 1]) for i in range(len(axes))]
            arguments[name.capitalize() + "TensorList"] = [ctx.one(b.cast(t, DType.INT64)) for t in tensors]
            arguments[name] = []
    if values is not None:
        array = np.array(values).astype(x.dtype.numpy).reshape(shape if shape else (-1,))
        tensor = b.constant(array, x.dtype)
    assert tensor is not None
    value = b.cast(tensor, x.dtype)
    if not value.rank:
        value = emit.reshape(b, value, (1,))
    sig = b.signature("set_value")["attrs"]
    return ctx.op(
        "set_value",
        Input=x,
        ValueTensor=value,
        axes=axes,
        decrease_axes=decrease_axes,
        none_axes=none_axes,
        dtype=int(x.dtype) if "dtype" in sig else None,
        **arguments,
        result=(x.dtype, x.shape),
    )
