"""Activations: one tensor in, one of the same type and shape out."""

from __future__ import annotations

from mconv import emit
from mconv.program.builder import Value
from mconv.torch.context import AtenContext
from mconv.torch.registry import aten_op


@aten_op("relu.default")
def relu(ctx: AtenContext, self: Value) -> Value:
    return emit.unary(ctx, "relu", self)
