"""Pooling."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Optional

import numpy as np

from mconv import budget
from mconv.emit.expr import Expr, arange, size, where
from mconv.emit.known import need_rank, replaced
from mconv.emit.shape import fill, reshape, squeeze, unsqueeze
from mconv.emit.slicing import slice_
from mconv.emit.window import Window, pad_spatial
from mconv.errors import UnsupportedError
from mconv.program import dims as D
from mconv.program.builder import Builder
from mconv.program.dtypes import DType
from mconv.program.value import Value


def _lowest(x: Value) -> float:
    """What *x* is padded with where the largest is taken: a number below it would become another in its type."""
    kind = x.dtype.numpy
    return float(np.iinfo(kind).min if kind.kind in "iu" else np.finfo(np.float32).min)


def max_pool(b: Builder, x: Value, window: Window, ceil: bool = False) -> Value:
    """The largest element of each window of *x* ([N, C, …]); padding is never taken.

    Args:
        ceil: windows may hang over the end.
    """
    if x.dtype in (DType.INT32, DType.INT64):
        raise UnsupportedError(f"MaxPool on {x.dtype.label}: Paddle pools floating point numbers")
    shape = need_rank(x, "MaxPool")
    if window.plain and len(window.kernel) <= 3:
        spatial = window.out(shape[2:], ceil)
        if ceil and _in_padding(window, shape[2:], spatial):
            x, window = pad_spatial(b, x, window.begin, window.end, _lowest(x)), window.unpadded()
        return _pool(b, x, window, ceil, "max", exclusive=True, spatial=spatial)
    out = window.out(shape[2:], ceil)
    padded = pad_spatial(b, x, window.begin, _reach(window, shape[2:], out), _lowest(x))
    return _separable(b, padded, window, out, "max")


def average_pool(b: Builder, x: Value, window: Window, ceil: bool = False, count_pad: bool = False) -> Value:
    """The mean of each window of *x* ([N, C, …]).

    Args:
        ceil: windows may hang over the end.
        count_pad: the padding counts as zeros; else the mean is that of the elements inside.
    """
    shape = need_rank(x, "AveragePool")
    sizes = shape[2:]
    out = window.out(sizes, ceil)  # before the padding is put on: no window starts in that of the end
    count_pad = count_pad and (any(window.begin) or any(window.end))
    if count_pad and (ceil or not window.plain or window.begin != window.end):
        # what hangs over beyond the padding does not count (so in PyTorch, ONNX Runtime and onnx 1.23's reference;
        # the data of onnx 1.17 count it); and the operator takes both ends for as long as the first
        x, window = pad_spatial(b, x, window.begin, window.end), window.unpadded()
        count_pad, sizes = False, need_rank(x, "AveragePool")[2:]
    if window.plain and len(window.kernel) <= 3 and not (ceil and _in_padding(window, sizes, out)):
        return _pool(b, x, window, ceil, "avg", exclusive=not count_pad, spatial=out)
    reach = _reach(window, sizes, out)
    total = _separable(b, pad_spatial(b, x, window.begin, reach), window, out, "sum")
    if count_pad or (not any(window.begin) and not any(reach)):
        return (Expr(b, total) * (1.0 / float(np.prod(window.kernel)))).value
    ones = fill(b, (1, 1, *sizes), 1, x.dtype)
    if D.is_static(sizes) and D.is_static(reach) and D.is_static(out):
        count = Expr(b, _counts(sizes, window, out), x.dtype)  # type: ignore[arg-type]
    else:
        count = Expr(b, _separable(b, pad_spatial(b, ones, window.begin, reach), window, out, "sum"))
    return (Expr(b, total) / count).value


def lp_pool(b: Builder, x: Value, window: Window, p: float, ceil: bool = False) -> Value:
    """``(Σ |x|^p)^(1/p)`` over each window of *x* ([N, C, …])."""
    powers = Expr(b, x).abs() if p == 1 else Expr(b, x).square() if p == 2 else Expr(b, x).abs().pow(p)
    shape = need_rank(x, "LpPool")
    out = window.out(shape[2:], ceil)
    reach = _reach(window, shape[2:], out) if ceil or not window.plain else window.end
    padded = pad_spatial(b, powers.value, window.begin, reach)
    bare = window.unpadded()
    if window.plain and len(window.kernel) <= 3:
        mean = _pool(b, padded, bare, False, "avg", exclusive=True)
        total = Expr(b, mean) * float(np.prod(window.kernel))
    else:
        total = Expr(b, _separable(b, padded, bare, out, "sum"))
    return (total if p == 1 else total.sqrt() if p == 2 else total.pow(1.0 / p)).value


def global_pool(b: Builder, x: Value, kind: str) -> Value:
    """The ``max`` or ``avg`` over all spatial dimensions of *x* ([N, C, …]), which stay as 1."""
    shape = need_rank(x, "global pooling")
    k = len(shape) - 2
    out = (*shape[:2], *[1] * k)
    if k not in (2, 3):
        return Expr(b, x).reduce("mean" if kind == "avg" else "max", range(2, len(shape))).value
    return operator(b, x, kind, [1] * k, out, global_pooling=True)


def operator(b: Builder, x: Value, kind: str, kernel: Sequence[int], out: Sequence[D.Dim], **options: Any) -> Value:
    """``pool2d`` or ``pool3d`` of *x* ([N, C, *spatial]).

    Args:
        kind: ``max`` or ``avg``.
        out: the shape of the result.
        options: attributes that are not as usual.
    """
    k = len(kernel)
    attributes = {
        "strides": [1] * k,
        "paddings": [0] * k,
        "padding_algorithm": "EXPLICIT",
        "global_pooling": False,
        "adaptive": False,
        "exclusive": True,
        "ceil_mode": False,
        "data_format": "NCHW" if k == 2 else "NCDHW",
        **options,
    }
    return b.op(f"pool{k}d", X=x, pooling_type=kind, ksize=kernel, **attributes, result=(x.dtype, out))


def _reach(window: Window, sizes: Sequence[D.Dim], out: Sequence[D.Dim]) -> list[D.Dim]:
    """Rows at the end with which the last window is complete (none when it is)."""
    reach: list[D.Dim] = []
    for n, o, s, e, p in zip(sizes, out, window.strides, window.extent, window.begin):
        missing = (o - 1) * s + e - n - p
        reach.append(max(missing, 0) if isinstance(missing, int) else D.maximum(missing, 0))
    return reach


def _pool(
    b: Builder,
    x: Value,
    window: Window,
    ceil: bool,
    kind: str,
    exclusive: bool,
    spatial: Optional[Sequence[D.Dim]] = None,
) -> Value:
    """``pool2d`` or ``pool3d``; *spatial* are the result's sizes where they are fewer than the window gives."""
    shape = need_rank(x, "pooling")
    out = (*shape[:2], *(window.out(shape[2:], ceil) if spatial is None else spatial))
    ones = [2] if len(shape) == 3 else []
    cut: Optional[list[D.Dim]] = None
    if not window.static and not window.same:
        if kind == "max":
            x, window = pad_spatial(b, x, window.begin, window.end, _lowest(x)), window.unpadded()
        elif not exclusive:
            x, window = pad_spatial(b, x, window.begin, window.end), window.unpadded()
        else:  # the operator leaves padding of its own out of the count: more than enough of it, then cut
            raise UnsupportedError("AveragePool with auto_pad SAME_LOWER on a size known only at run time")
    elif ceil and window.static:
        if D.is_static(shape[2:]):
            reach = _reach(window, shape[2:], out[2:])
            window, ceil = replace(window, end=tuple(max(r, q) for r, q in zip(reach, window.end))), False  # type: ignore[type-var]
            if tuple(window.out(shape[2:])) != out[2:]:
                cut = list(out[2:])
        else:
            cut = list(out[2:]) if tuple(_loose(window, shape[2:])) != out[2:] else None
            ceil = True
    if ones:
        x, window = unsqueeze(b, x, ones), window.lifted(1)
    made_shape = (*out[:2], *[1] * len(ones), *(out[2:] if cut is None else [D.Sym.fresh("pool") for _ in cut]))
    padded = {"paddings": window.paddings} if window.static else {}
    made = operator(
        b,
        x,
        kind,
        window.kernel,
        made_shape,
        strides=window.strides,
        **padded,
        padding_algorithm=window.algorithm,
        exclusive=exclusive,
        ceil_mode=ceil,
    )
    if ones:
        made = squeeze(b, made, ones)
    if cut is not None:
        made = slice_(b, made, list(range(2, len(shape))), [0] * len(cut), cut)
        made.shape = out
    return made


def _in_padding(window: Window, sizes: Sequence[D.Dim], out: Sequence[D.Dim]) -> bool:
    """Whether one more window could start in the padding of the end, which oneDNN refuses, at a size not known yet."""
    return window.static and not D.is_static(sizes) and tuple(_loose(window, sizes)) != tuple(out)


def _loose(window: Window, sizes: Sequence[D.Dim]) -> list[D.Dim]:
    """The sizes of the result as Paddle rounds up: where windows start does not matter."""
    return [D.ceildiv(n + p + q - e, s) + 1 for n, p, q, e, s in _rows(sizes, window)]


def _rows(sizes: Sequence[D.Dim], window: Window) -> list[tuple[Any, ...]]:
    return list(zip(sizes, window.begin, window.end, window.extent, window.strides))


def _separable(b: Builder, x: Value, window: Window, out: Sequence[D.Dim], kind: str) -> Value:
    """The ``max`` or ``sum`` of each window of a padded *x*, one dimension after the other."""
    made = Expr(b, x)
    for axis, (k, s, d, n) in enumerate(zip(window.kernel, window.strides, window.dilations, out), start=2):
        if k == 1 and s == 1:
            continue
        rows = [made.slice(axis, i * d, i * d + (n - 1) * s + 1, s) for i in range(k)]
        shape = replaced(made.shape, axis, n)
        for row in rows:
            row.value.shape = shape
        made = functools.reduce(Expr.maximum if kind == "max" else Expr.__add__, rows)
    return made.value


def _counts(sizes: Sequence[int], window: Window, out: Sequence[int]) -> np.ndarray:
    """How many elements of each window lie inside, [1, 1, …]."""
    cells = sum(o * k for o, k in zip(out, window.kernel)) + math.prod(out)
    budget.memory(24 * cells, "counting what lies inside of windows")
    total = np.ones((1,) * (2 + len(out)))
    for axis, (n, k, s, d, p, o) in enumerate(
        zip(sizes, window.kernel, window.strides, window.dilations, window.begin, out), start=2
    ):
        positions = np.arange(o)[:, None] * s - p + np.arange(k)[None] * d
        inside = ((positions >= 0) & (positions < n)).sum(1)
        total = total * inside.reshape([-1 if i == axis else 1 for i in range(2 + len(out))])
    return total


def max_pool_with_index(
    b: Builder, x: Value, window: Window, ceil: bool = False, column_major: bool = False
) -> tuple[Value, Value]:
    """Like :func:`max_pool`, and where in the flattened *x* each was (int64); of equal elements the first.

    Args:
        column_major: the spatial positions are counted with the first dimension running fastest.
    """
    shape = need_rank(x, "MaxPool")
    k = len(shape) - 2
    if not 1 <= k <= 3:
        raise UnsupportedError(f"MaxPool with indices over {k} dimensions")
    out = window.out(shape[2:], ceil)
    reach = _reach(window, shape[2:], out)
    if not window.static:
        raise UnsupportedError("MaxPool with indices and auto_pad on a size known only at run time")
    if window.plain:
        value, position = _indexed(b, x, window, out, reach)
    else:
        value, position = _indexed_dilated(b, x, window, out, reach)
    if column_major and k > 1:
        position = _transposed(position, shape[2:])
    # the positions count from the start of each plane
    first = arange(b, D.product(shape[:2]), DType.INT64) * size(b, D.product(shape[2:]), DType.INT64)
    return value, (position + first.reshape(*shape[:2], *[1] * k)).value


def _indexed(b: Builder, x: Value, window: Window, out: Sequence[D.Dim], reach: Sequence[D.Dim]) -> tuple[Value, Expr]:
    shape = need_rank(x, "MaxPool")
    alike = list(window.begin) == list(window.end) and all(r == 0 or r == q for r, q in zip(reach, window.end))
    # the operator takes padding of one number per dimension and does not round up
    alike = alike and tuple(window.out(shape[2:])) == tuple(out)
    begin = [0] * len(window.begin) if alike else list(window.begin)
    padded = x if alike else pad_spatial(b, x, window.begin, reach, _lowest(x))
    sizes = need_rank(padded, "MaxPool")[2:]
    inner = window if alike else window.unpadded()
    ones = [2] if len(shape) == 3 else []
    if ones:
        padded, inner = unsqueeze(b, padded, ones), inner.lifted(1)
    k = len(inner.kernel)
    made_shape = (*shape[:2], *[1] * len(ones), *out)
    value, mask = b.op_outputs(
        f"max_pool{k}d_with_index",
        X=padded,
        ksize=inner.kernel,
        strides=inner.strides,
        paddings=D.numbers(inner.begin),
        global_pooling=False,
        adaptive=False,
        results={"Out": (x.dtype, made_shape), "Mask": (DType.INT32, made_shape)},
    )
    if ones:
        value, mask = squeeze(b, value, ones), squeeze(b, mask, ones)
    position = Expr(b, b.cast(mask, DType.INT64))
    return value, position if alike else _moved(position, sizes, begin, shape[2:])


def _moved(position: Expr, sizes: Sequence[D.Dim], begin: Sequence[D.Dim], inside: Sequence[D.Dim]) -> Expr:
    """A position in a padded plane of *sizes* as a position in the plane without."""
    if not any(begin) and tuple(sizes) == tuple(inside):
        return position

    def part(axis: int, row: Expr) -> Expr:
        return (row - size(position.b, begin[axis], DType.INT64)) * size(
            position.b, D.product(inside[axis + 1 :]), DType.INT64
        )

    return _recounted(position, sizes, part)


def _transposed(position: Expr, sizes: Sequence[D.Dim]) -> Expr:
    """A row-major position as one counted with the first dimension running fastest."""
    return _recounted(position, sizes, lambda axis, row: row * size(position.b, D.product(sizes[:axis]), DType.INT64))


def _recounted(position: Expr, sizes: Sequence[D.Dim], part: Callable[[int, Expr], Expr]) -> Expr:
    """The sum of *part* of every axis and the index there, of a row-major position in a plane of *sizes*."""

    def parts() -> Iterator[Expr]:
        left = position
        for axis in range(len(sizes)):
            rest = size(position.b, D.product(sizes[axis + 1 :]), DType.INT64)
            row = left // rest
            left = left - row * rest
            yield part(axis, row)

    return functools.reduce(Expr.__add__, parts())


def _indexed_dilated(
    b: Builder, x: Value, window: Window, out: Sequence[D.Dim], reach: Sequence[D.Dim]
) -> tuple[Value, Expr]:
    shape = need_rank(x, "MaxPool")
    if not D.is_static(shape[2:]) or not D.is_static(out):
        raise UnsupportedError("MaxPool with dilations and indices on a size known only at run time")
    cells = math.prod(window.kernel) * D.number(D.product(out))
    budget.memory(32 * cells, "the positions of a MaxPool")
    padded = Expr(b, pad_spatial(b, x, window.begin, reach, _lowest(x)))
    best: Optional[Expr] = None
    where_best: Optional[Expr] = None
    for offset in np.ndindex(*window.kernel):
        rows = [
            np.arange(o) * s + i * d  # type: ignore[arg-type]
            for o, s, i, d in zip(out, window.strides, offset, window.dilations)
        ]
        piece = padded
        for axis, row in enumerate(rows):
            piece = piece.slice(axis + 2, int(row[0]), int(row[-1]) + 1, window.strides[axis])
        grid = np.meshgrid(*[r - p for r, p in zip(rows, window.begin)], indexing="ij")
        sizes = np.array(shape[2:], np.int64)
        strides = [int(np.prod(sizes[i + 1 :])) for i in range(len(sizes))]
        flat = sum(g * t for g, t in zip(grid, strides))
        index = Expr(b, np.asarray(flat)[None, None], DType.INT64)
        if best is None or where_best is None:
            best, where_best = piece, index.expand(*shape[:2], *out)
        else:
            better = piece > best
            best, where_best = where(better, piece, best), where(better, index, where_best)
    assert best is not None and where_best is not None
    return best.value, where_best


def max_unpool(b: Builder, x: Value, index: Value, inner: Sequence[D.Dim], wanted: Sequence[D.Dim]) -> Value:
    """*x* put into zeros of shape *inner* at the flat positions *index*, and that into the corner of *wanted*."""
    shape = need_rank(x, "MaxUnpool")
    total = D.product(inner)
    zeros = fill(b, (total, 1), 0, x.dtype)
    flat = reshape(b, x, (D.product(shape), 1))
    ids = reshape(b, index, (D.product(shape),))
    made = b.op("scatter", X=zeros, Ids=ids, Updates=flat, overwrite=True, result=(x.dtype, (total, 1)))
    made = reshape(b, made, inner)
    return pad_spatial(b, made, [0] * (len(inner) - 2), [w - n for w, n in zip(wanted[2:], inner[2:])])
