"""Reductions: sums, extremes, means, norms over some of the dimensions."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, Optional

import numpy as np

from mconv.emit.elementwise import arithmetic, binary, compare, number, scale, unary
from mconv.emit.gather import gather
from mconv.emit.known import axis_of, known_size, need_rank, replaced
from mconv.emit.layout import plainly_laid
from mconv.emit.order import sort
from mconv.emit.shape import fill, reshape, unsqueeze
from mconv.emit.sizes import dim_tensor, shape_of
from mconv.emit.slicing import concat, flip, slice_
from mconv.errors import UnsupportedError
from mconv.program import dims as D
from mconv.program.builder import Builder
from mconv.program.dtypes import DType
from mconv.program.targets import PADDLE_2_3
from mconv.program.value import Value

PLAIN = ("sum", "mean", "max", "min", "prod")
KINDS = (*PLAIN, "l1", "l2", "log_sum", "log_sum_exp", "sum_square")
_BOOL_OPS = {"max": "reduce_any", "min": "reduce_all"}


def reduce(b: Builder, kind: str, x: Value, axes: Optional[Sequence[int]] = None, *, keep: bool = False) -> Value:
    """One of :data:`KINDS` over the dimensions *axes* (None: all), which stay as 1 with *keep*.

    The result has the type of *x*; integers wrap around, their mean is cut towards zero, and norms and logarithms of
    integers are computed in double precision. Over no elements at all a reduction gives its neutral element.
    """
    shape = need_rank(x, "a reduction")
    over = sorted({axis_of(a, len(shape)) for a in axes}) if axes is not None else list(range(len(shape)))
    if kind not in PLAIN and x.dtype.is_int:
        return b.cast(reduce(b, kind, b.cast(x, DType.FP64), over, keep=keep), x.dtype)
    if x.dtype is DType.FP16:  # sums in float16 would lose digits that ONNX keeps
        return b.cast(reduce(b, kind, b.cast(x, DType.FP32), over, keep=keep), x.dtype)
    if kind == "l1":
        return _plain(b, "sum", unary(b, "abs", x), over, keep)
    if kind in ("l2", "sum_square"):
        total = _plain(b, "sum", arithmetic(b, "mul", x, x), over, keep)
        return unary(b, "sqrt", total) if kind == "l2" else total
    if kind == "log_sum":
        return unary(b, "log", _plain(b, "sum", x, over, keep))
    if kind == "log_sum_exp":
        return _log_sum_exp(b, x, over, keep)
    return _plain(b, kind, x, over, keep)


def _log_sum_exp(b: Builder, x: Value, over: list[int], keep: bool) -> Value:
    """Stable for large numbers; Paddle's ``logsumexp`` knows four dimensions and gives NaN for infinities."""

    def largest(keep: bool) -> Value:
        limit = float(np.finfo(np.float64 if x.dtype is DType.FP64 else np.float32).max)
        made = _plain(b, "max", x, over, keep)
        low, high = number(b, -limit, x.dtype), number(b, limit, x.dtype)
        return arithmetic(b, "min", arithmetic(b, "max", made, low), high)

    if 0 in (x.shape or ()):
        return unary(b, "log", _plain(b, "sum", unary(b, "exp", x), over, keep))
    kept = largest(True)
    total = _plain(b, "sum", unary(b, "exp", arithmetic(b, "sub", x, kept)), over, keep)
    return arithmetic(b, "add", unary(b, "log", total), kept if keep else largest(False))


def _plain(b: Builder, kind: str, x: Value, over: list[int], keep: bool) -> Value:
    shape = need_rank(x, "a reduction")
    if not over:
        return x
    out = tuple(1 if i in over else d for i, d in enumerate(shape) if keep or i not in over)
    if 0 in shape:
        return fill(b, out, _neutral(kind, x.dtype), x.dtype)
    common: dict[str, Any] = {"dim": over, "keep_dim": keep, "reduce_all": len(over) == len(shape)}
    if x.dtype is DType.BOOL:
        if kind not in _BOOL_OPS:
            raise UnsupportedError(f"the {kind} of truth values")
        return b.op(_BOOL_OPS[kind], X=x, result=(DType.BOOL, out), **common)
    if kind == "mean" and x.dtype.is_int:
        return _integer_mean(b, x, over, keep)
    if kind in ("sum", "prod") and x.dtype in (DType.INT8, DType.UINT8, DType.INT16):
        return b.cast(_plain(b, kind, b.cast(x, DType.INT32), over, keep), x.dtype)
    if kind in ("sum", "prod"):  # without the types, int32 is summed up into int64
        common.update(in_dtype=int(x.dtype), out_dtype=int(x.dtype))
    if b.target == PADDLE_2_3:  # oneDNN there does not say how what it reduces of blocks lies, without AVX-512
        x = plainly_laid(b, x)
    op = f"reduce_{kind}"
    if kind in ("max", "min") and x.dtype is DType.FP32 and f"reduce_a{kind}" in b.operators:
        # oneDNN's gives the largest float32 where all elements are infinite, as in a masked row
        op = f"reduce_a{kind}"
    return b.op(op, X=x, result=(x.dtype, out), **common)


def _integer_mean(b: Builder, x: Value, over: list[int], keep: bool) -> Value:
    wide = b.cast(x, DType.INT64)
    total = _plain(b, "sum", wide, over, keep)
    count = D.product(need_rank(x, "a mean")[i] for i in over)
    divisor = number(b, count, DType.INT64) if isinstance(count, int) else reshape(b, dim_tensor(b, count), ())
    return b.cast(arithmetic(b, "div", total, divisor), x.dtype)


def _neutral(kind: str, dtype: DType) -> Any:
    """What a reduction over no elements gives."""
    if kind in ("sum", "prod"):
        return 0 if kind == "sum" else 1
    if dtype is DType.BOOL:
        return kind == "min"
    if kind == "mean":
        if dtype.is_int:
            raise UnsupportedError("the mean of no integers")
        return math.nan
    if dtype.is_int:
        limits = np.iinfo(dtype.numpy)
        return limits.min if kind == "max" else limits.max
    return -math.inf if kind == "max" else math.inf


def variance(
    b: Builder, x: Value, axes: Optional[Sequence[int]], correction: float, *, keep: bool = False
) -> tuple[Value, Value]:
    """The squared distances from the mean over *axes* (None: all), summed up and divided by their number less
    *correction* (by 0 where that is less), and the mean."""
    shape = need_rank(x, "a variance")
    mean = reduce(b, "mean", x, axes, keep=True)
    squares = unary(b, "square", arithmetic(b, "sub", x, mean))
    count = D.product(shape[axis_of(i, len(shape))] for i in (range(len(shape)) if axes is None else axes))
    if correction == 0:
        made = reduce(b, "mean", squares, axes, keep=keep)
    else:
        total = reduce(b, "sum", squares, axes, keep=keep)
        if isinstance(count, int):
            divisor = number(b, max(count - correction, 0), x.dtype)
        else:
            size = reshape(b, b.cast(dim_tensor(b, count), x.dtype), [1] * max(total.rank or 0, 1))
            divisor = arithmetic(b, "max", scale(b, size, 1.0, -float(correction)), number(b, 0, x.dtype))
            if total.rank == 0:
                divisor = reshape(b, divisor, ())
        with np.errstate(divide="ignore", invalid="ignore"):
            made = arithmetic(b, "div", total, divisor)
    return made, mean if keep else reshape(b, mean, made.shape or ())


# axes that come in at run time -----------------------------------------------------------------------------------------


def reduce_by_tensor(
    b: Builder, kind: str, x: Value, axes: Value, *, keep: bool, declared: Optional[Sequence[int]] = None
) -> Value:
    """A reduction over dimensions that are known only at run time.

    Args:
        axes: 1-D, of a known number of elements, none of them twice.
        declared: the result's shape where the model states it. Often only one choice of axes gives it.

    Raises:
        UnsupportedError: not even the number of axes is known.
    """
    shape = need_rank(x, "a reduction")
    count = known_size(axes, 0, "axes must be constant: not even their number is known before run time")
    found = _deduced(shape, count, keep, declared)
    if found is not None:
        return reduce(b, kind, x, found, keep=keep)
    if kind == "mean" and x.dtype.is_int:
        raise UnsupportedError("axes of a mean of integers must be constant")
    chosen = _chosen(b, axes, len(shape))
    if 0 in shape:
        return _of_nothing(b, kind, x, chosen, count, keep)
    if kind in ("l1", "l2", "sum_square", "log_sum"):
        wide = b.cast(x, DType.FP64 if x.dtype.is_int else DType.FP32 if x.dtype is DType.FP16 else x.dtype)
        mapped = (
            unary(b, "abs", wide) if kind == "l1" else wide if kind == "log_sum" else arithmetic(b, "mul", wide, wide)
        )
        made = _stepwise(b, "sum", mapped, chosen)
        if kind in ("l2", "log_sum"):
            made = unary(b, "sqrt" if kind == "l2" else "log", made)
        made = b.cast(made, x.dtype)
    else:
        made = _stepwise(b, kind, x, chosen)
    return made if keep else reshape(b, made, declared or _kept_sizes(b, x, chosen, count))


def _kept_sizes(b: Builder, x: Value, chosen: Value, count: int) -> Value:
    """The sizes of the dimensions that are not *chosen*."""
    rank = len(need_rank(x, "a reduction"))
    _, order = sort(b, chosen, 0, descending=False)  # the dimensions that are not chosen come first, in order
    return gather(b, shape_of(b, x), slice_(b, order, [0], [0], [rank - count]))


def _of_nothing(b: Builder, kind: str, x: Value, chosen: Value, count: int, keep: bool) -> Value:
    """The reduction of a tensor without elements: whatever the axes, all that comes out is the neutral element."""
    if keep:
        sizes = shape_of(b, x)
        shape = arithmetic(
            b, "add", sizes, arithmetic(b, "mul", chosen, arithmetic(b, "sub", number(b, 1, DType.INT64), sizes))
        )
    else:
        shape = _kept_sizes(b, x, chosen, count)
    plain = kind if kind in PLAIN else "sum"
    made = fill(b, shape, _neutral(plain, x.dtype), x.dtype)
    return unary(b, "log", made) if kind in ("log_sum", "log_sum_exp") else made


def _deduced(
    shape: Sequence[D.Dim], count: int, keep: bool, declared: Optional[Sequence[int]]
) -> Optional[tuple[int, ...]]:
    """The only choice of *count* axes that gives the declared shape, if there is only one.

    Reducing a dimension of 1 changes nothing but the shape, so choices that differ in such dimensions are one.
    """
    if count == len(shape):
        return tuple(range(count))
    if declared is None or not D.is_static(shape):
        return None
    found = {}
    for axes in itertools.combinations(range(len(shape)), count):
        out = [1 if i in axes else d for i, d in enumerate(shape) if keep or i not in axes]
        if out == list(declared):
            found[tuple(i for i in axes if shape[i] != 1)] = axes
    return next(iter(found.values())) if len(found) == 1 else None


def _chosen(b: Builder, axes: Value, rank: int) -> Value:
    """Per dimension 1 if *axes* names it, from either end, else 0: int64, shape [rank]."""
    row = unsqueeze(b, b.cast(axes, DType.INT64), [0])
    forward = b.constant(np.arange(rank, dtype=np.int64)[:, None])
    backward = b.constant(np.arange(-rank, 0, dtype=np.int64)[:, None])
    hits = (compare(b, "equal", row, way) for way in (forward, backward))
    named = [b.cast(_plain(b, "max", hit, [1], False), DType.INT64) for hit in hits]
    return arithmetic(b, "add", *named)


def _stepwise(b: Builder, kind: str, x: Value, chosen: Value) -> Value:
    """Reduce one dimension after the other, where *chosen* says so: the reduced slice is put behind the dimension,
    and either all but that slice or only it is cut out."""
    for axis in range(len(need_rank(x, "a reduction"))):
        size = dim_tensor(b, x.shape[axis])  # type: ignore[index]
        flag = slice_(b, chosen, [0], [axis], [axis + 1])
        both = concat(b, [x, reduce(b, kind, x, [axis], keep=True)], axis)
        start = binary(b, "elementwise_mul", flag, size)
        x = slice_(b, both, [axis], start, binary(b, "elementwise_add", flag, size))
    return x


def log_softmax(b: Builder, x: Value, axis: int) -> Value:
    """``log(softmax(x))``. Paddle's own ``log_softmax`` cuts results off at -64 without oneDNN."""
    if x.dtype is DType.FP16:
        return b.cast(log_softmax(b, b.cast(x, DType.FP32), axis), x.dtype)
    shifted = arithmetic(b, "sub", x, _plain(b, "max", x, [axis], True))
    total = _plain(b, "sum", unary(b, "exp", shifted), [axis], True)
    return arithmetic(b, "sub", shifted, unary(b, "log", total))


def softmax(b: Builder, x: Value, axis: int) -> Value:
    return unary(b, "softmax", x, axis=axis)


def cumulative_sum(b: Builder, x: Value, axis: int, *, exclusive: bool = False, reverse: bool = False) -> Value:
    """Running sums along *axis*; *exclusive* leaves the element itself out, *reverse* starts at the end.

    From 2.6 on, Paddle gives a tensor of one element as it is, *exclusive* or not: where there may be no second one, a
    zero is put at the end, and cut off.
    """
    shape = need_rank(x, "CumSum")
    if exclusive and not any(isinstance(d, int) and d != 1 for d in shape):
        end = fill(b, replaced(shape, axis, 1), 0, x.dtype)
        longer = concat(b, [end, x] if reverse else [x, end], axis)
        sums = unary(b, "cumsum", longer, axis=axis, exclusive=True, reverse=reverse, flatten=False)
        made = slice_(b, sums, [axis], [1 if reverse else 0], [2**31 - 1 if reverse else shape[axis]])
        made.shape = shape
        return made
    return unary(b, "cumsum", x, axis=axis, exclusive=exclusive, reverse=reverse, flatten=False)


def log_cumulative_sum_exp(b: Builder, x: Value, axis: int, *, exclusive: bool = False, reverse: bool = False) -> Value:
    """The logarithm of running sums of powers of e, less the largest of all, which keeps them finite."""
    best = reduce(b, "max", x, [axis], keep=True)
    powers = unary(b, "exp", arithmetic(b, "sub", x, best))
    sums = cumulative_sum(b, powers, axis, exclusive=exclusive, reverse=reverse)
    return arithmetic(b, "add", unary(b, "log", sums), best)


def cumulative_product(b: Builder, x: Value, axis: int, *, exclusive: bool = False, reverse: bool = False) -> Value:
    """Running products along *axis*; *exclusive* leaves the element itself out, *reverse* starts at the end."""
    if reverse:  # 2.3's operator knows neither
        return flip(b, cumulative_product(b, flip(b, x, [axis]), axis, exclusive=exclusive), [axis])
    made = unary(b, "cumprod", x, dim=axis)
    if not exclusive:
        return made
    shape = need_rank(x, "CumProd")
    first = fill(b, replaced(shape, axis, 1), 1, x.dtype)
    shifted = concat(b, [first, slice_(b, made, [axis], [0], [shape[axis] - 1])], axis)
    shifted.shape = shape
    return shifted


def determinant(b: Builder, x: Value) -> Value:
    """Of the matrices in the last two dimensions."""
    shape = need_rank(x, "a determinant")
    return b.op("determinant", Input=x, result=(x.dtype, shape[:-2]))
