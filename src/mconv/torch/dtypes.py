"""Paddle's element types that torch has, too; they are called alike."""

from __future__ import annotations

from typing import Any, Optional

from mconv.program.dtypes import DType

_BY_NAME = {
    f"torch.{dtype.label}": dtype
    for dtype in (
        DType.BOOL, DType.UINT8, DType.INT8, DType.INT16, DType.INT32, DType.INT64, DType.FP16, DType.BF16, DType.FP32,
        DType.FP64, DType.COMPLEX64, DType.COMPLEX128,
    )
}  # fmt: skip


def paddle_dtype(dtype: Any) -> Optional[DType]:
    """Paddle's type for a ``torch.dtype``; None where there is none."""
    return _BY_NAME.get(str(dtype))
