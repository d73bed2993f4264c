"""Activations: element by element, one output of the same type and shape."""

from __future__ import annotations

import math
from typing import Optional

import numpy as np

from mconv.emit.elementwise import arithmetic, binary, compare, number, scale, unary, where
from mconv.emit.known import foldable, single
from mconv.program.bfloat16 import from_bits, to_bits
from mconv.program.builder import Builder
from mconv.program.dtypes import DType
from mconv.program.value import Value

_FLOATS = (DType.FP32, DType.FP16)  # what float32 attributes hold exactly enough


def relu(b: Builder, x: Value) -> Value:
    """The larger of *x* and 0, integers too."""
    return unary(b, "relu", x) if x.dtype.is_float else arithmetic(b, "max", x, number(b, 0, x.dtype))


def clip(b: Builder, x: Value, low: Optional[Value], high: Optional[Value]) -> Value:
    """*x* between two scalars, either of which may be missing; *high* where they are the wrong way round.

    Scalars known now become attributes of ``clip`` (``relu6`` for 0 and 6), which fusion knows.
    """
    if x.dtype in _FLOATS and foldable(low, high) and (low is not None or high is not None) and not foldable(x):
        bottom = -math.inf if low is None else float(single(low))
        top = math.inf if high is None else float(single(high))
        if (bottom, top) == (0.0, math.inf):
            return relu(b, x)
        if (bottom, top) == (0.0, 6.0):
            return unary(b, "relu6", x)
        if bottom <= top:
            return unary(b, "clip", x, min=bottom, max=top)
    for kind, bound in (("max", low), ("min", high)):
        if bound is not None:
            x = arithmetic(b, kind, x, bound)
    return x


def round_half_even(b: Builder, x: Value) -> Value:
    """To the nearest integer, halves to the even one, whichever way Paddle's ``round`` takes them.

    Up to 2.6 it is away from zero, but to the even one where oneDNN computes it.
    """
    if foldable(x):
        return b.constant(np.rint(np.asarray(x.const)), x.dtype)
    near = unary(b, "round", x)
    # a half's even neighbour is twice the integer nearest to its half
    even = scale(b, unary(b, "round", scale(b, x, 0.5)), 2.0)
    distance = unary(b, "abs", arithmetic(b, "sub", near, x))
    return where(b, compare(b, "equal", distance, number(b, 0.5, x.dtype)), even, near)


def leaky_relu(b: Builder, x: Value, slope: float) -> Value:
    return unary(b, "leaky_relu", x, alpha=slope)


def prelu(b: Builder, x: Value, slope: Value) -> Value:
    """*x* where it is positive, else times *slope*, which broadcasts to *x*."""
    xs, ss = x.shape, slope.shape
    if x.dtype is DType.FP32 and slope.is_const and xs is not None and ss is not None and len(xs) >= 2:
        if slope.size == 1:
            # behind a conv1d, 3.3.1 with oneDNN gives NaN for a prelu with one slope
            return leaky_relu(b, x, float(single(slope)))
        if len(ss) == len(xs) - 1 and ss[0] == xs[1] and slope.size == xs[1]:
            flat = b.constant(np.asarray(slope.const).reshape(-1), slope.dtype)
            return unary(b, "prelu", x, Alpha=flat, mode="channel", data_format="NCHW")
    negative = compare(b, "less_than", x, number(b, 0, x.dtype))
    return where(b, negative, arithmetic(b, "mul", x, slope), x)


def elu(b: Builder, x: Value, alpha: float) -> Value:
    return unary(b, "elu", x, alpha=alpha)


def selu(b: Builder, x: Value, alpha: float, gamma: float) -> Value:
    return unary(b, "selu", x, alpha=alpha, scale=gamma)


def celu(b: Builder, x: Value, alpha: float) -> Value:
    """``max(x, 0) + min(0, α (exp(x / α) - 1))``."""
    if "celu" in b.operators:
        return unary(b, "celu", x, alpha=alpha)
    return scale(b, elu(b, scale(b, x, 1.0 / alpha), 1.0), alpha)


def thresholded_relu(b: Builder, x: Value, threshold: float) -> Value:
    return unary(b, "thresholded_relu", x, threshold=threshold)


def hard_sigmoid(b: Builder, x: Value, slope: float, offset: float) -> Value:
    return unary(b, "hard_sigmoid", x, slope=slope, offset=offset)


def hard_swish(b: Builder, x: Value) -> Value:
    return unary(b, "hard_swish", x, threshold=6.0, scale=6.0, offset=3.0)


def mish(b: Builder, x: Value) -> Value:
    return unary(b, "mish", x, threshold=20.0)


def softplus(b: Builder, x: Value) -> Value:
    """``log(1 + exp(x))``; above 20 it is *x*, to 2e-9."""
    return unary(b, "softplus", x, beta=1.0, threshold=20.0)


def gelu(b: Builder, x: Value, *, approximate: bool) -> Value:
    """GELU by the error function, or *approximate* by tanh."""
    return unary(b, "gelu", x, approximate=approximate)


def swish(b: Builder, x: Value, beta: float = 1.0) -> Value:
    """``x * sigmoid(beta * x)``."""
    if beta == 1.0:
        return unary(b, "swish", x, beta=1.0) if "beta" in b.signature("swish")["attrs"] else unary(b, "swish", x)
    return binary(b, "elementwise_mul", x, unary(b, "sigmoid", scale(b, x, beta)))


def shrink(b: Builder, x: Value, threshold: float, bias: float) -> Value:
    """0 between -*threshold* and *threshold*, both included; beyond, *bias* nearer to 0.

    Paddle's ``hard_shrink`` treats the thresholds themselves differently between releases.
    """
    if bias == threshold and x.dtype in _FLOATS and threshold >= 0:
        return unary(b, "softshrink", x, **{"lambda": threshold})
    above = compare(b, "greater_than", x, number(b, threshold, x.dtype))
    below = compare(b, "less_than", x, number(b, -threshold, x.dtype))
    offset = number(b, bias, x.dtype)
    zero = number(b, 0, x.dtype)
    low = where(b, below, arithmetic(b, "add", x, offset), zero)
    return where(b, above, arithmetic(b, "sub", x, offset), low)


def as_bfloat16(b: Builder, x: Value) -> Value:
    """float32 *x* rounded to the nearest value of bfloat16, halves to even; still float32."""
    if foldable(x):
        return b.constant(_bfloat16(np.asarray(x.const)), x.dtype)
    if b.target.version >= 3_000_000:
        return b.cast(b.cast(x, DType.BF16), DType.FP32)
    # Paddle before 3 cuts bits off instead of rounding: Dekker's splitting rounds to 8 bits in float32 itself;
    # large numbers are brought down first so that nothing overflows
    huge = compare(b, "greater_than", unary(b, "abs", x), number(b, 2.0**100, DType.FP32))
    down = where(b, huge, scale(b, x, 2.0**-32), x)
    product = arithmetic(b, "mul", down, number(b, 65537.0, DType.FP32))
    rounded = arithmetic(b, "sub", product, arithmetic(b, "sub", product, down))
    rounded = where(b, huge, scale(b, rounded, 2.0**32), rounded)
    finite = b.op("isfinite_v2", X=x, result=(DType.BOOL, x.shape))
    return where(b, finite, rounded, x)


def _bfloat16(x: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(x), x, from_bits(to_bits(x))).astype(np.float32)
