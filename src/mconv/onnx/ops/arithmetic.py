"""Arithmetic of two tensors."""

from __future__ import annotations

from mconv import emit
from mconv.onnx.context import Context
from mconv.onnx.registry import onnx_op
from mconv.program.builder import Value


@onnx_op("Add", since=7)
def add(ctx: Context, a: Value, b: Value) -> Value:
    return emit.arithmetic(ctx, "add", a, b)


@onnx_op("Sub", since=7)
def sub(ctx: Context, a: Value, b: Value) -> Value:
    return emit.arithmetic(ctx, "sub", a, b)


@onnx_op("Mul", since=7)
def mul(ctx: Context, a: Value, b: Value) -> Value:
    return emit.arithmetic(ctx, "mul", a, b)


@onnx_op("Div", since=7)
def div(ctx: Context, a: Value, b: Value) -> Value:
    return emit.arithmetic(ctx, "div", a, b)
