"""Joining and cutting tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional, Union

import numpy as np

from mconv.emit.known import INT32_MAX, axis_of, bind_shape, dims_of, foldable, need_rank, replaced
from mconv.emit.operators import concat_op, slice_op
from mconv.emit.padding import padded
from mconv.emit.selection import cut, joined
from mconv.emit.shape import fill
from mconv.emit.size_arithmetic import choose, compute, differs, one_element
from mconv.emit.sizes import dim_tensor, shape_tensor
from mconv.emit.vanishing import size_of_cut
from mconv.emit.zero_size import counted, from_data, true_size, vanishes
from mconv.errors import UnsupportedError
from mconv.program import dims as D
from mconv.program.builder import Builder
from mconv.program.dtypes import DType
from mconv.program.value import Spec, Value

Bounds = Union[list[D.Dim], Value]  # of a slice: known, or a 1-D tensor that comes in


def concat(b: Builder, values: Sequence[Value], axis: int) -> Value:
    """The tensors one after the other along *axis*; empty ones fall away."""
    kept = [v for v in values if v.size != 0]
    if not kept:
        shape = list(need_rank(values[0], "Concat"))
        axis = axis_of(axis, len(shape))
        shape[axis] = sum((need_rank(v, "Concat")[axis] for v in values[1:]), start=shape[axis])
        return fill(b, shape, 0, values[0].dtype)
    if len(kept) == 1:
        return kept[0]
    if foldable(*kept):
        return b.constant(np.concatenate([np.asarray(v.const) for v in kept], axis), kept[0].dtype)
    shape = list(need_rank(kept[0], "Concat"))
    axis = axis_of(axis, len(shape))
    total: D.Dim = 0
    for v in kept:
        dims = need_rank(v, "Concat")
        if len(dims) != len(shape):
            raise UnsupportedError(f"Concat: ranks {len(shape)} and {len(dims)} do not go together")
        total = total + dims[axis]
        for i, d in enumerate(dims):  # a number beats a symbol
            if i != axis and isinstance(d, int):
                shape[i] = d
    shape[axis] = total
    made = joined(b, kept, axis)
    if made is not None:
        return bind_shape(b, made)
    made = concat_op(b, kept, axis, shape)
    parts = [dims_of(v) for v in kept]
    if len(shape) == 1 and all(p is not None for p in parts):
        made.data = tuple(d for p in parts for d in p or ())
    return bind_shape(b, made)


def _bound(value: D.Dim, dim: D.Dim) -> D.Dim:
    """A start or end of a forward slice as a position in [0, dim], if the dimension is long enough for it."""
    if isinstance(dim, int) and isinstance(value, int):
        return min(max(value + dim if value < 0 else value, 0), dim)
    if isinstance(value, int):
        return dim if value == INT32_MAX else dim + value if value < 0 else value
    return dim + value if D.sign(value) < 0 else value


def _empty(start: int, end: int) -> bool:
    """Whether a forward slice from *start* to *end* takes nothing of a dimension of any size."""
    return end in (0, -INT32_MAX) or start == INT32_MAX or ((start < 0) == (end < 0) and start >= end)


def sliced_dim(dim: D.Dim, start: D.Dim, end: D.Dim, step: int) -> D.Dim:
    """How many elements a forward slice of a dimension takes."""
    if isinstance(dim, int) and isinstance(start, int) and isinstance(end, int):
        return len(range(*slice(start, end, step).indices(dim)))
    if isinstance(start, int) and isinstance(end, int) and _empty(start, end):
        return 0
    if isinstance(start, int) and start < 0 and isinstance(end, int) and end == INT32_MAX:
        size = 1 if start == -1 else D.minimum(dim, -start)
    elif isinstance(start, int) and start < 0 and isinstance(end, int):
        # what lies before the first element is not there
        size = D.minimum(end - start, dim + end) if end < 0 else D.minimum(dim, end) - D.maximum(dim + start, 0)
    else:
        first, last = _bound(start, dim), _bound(end, dim)
        if last != dim and not (isinstance(end, int) and end < 0):
            last = D.minimum(dim, last)
        size = last - first
    size = size if isinstance(size, D.Sym) else max(size, 0)
    return D.ceildiv(size, step)


def flip(b: Builder, x: Value, axes: Sequence[int]) -> Value:
    """*x* in reverse order along *axes*."""
    shape = need_rank(x, "flip")
    axes = [axis_of(a, len(shape)) for a in axes]
    if foldable(x):
        return b.constant(np.ascontiguousarray(np.flip(np.asarray(x.const), tuple(axes))), x.dtype)
    return b.op("flip", X=x, **axes_attribute(b, "flip", axes))


def axes_attribute(b: Builder, op: str, axes: Sequence[int]) -> dict[str, Any]:
    """The axes of ``flip`` and ``roll``, which Paddle 1.8 calls ``dims``."""
    return {"axis" if "axis" in b.signature(op)["attrs"] else "dims": list(axes)}


def slice_(
    b: Builder,
    x: Value,
    axes: Sequence[int],
    starts: Union[Sequence[D.Dim], Value],
    ends: Union[Sequence[D.Dim], Value],
    steps: Optional[Sequence[int]] = None,
) -> Value:
    """A slice with numpy's meaning of negative and excessive bounds; *starts* and *ends* may be 1-D tensors.

    Bounds are clamped to int32, which Paddle's attributes hold. Negative steps are taken forwards from the flipped
    tensor: releases before 3 cannot say an end before the first element.
    """
    shape = need_rank(x, "Slice")
    axes = [axis_of(a, len(shape)) for a in axes]
    stride = [1] * len(axes) if steps is None else list(steps)
    if 0 in stride:
        raise UnsupportedError("Slice: a step of 0")
    low, high = _clamped(starts), _clamped(ends)
    if isinstance(low, Value) or isinstance(high, Value):
        if len(axes) == 1:
            return _slice_by_tensor(b, x, axes[0], low, high, stride[0])
        return _one_by_one(b, x, axes, (low, high), stride)
    data = _sliced_data(x, low, high, stride) if axes else x.data
    cuts = list(zip(axes, low, high, stride))
    if foldable(x) and D.is_static(low) and D.is_static(high):
        index: list[Any] = [slice(None)] * len(shape)
        for a, s, e, t in cuts:
            index[a] = slice(s, None if t < 0 and e == -INT32_MAX else e, t)
        return b.constant(np.ascontiguousarray(np.asarray(x.const)[tuple(index)]), x.dtype)
    backwards = [a for a, t in zip(axes, stride) if t < 0]
    if backwards:
        x = flip(b, x, backwards)
        cuts = [(a, s, e, t) if t > 0 else (a, _mirrored(s), _mirrored(e), -t) for a, s, e, t in cuts]
    out = list(shape)
    for a, s, e, t in cuts:
        out[a] = sliced_dim(shape[a], s, e, t)
    cuts = [(a, s, e, t) for a, s, e, t in cuts if t != 1 or s != 0 or out[a] != shape[a]]
    if not cuts:
        return x
    if 0 in out:
        for a, *_ in cuts:
            out[a] = size_of_cut(b, out[a], shape[a])
        return fill(b, out, 0, x.dtype)
    for i, (a, s, e, t) in enumerate(cuts):
        size = size_of_cut(b, out[a], shape[a])
        if size != out[a]:
            x = _some(b, x, a, s, e, t, out[a], size)
        elif counted(b, [out[a]]) and not vanishes(b, out[a]):
            start = _bound(s, shape[a]) if isinstance(s, int) and s != -INT32_MAX else s
            x = cut(b, x, a, max(start, 0) if isinstance(start, int) else start, out[a], t)
        else:
            continue
        rest = [*cuts[:i], *cuts[i + 1 :]]
        return slice_(b, x, *zip(*rest)) if rest else x
    axes, low, high, stride = (list(v) for v in zip(*cuts))
    before = any(isinstance(s, int) and s < -1 and isinstance(shape[a], D.Sym) for a, s in zip(axes, low))
    low = [max(s, -d) if isinstance(s, int) and isinstance(d := shape[a], int) else s for a, s in zip(axes, low)]
    made = _slice_op(b, x, axes, low, high, stride, out, before)
    made.data = data
    return bind_shape(b, made)


def _slice_by_tensor(b: Builder, x: Value, axis: int, low: Bounds, high: Bounds, step: int) -> Value:
    """A slice along one dimension, one of whose bounds at least comes in as a tensor of one element."""
    shape = need_rank(x, "Slice")
    given = [v for v in (low, high) if isinstance(v, Value)]
    if step < 0:
        x = flip(b, x, [axis])
        low, high = (_mirrored_tensor(b, v) if isinstance(v, Value) else [_mirrored(v[0])] for v in (low, high))
    out = replaced(shape, axis, D.Sym.fresh("slice"))
    if 0 in out:
        return fill(b, out, 0, x.dtype)
    first, last = (v if isinstance(v, Value) else v[0] for v in (low, high))
    start, end = _ordered(b, first, last, shape[axis])
    made = _slice_op(b, x, [axis], start, end, [abs(step)], out, before=True)
    return padded(b, made, axis) if from_data(b, *given) else bind_shape(b, made)


def _some(b: Builder, x: Value, axis: int, start: D.Dim, end: D.Dim, step: int, size: D.Dim, carried: D.Dim) -> Value:
    """A forward slice along *axis*, of one element where it takes none: of the size *carried* instead of *size*."""
    shape = need_rank(x, "Slice")
    dim = shape[axis]

    def taken(x: Value, first: D.Dim, last: D.Dim, of: D.Dim, before: bool = False) -> Value:
        return _slice_op(b, x, [axis], [first], [last], [step], replaced(need_rank(x, "Slice"), axis, of), before)

    first = _bound(start, dim)
    if not isinstance(start, int) or start < 0:
        first = D.maximum(first, 0)
    if first != 0:
        first = D.minimum(first, dim - 1)
    last = _bound(end, dim) if end != INT32_MAX else INT32_MAX
    both = isinstance(start, int) and isinstance(last, int) and 0 <= start < last
    made = taken(x, first, last if both else D.maximum(last, first + 1), carried)
    # what joins or hands it out takes it as it is, by the operator that takes nothing in every runtime; of what is padded
    # along another axis, where that is known without its padding
    bare = b.unpadded.get(x.name or "") if counted(b, shape) else x
    if bare is not None:
        # releases before 3 refuse an end before the start, and take an element of what ends before it
        begin = D.minimum(D.maximum(_bound(start, dim), 0), dim) if start not in (0, 1) else start
        stop = last if both or last == INT32_MAX else D.maximum(last, begin)
        b.unpadded[made.name or ""] = taken(bare, begin, stop, size, before=True)
    return made


def _one_by_one(b: Builder, x: Value, axes: Sequence[int], bounds: Sequence[Bounds], steps: Sequence[int]) -> Value:
    """A slice one dimension after the other, so that none is cut from what may have no elements."""
    for i, axis in enumerate(axes):
        start, end = (slice_(b, v, [0], [i], [i + 1]) if isinstance(v, Value) else [v[i]] for v in bounds)
        x = slice_(b, x, [axis], start, end, [steps[i]])
    return x


def _ordered(b: Builder, start: Any, end: Any, dim: D.Dim) -> tuple[Bounds, Bounds]:
    """Bounds of a forward slice of one dimension, one of which at least comes in as a tensor of one element: positions in
    it, the end none before the start, which releases before 3 refuse and 3 takes an element for; as for ``_slice_op``."""
    size = D.maximum(true_size(b, dim), 0) if counted(b, [dim]) else dim

    def placed(bound: Any) -> Union[D.Dim, Value]:
        if isinstance(bound, int):
            return D.minimum(bound, size) if bound >= 0 else D.maximum(size + bound, 0)
        if not isinstance(bound, Value):
            return D.minimum(bound, size) if D.sign(bound) >= 0 else D.maximum(size + bound, 0)
        length = dim_tensor(b, size)
        number = one_element(b, b.cast(bound, DType.INT64))
        behind = compute(b, "add", number, length)
        number = choose(b, differs(b, "less_than", number, 0), behind, number)
        return compute(b, "min", compute(b, "max", number, dim_tensor(b, 0)), length)

    first, last = placed(start), placed(end)
    if first != 0:
        numbers = [v if isinstance(v, Value) else dim_tensor(b, v) for v in (last, first)]
        last = compute(b, "max", *numbers)

    def given(v: Union[D.Dim, Value]) -> Bounds:
        return b.cast(v, DType.INT32) if isinstance(v, Value) else [v]

    return given(first), given(last)


def _clamped(bounds: Union[Sequence[D.Dim], Value]) -> Bounds:
    values = dims_of(bounds) if isinstance(bounds, Value) else bounds
    if values is None:
        assert isinstance(bounds, Value)
        return bounds
    return [min(max(v, -INT32_MAX), INT32_MAX) if isinstance(v, int) else v for v in values]


def _mirrored(bound: D.Dim) -> D.Dim:
    """A bound of a backward slice as that of the forward slice of the flipped tensor."""
    return min(-1 - bound, INT32_MAX) if isinstance(bound, int) else -1 - bound


def _mirrored_tensor(b: Builder, bound: Value) -> Value:
    minus = b.constant(np.array([-1], bound.dtype.numpy))
    return compute(b, "add", compute(b, "mul", bound, minus), minus)


def _sliced_data(
    x: Value, first: Sequence[D.Dim], last: Sequence[D.Dim], steps: Sequence[int]
) -> Optional[tuple[D.Dim, ...]]:
    if x.data is None or x.rank != 1 or len(steps) != 1 or not D.is_static(first) or not D.is_static(last):
        return None
    start, stop = D.number(first[0]), D.number(last[0])
    return x.data[slice(start, None if steps[0] < 0 and stop == -INT32_MAX else stop, steps[0])]


def _slice_op(
    b: Builder,
    x: Value,
    axes: Sequence[int],
    start: Bounds,
    end: Bounds,
    steps: Sequence[int],
    out: Sequence[D.Dim],
    before: bool,
) -> Value:
    """``slice`` or ``strided_slice``.

    Args:
        before: whether a start may lie before the first element, which oneDNN's ``slice`` does not take.
    """

    def bounds(given: Bounds) -> tuple[list[int], Optional[Value]]:
        if isinstance(given, Value):
            return [-1] * len(axes), given
        if D.is_static(given):
            return D.numbers(given), None
        return list(D.to_paddle(given)), shape_tensor(b, given, DType.INT32)

    start_attr, start_tensor = bounds(start)
    end_attr, end_tensor = bounds(end)
    strides = None if all(s == 1 for s in steps) and not before else steps
    return slice_op(b, x, axes, start_attr, end_attr, out, start=start_tensor, end=end_tensor, strides=strides)


def split(b: Builder, x: Value, sizes: Sequence[D.Dim], axis: int) -> list[Value]:
    """*x* cut along *axis* into pieces of *sizes*."""
    shape = need_rank(x, "Split")
    axis = axis_of(axis, len(shape))
    if len(sizes) == 1:
        return [x]
    if not all(isinstance(s, int) and s > 0 for s in sizes) or foldable(x):
        pieces: list[Value] = []
        start: D.Dim = 0
        for size in sizes:
            if counted(b, [size, start]):
                pieces.append(cut(b, x, axis, start, size))
            else:
                pieces.append(slice_(b, x, [axis], [start], [start + size]))
            start = start + size
        return pieces
    specs: list[Spec] = [(x.dtype, replaced(shape, axis, s)) for s in sizes]
    made = b.op_outputs("split", X=x, axis=axis, sections=D.numbers(sizes), num=0, results={"Out": specs})
    return list(made)


def split_evenly(b: Builder, x: Value, parts: int, axis: int) -> list[Value]:
    """*x* cut along *axis* into *parts* pieces of one size."""
    shape = need_rank(x, "Split")
    axis = axis_of(axis, len(shape))
    dim = shape[axis]
    if isinstance(dim, int):
        if dim % parts:
            raise UnsupportedError(f"Split: {dim} elements do not go into {parts} equal parts")
        return split(b, x, [dim // parts] * parts, axis)
    if parts == 1:
        return [x]
    if counted(b, [dim]):  # the row that stands for none goes into no parts
        return split(b, x, [D.floordiv(dim, parts)] * parts, axis)
    spec = (x.dtype, replaced(shape, axis, D.floordiv(dim, parts)))
    made = b.op_outputs("split", X=x, axis=axis, sections=[], num=parts, results={"Out": [spec] * parts})
    return [bind_shape(b, v) for v in made]
