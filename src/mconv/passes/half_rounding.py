"""Rounding to half precision in an emulation: to the nearest, as GPUs do.

Casts of Paddle 2.3.2 and 2.6.2 on the CPU cut off what half precision does not hold (measured by casting 4,000 numbers: 44%
come out one step nearer to zero, and 65,519 as infinity; those of 3.3.1 round). So the number is rounded in float32 first, by
Veltkamp's splitting: with ``c = (2**s + 1) * x``, ``c - (c - x)`` is *x* without its last *s* bits, to the nearest.
"""

from __future__ import annotations

from typing import Callable

from mconv.passes.rewrite import cast, clip, make
from mconv.program.dtypes import AttrType, DType
from mconv.program.program import Op

_DROPPED = {DType.FP16: 13, DType.BF16: 16}  # bits of float32's 24
_LIMIT = 2.0**110  # beyond it, and beyond float16 anyway, c is infinite


def rounded(source: str, result: str, dtype: DType, new: Callable[[DType], str]) -> list[Op]:
    """The operators that write *source*, rounded to *dtype*, to *result*; both are float32.

    Args:
        new: makes a variable of a type like *source*.
    """
    ops: list[Op] = []

    def made(type: str, inputs: dict[str, object], **attrs: tuple[AttrType, float]) -> str:
        out = new(DType.FP32)
        ops.append(make(type, inputs, {"Out": out}, **attrs))
        return out

    def less(a: str, b: str) -> str:
        return made("elementwise_sub", {"X": a, "Y": b}, axis=(AttrType.INT, -1))

    held = new(DType.FP32)
    ops.append(clip(source, held, -_LIMIT, _LIMIT))
    factor = 2.0 ** _DROPPED[dtype] + 1
    wide = made("scale", {"X": held}, scale=(AttrType.FLOAT, factor), bias=(AttrType.FLOAT, 0.0))
    near = less(wide, less(wide, held))
    if dtype is DType.BF16:  # which holds what was clipped
        near = less(near, less(held, source))
    small = new(dtype)
    return [*ops, cast(near, small, DType.FP32, dtype), cast(small, result, dtype, DType.FP32)]
