"""Joining, cutting and filling tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional, Union

import numpy as np

from mconv.emit.elementwise import FOLD_LIMIT, foldable
from mconv.emit.sizes import axis_of, bind_shape, dims_of, need_rank, shape_tensor
from mconv.errors import UnsupportedError
from mconv.program import dims as D
from mconv.program.builder import Builder, Value
from mconv.program.dtypes import DType

INT32_MAX = 2**31 - 1


def concat(b: Builder, values: Sequence[Value], axis: int) -> Value:
    """The tensors one after the other along *axis*; empty ones fall away."""
    kept = [v for v in values if v.size != 0] or [values[0]]
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
    made: Value = b.op("concat", X=kept, axis=axis, result=(kept[0].dtype, tuple(shape)))
    parts = [dims_of(v) for v in kept]
    if len(shape) == 1 and all(p is not None for p in parts):
        made.data = tuple(d for p in parts for d in p or ())
    return made


def fill(b: Builder, shape: Union[Sequence[D.Dim], Value], value: Any, dtype: DType) -> Value:
    """A tensor of one number; *shape* may be a 1-D integer tensor."""
    if isinstance(shape, Value):
        known = dims_of(shape)
        if known is None:
            rank = shape.shape[0] if shape.shape else None
            if not isinstance(rank, int):
                raise UnsupportedError("the rank of a filled tensor is known only at run time")
            dims: tuple[D.Dim, ...] = tuple(D.Sym.fresh("fill") for _ in range(rank))
            tensor: Optional[Value] = shape
        else:
            dims, tensor = tuple(known), None
    else:
        dims, tensor = tuple(shape), None
    if D.is_static(dims) and int(D.product(dims)) <= FOLD_LIMIT and dtype is not DType.BF16:  # type: ignore[arg-type]
        return b.constant(np.full(dims, value, dtype.numpy), dtype)  # type: ignore[arg-type]
    if tensor is None and not D.is_static(dims):
        tensor = shape_tensor(b, dims, DType.INT32)
    # str_value carries integers and doubles that float32 cannot
    text = repr(int(value)) if not dtype.is_float else repr(float(value))
    made: Value = b.op(
        "fill_constant",
        ShapeTensor=None if tensor is None else b.cast(tensor, DType.INT32),
        shape=list(D.to_paddle(dims)) if tensor is None else [],
        dtype=int(dtype),
        value=float(np.float32(value)),
        str_value=text,
        result=(dtype, dims),
    )
    return bind_shape(b, made)


def _bound(value: D.Dim, dim: D.Dim, low: int) -> Optional[D.Dim]:
    """A start or end of a forward slice as a place in [low, dim]; None when it cannot be told."""
    if isinstance(value, int) and isinstance(dim, int):
        return min(max(value + dim if value < 0 else value, low), dim)
    if isinstance(value, int) and value >= INT32_MAX:
        return dim
    if value == dim:
        return dim
    if isinstance(value, int) and value == 0:
        return 0
    return None


def sliced_dim(dim: D.Dim, start: D.Dim, end: D.Dim, step: int) -> D.Dim:
    """How many elements a slice of a dimension takes (a fresh symbol where that cannot be told)."""
    if isinstance(dim, int) and isinstance(start, int) and isinstance(end, int):
        return len(range(*slice(start, end, step).indices(dim)))
    if step == 1:
        first, last = _bound(start, dim, 0), _bound(end, dim, 0)
        if first is not None and last is not None:
            return last - first
        if first == 0 and isinstance(end, int) and end < 0:
            return dim + end  # a dimension shorter than the cut is an error of the model's
    return D.Sym.fresh("slice")


def slice_(
    b: Builder,
    x: Value,
    axes: Sequence[int],
    starts: Union[Sequence[D.Dim], Value],
    ends: Union[Sequence[D.Dim], Value],
    steps: Optional[Sequence[int]] = None,
) -> Value:
    """A slice with numpy's meaning of negative and excessive bounds; *starts* and *ends* may be 1-D tensors.

    Bounds are clamped to int32, which Paddle's attributes hold.
    """
    shape = need_rank(x, "Slice")
    axes = [axis_of(a, len(shape)) for a in axes]
    steps = [1] * len(axes) if steps is None else list(steps)
    first = dims_of(starts) if isinstance(starts, Value) else list(starts)
    last = dims_of(ends) if isinstance(ends, Value) else list(ends)
    low = -INT32_MAX

    def clamp(values: Optional[list[D.Dim]]) -> Optional[list[D.Dim]]:
        return None if values is None else [min(max(v, low), INT32_MAX) if isinstance(v, int) else v for v in values]

    first, last = clamp(first), clamp(last)
    if first is not None and last is not None:
        whole = [
            i
            for i, (a, s, e, t) in enumerate(zip(axes, first, last, steps))
            if s == 0 and t == 1 and (e == shape[a] or (isinstance(e, int) and e == INT32_MAX))
        ]
        keep = [i for i in range(len(axes)) if i not in whole]
        axes, first, last, steps = ([v[i] for i in keep] for v in (axes, first, last, steps))
        if not axes:
            return x
    out = list(shape)
    for i, a in enumerate(axes):
        known = first is not None and last is not None
        out[a] = sliced_dim(shape[a], first[i], last[i], steps[i]) if known else D.Sym.fresh("slice")  # type: ignore[index]
    data = x.data
    if data is not None and len(shape) == 1 and isinstance(out[0], int) and D.is_static(first) and D.is_static(last):
        data = data[slice(first[0], last[0], steps[0])]  # type: ignore[index]
    else:
        data = None
    if foldable(x) and D.is_static(first) and D.is_static(last):
        index: list[Any] = [slice(None)] * len(shape)
        for a, s, e, t in zip(axes, first or (), last or (), steps):
            index[a] = slice(s, None if t < 0 and e == low else e, t)
        return b.constant(np.ascontiguousarray(np.asarray(x.const)[tuple(index)]), x.dtype)
    if 0 in out:
        return fill(b, out, 0, x.dtype)

    def bounds(values: Optional[list[D.Dim]], given: Any) -> tuple[list[int], Optional[Value]]:
        if values is not None and all(isinstance(v, int) for v in values):
            return [int(v) for v in values], None  # type: ignore[arg-type]
        tensor = given if isinstance(given, Value) and len(given.shape or ()) == 1 and values is None else None
        if tensor is None:
            tensor = shape_tensor(b, values or (), DType.INT32)
        return list(D.to_paddle(values or [-1] * len(axes))), b.cast(tensor, DType.INT32)

    start_attr, start_tensor = bounds(first, starts)
    end_attr, end_tensor = bounds(last, ends)
    flags = [-1 if start_tensor is not None or end_tensor is not None else 1] * len(axes)
    common: dict[str, Any] = {
        "Input": x,
        "axes": axes,
        "starts": start_attr,
        "ends": end_attr,
        "StartsTensor": start_tensor,
        "EndsTensor": end_tensor,
        "infer_flags": flags,
        "decrease_axis": [],
        "result": (x.dtype, tuple(out)),
    }
    if all(s == 1 for s in steps):
        made: Value = b.op("slice", **common)
    else:
        made = b.op("strided_slice", strides=list(steps), **common)
    made.data = data
    return bind_shape(b, made)


def split(b: Builder, x: Value, sizes: Sequence[D.Dim], axis: int) -> list[Value]:
    """*x* cut along *axis* into pieces of *sizes*."""
    shape = need_rank(x, "Split")
    axis = axis_of(axis, len(shape))
    if len(sizes) == 1:
        return [x]
    if not all(isinstance(s, int) and s > 0 for s in sizes):
        pieces, start = [], 0  # type: ignore[var-annotated]
        for size in sizes:
            pieces.append(slice_(b, x, [axis], [start], [start + size]))
            start = start + size  # type: ignore[assignment]
        return pieces
    specs = [(x.dtype, (*shape[:axis], s, *shape[axis + 1 :])) for s in sizes]
    (made,) = b.op("split", X=x, axis=axis, sections=[int(s) for s in sizes], num=0, result={"Out": specs})  # type: ignore[arg-type]
    return list(made)
