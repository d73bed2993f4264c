"""Shapes: what they are at run time, and everything that only moves elements about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional, Union

import numpy as np

from mconv.emit.elementwise import FOLD_LIMIT, foldable
from mconv.errors import UnsupportedError
from mconv.program import dims as D
from mconv.program.builder import Builder, Value
from mconv.program.dtypes import DType

INT32_MAX = 2**31 - 1


def need_rank(x: Value, what: str) -> tuple[D.Dim, ...]:
    """The shape of *x*; UnsupportedError when its rank is unknown."""
    if x.shape is None:
        raise UnsupportedError(f"{what}: the rank of its input is unknown")
    return x.shape


def axis_of(axis: int, rank: int) -> int:
    """*axis* counted from the front."""
    if not -rank <= axis < max(rank, 1):
        raise UnsupportedError(f"axis {axis} does not exist in a tensor of rank {rank}")
    return axis % rank if rank else 0


# what a shape is ------------------------------------------------------------------------------------------------


def dims_of(x: Value) -> Optional[list[D.Dim]]:
    """The elements of an integer tensor as dimensions, where they are known now."""
    if x.data is not None:
        return list(x.data)
    if x.is_const and x.dtype.is_int and foldable(x):
        return [int(v) for v in np.asarray(x.const).reshape(-1)]
    return None


def bind_shape(b: Builder, x: Value) -> Value:
    """Remember that the symbols of *x*'s shape can be read off it at run time."""
    for axis, dim in enumerate(x.shape or ()):
        if isinstance(dim, D.Sym) and dim not in b.origins:
            b.origins[dim] = (x, axis)
    return x


def shape_of(b: Builder, x: Value, dtype: DType = DType.INT64) -> Value:
    """The shape of *x* as a 1-D tensor of [rank] elements."""
    shape = need_rank(x, "Shape")
    if D.is_static(shape):
        return b.constant(np.array(shape, dtype.numpy))
    return b.once(("shape", x.name, dtype), lambda: _shape_of(b, x, shape, dtype))


def _shape_of(b: Builder, x: Value, shape: tuple[D.Dim, ...], dtype: DType) -> Value:
    made: Value = b.op("shape", Input=x, result=(DType.INT32, (len(shape),)))
    made.data = shape
    return b.cast(made, dtype)


def dim_tensor(b: Builder, dim: D.Dim, dtype: DType = DType.INT64) -> Value:
    """A dimension as a tensor of one element, shape [1]."""
    if isinstance(dim, int):
        return b.constant(np.array([dim], dtype.numpy))
    return b.once(("size", dim, dtype), lambda: _dim_tensor(b, dim, dtype))


def _dim_tensor(b: Builder, dim: D.Sym, dtype: DType) -> Value:
    if dim in b.origins:
        x, axis = b.origins[dim]
        made = slice_(b, shape_of(b, x, dtype), [0], [axis], [axis + 1])
    else:
        made = _polynomial(b, dim, dtype)
    made.data = (dim,)
    return made


def _polynomial(b: Builder, dim: D.Sym, dtype: DType) -> Value:
    from mconv.emit.elementwise import arithmetic

    total: Optional[Value] = None
    for monomial, coefficient in dim.terms.items():
        term: Optional[Value] = None
        for atom in monomial:
            factor = _atom(b, atom, dtype)
            term = factor if term is None else arithmetic(b, "mul", term, factor)
        number = b.constant(np.array([coefficient], dtype.numpy))
        if term is None:
            term = number
        elif coefficient != 1:
            term = arithmetic(b, "mul", term, number)
        total = term if total is None else arithmetic(b, "add", total, term)
    assert total is not None
    return total


def _atom(b: Builder, atom: Any, dtype: DType) -> Value:
    from mconv.emit.elementwise import arithmetic, binary

    symbol = D.Sym.named(atom)
    if symbol in b.origins:
        x, axis = b.origins[symbol]
        return slice_(b, shape_of(b, x, dtype), [0], [axis], [axis + 1])
    if isinstance(atom, tuple):
        name, *args = atom
        values = [dim_tensor(b, a, dtype) for a in args]
        if name == "floordiv":
            return binary(b, "elementwise_floordiv", values[0], values[1])
        if name in ("max", "min"):
            return arithmetic(b, name, values[0], values[1])
        if name == "broadcast":  # sizes that are equal, or 1
            out = values[0]
            for value in values[1:]:
                out = arithmetic(b, "max", out, value)
            return out
    raise UnsupportedError(f"the size {symbol!r} cannot be computed at run time")


def shape_tensor(b: Builder, shape: Sequence[D.Dim], dtype: DType = DType.INT64) -> Value:
    """Dimensions as a 1-D tensor."""
    if D.is_static(shape):
        return b.constant(np.array(shape, dtype.numpy).reshape(-1))
    # neighbours that are one slice of one shape need no concatenation
    made = concat(b, [dim_tensor(b, d, dtype) for d in shape], 0)
    made.data = tuple(shape)
    return made


# moving elements ------------------------------------------------------------------------------------------------


def _template(shape: Optional[Sequence[D.Dim]], target: Sequence[D.Dim]) -> Optional[list[int]]:
    """*target* as reshape2's attribute: numbers, 0 = copy that dimension, one -1 = infer; None if they do not do."""
    out: list[int] = []
    for i, dim in enumerate(target):
        if isinstance(dim, int):
            out.append(dim)
        elif shape is not None and i < len(shape) and shape[i] == dim:
            out.append(0)
        else:
            out.append(-1)
    return out if out.count(-1) <= 1 else None


def _aligned(b: Builder, x: Value, target: tuple[D.Dim, ...]) -> Value:
    """*x* with dimensions merged or ones put in so that an attribute can say *target*, where that helps.

    reshape2 copies a dimension only at its own index. Merging neighbours (``flatten_contiguous_range``) and inserting
    ones (``unsqueeze2``) move a symbolic dimension to the index where it is wanted, without a shape tensor, which
    oneDNN's fusion passes get wrong.
    """
    shape = x.shape
    if shape is None or _template(shape, target) is not None:
        return x
    merged = _merged(shape, target)
    if merged is not None and "flatten_contiguous_range" in b.operators:
        for start, stop in reversed(merged):
            assert x.shape is not None
            dims = (*x.shape[:start], D.product(x.shape[start : stop + 1]), *x.shape[stop + 1 :])
            x = b.op("flatten_contiguous_range", X=x, start_axis=start, stop_axis=stop, result=(x.dtype, dims))
        return x
    places = _ones_before(shape, target)
    if places is None:
        return x
    dims_list: list[D.Dim] = list(shape)
    for place in places:
        dims_list.insert(place, 1)
    made: Value = b.op("unsqueeze2", X=x, axes=places, result=(x.dtype, tuple(dims_list)))
    return made


def _merged(shape: tuple[D.Dim, ...], target: tuple[D.Dim, ...]) -> Optional[list[tuple[int, int]]]:
    """The ranges of *shape* whose products are the dimensions of *target*, or None."""
    ranges, i = [], 0
    for want in target:
        start, have = i, None
        while i < len(shape):
            have = shape[i] if have is None else have * shape[i]
            i += 1
            if have == want:
                break
        else:
            return None
        while i < len(shape) and shape[i] == 1 and len(shape) - i > len(target) - len(ranges) - 1:
            i += 1
        if i - start > 1:
            ranges.append((start, i - 1))
    return ranges if i == len(shape) else None


def _ones_before(shape: tuple[D.Dim, ...], target: tuple[D.Dim, ...]) -> Optional[list[int]]:
    """Where to insert ones in *shape* so that all symbols of *target* but one are at their index, or None."""
    wanted = [i for i, d in enumerate(target) if not isinstance(d, int)]
    for infer in wanted:
        places: list[int] = []
        cursor = 0
        for i in (w for w in wanted if w != infer):
            while cursor < len(shape) and shape[cursor] != target[i]:
                cursor += 1
            missing = i - cursor - len(places)
            if cursor == len(shape) or missing < 0:
                break
            places += range(cursor + len(places), cursor + len(places) + missing)
            cursor += 1
        else:
            if places:
                return places
    return None


def reshape(b: Builder, x: Value, target: Union[Sequence[D.Dim], Value]) -> Value:
    """*x* with the elements in the same order and another shape (no 0 or -1 with a meaning of their own).

    Args:
        target: dimensions, or a 1-D integer tensor of which nothing more is known.
    """
    if isinstance(target, Value):
        known = dims_of(target)
        if known is None:
            rank = target.shape[0] if target.shape else None
            if not isinstance(rank, int):
                raise UnsupportedError("Reshape: neither the new shape nor its rank is known")
            shape = tuple(D.Sym.fresh("reshape") for _ in range(rank))
            tensor = b.cast(target, DType.INT32)
            made: Value = b.op("reshape2", X=x, Shape=tensor, shape=[-1] * rank, result=(x.dtype, shape))
            return bind_shape(b, made)
        target = known
    target = tuple(target)
    if x.shape is not None and target == x.shape:
        return x
    if foldable(x) and D.is_static(target):
        return b.constant(np.asarray(x.const).reshape(target), x.dtype)  # type: ignore[arg-type]
    if 0 in target:
        return fill(b, target, 0, x.dtype)  # no elements at all
    if not target and not b.target.has_0d:
        made = b.op("reshape2", X=x, shape=[1], result=(x.dtype, ()))
        return made
    x = _aligned(b, x, target)
    template = _template(x.shape, target)
    if x.shape == target:
        made = x
    elif template is not None:
        made = b.op("reshape2", X=x, shape=template, result=(x.dtype, target))
    else:
        shape = shape_tensor(b, target, DType.INT32)
        made = b.op("reshape2", X=x, Shape=shape, shape=list(D.to_paddle(target)), result=(x.dtype, target))
    if x.data is not None and len(target) <= 1:
        made.data = x.data
    return bind_shape(b, made)


def flatten(b: Builder, x: Value, axis: int) -> Value:
    """A matrix of the dimensions before *axis* by those from it on."""
    shape = need_rank(x, "Flatten")
    axis = axis if axis >= 0 else axis + len(shape)
    return reshape(b, x, (D.product(shape[:axis]), D.product(shape[axis:])))


def squeeze(b: Builder, x: Value, axes: Optional[Sequence[int]] = None) -> Value:
    """Without the dimensions *axes* (None: all that are 1)."""
    shape = need_rank(x, "Squeeze")
    if axes is None:
        if not D.is_static(shape):
            raise UnsupportedError("Squeeze without axes: which dimensions are 1 is known only at run time")
        axes = [i for i, d in enumerate(shape) if d == 1]
    drop = {axis_of(a, len(shape)) for a in axes}
    return reshape(b, x, [d for i, d in enumerate(shape) if i not in drop])


def unsqueeze(b: Builder, x: Value, axes: Sequence[int]) -> Value:
    """With dimensions of 1 put in at *axes* of the result."""
    shape = need_rank(x, "Unsqueeze")
    rank = len(shape) + len(axes)
    places = {axis_of(a, rank) for a in axes}
    if len(places) != len(axes):
        raise UnsupportedError(f"Unsqueeze: axes {list(axes)} name a dimension twice")
    rest = iter(shape)
    target = [1 if i in places else next(rest) for i in range(rank)]
    if foldable(x) or _template(shape, target) is not None or not shape:
        return reshape(b, x, target)
    made: Value = b.op("unsqueeze2", X=x, axes=sorted(places), result=(x.dtype, tuple(target)))
    return made


def transpose(b: Builder, x: Value, perm: Sequence[int]) -> Value:
    """Dimension i of the result is dimension perm[i] of *x*."""
    shape = need_rank(x, "Transpose")
    if sorted(perm) != list(range(len(shape))):
        raise UnsupportedError(f"Transpose: {list(perm)} is no permutation of {len(shape)} dimensions")
    if list(perm) == list(range(len(shape))):
        return x
    if foldable(x):
        return b.constant(np.ascontiguousarray(np.asarray(x.const).transpose(perm)), x.dtype)
    made: Value = b.op("transpose2", X=x, axis=list(perm), result=(x.dtype, tuple(shape[p] for p in perm)))
    return made


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


def expand(b: Builder, x: Value, target: Union[Sequence[D.Dim], Value]) -> Value:
    """*x* and a tensor of shape *target* broadcast against each other (ONNX Expand): a 1 in *target* keeps."""
    if isinstance(target, Value):
        known = dims_of(target)
        if known is None:
            return _expand_by_tensor(b, x, target)
        target = known
    shape = D.broadcast(need_rank(x, "Expand"), tuple(target))
    assert shape is not None
    return expand_to(b, x, shape)


def _expand_by_tensor(b: Builder, x: Value, target: Value) -> Value:
    from mconv.emit.elementwise import arithmetic

    shape, rank = need_rank(x, "Expand"), target.shape[0] if target.shape else None
    if not isinstance(rank, int):
        raise UnsupportedError("Expand: the rank of the result is known only at run time")
    if rank < len(shape):
        ones = b.constant(np.ones(len(shape) - rank, target.dtype.numpy))
        target = concat(b, [ones, target], 0)
    elif rank > len(shape):
        x = unsqueeze(b, x, list(range(rank - len(shape))))
    wanted = arithmetic(b, "max", target, shape_of(b, x, target.dtype))
    assert x.shape is not None
    dims = tuple(d if isinstance(d, int) and d != 1 else D.Sym.fresh("expand") for d in x.shape)
    tensor = b.cast(wanted, DType.INT32)
    made: Value = b.op("expand_v2", X=x, Shape=tensor, shape=[-1] * rank, result=(x.dtype, dims))
    return bind_shape(b, made)


def expand_to(b: Builder, x: Value, shape: Sequence[D.Dim], sources: Sequence[Value] = ()) -> Value:
    """*x* repeated to exactly *shape*, to which it broadcasts."""
    have = need_rank(x, "Expand")
    shape = tuple(shape)
    if have == shape:
        return x
    if foldable(x) and D.is_static(shape) and int(D.product(shape)) <= FOLD_LIMIT:  # type: ignore[arg-type]
        return b.constant(np.ascontiguousarray(np.broadcast_to(np.asarray(x.const), shape)), x.dtype)  # type: ignore[arg-type]
    if 0 in shape:
        return fill(b, shape, 0, x.dtype)
    if len(have) < len(shape):
        x = unsqueeze(b, x, list(range(len(shape) - len(have))))
        have = need_rank(x, "Expand")
        if have == shape:
            return x
    attr: list[int] = []
    exact = True
    for d, want in zip(have, shape):
        if d == want:
            attr.append(-1)
        elif isinstance(want, int):
            attr.append(want)
        else:
            attr.append(-1)
            exact = False
    if exact:
        made: Value = b.op("expand_v2", X=x, shape=attr, result=(x.dtype, shape))
    else:
        tensor = shape_tensor(b, shape, DType.INT32)
        made = b.op("expand_v2", X=x, Shape=tensor, shape=list(D.to_paddle(shape)), result=(x.dtype, shape))
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
