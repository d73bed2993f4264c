"""Complex numbers as pairs of real ones: ONNX's runtimes compute none, but what begins and ends real can be said."""

from __future__ import annotations

import math
from typing import Union

from mconv.exporters.onnx.context import Context
from mconv.exporters.onnx.errors import Unsupported
from mconv.exporters.onnx.pair import Pair
from mconv.exporters.onnx.registry import paddle_op
from mconv.program.dtypes import DType
from mconv.program.value import Value


def _known(x: Union[Value, Pair]) -> Pair:
    if not isinstance(x, Pair):
        raise Unsupported("complex numbers that mconv does not hold as a pair of real ones")
    return x


@paddle_op("as_complex")
def as_complex(ctx: Context, X: Value) -> Pair:
    last = ctx.rank(X) - 1
    real, imaginary = (ctx.squeeze(v, [last]) for v in ctx.split(X, [1, 1], last))
    return Pair(real, imaginary)


@paddle_op("complex")
def complex_(ctx: Context, X: Value, Y: Value) -> Pair:
    zero = ctx.const(0.0, X.dtype)
    spread = ctx.op("Mul", ctx.op("Add", X, Y), zero) if X.shape != Y.shape else None
    if spread is None:
        return Pair(X, Y)
    return Pair(ctx.expand(X, ctx.shape(spread)), ctx.expand(Y, ctx.shape(spread)))


@paddle_op("as_real")
def as_real(ctx: Context, X: Union[Value, Pair]) -> Value:
    x = _known(X)
    rank = ctx.rank(x.real)
    return ctx.concat([ctx.unsqueeze(x.real, [rank]), ctx.unsqueeze(x.imaginary, [rank])], rank)


@paddle_op("real")
def real(ctx: Context, X: Union[Value, Pair]) -> Value:
    return _known(X).real


@paddle_op("imag")
def imag(ctx: Context, X: Union[Value, Pair]) -> Value:
    return _known(X).imaginary


@paddle_op("conj")
def conj(ctx: Context, X: Union[Value, Pair]) -> Union[Value, Pair]:
    if isinstance(X, Pair):
        return Pair(X.real, ctx.op("Neg", X.imaginary))
    if X.dtype.label.startswith("complex"):
        return _known(X)
    return X


@paddle_op("fft_c2c", "fft_c2r")
def fft_of_complex(ctx: Context, X: Union[Value, Pair], *, axes: list[int], normalization: str = "backward",
                   forward: bool = True, last_dim_size: int = 0) -> Union[Value, Pair]:  # fmt: skip
    """``DFT`` along one axis of what has both parts."""
    x = _known(X)
    rank = ctx.rank(x.real)
    if len(axes) != 1:
        raise Unsupported(f"over axes {list(axes)}")
    axis = ctx.axis(axes[0], rank)
    real_result = ctx.paddle.type == "fft_c2r"
    both = as_real(ctx, x)
    length = ctx.dim(x.real, axis)
    if real_result:  # the missing half is the conjugate of the other
        n = last_dim_size or None
        if n is None:
            known = x.real.shape[axis] if x.real.shape is not None else None
            if not isinstance(known, int):
                raise Unsupported("a length known only at run time")
            n = 2 * (known - 1)
        rest = ctx.slice(both, [(n + 1) // 2 - 1], [0], [axis], [-1])
        mirrored = ctx.op("Mul", rest, ctx.const([1.0, -1.0], both.dtype))
        both = ctx.concat([ctx.slice(both, [0], [n // 2 + 1], [axis]), mirrored], axis)
        length = ctx.const([n], DType.INT64)
    inverse = int(not forward)
    if ctx.opset >= 20:
        made = ctx.op("DFT", both, None, ctx.const(axis, DType.INT64), inverse=inverse)
    else:
        ctx.needs(17, "DFT")
        made = ctx.op("DFT", both, axis=axis, inverse=inverse)
    made = _scaled(ctx, made, length, normalization, inverse=not forward)
    found = as_complex(ctx, made)
    return found.real if real_result else found


@paddle_op("overlap_add")
def overlap_add(ctx: Context, X: Value, *, hop_length: int, axis: int = -1) -> Value:
    """Windows summed up where they overlap, by their positions; [..., length, windows] with the axis at the end."""
    rank = ctx.rank(X)
    x = X
    if axis not in (-1, rank - 1):
        x = ctx.transpose(X, [*range(2, rank), 1, 0])  # [windows, length, ...]
    size = ctx.size(x, -2, "a length of the windows")
    ctx.needs(16, "ScatterElements with a sum")
    count = ctx.dim(x, -1)
    starts = ctx.op("Mul", ctx.arange(count), hop_length)
    inside = ctx.arange(ctx.const(size, DType.INT64))
    at = ctx.op("Add", ctx.unsqueeze(starts, [0]), ctx.unsqueeze(inside, [1]))
    total = ctx.op("Add", ctx.op("Mul", ctx.op("Sub", count, 1), hop_length), size)
    outer = [ctx.dim(x, i) for i in range(rank - 2)]
    values = ctx.op("Reshape", x, ctx.vector([*outer, -1]))
    positions = ctx.expand(ctx.op("Reshape", at, [-1]), ctx.shape(values))
    empty = ctx.full(ctx.vector([*outer, total]), 0, x.dtype)
    made = ctx.op("ScatterElements", empty, positions, values, axis=rank - 2, reduction="add")
    return made if axis in (-1, rank - 1) else ctx.transpose(made, [rank - 2, *range(rank - 2)])


@paddle_op("angle")
def angle(ctx: Context, X: Union[Value, Pair]) -> Value:
    from mconv.exporters.onnx.ops.math import atan2

    if isinstance(X, Pair):
        return atan2(ctx, X.imaginary, X.real)
    if not X.dtype.is_float:
        return ctx.op("Where", ctx.op("Less", X, 0), ctx.const(math.pi, DType.FP32), ctx.const(0.0, DType.FP32))
    made = ctx.op("Where", ctx.op("Less", X, 0.0), ctx.const(math.pi, X.dtype), ctx.const(0.0, X.dtype))
    return ctx.op("Where", ctx.op("IsNaN", X), X, made)


@paddle_op("fft_r2c")
def fft_r2c(ctx: Context, X: Value, *, axes: list[int], normalization: str = "backward", forward: bool = True,
            onesided: bool = True) -> Pair:  # fmt: skip
    """``DFT`` along one axis."""
    if len(axes) != 1 or not forward:
        raise Unsupported(f"over axes {list(axes)}, forward {forward}")
    axis = ctx.axis(axes[0], ctx.rank(X))
    x = ctx.unsqueeze(X, [ctx.rank(X)])
    if ctx.opset >= 20:
        made = ctx.op("DFT", x, None, ctx.const(axis, DType.INT64), onesided=int(onesided))
    else:
        ctx.needs(17, "DFT")
        made = ctx.op("DFT", x, axis=axis, onesided=int(onesided))
    return as_complex(ctx, _scaled(ctx, made, ctx.dim(X, axis), normalization, inverse=False))


def _scaled(ctx: Context, made: Value, n: Value, normalization: str, inverse: bool) -> Value:
    """ONNX's transforms are divided by the length backwards; Paddle's as the normalization says."""
    count = ctx.cast(ctx.scalar(n), made.dtype)
    if normalization == "ortho":
        root = ctx.op("Sqrt", count)
        return ctx.op("Mul", made, root) if inverse else ctx.op("Div", made, root)
    if normalization == "forward":
        return ctx.op("Mul", made, count) if inverse else ctx.op("Div", made, count)
    return made


@paddle_op("frame")
def frame(ctx: Context, X: Value, *, frame_length: int, hop_length: int, axis: int = -1) -> Value:
    """Overlapping windows: positions by arithmetic, gathered."""
    rank = ctx.rank(X)
    where = rank - 1 if axis in (-1, rank - 1) and not (rank == 1 and axis == 0) else 0
    length = ctx.dim(X, where)
    count = ctx.op("Add", ctx.op("Div", ctx.op("Sub", length, frame_length), hop_length), 1)
    starts = ctx.op("Mul", ctx.arange(count), hop_length)
    inside = ctx.arange(ctx.const(frame_length, DType.INT64))
    if where == rank - 1:  # [..., frame_length, frames]
        at = ctx.op("Add", ctx.unsqueeze(inside, [1]), ctx.unsqueeze(starts, [0]))
    else:
        at = ctx.op("Add", ctx.unsqueeze(starts, [1]), ctx.unsqueeze(inside, [0]))
    return ctx.op("Gather", X, at, axis=where)
