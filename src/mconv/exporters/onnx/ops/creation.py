"""Constants, casts and copies."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Optional

import numpy as np

from mconv.exporters.onnx.context import Context
from mconv.exporters.onnx.errors import Unsupported
from mconv.exporters.onnx.registry import paddle_op
from mconv.program.dtypes import DType
from mconv.program.schemas import attributes_of
from mconv.program.value import Value


@paddle_op("cast")
def cast(ctx: Context, X: Value, *, out_dtype: int) -> Value:
    dtype = DType(out_dtype)
    if X.dtype.is_float and dtype.is_int and dtype in (DType.UINT8, DType.INT8, DType.INT16):
        return ctx.cast(ctx.cast(X, DType.INT32), dtype)  # wraps, as C does
    return ctx.cast(X, dtype)


@paddle_op("assign", "share_data", "memcpy", "memcpy_d2h", "memcpy_h2d", "c_identity", "share_buffer", "identity_loss",
           "npu_identity")  # fmt: skip
def assign(ctx: Context, X: Value, *, reduction: int = 2) -> Value:
    if ctx.paddle.type == "identity_loss" and reduction != 2:
        return ctx.reduce("ReduceSum" if reduction == 0 else "ReduceMean", X, None)
    return X


@dataclass(frozen=True)
class Listed:
    """The numbers of an operator, in the list for their type."""

    bool_values: list[int] = field(default_factory=list)
    fp16_values: list[float] = field(default_factory=list)
    fp32_values: list[float] = field(default_factory=list)
    fp64_values: list[float] = field(default_factory=list)
    int8_values: list[int] = field(default_factory=list)
    int32_values: list[int] = field(default_factory=list)
    int64_values: list[int] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)

    @property
    def given(self) -> list[Any]:
        """The one that there is."""
        return next((numbers for numbers in vars(self).values() if numbers), [])


@paddle_op("assign_value")
@attributes_of(Listed)
def assign_value(ctx: Context, *, dtype: int, shape: list[int], **lists: Any) -> Value:
    kind, given = DType(dtype), Listed(**lists).given
    if kind is DType.BF16:
        return ctx.const(np.asarray(given, np.float32).reshape(shape), kind)
    return ctx.const(np.asarray(given).astype(kind.numpy).reshape(shape), kind)


@paddle_op("fill_constant")
def fill_constant(
    ctx: Context,
    ValueTensor: Optional[Value] = None,
    ShapeTensor: Optional[Value] = None,
    ShapeTensorList: list[Value] = [],  # noqa: B006
    *,
    value: float = 0.0,
    str_value: str = "",
    shape: list[int] = [],  # noqa: B006
    dtype: int = int(DType.FP32),
) -> Value:
    kind = DType(dtype)
    dims = dims_of(ctx, shape, ShapeTensor, ShapeTensorList)
    if ValueTensor is not None:
        return ctx.expand(ctx.reshape(ctx.cast(ValueTensor, kind), []), dims)
    return ctx.full(dims, _number(str_value, value, kind), kind)


def _number(text: str, value: float, dtype: DType) -> Any:
    if not text:
        return dtype.numpy.type(value)
    if dtype.is_int or dtype is DType.BOOL:
        try:
            return int(text)
        except ValueError:
            return int(float(text))
    return float(text)


def dims_of(ctx: Context, shape: list[int], tensor: Optional[Value], parts: list[Value]) -> Value:
    """The int64 vector that an operator's shape says: a tensor, a list of tensors, or numbers."""
    if tensor is not None:
        return ctx.vector(tensor)
    if parts:
        return ctx.vector(list(parts))
    return ctx.const(np.asarray(shape, np.int64).reshape(-1))


@paddle_op("fill_any_like", "fill_zeros_like", "fill_zeros_like2")
def fill_any_like(ctx: Context, X: Value, *, value: float = 0.0, dtype: int = -1) -> Value:
    return ctx.full_like(X, value, X.dtype if dtype < 0 else DType(dtype))


@paddle_op("fill_any")
def fill_any(ctx: Context, X: Value, *, value_float: float = 0.0, value_int: int = 0, value: float = 0.0) -> Value:
    number = value_float if X.dtype.is_float else value_int
    return ctx.full_like(X, number or value)


@paddle_op("fill_constant_batch_size_like")
def fill_constant_batch_size_like(
    ctx: Context,
    Input: Value,
    *,
    value: float = 0.0,
    str_value: str = "",
    shape: list[int],
    dtype: int = int(DType.FP32),
    input_dim_idx: int = 0,
    output_dim_idx: int = 0,
) -> Value:
    kind = DType(dtype)
    sizes: list[Any] = list(shape)
    sizes[output_dim_idx] = ctx.dim(Input, input_dim_idx)
    return ctx.full(ctx.vector(sizes), _number(str_value, value, kind), kind)


@paddle_op("empty")
def empty(
    ctx: Context,
    ShapeTensor: Optional[Value] = None,
    ShapeTensorList: list[Value] = [],  # noqa: B006
    *,
    shape: list[int] = [],  # noqa: B006
    dtype: int = int(DType.FP32),
) -> Value:
    """What memory holds is anything: zeros."""
    return ctx.full(dims_of(ctx, shape, ShapeTensor, ShapeTensorList), 0, DType(dtype))


@paddle_op("range")
def arange(ctx: Context, Start: Value, End: Value, Step: Value) -> Value:
    start, end, step = (ctx.scalar(v) for v in (Start, End, Step))
    return ctx.op("Range", start, end, step)


@paddle_op("linspace")
def linspace(ctx: Context, Start: Value, Stop: Value, Num: Value, *, dtype: int = int(DType.FP32)) -> Value:
    kind = DType(dtype)
    start, stop = (ctx.cast(ctx.scalar(v), DType.FP64 if kind is DType.FP64 else DType.FP32) for v in (Start, Stop))
    count = ctx.cast(ctx.scalar(Num), DType.INT64)
    steps = ctx.arange(count)
    last = ctx.op("Sub", count, 1)
    step = ctx.op("Div", ctx.op("Sub", stop, start), ctx.cast(ctx.op("Max", last, 1), start.dtype))
    forward = ctx.op("Add", ctx.op("Mul", ctx.cast(steps, start.dtype), step), start)
    backward = ctx.op("Sub", stop, ctx.op("Mul", ctx.cast(ctx.op("Sub", last, steps), start.dtype), step))
    near = ctx.op("Less", steps, ctx.op("Div", count, 2))
    single = ctx.op("Where", ctx.op("Equal", count, 1), start, ctx.op("Where", near, forward, backward))
    return ctx.cast(single, kind)


@paddle_op("logspace")
def logspace(
    ctx: Context, Start: Value, Stop: Value, Num: Value, Base: Value, *, dtype: int = int(DType.FP32)
) -> Value:
    exponents = linspace(ctx, Start, Stop, Num, dtype=int(DType.FP32))
    base = ctx.cast(ctx.scalar(Base), DType.FP32)
    return ctx.cast(ctx.op("Pow", base, exponents), DType(dtype))


@paddle_op("eye")
def eye(ctx: Context, *, num_rows: int, num_columns: int = -1, dtype: int = int(DType.FP32)) -> Value:
    columns = num_rows if num_columns < 0 else num_columns
    if num_rows * columns > 1 << 22:
        raise Unsupported(f"a matrix of {num_rows} × {columns}")
    return ctx.const(np.eye(num_rows, columns).astype(DType(dtype).numpy))


@paddle_op("tril_indices")
def tril_indices(
    ctx: Context, *, rows: int = 0, cols: int = 0, offset: int = 0, dtype: int = int(DType.INT64)
) -> Value:
    return ctx.const(np.stack(np.tril_indices(rows, offset, cols)).astype(DType(dtype).numpy), DType(dtype))


@paddle_op("triu_indices")
def triu_indices(ctx: Context, *, row: int = 0, col: int = 0, offset: int = 0, dtype: int = int(DType.INT64)) -> Value:
    return ctx.const(np.stack(np.triu_indices(row, offset, col)).astype(DType(dtype).numpy), DType(dtype))


@paddle_op("one_hot", "one_hot_v2")
def one_hot(
    ctx: Context,
    X: Value,
    depth_tensor: Optional[Value] = None,
    *,
    depth: int = -1,
    dtype: int = int(DType.FP32),
    allow_out_of_range: bool = False,
) -> Value:
    x = X
    if ctx.paddle.type == "one_hot":  # the last dimension is 1 and stands for the classes
        x = ctx.squeeze(x, [ctx.rank(x) - 1])
    count = ctx.const([depth], DType.INT64) if depth_tensor is None else ctx.vector(depth_tensor)
    kind = DType(dtype)
    values = ctx.const([0, 1], DType.FP32)
    return ctx.cast(ctx.op("OneHot", ctx.cast(x, DType.INT64), ctx.scalar(count), values), kind)


@paddle_op("meshgrid")
def meshgrid(ctx: Context, X: list[Value]) -> list[Value]:
    count = len(X)
    sizes = ctx.vector([ctx.dim(x, 0) if x.rank else 1 for x in X])
    found = []
    for i, x in enumerate(X):
        shape = [1] * count
        shape[i] = -1
        found.append(ctx.expand(ctx.reshape(x, shape), sizes))
    return found  # one list: the output Out


@paddle_op("shape", "shape64")
def shape(ctx: Context, Input: Value) -> Value:
    return ctx.cast(ctx.shape(Input), ctx.declared_dtype(DType.INT32))


@paddle_op("size")
def size(ctx: Context, Input: Value) -> Value:
    return ctx.cast(ctx.op("Size", Input), ctx.declared_dtype(DType.INT64))
