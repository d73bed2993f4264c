"""Integer arithmetic on one-dimensional tensors of sizes: of equal length or of one element, so nothing is broadcast."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Callable, Optional

import numpy as np

from mconv.emit.known import dims_of, foldable
from mconv.emit.operators import COMMUTES, axis_attribute, concat_op, folded, slice_op
from mconv.errors import LimitError
from mconv.program import dims as D
from mconv.program.builder import Builder
from mconv.program.dtypes import DType
from mconv.program.value import Value


def compute(b: Builder, kind: str, x: Value, y: Value) -> Value:
    """``add``, ``sub``, ``mul``, ``max``, ``min``, ``floordiv`` or ``mod`` of integers, element by element."""
    op = f"elementwise_{kind}"
    made = folded(b, op, x, y)
    if made is None:
        if op in COMMUTES and x.is_const and not y.is_const:
            x, y = y, x
        made = b.op(op, X=x, Y=y, result=(x.dtype, D.broadcast(x.shape, y.shape)), **axis_attribute(b, op))
    data = symbolic(kind, x, y)
    made.data = None if data is None else tuple(data)
    return made


def differs(b: Builder, op: str, x: Value, number: int) -> Value:
    """``equal`` or ``less_than`` of each element and *number*; gives bool."""
    other = b.constant(np.full(x.shape or (), number, x.dtype.numpy))
    return b.op(op, X=x, Y=other, result=(DType.BOOL, x.shape), **axis_attribute(b, op))


def choose(b: Builder, condition: Value, x: Value, y: Value) -> Value:
    """The elements of *x* where *condition* (bool) holds, those of *y* elsewhere."""
    return b.op("where", Condition=condition, X=x, Y=y, result=(x.dtype, y.shape))


def part(b: Builder, x: Value, start: int, stop: int) -> Value:
    """The elements from *start* to *stop*, both in range."""
    assert x.shape is not None
    if foldable(x):
        return b.constant(np.ascontiguousarray(np.asarray(x.const)[start:stop]), x.dtype)
    if start == 0 and stop == x.shape[0]:
        return x
    made = slice_op(b, x, [0], [start], [stop], (stop - start,))
    made.data = None if x.data is None else x.data[start:stop]
    return made


def join(b: Builder, parts: Sequence[Value]) -> Value:
    """The elements one after the other."""
    kept = [v for v in parts if v.size != 0] or [parts[0]]
    if len(kept) == 1:
        return kept[0]
    if foldable(*kept):
        return b.constant(np.concatenate([np.asarray(v.const) for v in kept]), kept[0].dtype)
    total: D.Dim = 0
    for v in kept:
        total = total + (v.shape or (1,))[0]
    made = concat_op(b, kept, 0, (total,))
    known = [dims_of(v) for v in kept]
    if all(k is not None for k in known):
        made.data = tuple(d for k in known for d in k or ())
    return made


def one_element(b: Builder, x: Value) -> Value:
    """The only element of *x*, as a tensor of shape [1]."""
    if x.shape == (1,):
        return x
    if foldable(x):
        return b.constant(np.asarray(x.const).reshape(1), x.dtype)
    made = b.op("reshape2", X=x, shape=[1], result=(x.dtype, (1,)))
    made.data = x.data
    return made


def symbolic(kind: str, x: Value, y: Value) -> Optional[list[D.Dim]]:
    """The elements of an integer result in terms of sizes, where both operands' are known."""
    xs, ys = dims_of(x), dims_of(y)
    if xs is None or ys is None or not (len(xs) == len(ys) or 1 in (len(xs), len(ys))):
        return None
    if (x.rank or 0) > 1 or (y.rank or 0) > 1:
        return None
    n = max(len(xs), len(ys)) if xs and ys else 0
    pairs = [(xs[i if len(xs) > 1 else 0], ys[i if len(ys) > 1 else 0]) for i in range(n)]
    if kind == "div":
        if any(isinstance(q, int) and q <= 0 for _, q in pairs):
            return None
        return [D.floordiv(p, q) for p, q in pairs]
    functions: dict[str, Callable[[D.Dim, D.Dim], D.Dim]] = {
        "add": lambda p, q: p + q,
        "sub": lambda p, q: p - q,
        "mul": lambda p, q: p * q,
        "max": D.maximum,
        "min": D.minimum,
    }
    if kind not in functions:
        return None
    try:
        return [functions[kind](p, q) for p, q in pairs]
    except LimitError:  # computed at run time, as any numbers
        return None
