"""Pooling."""

from __future__ import annotations

from typing import Any, Optional

from mconv.emit import pool
from mconv.emit.window import Window, auto_padded
from mconv.onnx.context import Context, Result
from mconv.onnx.registry import onnx_op
from mconv.program import dims as D
from mconv.program.dtypes import DType
from mconv.program.schemas import attributes_of
from mconv.program.value import Value


def _window(
    ctx: Context,
    x: Value,
    *,
    kernel_shape: list[int],
    auto_pad: str = "NOTSET",
    dilations: Optional[list[int]] = None,
    pads: Optional[list[int]] = None,
    strides: Optional[list[int]] = None,
) -> Window:
    if ctx.rank(x) != len(kernel_shape) + 2:
        raise ctx.refuse(f"a kernel of {len(kernel_shape)} dimensions over an input of rank {ctx.rank(x)}")
    assert x.shape is not None
    return auto_padded(Window.make(kernel_shape, strides, dilations, pads), auto_pad, x.shape[2:])


@onnx_op("MaxPool", since=1)
@attributes_of(_window)
def max_pool(ctx: Context, x: Value, *, ceil_mode: int = 0, storage_order: int = 0, **sizes: Any) -> Result:
    window = _window(ctx, x, **sizes)
    if ctx.wants(1):
        return pool.max_pool_with_index(ctx, x, window, bool(ceil_mode), bool(storage_order))
    return pool.max_pool(ctx, x, window, bool(ceil_mode))


@onnx_op("AveragePool", since=1)
@attributes_of(_window)
def average_pool(ctx: Context, x: Value, *, ceil_mode: int = 0, count_include_pad: int = 0, **sizes: Any) -> Value:
    return pool.average_pool(ctx, x, _window(ctx, x, **sizes), bool(ceil_mode), bool(count_include_pad))


@onnx_op("LpPool", since=2)
@attributes_of(_window)
def lp_pool(ctx: Context, x: Value, *, ceil_mode: int = 0, p: int = 2, **sizes: Any) -> Value:
    return pool.lp_pool(ctx, x, _window(ctx, x, **sizes), p, bool(ceil_mode))


@onnx_op("LpPool", since=1)
def lp_pool_1(
    ctx: Context,
    x: Value,
    *,
    kernel_shape: Optional[list[int]] = None,
    auto_pad: str = "NOTSET",
    p: float = 2.0,
    pads: Optional[list[int]] = None,
    strides: Optional[list[int]] = None,
) -> Value:
    if kernel_shape is None:
        raise ctx.refuse("kernel_shape is missing")
    window = _window(ctx, x, kernel_shape=kernel_shape, auto_pad=auto_pad, pads=pads, strides=strides)
    return pool.lp_pool(ctx, x, window, p)


@onnx_op("GlobalAveragePool", since=1)
def global_average_pool(ctx: Context, x: Value) -> Value:
    return pool.global_pool(ctx, x, "avg")


@onnx_op("GlobalMaxPool", since=1)
def global_max_pool(ctx: Context, x: Value) -> Value:
    return pool.global_pool(ctx, x, "max")


@onnx_op("GlobalLpPool", since=1)
def global_lp_pool(ctx: Context, x: Value, *, p: float = 2.0) -> Value:
    from mconv.emit.expr import Expr

    made = Expr(ctx, x).abs().pow(p).reduce("sum", range(2, ctx.rank(x)))
    return made.pow(1.0 / p).value


@onnx_op("MaxUnpool", since=9)
def max_unpool(
    ctx: Context,
    x: Value,
    index: Value,
    output_shape: Optional[Value] = None,
    *,
    kernel_shape: list[int],
    pads: Optional[list[int]] = None,
    strides: Optional[list[int]] = None,
) -> Value:
    window = _window(ctx, x, kernel_shape=kernel_shape, pads=pads, strides=strides)
    assert x.shape is not None
    inner: list[D.Dim] = list(x.shape[:2])
    for n, k, s, p, q in zip(x.shape[2:], window.kernel, window.strides, window.begin, window.end):
        inner.append((n - 1) * s + k - p - q)
    wanted = inner if output_shape is None else ctx.known_dims(output_shape) or ctx.declared()
    if wanted is None:
        raise ctx.refuse("output_shape must be constant: it comes in at run time")
    if any(isinstance(n, int) and isinstance(w, int) and n > w for n, w in zip(inner, wanted)):
        raise ctx.refuse(f"output_shape {list(wanted)} is smaller than what the kernel covers, {inner}")
    return pool.max_unpool(ctx, x, ctx.cast(index, DType.INT64), inner, list(wanted))
