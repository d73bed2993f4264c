"""Fourier transforms as matrix products, and windows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional, Union

import numpy as np

from mconv import budget
from mconv.emit.expr import Expr, arange, concat, size, where
from mconv.emit.known import need_rank, single
from mconv.emit.shape import fill
from mconv.errors import UnsupportedError
from mconv.program import dims as D
from mconv.program.builder import Builder
from mconv.program.dtypes import DType
from mconv.program.value import Value

Count = Union[D.Dim, Value]  # a size, or a tensor of one integer


def _number(b: Builder, n: Count, dtype: DType) -> Expr:
    """As a tensor of shape [1]."""
    return Expr(b, n).reshape(1).cast(dtype) if isinstance(n, Value) else size(b, n, dtype)


def _waves(b: Builder, length: Count, rows: Count, columns: Count, dtype: DType) -> tuple[Expr, Expr]:
    """cos and sin of 2π · row · column / length, [rows, columns]."""
    if isinstance(length, int) and isinstance(rows, int) and isinstance(columns, int):
        budget.memory(48 * rows * columns, f"a Fourier transform of {rows} × {columns}")
        turns = np.outer(np.arange(rows), np.arange(columns)) % length / length
        return Expr(b, np.cos(2 * np.pi * turns), dtype), Expr(b, np.sin(2 * np.pi * turns), dtype)
    whole = arange(b, rows, DType.INT64).unsqueeze(1) * arange(b, columns, DType.INT64).unsqueeze(0)
    n = _number(b, length, DType.INT64)
    turns_ = (whole - whole // n * n).cast(DType.FP64) / n.cast(DType.FP64)  # small angles stay exact
    angle = turns_ * (2 * np.pi)
    return angle.cos().cast(dtype), angle.sin().cast(dtype)


def dft(
    b: Builder,
    x: Value,
    axis: int,
    length: Optional[Count],
    *,
    inverse: bool,
    onesided: bool,
    out: Optional[int] = None,
) -> Value:
    """The discrete Fourier transform along *axis*, as many complex numbers as pairs in the last dimension.

    Args:
        x: [..., 1] real or [..., 2] complex.
        length: of the transform; the signal is cut or filled with zeros to it. None: that of the signal.
        out: how many numbers come out, where that is known though *length* is not.
    """
    shape = need_rank(x, "DFT")
    if axis % len(shape) == len(shape) - 1:
        raise UnsupportedError("DFT along the dimension that holds real and imaginary parts")
    axis, dtype = axis % len(shape), x.dtype
    if shape[-1] not in (1, 2):
        raise UnsupportedError(f"DFT of {shape[-1]} numbers per element")
    if inverse and onesided:
        return _to_real(b, x, axis, length)
    length = shape[axis] if length is None else length
    count: Count
    if out is not None:
        count = out
    elif isinstance(length, Value):
        whole = Expr(b, length).cast(DType.INT64)
        count = (whole // 2 + 1).value if onesided else whole.value
    else:
        count = D.floordiv(length, 2) + 1 if onesided else length
    # the signal along the rows; what lies beyond the length is cut off, and zeros need no rows
    signal = Expr(b, x)
    rows: Count = shape[axis]
    if isinstance(length, int) and isinstance(rows, int):
        rows = min(rows, length)
        signal = signal.slice(axis, 0, rows)
    elif isinstance(length, int):
        signal = _of_length(signal, axis, length)
        rows = length
    elif length != rows:
        raise UnsupportedError("DFT of a length that is known only at run time, other than its signal's")
    parts = [signal.slice(len(shape) - 1, i, i + 1) for i in range(D.number(shape[-1]))]
    cos, sin = _waves(b, length, rows, count, dtype)
    sin = sin if inverse else -sin
    # (a + ib)(cos + i sin)
    products = [(_along(p, cos, axis), _along(p, sin, axis)) for p in parts]
    real, imaginary = products[0]
    if len(parts) == 2:
        real, imaginary = real - products[1][1], imaginary + products[1][0]
    made = concat([real, imaginary], len(shape) - 1)
    if inverse:
        made = made / _number(b, length, dtype)
    return made.value


def _to_real(b: Builder, x: Value, axis: int, length: Optional[Count]) -> Value:
    """The inverse of a one-sided transform: [..., n, ..., 1], real, of the first n / 2 + 1 numbers of its transform.

    What is not given is the conjugate of what is, so that each number counts twice but those that are their own.
    """
    shape, dtype = need_rank(x, "DFT"), x.dtype
    given = shape[axis]
    length = 2 * (given - 1) if length is None else length
    if isinstance(length, Value) or isinstance(length, int) != isinstance(given, int):
        raise UnsupportedError("an inverse one-sided DFT whose length and whose signal's are not both known")
    rows = D.floordiv(length, 2) + 1
    signal = Expr(b, x)
    if isinstance(rows, int) and isinstance(given, int):
        rows = min(rows, given)
        signal = signal.slice(axis, 0, rows)
    elif rows != given:
        raise UnsupportedError("an inverse one-sided DFT whose length and whose signal's are not both known")
    cos, sin = _waves(b, length, rows, length, dtype)
    bin_ = arange(b, rows, DType.INT64)
    once, twice = Expr(b, 1.0, dtype), Expr(b, 2.0, dtype)
    middle = (bin_ * 2).equals(size(b, length, DType.INT64))
    times = where(bin_.equals(0), once, where(middle, once, twice)).unsqueeze(1)
    last = len(shape) - 1
    made = _along(signal.slice(last, 0, 1), cos * times, axis)
    if shape[-1] == 2:
        made = made - _along(signal.slice(last, 1, 2), sin * times, axis)
    return (made / _number(b, length, dtype)).value


def _of_length(signal: Expr, axis: int, length: int) -> Expr:
    """A signal of an open size along *axis*, followed by zeros as far as *length* reaches."""
    shape = list(signal.shape)
    shape[axis] = length
    zeros = Expr(signal.b, fill(signal.b, shape, 0, signal.dtype))
    return concat([signal, zeros], axis).slice(axis, 0, length)


def _along(x: Expr, matrix: Expr, axis: int) -> Expr:
    """The product of a dimension of *x* with the rows of *matrix*."""
    last = len(x.shape) - 1
    perm = list(range(last + 1))
    perm[axis], perm[last] = last, axis
    return (x.transpose(*perm) @ matrix).transpose(*perm)


def stft(
    b: Builder,
    x: Value,
    step: Value,
    window: Optional[Value],
    length: Count,
    onesided: bool,
    declared: Optional[Sequence[int]] = None,
) -> Value:
    """Fourier transforms of frames of *x* ([N, L, 1 or 2]): [N, frames, bins, 2].

    Args:
        step: from frame to frame, one integer.
        window: [length], or None.
        length: of the frames.
        declared: the result's shape where that is known.
    """
    shape = need_rank(x, "STFT")
    hop = Expr(b, step).cast(DType.INT64).reshape(1)
    frames: Count
    if declared is not None:
        frames = declared[1]
    elif isinstance(shape[1], int) and isinstance(length, int) and step.is_const:
        frames = 1 + (shape[1] - length) // int(single(step))
    else:
        frames = ((_number(b, shape[1], DType.INT64) - _number(b, length, DType.INT64)) // hop + 1).value
    index = (arange(b, frames, DType.INT64) * hop).unsqueeze(1) + arange(b, length, DType.INT64).unsqueeze(0)
    many, wide = index.shape
    taken = Expr(b, x).gather(index.reshape(D.product((many, wide))), 1).reshape(shape[0], many, wide, shape[2])
    if window is not None:
        taken = taken * Expr(b, window).reshape(wide, 1)
    bins = declared[2] if declared is not None else None
    own: Count = wide if not isinstance(length, int) else length
    return dft(b, taken.value, 2, own, inverse=False, onesided=onesided, out=bins)


def cosine_window(b: Builder, length: Count, terms: Sequence[float], periodic: bool) -> Expr:
    """``Σ termsᵢ · cos(2πi · n / N)`` for n below *length*, float64; N is the length, less one if not *periodic*."""
    if isinstance(length, Value) and length.is_const:
        length = int(single(length))
    whole = _number(b, length, DType.FP64)
    turns = arange(b, length, DType.FP64) / (whole if periodic else whole - 1.0)
    total = turns * 0.0 + terms[0]
    for i, term in enumerate(terms[1:], start=1):
        total = total + (turns * (2 * np.pi * i)).cos() * term
    return total


def mel_weights(b: Builder, mels: int, bins: int, length: Expr, rate: Expr, low: Expr, high: Expr) -> Expr:
    """Triangular filters, [bins, mels], float64, of frequencies evenly spaced on the mel scale.

    Args:
        length, rate, low, high: length of the transform, samples a second, and the lowest and highest frequency in
            Hz; tensors of shape [1].
    """

    def mel(frequency: Expr) -> Expr:
        return (frequency / 700.0 + 1.0).log() * (2595.0 / float(np.log(10.0)))

    budget.memory(16 * (mels + bins), f"a Mel matrix of {mels} × {bins}")
    first, last = mel(low), mel(high)
    points = Expr(b, np.arange(mels + 2), DType.FP64) * ((last - first) / float(mels + 2)) + first
    hertz = ((points * (np.log(10.0) / 2595.0)).exp() - 1.0) * 700.0
    positions = ((length + 1.0) * hertz / rate).floor()
    left, centre, right = (positions.slice(0, i, i + mels).unsqueeze(0) for i in range(3))
    row: Any = Expr(b, np.arange(bins)[:, None], DType.FP64)
    rise, fall = centre - left, right - centre
    zero = row * 0.0 + left * 0.0
    rising = where((row >= left) & (row <= centre), (row - left) / rise.maximum(1.0), zero)
    falling = where((row >= centre) & (row < right), (right - row) / fall.maximum(1.0), zero)
    peak = where(row.equals(centre) & (rise < 0.5), zero + 1.0, zero)
    return rising.maximum(falling).maximum(peak)
