"""Activations: one input, one output of the same type and shape."""

from __future__ import annotations

from mconv import emit
from mconv.onnx.context import Context
from mconv.onnx.registry import onnx_op
from mconv.program.builder import Value


@onnx_op("Relu", since=6)
def relu(ctx: Context, x: Value) -> Value:
    return emit.unary(ctx, "relu", x)


@onnx_op("LeakyRelu", since=6)
def leaky_relu(ctx: Context, x: Value, *, alpha: float = 0.01) -> Value:
    return emit.unary(ctx, "leaky_relu", x, alpha=alpha)
