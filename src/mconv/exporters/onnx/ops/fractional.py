"""Fractional max pooling: windows of uneven sizes, which one number decides (Graham, 2014)."""

from __future__ import annotations

from typing import Optional

import numpy as np

from mconv.exporters.onnx.context import Context
from mconv.exporters.onnx.errors import Unsupported
from mconv.exporters.onnx.ops.pool import largest
from mconv.exporters.onnx.registry import paddle_op
from mconv.program.value import Value


@paddle_op("fractional_max_pool2d", "fractional_max_pool3d", outputs=["out", "mask"])
def fractional_max_pool(
    ctx: Context,
    x: Value,
    *,
    output_size: list[int],
    kernel_size: list[int] = [0, 0, 0],  # noqa: B006
    random_u: float = 0.0,
    return_mask: bool = False,
) -> tuple[Value, Optional[Value]]:
    """The windows are boxes, so the largest is taken along one axis after the other."""
    if not random_u:
        raise Unsupported("windows that Paddle draws at random at every run")
    if any(ctx.exporter.uses.get(n, 0) for n in ctx.paddle.output("mask")):
        raise Unsupported("indices of uneven windows")
    for axis, size in enumerate((x.shape or ())[2:]):
        if not isinstance(size, int):
            raise Unsupported("sizes known only at run time")
        edges = windows(size, output_size[axis], kernel_size[axis], random_u)
        x = largest(ctx, x, edges, axis + 2)
    return x, None


def windows(size: int, count: int, kernel: int, u: float) -> list[tuple[int, int]]:
    """Where each window begins and ends, in float32 as Paddle counts (``paddle/phi/kernels/funcs/pooling.h``).

    Raises:
        Unsupported: there is a window without an element.
    """
    f = np.float32
    last = count - (1 if kernel > 0 else 0)
    if count < 1 or last < 1:
        raise Unsupported(f"{count} windows of {kernel}")
    alpha = f(size - kernel) / f(last)
    shift = f(u)
    if kernel <= 0:
        base = size // count
        shift = shift * min(f(base + 2) / alpha - f(1), f(size + 1 - base) / alpha - f(count - 1))
    first = int(shift * alpha)
    starts = [int((f(i) + shift) * alpha) - first for i in range(count + 1)]
    ends = [s + kernel for s in starts[:-1]] if kernel > 0 else starts[1:]
    found = [(max(a, 0), min(b, size)) for a, b in zip(starts, ends)]
    if any(a >= b for a, b in found):
        raise Unsupported("a window without an element")
    return found
