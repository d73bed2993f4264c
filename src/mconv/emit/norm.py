"""Normalisations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

import numpy as np

from mconv import budget
from mconv.emit.expr import Expr, where
from mconv.emit.known import axis_of, need_rank
from mconv.emit.pool import average_pool
from mconv.emit.shape import expand_to, fill, reshape
from mconv.emit.weights import computed, view
from mconv.emit.window import Window
from mconv.errors import UnsupportedError
from mconv.program import dims as D
from mconv.program.builder import Builder
from mconv.program.dtypes import DType
from mconv.program.value import Value

EPSILON_LIMIT = 1e-3  # of batch_norm, instance_norm and layer_norm
KERNELS = (DType.FP32, DType.FP64)  # what the normalising operators compute in


def kernel_dtype(x: Value) -> DType:
    """The type to normalise *x* in."""
    if not x.dtype.is_float:
        raise UnsupportedError(f"a normalisation of {x.dtype.label}")
    return x.dtype if x.dtype in KERNELS else DType.FP32


def per_channel(b: Builder, v: Value, rank: int) -> Expr:
    """A number per channel, [C], to broadcast with [N, C, …] of *rank* dimensions."""
    shape = need_rank(v, "a normalisation")
    return Expr(b, reshape(b, v, (*shape, *[1] * (rank - 2))))


def flat(b: Builder, v: Value) -> Value:
    """A weight as one dimension; a constant stays a parameter."""
    shape = need_rank(v, "a normalisation")
    if len(shape) == 1:
        return v
    return view(b, v, (D.number(D.product(shape)),)) if v.is_const else reshape(b, v, (D.product(shape),))


def batch_norm(b: Builder, x: Value, scale: Value, bias: Value, mean: Value, variance: Value, epsilon: float) -> Value:
    """``scale · (x - mean) / √(variance + epsilon) + bias`` per channel of *x* ([N, C, …]).

    As ``batch_norm`` in its inference form, which fuses into a convolution before it.
    """
    shape, dtype = need_rank(x, "BatchNormalization"), kernel_dtype(x)
    if len(shape) < 2:
        raise UnsupportedError("BatchNormalization of fewer than two dimensions")
    if 0 in shape:
        return fill(b, shape, 0, x.dtype)
    whole = b.cast(x, dtype)
    if epsilon > EPSILON_LIMIT:
        s, o, m, v = (per_channel(b, b.cast(v, dtype), len(shape)) for v in (scale, bias, mean, variance))
        return b.cast(batch_norm_by_formula(b, whole, s, o, m, v, epsilon), x.dtype)
    if len(shape) > 5:
        whole = reshape(b, whole, (*shape[:2], D.product(shape[2:])))
    # conv_bn_fuse_pass takes parameters of one reader, and the operator names two of them as outputs; exporters
    # give equal ones one name
    stats = [b.unshared(b.cast(v, dtype)) for v in (scale, bias, mean, variance)]
    out = b.variable("batch_norm.y", dtype, whole.shape)
    saved = [b.variable(f"batch_norm.{n}", dtype, None) for n in ("saved_mean", "saved_variance")]
    b.raw_op(
        "batch_norm",
        {"X": [whole], "Scale": [stats[0]], "Bias": [stats[1]], "Mean": [stats[2]], "Variance": [stats[3]]},
        # the running statistics are written in place, that is, not at all when testing
        {
            "Y": [out],
            "MeanOut": [stats[2]],
            "VarianceOut": [stats[3]],
            "SavedMean": [saved[0]],
            "SavedVariance": [saved[1]],
        },
        epsilon=epsilon,
        momentum=0.9,
        is_test=True,
        data_layout="NCHW",
        use_global_stats=True,
        trainable_statistics=False,
    )
    return b.cast(reshape(b, out, shape), x.dtype)


def batch_norm_by_formula(
    b: Builder, x: Value, scale: Expr, bias: Expr, mean: Expr, variance: Expr, epsilon: float
) -> Value:
    """The same with statistics of any shape that broadcasts to *x*'s."""
    return ((Expr(b, x) - mean) * (scale / (variance + epsilon).sqrt()) + bias).value


def batch_statistics(b: Builder, x: Value) -> tuple[Expr, Expr]:
    """Mean and (biased) variance per channel of *x* ([N, C, …]); reduced dimensions stay as 1."""
    return _statistics(Expr(b, x), [0, *range(2, len(need_rank(x, "BatchNormalization")))])


def _statistics(x: Expr, axes: Sequence[int]) -> tuple[Expr, Expr]:
    mean = x.mean(*axes)
    return mean, (x - mean).square().mean(*axes)


def batch_norm_by_batch(
    b: Builder, x: Value, scale: Value, bias: Value, epsilon: float
) -> tuple[Value, tuple[Expr, Expr]]:
    """:func:`batch_norm` by the statistics of the batch, which come with it (in the type they are computed in)."""
    whole = b.cast(x, kernel_dtype(x))
    own = batch_statistics(b, whole)
    weight, offset = (
        per_channel(b, b.cast(v, whole.dtype), len(need_rank(x, "a normalisation"))) for v in (scale, bias)
    )
    return b.cast(batch_norm_by_formula(b, whole, weight, offset, *own, epsilon), x.dtype), own


def instance_norm(b: Builder, x: Value, scale: Value, bias: Value, epsilon: float) -> Value:
    """Each channel of each sample of *x* ([N, C, …]) normalised, then ``scale · x + bias`` per channel."""
    shape, dtype = need_rank(x, "InstanceNormalization"), kernel_dtype(x)
    if len(shape) < 3:
        raise UnsupportedError("InstanceNormalization without spatial dimensions")
    whole = b.cast(x, dtype)
    if epsilon > EPSILON_LIMIT:
        made = _normalised(b, whole, range(2, len(shape)), epsilon)
        weights = [per_channel(b, b.cast(v, dtype), len(shape)).value for v in (scale, bias)]
        return b.cast(affine(b, made, *weights), x.dtype)
    if len(shape) > 5:
        whole = reshape(b, whole, (*shape[:2], D.product(shape[2:])))
    made = b.op(
        "instance_norm",
        X=whole,
        Scale=b.cast(scale, dtype),
        Bias=b.cast(bias, dtype),
        epsilon=epsilon,
        result=(dtype, whole.shape),
    )
    return b.cast(reshape(b, made, shape), x.dtype)


def group_norm(
    b: Builder, x: Value, scale: Optional[Value], bias: Optional[Value], groups: int, epsilon: float
) -> Value:
    """Each of *groups* groups of channels of each sample of *x* ([N, C, …]) normalised, then scaled per channel."""
    shape, dtype = need_rank(x, "GroupNormalization"), kernel_dtype(x)
    if len(shape) < 2:
        raise UnsupportedError("GroupNormalization of fewer than two dimensions")
    if isinstance(shape[1], int) and shape[1] % groups:
        raise UnsupportedError(f"GroupNormalization: {shape[1]} channels in {groups} groups")
    whole = b.cast(x, dtype)
    if len(shape) != 4:
        whole = reshape(b, whole, (*shape[:2], D.product(shape[2:]), 1))
    made = b.op(
        "group_norm",
        X=whole,
        Scale=None if scale is None else b.cast(scale, dtype),
        Bias=None if bias is None else b.cast(bias, dtype),
        groups=groups,
        epsilon=epsilon,
        data_layout="NCHW",
        result=(dtype, whole.shape),
    )
    return b.cast(reshape(b, made, shape), x.dtype)


def layer_norm(b: Builder, x: Value, scale: Optional[Value], bias: Optional[Value], axis: int, epsilon: float) -> Value:
    """*x* normalised over the dimensions from *axis* on, times *scale* plus *bias*, which broadcast to those."""
    shape, dtype = need_rank(x, "LayerNormalization"), kernel_dtype(x)
    axis = axis_of(axis, len(shape))
    inner = shape[axis:]
    whole = b.cast(x, dtype)
    if epsilon > EPSILON_LIMIT:
        made = _normalised(b, whole, range(axis, len(shape)), epsilon)
        plain = [None if v is None else b.cast(v, dtype) for v in (scale, bias)]
        return b.cast(affine(b, made, *plain), x.dtype)
    if axis == 0:  # the operator wants rows
        whole = reshape(b, whole, (1, *shape))
    if len(inner) > 1 and b.target.version < 2_006_000:  # oneDNN of 2.3 knows the last dimension alone
        whole = reshape(b, whole, (*(shape[:axis] or (1,)), D.product(inner)))
    weights = [_over(b, b.cast(v, dtype), inner) if v is not None else None for v in (scale, bias)]
    inside = all(v is None or v.rank == 1 for v in weights)
    if inside and None in weights and D.is_static(inner) and any(weights):
        # oneDNN's kernel reads both when it is given one
        budget.memory(16 * D.number(D.product(inner)), "a neutral scale and bias")
        neutral = [b.constant(np.full(D.number(D.product(inner)), n), dtype) for n in (1, 0)]
        weights = [n if v is None else v for v, n in zip(weights, neutral)]
    elif None in weights and any(weights):
        inside = False
    made = b.op(
        "layer_norm",
        X=whole,
        Scale=weights[0] if inside else None,
        Bias=weights[1] if inside else None,
        begin_norm_axis=min(max(axis, 1), len(whole.shape or ()) - 1),
        epsilon=epsilon,
        result=(dtype, whole.shape),
    )
    made = reshape(b, made, shape)
    if not inside:
        made = affine(b, made, *weights)
    return b.cast(made, x.dtype)


def _over(b: Builder, v: Value, inner: Sequence[D.Dim]) -> Value:
    """A weight as the operator takes it, one number per position flattened; itself where that cannot be told."""
    shape = need_rank(v, "LayerNormalization")
    if D.is_static(inner) and tuple(shape) == (D.product(inner),):
        return v
    while len(shape) > len(inner) and shape[0] == 1:
        shape = shape[1:]
    if tuple(shape) == tuple(inner) or (D.is_static(shape) and len(shape) == len(inner) == 1 and shape[0] != 1):
        return flat(b, v)
    if D.is_static(inner) and D.is_static(shape):
        return flat(b, expand_to(b, reshape(b, v, shape), inner))
    return v


def _normalised(b: Builder, x: Value, axes: Sequence[int], epsilon: float) -> Value:
    centred = Expr(b, x) - Expr(b, x).mean(*axes)
    return (centred / (centred.square().mean(*axes) + epsilon).sqrt()).value


def affine(b: Builder, x: Value, scale: Optional[Value], bias: Optional[Value]) -> Value:
    """``x · scale + bias`` with what is given."""
    made = Expr(b, x)
    if scale is not None:
        made = made * scale
    return (made if bias is None else made + bias).value


def moments(b: Builder, x: Value, axis: int, epsilon: float) -> tuple[Value, Value]:
    """Mean and 1 / √(variance + epsilon) over the dimensions from *axis* on, which stay as 1."""
    rank = len(need_rank(x, "LayerNormalization"))
    mean, variance = _statistics(Expr(b, x), range(axis_of(axis, rank), rank))
    return mean.value, (1.0 / (variance + epsilon).sqrt()).value


def rms_norm(b: Builder, x: Value, scale: Optional[Value], axis: int, epsilon: float) -> tuple[Value, Value]:
    """``scale · x / √(mean(x²) + epsilon)`` over the dimensions from *axis* on, and the reciprocal of that root."""
    rank = len(need_rank(x, "RMSNormalization"))
    axis, dtype = axis_of(axis, rank), kernel_dtype(x)
    whole = Expr(b, x).cast(dtype)
    root = (whole.square().mean(*range(axis, rank)) + epsilon).sqrt()
    made = whole / root
    if scale is not None:
        made = made * b.cast(scale, dtype)
    return b.cast(made.value, x.dtype), (1.0 / root).value


def local_response_norm(b: Builder, x: Value, size: int, alpha: float, beta: float, k: float) -> Value:
    """``x / (k + alpha / size · Σ x²)^beta``, the sum over *size* neighbouring channels of *x* ([N, C, …])."""
    shape = need_rank(x, "LRN")
    if x.dtype is DType.FP32 and size % 2:
        whole = x if len(shape) == 4 else reshape(b, x, (*shape[:2], D.product(shape[2:]), 1))
        made, _ = b.op_outputs(
            "lrn",
            X=whole,
            n=size,
            k=k,
            alpha=alpha / size,
            beta=beta,
            data_format="NCHW",
            results={"Out": (x.dtype, whole.shape), "MidOut": (x.dtype, whole.shape)},
        )
        return reshape(b, made, shape)
    # an average over the channels as if they were rows
    rows = (shape[0], 1, shape[1], D.product(shape[2:]))
    window = Window.make([size, 1], pads=[(size - 1) // 2, 0, size // 2, 0])
    squares = average_pool(b, reshape(b, Expr(b, x).square().value, rows), window, count_pad=True)
    total = Expr(b, reshape(b, squares, shape)) * alpha + k
    return (Expr(b, x) / total.pow(beta)).value


def lp_norm(b: Builder, x: Value, axis: int, p: int) -> Value:
    """*x* divided by its 1- or 2-norm along *axis*; zeros stay zeros."""
    axis = axis_of(axis, len(need_rank(x, "LpNormalization")))
    norm = Expr(b, x).abs().sum(axis) if p == 1 else Expr(b, x).square().sum(axis).sqrt()
    return (Expr(b, x) / where(norm > 0.0, norm, 1.0)).value


def mean_variance(b: Builder, x: Value, axes: Sequence[int], epsilon: float = 1e-9) -> Value:
    """``(x - mean) / (√variance + epsilon)`` over *axes*."""
    centred = Expr(b, x) - Expr(b, x).mean(*axes)
    return (centred / (centred.square().mean(*axes).sqrt() + epsilon)).value


def repeated(b: Builder, v: Value, times: int) -> Value:
    """Each element of a vector *times* times after each other."""
    (n,) = need_rank(v, "GroupNormalization")
    if v.is_const:
        count = D.number(n) * times
        budget.memory(8 * count, "a scale for each channel")
        return computed(b, [v], (count,), lambda a: np.repeat(a, times), v.dtype)
    return reshape(b, expand_to(b, reshape(b, v, (n, 1)), (n, times)), (n * times,))
