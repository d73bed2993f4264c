"""Detection."""

from __future__ import annotations

from typing import Any

from mconv.pir.context import Context
from mconv.pir.registry import Unsupported, pir_op
from mconv.program.value import Value


@pir_op("nms")
def nms(ctx: Context, boxes: Value, *, threshold: float) -> Any:
    if not ctx.has_0d:
        raise Unsupported(f"the nms of Paddle {ctx.b.target.paddle} fills its answer up with zeros")
    return ctx.generic()
