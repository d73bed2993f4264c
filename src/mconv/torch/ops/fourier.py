"""Fourier transforms, by Paddle's own operators; what complex numbers are otherwise, :mod:`mconv.torch.complexes` says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mconv.emit import arithmetic, gather, where
from mconv.emit import complex as C
from mconv.emit.complex import Complex
from mconv.emit.elementwise import compare, scale
from mconv.emit.known import need_rank
from mconv.emit.ranges import iota, spread
from mconv.emit.sizes import dim_tensor
from mconv.program import dims as D
from mconv.program.dtypes import DType
from mconv.program.value import Value
from mconv.torch.complexes import complex_op
from mconv.torch.context import AtenContext
from mconv.torch.registry import aten_op

# torch's number for the scaling → Paddle's name of it, which is about the direction
_FORWARD = ("backward", "ortho", "forward")
_INVERSE = ("forward", "ortho", "backward")


def _transform(
    ctx: AtenContext,
    op: str,
    x: Value,
    dim: Sequence[int],
    names: Sequence[str],
    scaling: int,
    result: tuple[DType, Sequence[D.Dim]],
    **attrs: Any,
) -> Value:
    """One of Paddle's transforms; by name, as the tables list its kernels by the real type."""
    rank = x.rank or 1
    out = ctx.variable(op, *result)
    axes = [d % rank for d in dim]
    ctx.raw_op(op, {"X": [x]}, {"Out": [out]}, axes=axes, normalization=names[scaling], **attrs)
    return out


def _complex_transform(ctx: AtenContext, x: Complex, dim: Sequence[int], normalization: int, forward: bool) -> Complex:
    names = _FORWARD if forward else _INVERSE
    spec = (x.dtype, need_rank(x.re, "a transform"))
    return C.from_tensor(
        ctx, _transform(ctx, "fft_c2c", C.as_tensor(ctx, x), dim, names, normalization, spec, forward=forward)
    )


@aten_op("_fft_r2c.default")
@complex_op("_fft_r2c")
def fft_r2c(ctx: AtenContext, self: Value, dim: Sequence[int], normalization: int, onesided: bool) -> Complex:
    options = {"forward": True, "onesided": onesided}
    spec = ctx.specs()[0]
    return C.from_tensor(ctx, _transform(ctx, "fft_r2c", self, dim, _FORWARD, normalization, spec, **options))


@aten_op("_fft_c2c.default")
@complex_op("_fft_c2c")
def fft_c2c(ctx: AtenContext, self: Complex, dim: Sequence[int], normalization: int, forward: bool) -> Complex:
    return _complex_transform(ctx, self, dim, normalization, forward)


@aten_op("_fft_c2r.default")
@complex_op("_fft_c2r")
def fft_c2r(ctx: AtenContext, self: Complex, dim: Sequence[int], normalization: int, last_dim_size: D.Dim) -> Value:
    if isinstance(last_dim_size, int):
        spec = ctx.specs()[0]
        options = {"forward": False, "last_dim_size": last_dim_size}
        return _transform(ctx, "fft_c2r", C.as_tensor(ctx, self), dim, _INVERSE, normalization, spec, **options)
    # of an open length, which Paddle's operator cannot be told: the other half is the mirrored one, conjugated
    axis = dim[-1] % (self.rank or 1)
    if len(dim) > 1:
        self = _complex_transform(ctx, self, dim[:-1], normalization, False)
    whole = _mirrored(ctx, self, axis, last_dim_size)
    return _complex_transform(ctx, whole, [axis], normalization, False).re


def _mirrored(ctx: AtenContext, x: Complex, axis: int, size: D.Dim) -> Complex:
    """All *size* numbers along *axis* of a spectrum whose first half is given."""
    position = iota(ctx, size)
    back = arithmetic(ctx, "sub", dim_tensor(ctx, size), position)
    taken = arithmetic(ctx, "min", position, back)
    re, im = (gather(ctx, v, taken, axis, wrap=False) for v in (x.re, x.im))
    rank = len(need_rank(x.re, "a transform"))
    first = spread(ctx, compare(ctx, "less_equal", position, back), axis, rank)
    return Complex(re, where(ctx, first, im, scale(ctx, im, -1.0)))
