"""Signals: Fourier transforms, windows; and files of images, which Paddle's programs do not read."""

from __future__ import annotations

from typing import Optional

import numpy as np

from mconv.emit import signal
from mconv.emit.expr import Expr, where
from mconv.onnx.context import Context
from mconv.onnx.registry import onnx_op
from mconv.onnx.types import paddle_dtype
from mconv.program.dtypes import DType
from mconv.program.value import Value


def _scalar(ctx: Context, x: Optional[Value]) -> Optional[signal.Count]:
    """One integer: a number or size where that is known, else the tensor."""
    if x is None:
        return None
    known = ctx.known_dims(x)
    return known[0] if known is not None else x


@onnx_op("DFT", since=20)
def dft(
    ctx: Context,
    x: Value,
    length: Optional[Value] = None,
    axis: Optional[Value] = None,
    *,
    inverse: int = 0,
    onesided: int = 0,
) -> Value:
    n = _scalar(ctx, length)
    along = -2 if axis is None else _scalar(ctx, axis)

    def transformed(a: int) -> Value:
        return signal.dft(ctx, x, a, n, inverse=bool(inverse), onesided=bool(onesided))

    if isinstance(along, int):
        return transformed(along)
    declared, rank = ctx.declared(), ctx.rank(x)
    if declared is None or axis is None:
        raise ctx.refuse("axis must be constant: it comes in at run time")
    # of the axes that give the declared shape, the one that is wanted
    made: Optional[Expr] = None
    given = Expr(ctx, axis).cast(DType.INT64).reshape(1)
    given = where(given < 0, given + rank, given)
    for a in range(rank - 1):
        candidate = Expr(ctx, transformed(a))
        if candidate.shape == declared:
            chosen = given.equals(a).reshape(*[1] * rank)
            made = candidate if made is None else where(chosen, candidate, made)
    if made is None:
        raise ctx.refuse(f"no axis gives the shape {list(declared)}")
    return made.value


@onnx_op("DFT", since=17)
def dft_17(
    ctx: Context,
    x: Value,
    length: Optional[Value] = None,
    *,
    axis: int = 1,
    inverse: int = 0,
    onesided: int = 0,
) -> Value:
    n = _scalar(ctx, length)
    return signal.dft(ctx, x, axis, n, inverse=bool(inverse), onesided=bool(onesided))


@onnx_op("STFT", since=17)
def stft(
    ctx: Context,
    x: Value,
    frame_step: Value,
    window: Optional[Value] = None,
    frame_length: Optional[Value] = None,
    *,
    onesided: int = 1,
) -> Value:
    ctx.rank(x)
    assert x.shape is not None
    length: Optional[signal.Count] = _scalar(ctx, frame_length)
    if window is not None and window.shape is not None and not isinstance(length, int):
        length = window.shape[0]
    if length is None:
        length = x.shape[1]
    return signal.stft(ctx, x, frame_step, window, length, bool(onesided), ctx.declared(rank=4))


def _window(ctx: Context, length: Value, terms: list[float], kind: int, periodic: int) -> Value:
    dtype, _ = paddle_dtype(kind, ctx.node.op_type)
    declared, known = ctx.declared(rank=1), _scalar(ctx, length)
    count = declared[0] if declared is not None and not isinstance(known, int) else known
    assert count is not None
    return signal.cosine_window(ctx, count, terms, bool(periodic)).cast(dtype).value


@onnx_op("HannWindow", since=17)
def hann(ctx: Context, length: Value, *, output_datatype: int = 1, periodic: int = 1) -> Value:
    return _window(ctx, length, [0.5, -0.5], output_datatype, periodic)


@onnx_op("HammingWindow", since=17)
def hamming(ctx: Context, length: Value, *, output_datatype: int = 1, periodic: int = 1) -> Value:
    return _window(ctx, length, [25 / 46, 25 / 46 - 1], output_datatype, periodic)


@onnx_op("BlackmanWindow", since=17)
def blackman(ctx: Context, length: Value, *, output_datatype: int = 1, periodic: int = 1) -> Value:
    return _window(ctx, length, [0.42, -0.5, 0.08], output_datatype, periodic)


@onnx_op("MelWeightMatrix", since=17)
def mel_weight_matrix(
    ctx: Context,
    mels: Value,
    length: Value,
    rate: Value,
    low: Value,
    high: Value,
    *,
    output_datatype: int = 1,
) -> Value:
    dtype, _ = paddle_dtype(output_datatype, "MelWeightMatrix")
    declared = ctx.declared(rank=2)
    if declared is None and mels.is_const and length.is_const:
        bins = int(np.asarray(length.const).reshape(-1)[0]) // 2 + 1
        declared = (bins, int(np.asarray(mels.const).reshape(-1)[0]))
    if declared is None:
        raise ctx.refuse("num_mel_bins and dft_length must be constant: they come in at run time")
    numbers = [Expr(ctx, v).reshape(1).cast(DType.FP64) for v in (length, rate, low, high)]
    return signal.mel_weights(ctx, declared[1], declared[0], *numbers).cast(dtype).value


@onnx_op("ImageDecoder", since=20)
def image_decoder(ctx: Context, data: Value, *, pixel_format: str = "RGB") -> Value:
    raise ctx.refuse("Paddle's programs do not decode image files; decode them before and feed the pixels")
