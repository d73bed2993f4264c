"""Object detection."""

from __future__ import annotations

from typing import Optional

import numpy as np

from mconv import emit
from mconv.emit.detection import non_max_suppression
from mconv.onnx.context import Context
from mconv.onnx.registry import onnx_op
from mconv.program.dtypes import DType
from mconv.program.value import Value


@onnx_op("NonMaxSuppression", since=10)
def nms(
    ctx: Context,
    boxes: Value,
    scores: Value,
    limit: Optional[Value] = None,
    iou_threshold: Optional[Value] = None,
    score_threshold: Optional[Value] = None,
    *,
    center_point_box: int = 0,
) -> Value:
    most = ctx.known_dims(limit)
    if limit is None or most == [0]:
        return emit.fill(ctx, (0, 3), 0, DType.INT64)
    if most is not None and isinstance(most[0], int) and most[0] < 0:
        raise ctx.refuse(f"at most {most[0]} boxes")
    count = ctx.cast(limit, DType.INT64) if most is None else ctx.constant(np.array(most, np.int64))
    return non_max_suppression(
        ctx, boxes, scores, count, iou_threshold, score_threshold, centered=bool(center_point_box)
    )
