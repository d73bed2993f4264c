"""Tensors joined to one, and one cut into several."""

from __future__ import annotations

from typing import Any

import numpy as np

from mconv import emit
from mconv.paddle.context import Context
from mconv.paddle.registry import Unsupported, paddle_op
from mconv.program import dims as D
from mconv.program.value import Spec, Value


@paddle_op("concat")
def concat(ctx: Context, values: list[Value], axis: Any) -> Value:
    kind, stated = ctx.spec()
    where = ctx.int(axis)
    rank = len(stated)
    where %= rank
    b = ctx.b
    values = [b.cast(v, kind) if v.rank else emit.reshape(b, b.cast(v, kind), (1,)) for v in values]
    return emit.concat(b, values, where)


@paddle_op("stack")
def stack(ctx: Context, values: list[Value], *, axis: int) -> Value:
    b = ctx.b
    kind, stated = ctx.spec()
    rank = len(stated)
    values = [b.cast(v, kind) for v in values]
    where = axis % rank
    if not values[0].rank:
        made = emit.concat(b, [emit.reshape(b, v, (1,)) for v in values], 0)
        known = ctx.dims(values)
        if known is not None and not made.is_const:
            made.data = tuple(known)
        return made
    if emit.foldable(*values):
        return b.constant(np.stack([np.asarray(v.const) for v in values], where), kind)
    shape = list(values[0].shape or ())
    for v in values[1:]:  # a number beats a symbol
        shape = [d if isinstance(d, int) else e for d, e in zip(shape, v.shape or ())]
    shape.insert(where, len(values))
    return ctx.op("stack", X=values, axis=where, result=(kind, tuple(shape)))


@paddle_op("split")
def split(ctx: Context, x: Value, sections: Any, axis: Any) -> list[Value]:
    sizes = ctx.dims(sections)
    if sizes is None:
        raise Unsupported("sections that are computed at run time")
    return _split(ctx, x, sizes, ctx.int(axis))


def _split(ctx: Context, x: Value, sizes: list[D.Dim], axis: int) -> list[Value]:
    axis %= x.rank or 1
    whole = (x.shape or ())[axis]
    if any(isinstance(s, int) and s == -1 for s in sizes):
        rest = whole - sum((s for s in sizes if not (isinstance(s, int) and s == -1)), 0)
        sizes = [rest if isinstance(s, int) and s == -1 else s for s in sizes]
    if any(not isinstance(s, int) for s in sizes) and all(isinstance(s, int) for s in sizes[:-1]):
        stated = ctx.specs()
        shape = list(x.shape or ())
        specs: list[Spec] = [(x.dtype, (*shape[:axis], s, *shape[axis + 1 :])) for s in sizes]
        if len(stated) == len(sizes):
            made = ctx.op_outputs(
                "split",
                X=x,
                axis=axis,
                sections=[int(s) if isinstance(s, int) else -1 for s in sizes],
                num=0,
                results={"Out": specs},
            )
            return list(made)
    return emit.split(ctx.b, x, sizes, axis)


@paddle_op("split_with_num")
def split_with_num(ctx: Context, x: Value, axis: Any, *, num: int) -> list[Value]:
    where = ctx.int(axis) % (x.rank or 1)
    shape = x.shape or ()
    part = D.floordiv(shape[where], num)
    if num == 1:
        return [x]
    specs: list[Spec] = [(x.dtype, (*shape[:where], part, *shape[where + 1 :]))] * num
    made = ctx.op_outputs("split", X=x, axis=where, num=num, sections=[], results={"Out": specs})
    return list(made)


@paddle_op("unbind", "unstack")
def unbind(ctx: Context, x: Value, *, axis: int, num: int = 0) -> list[Value]:
    rank = x.rank or 1
    where = axis % rank
    shape = x.shape or ()
    count = len(ctx.specs())
    if len(shape) == 1 and not ctx.has_0d:  # unstack of 2.3 gives tensors without a dimension, which it cannot read
        values = [emit.reshape(ctx.b, part, ()) for part in emit.split(ctx.b, x, [1] * count, 0)]
    else:
        spec = (x.dtype, (*shape[:where], *shape[where + 1 :]))
        values = list(ctx.op_outputs("unstack", X=x, axis=where, num=count, results={"Y": [spec] * count}))
    if x.data is not None:
        for v, d in zip(values, x.data):
            v.data = (d,)
    return values
