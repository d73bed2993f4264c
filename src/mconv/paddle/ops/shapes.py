"""Operations that look at shapes or move elements about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional

import numpy as np

from mconv import emit
from mconv.paddle.context import Context
from mconv.paddle.registry import Unsupported, paddle_op
from mconv.program import dims as D
from mconv.program.dtypes import DType
from mconv.program.value import Value

INT32_MAX = emit.INT32_MAX


@paddle_op("shape", "shape64")
def shape_of(ctx: Context, x: Value) -> Value:
    kind, _ = ctx.spec()
    return emit.sizes_of(ctx.b, x, kind)


@paddle_op("shape_broadcast")
def shape_broadcast(ctx: Context, x: Value, y: Value) -> Value:
    xs, ys = ctx.dims(x), ctx.dims(y)
    if xs is None or ys is None:
        raise Unsupported("shapes that are computed at run time")
    kind, _ = ctx.spec()
    return emit.shape_tensor(ctx.b, D.broadcast(xs, ys) or (), kind)


def resolved(x: Value, wanted: Sequence[D.Dim], stated: Sequence[D.Dim]) -> tuple[D.Dim, ...]:
    """The shape that a reshape gives: 0 in *wanted* copies a dimension, one -1 is inferred."""
    out: list[D.Dim] = []
    for i, d in enumerate(wanted):
        copied = isinstance(d, int) and d == 0 and x.shape is not None and i < len(x.shape)
        out.append(x.shape[i] if copied and x.shape is not None else d)
    missing = [i for i, d in enumerate(out) if isinstance(d, int) and d == -1]
    if missing:
        rest = D.product(d for i, d in enumerate(out) if i not in missing)
        whole = None if x.shape is None else D.product(x.shape)
        exact = None if whole is None else D.exact_div(whole, rest)
        out[missing[0]] = exact if exact is not None else stated[missing[0]]
    return tuple(out)


@paddle_op("reshape", "view_shape", "legacy_reshape")
def reshape(ctx: Context, x: Value, target: Any = None, *, dims: Optional[list[int]] = None) -> Value:
    b = ctx.b
    spec = ctx.spec()
    wanted = list(dims) if dims is not None else ctx.dims(target)
    if D.is_static(spec[1]) and (x.is_const or 0 in spec[1] or (not spec[1] and not ctx.has_0d)):
        return emit.reshape(b, x, spec[1])
    if wanted is None:
        return ctx.op("reshape2", X=x, Shape=ctx.tensor(target), result=spec)
    if D.is_static(wanted):
        literal = D.numbers(wanted)
        shape = resolved(x, literal, spec[1])
        if x.rank == 0 and 0 in literal:
            return emit.reshape(b, x, shape)
        if shape == x.shape:
            return x
        # a number is better than a -1: less to infer for those who fuse
        literal = [s if isinstance(s, int) and s > 0 else d for d, s in zip(literal, spec[1])]
        made = ctx.op("reshape2", X=x, shape=literal, result=(x.dtype, shape))
    else:
        made = emit.reshape(b, x, resolved(x, wanted, spec[1]))
    if x.data is not None and made.rank is not None and made.rank <= 1:
        made.data = x.data
    return made


@paddle_op("flatten")
def flatten(ctx: Context, x: Value, *, start_axis: int, stop_axis: int) -> Value:
    rank = x.rank or 0
    if not rank:
        return emit.reshape(ctx.b, x, (1,))
    first, last = start_axis % rank, stop_axis % rank
    if first == last:
        return x
    shape = x.shape or ()
    out = (*shape[:first], D.product(shape[first : last + 1]), *shape[last + 1 :])
    if D.is_static(out) or not ctx.has("flatten_contiguous_range"):  # which came with 2.0
        return emit.reshape(ctx.b, x, out)
    return ctx.op("flatten_contiguous_range", X=x, start_axis=first, stop_axis=last, result=(x.dtype, out))


@paddle_op("squeeze")
def squeeze(ctx: Context, x: Value, axis: Any) -> Value:
    kind, stated = ctx.spec()
    rank = x.rank or 0
    if not rank:
        return x
    axes = sorted({a % rank for a in ctx.ints(axis)})
    shape = x.shape or ()
    if len(stated) == rank:
        return x
    kept = [i for i in range(rank) if i not in axes] if axes else [i for i, d in enumerate(shape) if d != 1]
    if axes and len(kept) != len(stated):  # axes that are not 1 stay
        kept = [i for i in range(rank) if i not in axes or (isinstance(shape[i], int) and shape[i] != 1)]
    if len(kept) != len(stated):
        raise Unsupported("which dimensions are 1 is known only at run time")
    out = tuple(shape[i] for i in kept)
    if x.is_const or D.is_static(out) or not out:
        made = emit.reshape(ctx.b, x, out)
    else:
        drop = [i for i in range(rank) if i not in kept]
        made = ctx.op("squeeze2", X=x, axes=drop, result=(kind, out))
    if x.data is not None:
        made.data = x.data
    return made


@paddle_op("unsqueeze")
def unsqueeze(ctx: Context, x: Value, axis: Any) -> Value:
    rank = x.rank or 0
    axes = ctx.ints(axis)
    # one after the other, as Paddle does
    dims: list[D.Dim] = list(x.shape or ())
    indices: list[int] = []
    for a in axes:
        at = a if a >= 0 else a + len(dims) + 1
        indices = [p + 1 if p >= at else p for p in indices] + [at]
        dims.insert(at, 1)
    if x.is_const or D.is_static(dims) or not rank:
        made = emit.reshape(ctx.b, x, tuple(dims))
    else:
        made = ctx.op("unsqueeze2", X=x, axes=sorted(indices), result=(x.dtype, tuple(dims)))
    if x.data is not None and len(dims) == 1:
        made.data = x.data
    return made


@paddle_op("expand")
def expand(ctx: Context, x: Value, shape: Any) -> Value:
    b = ctx.b
    kind, stated = ctx.spec()
    wanted = ctx.dims(shape)
    if x.dtype is DType.BOOL and not ctx.has_0d and not x.is_const:
        return b.cast(expand_to(ctx, b.cast(x, DType.INT32), shape, wanted, stated), DType.BOOL)
    return expand_to(ctx, x, shape, wanted, stated)


def expand_to(ctx: Context, x: Value, shape: Any, wanted: Optional[list[D.Dim]], stated: Any) -> Value:
    """``expand``: -1 in *wanted* keeps the dimension."""
    have = x.shape or ()
    if wanted is None:
        if not have:
            x = emit.reshape(ctx.b, x, (1,))
        return ctx.op("expand_v2", X=x, Shape=ctx.tensor(shape), result=(x.dtype, stated))
    offset = len(wanted) - len(have)
    target: list[D.Dim] = []
    for i, d in enumerate(wanted):
        old = have[i - offset] if i >= offset else 1
        target.append(old if isinstance(d, int) and d == -1 else d)
    if not target:
        return x
    if not have:
        x = emit.reshape(ctx.b, x, (1,) * len(target))
    return emit.expand_to(ctx.b, x, target)


@paddle_op("expand_as")
def expand_as(ctx: Context, x: Value, y: Optional[Value] = None, *, target_shape: list[int] = []) -> Value:  # noqa: B006
    if y is not None and y.shape is not None:
        return expand_to(ctx, x, None, list(y.shape), y.shape)
    return expand_to(ctx, x, None, list(target_shape), ctx.spec()[1])


@paddle_op("broadcast_tensors")
def broadcast_tensors(ctx: Context, values: list[Value]) -> list[Value]:
    shape = D.broadcast(*(v.shape for v in values))
    if shape is None:
        raise Unsupported("a rank that is not known")
    return [emit.expand_to(ctx.b, v, shape, values) for v in values]


@paddle_op("tile")
def tile(ctx: Context, x: Value, repeat_times: Any) -> Value:
    kind, stated = ctx.spec()
    times = ctx.dims(repeat_times)
    if times is None:
        return ctx.op("tile", X=x, RepeatTimes=ctx.tensor(repeat_times), result=(kind, stated))
    have = list(x.shape or ())
    if not have and not times:
        return x
    rank = max(len(have), len(times))
    times = [*[1] * (rank - len(times)), *times]
    have = [*[1] * (rank - len(have)), *have]
    out = tuple(d * t for d, t in zip(have, times))
    if len(have) != (x.rank or 0):
        x = emit.reshape(ctx.b, x, tuple(have))
    return emit.bind_shape(ctx.b, emit.repeated(ctx.b, x, times, out))


@paddle_op("as_strided")
def as_strided(ctx: Context, x: Value, *, dims: list[int], stride: list[int], offset: int) -> Value:
    """Element i, j, … is that at offset + i·stride₀ + j·stride₁ + … of the flat tensor."""
    if any(d < 0 for d in dims):
        raise Unsupported("a view of a shape that is known only at run time")
    b = ctx.b
    positions = np.full((), offset // x.dtype.itemsize, np.int64)
    for d, s in zip(dims, stride):
        positions = positions[..., None] + np.arange(d) * s
    flat = emit.reshape(b, x, (D.product(x.shape or ()),))
    taken = emit.gather(b, flat, b.constant(positions.reshape(-1)), 0)
    return emit.reshape(b, taken, tuple(dims))


@paddle_op("view_dtype")
def view_dtype(ctx: Context, x: Value, *, dtype: Optional[DType]) -> Value:
    kind, _ = ctx.spec()
    if kind is x.dtype:
        return x
    raise Unsupported(f"the bits of {x.dtype.label} read as {kind.label}")


@paddle_op("view_slice")
def view_slice(ctx: Context, x: Value, *, begin_idx: int, end_idx: int) -> Value:
    return emit.slice_(ctx.b, x, [0], [begin_idx], [end_idx])
