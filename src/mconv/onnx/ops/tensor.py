"""Tensors as such: constants, shapes, views."""

from __future__ import annotations

from typing import Optional

import numpy as np

from mconv import emit
from mconv.onnx.context import Context
from mconv.onnx.reader import paddle_dtype
from mconv.onnx.registry import onnx_op
from mconv.program import dims as D
from mconv.program.builder import Value


@onnx_op("Identity", since=1)
def identity(ctx: Context, x: Value) -> Value:
    return x


@onnx_op("Cast", since=6)
def cast(ctx: Context, x: Value, *, to: int, saturate: int = 1, round_mode: str = "up") -> Value:
    dtype, _ = paddle_dtype(to, "Cast")
    return ctx.cast(x, dtype)


@onnx_op("Constant", since=1)
def constant(
    ctx: Context,
    *,
    value: Optional[Value] = None,
    value_float: Optional[float] = None,
    value_floats: Optional[list[float]] = None,
    value_int: Optional[int] = None,
    value_ints: Optional[list[int]] = None,
    value_string: Optional[str] = None,
    value_strings: Optional[list[str]] = None,
    sparse_value: Optional[object] = None,
) -> Value:
    if value is not None:
        return value
    if value_float is not None or value_floats is not None:
        return ctx.constant(np.array(value_floats if value_float is None else value_float, np.float32))
    if value_int is not None or value_ints is not None:
        return ctx.constant(np.array(value_ints if value_int is None else value_int, np.int64))
    raise ctx.refuse("Paddle has no tensors of strings, and a sparse constant is not dense")


@onnx_op("Shape", since=1)
def shape(ctx: Context, x: Value, *, start: int = 0, end: Optional[int] = None) -> Value:
    whole = emit.shape_of(ctx, x)
    if start == 0 and end is None:
        return whole
    rank = ctx.rank(x)
    picked = range(rank)[start:end]
    return emit.slice_(ctx, whole, [0], [picked.start], [max(picked.stop, picked.start)])


@onnx_op("Reshape", since=5)
def reshape(ctx: Context, x: Value, target: Value, *, allowzero: int = 0) -> Value:
    wanted = ctx.known_dims(target)
    if wanted is None:
        return emit.reshape(ctx, x, target)
    dims = list(wanted)
    if not allowzero:
        dims = [x.shape[i] if d == 0 and x.shape is not None else d for i, d in enumerate(dims)]
    if -1 in dims:
        if x.shape is None:
            raise ctx.refuse("the rank of its input is unknown")
        total = D.product(x.shape)
        rest = D.product(d for d in dims if d != -1)
        size = D.floordiv(total, rest) if rest != 0 else 0
        dims[dims.index(-1)] = size
    return emit.reshape(ctx, x, dims)


@onnx_op("Transpose", since=1)
def transpose(ctx: Context, x: Value, *, perm: Optional[list[int]] = None) -> Value:
    return emit.transpose(ctx, x, list(range(ctx.rank(x)))[::-1] if perm is None else perm)
