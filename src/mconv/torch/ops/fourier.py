"""Fourier transforms and the complex numbers around them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mconv.emit import arithmetic, concat, unary, unsqueeze
from mconv.emit.shape import expand_to
from mconv.program import dims as D
from mconv.program.dtypes import DType
from mconv.program.value import Value
from mconv.torch.context import AtenContext
from mconv.torch.registry import aten_op

# torch's number for the scaling → Paddle's name of it, which is about the direction
_FORWARD = ("backward", "ortho", "forward")
_INVERSE = ("forward", "ortho", "backward")


def _transform(
    ctx: AtenContext, op: str, x: Value, dim: Sequence[int], names: Sequence[str], scaling: int, **attrs: Any
) -> Value:
    """One of Paddle's transforms; by name, as the tables list its kernels by the real type."""
    rank = x.rank or 1
    out = ctx.variable(op, ctx.out_dtype, ctx.out_shape)
    axes = [d % rank for d in dim]
    ctx.raw_op(op, {"X": [x]}, {"Out": [out]}, axes=axes, normalization=names[scaling], **attrs)
    return out


@aten_op("_fft_r2c.default")
def fft_r2c(ctx: AtenContext, self: Value, dim: Sequence[int], normalization: int, onesided: bool) -> Value:
    return _transform(ctx, "fft_r2c", self, dim, _FORWARD, normalization, forward=True, onesided=onesided)


@aten_op("_fft_c2r.default")
def fft_c2r(ctx: AtenContext, self: Value, dim: Sequence[int], normalization: int, last_dim_size: D.Dim) -> Value:
    size = ctx.static_int(last_dim_size, "the length of the result")
    return _transform(ctx, "fft_c2r", self, dim, _INVERSE, normalization, forward=False, last_dim_size=size)


@aten_op("_fft_c2c.default")
def fft_c2c(ctx: AtenContext, self: Value, dim: Sequence[int], normalization: int, forward: bool) -> Value:
    names = _FORWARD if forward else _INVERSE
    return _transform(ctx, "fft_c2c", self, dim, names, normalization, forward=forward)


def _raw(ctx: AtenContext, op: str, x: Value) -> Value:
    out = ctx.variable(op, ctx.out_dtype, ctx.out_shape)
    ctx.raw_op(op, {"X": [x]}, {"Out": [out]})
    return out


@aten_op("view_as_real.default", "view_as_real_copy.default")
def view_as_real(ctx: AtenContext, self: Value) -> Value:
    return _raw(ctx, "as_real", self)


@aten_op("view_as_complex.default", "view_as_complex_copy.default")
def view_as_complex(ctx: AtenContext, self: Value) -> Value:
    if self.dtype not in (DType.FP32, DType.FP64):
        raise ctx.refuse(f"complex numbers of {self.dtype.label}")
    return _raw(ctx, "as_complex", self)


def _joined(ctx: AtenContext, real: Value, imaginary: Value) -> Value:
    rank = real.rank or 0
    parts = [unsqueeze(ctx, v, [rank]) for v in (real, imaginary)]
    return _raw(ctx, "as_complex", concat(ctx, parts, rank))


@aten_op("complex.default")
def complex_(ctx: AtenContext, real: Value, imag: Value) -> Value:
    return _joined(ctx, *(expand_to(ctx, v, ctx.out_shape) for v in (real, imag)))


@aten_op("polar.default")
def polar(ctx: AtenContext, abs: Value, angle: Value) -> Value:
    size, turn = (expand_to(ctx, v, ctx.out_shape) for v in (abs, angle))
    return _joined(ctx, *(arithmetic(ctx, "mul", size, unary(ctx, f, turn)) for f in ("cos", "sin")))
