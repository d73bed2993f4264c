"""Attention, in the form of products and a softmax that Paddle's fusion passes know."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

import numpy as np

from mconv.emit.elementwise import arithmetic
from mconv.emit.elementwise import scale as scaled
from mconv.emit.expr import Expr, arange, concat, size
from mconv.emit.gather import gather
from mconv.emit.known import need_rank, replaced
from mconv.emit.linear import matmul
from mconv.emit.reduction import softmax
from mconv.emit.shape import expand_to, reshape, unsqueeze
from mconv.errors import UnsupportedError
from mconv.program import dims as D
from mconv.program.builder import Builder
from mconv.program.dtypes import DType
from mconv.program.value import Value


def heads(b: Builder, x: Value, count: int) -> Expr:
    """[B, S, count · d] as [B, count, S, d]."""
    batch, length, width = need_rank(x, "attention")
    if not isinstance(width, int) or width % count:
        raise UnsupportedError(f"attention: {width} features in {count} heads")
    return Expr(b, x).reshape(batch, length, count, width // count).transpose(0, 2, 1, 3)


def joined(x: Expr) -> Expr:
    """[B, H, S, d] as [B, S, H · d]."""
    batch, count, length, width = x.shape
    return x.transpose(0, 2, 1, 3).reshape(batch, length, count * width)


def attend(b: Builder, q: Value, k: Value, v: Value, scale: Optional[float], bias: Optional[Value] = None) -> Value:
    """``softmax(q · kᵀ · scale + bias) · v`` of […, S, d], […, T, d] and […, T, d'].

    The one form in which attention is written: the query is scaled behind its transposition, the product transposes
    the keys, the mask is added, softmax. Paddle's passes take it on the CPU (``scale_matmul_fuse_pass``,
    ``reshape_transpose_matmul``, ``matmul_elementwise_add``, ``matmul_transpose_reshape``) and on the GPU
    (``multihead_matmul_fuse_pass_v2``, PIR's ``multihead_matmul_fuse_pass``).

    Args:
        scale: None for 1 / √d.
        bias: broadcasts to […, S, T].

    Raises:
        UnsupportedError: *scale* is None, and the size of a head is known only at run time.
    """
    width = need_rank(q, "attention")[-1]
    if scale is None:
        if not isinstance(width, int):
            raise UnsupportedError("attention: the size of a head is known only at run time")
        scale = float(1.0 / np.sqrt(width))
    scores = matmul(b, scaled(b, q, scale), k, trans_y=True)
    if bias is not None:
        scores = arithmetic(b, "add", scores, bias)
    return matmul(b, softmax(b, scores, -1), v)


def repeated_heads(b: Builder, x: Value, times: int, axis: int) -> Value:
    """Heads that serve *times* queries each, as often: of […, H, …] with the heads at *axis*, […, H · times, …]."""
    shape = need_rank(x, "attention")
    axis %= len(shape)
    wide = expand_to(b, unsqueeze(b, x, [axis + 1]), (*shape[: axis + 1], times, *shape[axis + 1 :]))
    return reshape(b, wide, replaced(shape, axis, shape[axis] * times))


def mask_bias(b: Builder, mask: Value, dtype: DType) -> Value:
    """What is added to the scores for a mask of bool: nothing where it holds, elsewhere the lowest number's half.

    It is not minus infinity: a row that sees nothing becomes even, not NaN. The score added does not overflow.
    """
    low = lowest(dtype)
    shown = b.cast(mask, DType.FP32 if dtype is DType.BF16 else dtype)
    return b.cast(scaled(b, shown, -low, low), dtype)


def lowest(dtype: DType) -> float:
    """Half of the lowest number of a type of floats, of float32 for wider ones: attributes are no wider."""
    return float(np.finfo(np.float16 if dtype is DType.FP16 else np.float32).min) / 2


def causal(b: Builder, queries: D.Dim, keys: D.Dim, dtype: DType, low: float) -> Expr:
    """[1, 1, S, T]: *low* where a query would see a key after its own, counted from the ends; else 0."""
    row = (arange(b, queries, DType.INT64) + size(b, keys - queries, DType.INT64)).unsqueeze(1)
    column = arange(b, keys, DType.INT64).unsqueeze(0)
    hidden = (column > row).cast(dtype) * low
    return hidden.reshape(1, 1, queries, keys)


def key_mask(b: Builder, mask: Value, keys: D.Dim, dtype: DType, low: float, starts: Optional[Value] = None) -> Expr:
    """A bias of *low* where *mask* hides a key, to broadcast with [B, H, S, T].

    Args:
        mask: [B] where the keys that count end, [B, T] or [B, S, T] of 1 for keys that count.
        starts: [B] where those that count begin; by default at the first.
    """
    shape = need_rank(mask, "attention")
    sizes: Sequence[D.Dim] = (1, keys)
    if len(shape) == 1:
        positions = arange(b, keys, DType.INT64).unsqueeze(0)
        shown = positions < Expr(b, mask).cast(DType.INT64).reshape(shape[0], 1)
        if starts is not None:
            shown = shown & (positions >= Expr(b, starts).reshape(shape[0], 1))
    elif len(shape) in (2, 3):
        shown, sizes = Expr(b, mask).cast(DType.INT64) > 0, (*[1] * (3 - len(shape)), *shape[1:])
    else:
        raise UnsupportedError(f"attention: a mask of rank {len(shape)}")
    return ((1.0 - shown.cast(dtype)) * low).reshape(shape[0], 1, *sizes)


def rotate(x: Expr, cos: Expr, sin: Expr, width: int, interleaved: bool) -> Expr:
    """Rotary position embedding of the first *width* features of [B, H, S, d].

    Args:
        cos, sin: broadcast to [B, H, S, width / 2].
        interleaved: pairs are neighbours, else the halves.
    """
    whole = x.shape[-1]
    own, rest = x.slice(3, 0, width), None if whole == width else x.slice(3, width, whole)
    half = width // 2
    if interleaved:
        pairs = own.reshape(*own.shape[:3], half, 2)
        first, second = (pairs.slice(4, i, i + 1).reshape(*own.shape[:3], half) for i in range(2))
    else:
        first, second = own.slice(3, 0, half), own.slice(3, half, width)
    real, imaginary = first * cos - second * sin, first * sin + second * cos
    if interleaved:
        made = concat([real.unsqueeze(4), imaginary.unsqueeze(4)], 4).reshape(*own.shape)
    else:
        made = concat([real, imaginary], 3)
    return made if rest is None else concat([made, rest], 3)


def rotate_by_tables(b: Builder, x: Value, sin: Value, cos: Value, neighbours: bool) -> Value:
    """``x · cos + turned(x) · sin`` with tables of the whole width, which broadcast to *x* ([…, d], d known).

    Args:
        neighbours: pairs are neighbours, else the halves; the turned pair of (u, v) is (-v, u).
    """
    width = need_rank(x, "a rotary embedding")[-1]
    assert isinstance(width, int)
    half, positions = width // 2, np.arange(width)
    order = positions.reshape(-1, 2)[:, ::-1].reshape(-1) if neighbours else np.roll(positions, half)
    first = positions % 2 == 0 if neighbours else positions < half
    turned = gather(b, x, b.constant(order.astype(np.int32)), (x.rank or 1) - 1)
    turned = arithmetic(b, "mul", turned, b.constant(np.where(first, -1.0, 1.0), x.dtype))
    return arithmetic(b, "add", arithmetic(b, "mul", x, cos), arithmetic(b, "mul", turned, sin))
