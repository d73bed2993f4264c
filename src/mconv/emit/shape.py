"""Views and repetitions: the same elements in another shape or order; tensors of one number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional, Union

import numpy as np

from mconv.emit.known import FOLD_LIMIT, axis_of, bind_shape, dims_of, foldable, known_size, need_rank
from mconv.emit.operators import slice_op
from mconv.emit.size_arithmetic import choose, compute, differs, join, part
from mconv.emit.sizes import at_least_one, dim_tensor, shape_of, shape_tensor
from mconv.emit.weights import transposed
from mconv.emit.zero_size import counted, from_data, one_if_any, register, size_held
from mconv.errors import CorruptModelError, UnsupportedError
from mconv.program import dims as D
from mconv.program.builder import Builder
from mconv.program.dtypes import DType
from mconv.program.value import Value


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
        if x.dtype is DType.BOOL:  # for which 2.6 has no kernel
            return b.cast(_aligned(b, b.cast(x, DType.INT32), target), DType.BOOL)
        for start, stop in reversed(merged):
            assert x.shape is not None
            dims = (*x.shape[:start], D.product(x.shape[start : stop + 1]), *x.shape[stop + 1 :])
            x = b.op("flatten_contiguous_range", X=x, start_axis=start, stop_axis=stop, result=(x.dtype, dims))
        return x
    positions = _ones_before(shape, target)
    if positions is None:
        return x
    dims_list: list[D.Dim] = list(shape)
    for position in positions:
        dims_list.insert(position, 1)
    return b.op("unsqueeze2", X=x, axes=positions, result=(x.dtype, tuple(dims_list)))


def _merged(shape: tuple[D.Dim, ...], target: tuple[D.Dim, ...]) -> Optional[list[tuple[int, int]]]:
    """The ranges of *shape* whose products are the dimensions of *target*, or None."""
    ranges: list[tuple[int, int]] = []
    i = 0
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
        indices: list[int] = []
        cursor = 0
        for i in (w for w in wanted if w != infer):
            while cursor < len(shape) and shape[cursor] != target[i]:
                cursor += 1
            missing = i - cursor - len(indices)
            if cursor == len(shape) or missing < 0:
                break
            indices += range(cursor + len(indices), cursor + len(indices) + missing)
            cursor += 1
        else:
            if indices:
                return indices
    return None


def reshape(b: Builder, x: Value, target: Union[Sequence[D.Dim], Value], *, zero_copies: bool = False) -> Value:
    """*x* with the elements in the same order and another shape (no 0 or -1 with a meaning of their own).

    Args:
        target: dimensions, or a 1-D integer tensor of which nothing more is known.
        zero_copies: a 0 in that tensor stands for the size that *x* has there, as in ONNX; else it is a size of 0.
    """
    if isinstance(target, Value):
        known = dims_of(target)
        if known is None:
            rank = known_size(target, 0, "Reshape: neither the new shape nor its rank is known")
            shape = tuple(D.Sym.fresh("reshape") for _ in range(rank))
            tensor = b.cast(target, DType.INT32)
            if from_data(b, target):
                return _reshaped_by_data(b, x, _copied(b, x, tensor) if zero_copies else tensor)
            made = b.op("reshape2", X=x, Shape=tensor, shape=[-1] * rank, result=(x.dtype, shape))
            return bind_shape(b, made)
        target = known
    target = tuple(target)
    if x.shape is not None and target == x.shape:
        return x
    if foldable(x) and D.is_static(target):
        return b.constant(np.asarray(x.const).reshape(target), x.dtype)
    if 0 in target:
        return fill(b, target, 0, x.dtype)  # no elements at all
    if counted(b, target) and x.shape is not None and D.product(target) != D.product(x.shape):
        x = _as_many(b, x, target)
    x = _aligned(b, x, target) if target else x
    template = _template(x.shape, target)
    if x.shape == target:
        made = x
    elif not target and not b.target.has_0d:
        made = b.op("reshape2", X=x, shape=[1], result=(x.dtype, ()))
    elif template is not None:
        made = b.op("reshape2", X=x, shape=template, result=(x.dtype, target))
    else:
        tensor = shape_tensor(b, target, DType.INT32)
        made = b.op("reshape2", X=x, Shape=tensor, shape=list(D.to_paddle(target)), result=(x.dtype, target))
    if x.data is not None and len(target) <= 1:
        made.data = x.data
    return bind_shape(b, made)


def _as_many(b: Builder, x: Value, target: Sequence[D.Dim]) -> Value:
    """*x* as a vector of as many elements as *target* carries, which may need more for padding than *x* has."""
    count = D.product(x.shape or ())
    flat = reshape(b, x, (count,))
    wanted = D.Sym.fresh("elements")
    sizes = dim_tensor(b, target[0])
    for dim in target[1:]:
        sizes = compute(b, "mul", sizes, dim_tensor(b, dim))
    b.origins[wanted] = (Value(sizes.name, sizes.dtype, sizes.shape, const=sizes._const), None)
    blank = fill(b, (wanted,), 0, x.dtype)
    whole = b.op("concat", X=[flat, blank], axis=0, result=(x.dtype, (count + wanted,)))
    end = shape_tensor(b, [wanted], DType.INT32)
    return bind_shape(b, slice_op(b, whole, [0], [0], [-1], (D.product(target),), end=end))


def _copied(b: Builder, x: Value, target: Value) -> Value:
    """*target*, int32, with the sizes of *x* at the positions that hold 0."""
    assert target.shape is not None
    rank, own = D.number(target.shape[0]), len(need_rank(x, "Reshape"))
    sizes = shape_of(b, x, DType.INT32)
    if rank < own:
        sizes = part(b, sizes, 0, rank)
    elif rank > own:
        sizes = join(b, [sizes, b.constant(np.zeros(rank - own, np.int32))])
    return choose(b, differs(b, "equal", target, 0), sizes, target)


def _reshaped_by_data(b: Builder, x: Value, target: Value) -> Value:
    """*x* in a shape that comes from data: a 0 in it is carried as 1. One size may be -1, whatever the rest leaves."""
    assert target.shape is not None
    one = b.constant(np.full(target.shape, 1, np.int32))
    tensor = choose(b, differs(b, "equal", target, 0), one, target)
    rank = D.number(target.shape[0])
    shape = tuple(D.Sym.fresh("reshape") for _ in range(rank))
    made = b.op("reshape2", X=x, Shape=tensor, shape=[-1] * rank, result=(x.dtype, shape))
    lost = counted(b, x.shape or ())
    bind_shape(b, made)
    for i, size in enumerate(shape):
        wanted = part(b, target, i, i + 1)
        inferred = differs(b, "less_than", wanted, 0)
        left = dim_tensor(b, one_if_any(b, lost) * size, DType.INT32)
        register(b, size, size_held(b, choose(b, inferred, left, wanted)))
    return made


def fill(b: Builder, shape: Union[Sequence[D.Dim], Value], value: Any, dtype: DType) -> Value:
    """A tensor of one number; *shape* may be a 1-D integer tensor."""
    if isinstance(shape, Value):
        known = dims_of(shape)
        if known is None:
            rank = known_size(shape, 0, "the rank of a filled tensor is known only at run time")
            dims: tuple[D.Dim, ...] = tuple(D.Sym.fresh("fill") for _ in range(rank))
            tensor: Optional[Value] = shape
            if from_data(b, shape):
                tensor, named = at_least_one(b, shape, "fill")
                dims = tuple(named)
        else:
            dims, tensor = tuple(known), None
    else:
        dims, tensor = tuple(shape), None
    if any(isinstance(d, int) and d < 0 for d in dims):
        raise CorruptModelError(f"a tensor of shape {list(dims)} cannot be made")
    if D.is_static(dims) and D.number(D.product(dims)) <= FOLD_LIMIT and dtype is not DType.BF16:
        return b.constant(np.full(dims, value, dtype.numpy), dtype)
    if dtype is DType.INT64 and abs(int(value)) > 1 << 53:  # the operator reads its number as a double
        return expand(b, b.constant(np.full([1] * len(dims), value, np.int64)), dims if tensor is None else tensor)
    if tensor is None and not D.is_static(dims):
        tensor = shape_tensor(b, dims, DType.INT32)
    # str_value carries integers and doubles that float32 cannot
    text = repr(int(value)) if not dtype.is_float else repr(float(value))
    made = b.op(
        "fill_constant",
        ShapeTensor=None if tensor is None else b.cast(tensor, DType.INT32),
        shape=list(D.to_paddle(dims)) if tensor is None else [],
        dtype=int(dtype),
        value=float(np.float32(value)),
        str_value=text,
        result=(dtype, dims),
    )
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
    rest = [d for i, d in enumerate(shape) if i not in drop]
    if all(isinstance(shape[axis], int) for axis in drop) or not rest:
        return reshape(b, x, rest)
    return b.op("squeeze2", X=x, axes=sorted(drop), result=(x.dtype, tuple(rest)))


def unsqueeze(b: Builder, x: Value, axes: Sequence[int]) -> Value:
    """With dimensions of 1 put in at *axes* of the result."""
    shape = need_rank(x, "Unsqueeze")
    rank = len(shape) + len(axes)
    positions = {axis_of(a, rank) for a in axes}
    if len(positions) != len(axes):
        raise UnsupportedError(f"Unsqueeze: axes {list(axes)} name a dimension twice")
    rest = iter(shape)
    target = [1 if i in positions else next(rest) for i in range(rank)]
    if foldable(x) or _template(shape, target) is not None or not shape:
        return reshape(b, x, target)
    return b.op("unsqueeze2", X=x, axes=sorted(positions), result=(x.dtype, tuple(target)))


def transpose(b: Builder, x: Value, perm: Sequence[int]) -> Value:
    """Dimension i of the result is dimension perm[i] of *x*."""
    shape = need_rank(x, "Transpose")
    if sorted(perm) != list(range(len(shape))):
        raise UnsupportedError(f"Transpose: {list(perm)} is no permutation of {len(shape)} dimensions")
    if list(perm) == list(range(len(shape))):
        return x
    if foldable(x):
        return b.constant(np.ascontiguousarray(np.asarray(x.const).transpose(perm)), x.dtype)
    if x.source is not None and x.name is None and list(perm) == [1, 0]:  # a weight that only this form is read of
        return transposed(b, x)
    return b.op("transpose2", X=x, axis=list(perm), result=(x.dtype, tuple(shape[p] for p in perm)))


def channels_first(b: Builder, x: Value) -> Value:
    """[N, …, C] as [N, C, …]."""
    rank = x.rank or 0
    return transpose(b, x, [0, rank - 1, *range(1, rank - 1)])


def channels_last(b: Builder, x: Value) -> Value:
    """[N, C, …] as [N, …, C]."""
    return transpose(b, x, [0, *range(2, x.rank or 0), 1])


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
    shape = need_rank(x, "Expand")
    rank = known_size(target, 0, "Expand: the rank of the result is known only at run time")
    if rank < len(shape):
        ones = b.constant(np.ones(len(shape) - rank, target.dtype.numpy))
        target = join(b, [ones, target])
    elif rank > len(shape):
        x = unsqueeze(b, x, list(range(rank - len(shape))))
    assert x.shape is not None
    sizes = [D.Sym.fresh("expand") for _ in x.shape]
    if from_data(b, target):
        target, given = at_least_one(b, target, "expand")
        sizes = [g if d == 1 else s for d, g, s in zip(x.shape, given, sizes)]  # type: ignore[misc]
    wanted = compute(b, "max", target, shape_of(b, x, target.dtype))
    dims = tuple(d if isinstance(d, int) and d != 1 else s for d, s in zip(x.shape, sizes))
    tensor = b.cast(wanted, DType.INT32)
    made = b.op("expand_v2", X=x, Shape=tensor, shape=[-1] * rank, result=(x.dtype, dims))
    return bind_shape(b, made)


def _times(b: Builder, x: Value, shape: Sequence[D.Dim]) -> Union[Sequence[D.Dim], Value]:
    """How often each dimension of *x* is in the one of *shape* to which it broadcasts; of none, once."""
    have = need_rank(x, "Expand")
    if all(d in (1, want) for d, want in zip(have, shape)):
        return [1 if d == want else want for d, want in zip(have, shape)]
    one = b.constant(np.ones(len(have), np.int32))
    held = compute(b, "max", shape_of(b, x, DType.INT32), one)
    return compute(b, "max", compute(b, "floordiv", shape_tensor(b, shape, DType.INT32), held), one)


def repeated(b: Builder, x: Value, times: Union[Sequence[D.Dim], Value], out: Sequence[D.Dim]) -> Value:
    """*x* laid *times* beside itself along each dimension; ``expand`` of 1.8 is what ``tile`` is since 2.0."""
    known = None if isinstance(times, Value) else list(times)
    attr = [-1] * len(out) if known is None else list(D.to_paddle(known))
    tensor = None
    if known is None or not D.is_static(known):
        tensor = b.cast(times, DType.INT32) if isinstance(times, Value) else shape_tensor(b, times, DType.INT32)
    if "tile" in b.operators:
        return b.op("tile", X=x, RepeatTimes=tensor, repeat_times=attr, result=(x.dtype, tuple(out)))
    return b.op("expand", X=x, ExpandTimes=tensor, expand_times=attr, result=(x.dtype, tuple(out)))


def expand_to(b: Builder, x: Value, shape: Sequence[D.Dim], sources: Sequence[Value] = ()) -> Value:
    """*x* repeated to exactly *shape*, to which it broadcasts."""
    have = need_rank(x, "Expand")
    shape = tuple(shape)
    if have == shape:
        return x
    if foldable(x) and D.is_static(shape) and D.number(D.product(shape)) <= FOLD_LIMIT:
        return b.constant(np.ascontiguousarray(np.broadcast_to(np.asarray(x.const), shape)), x.dtype)  # type: ignore[arg-type]
    if 0 in shape:
        return fill(b, shape, 0, x.dtype)
    if len(have) < len(shape):
        x = unsqueeze(b, x, list(range(len(shape) - len(have))))
        have = need_rank(x, "Expand")
        if have == shape:
            return x
    if "expand_v2" not in b.operators:
        return bind_shape(b, repeated(b, x, _times(b, x, shape), shape))
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
        made = b.op("expand_v2", X=x, shape=attr, result=(x.dtype, shape))
    else:
        tensor = shape_tensor(b, shape, DType.INT32)
        made = b.op("expand_v2", X=x, Shape=tensor, shape=list(D.to_paddle(shape)), result=(x.dtype, shape))
    return bind_shape(b, made)
