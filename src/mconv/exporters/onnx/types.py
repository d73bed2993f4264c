"""Element types and dimensions: Paddle's, numpy's and ONNX's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional

import numpy as np

from mconv.program import dims as D
from mconv.program.dtypes import TO_ONNX, DType

# what the type constraints of a schema call it
CALLED = {
    DType.FP32: "float",
    DType.FP64: "double",
    DType.FP16: "float16",
    DType.BF16: "bfloat16",
    DType.COMPLEX64: "complex64",
    DType.COMPLEX128: "complex128",
}


def numbers(dims: Optional[Sequence[D.Dim]]) -> Optional[list[int]]:
    """The dimensions where all of them are known."""
    found = [d for d in dims if isinstance(d, int)] if dims is not None else []
    return found if dims is not None and len(found) == len(dims) else None


def constraint(dtype: DType) -> str:
    """The type's name in a schema, as in ``tensor(float)``."""
    return f"tensor({CALLED.get(dtype, dtype.label)})"


def lowest(dtype: DType) -> float:
    """What a maximum of nothing is: minus infinity, or the smallest integer."""
    return float("-inf") if dtype.is_float else int(np.iinfo(dtype.numpy).min)


def highest(dtype: DType) -> float:
    """What a minimum of nothing is: infinity, or the largest integer."""
    return float("inf") if dtype.is_float else int(np.iinfo(dtype.numpy).max)


def type_proto(dtype: DType, shape: Optional[Sequence[D.Dim]], written: bool = False) -> Any:
    """``onnx.TypeProto`` of a tensor.

    Args:
        shape: None where the rank is unknown.
        written: for a file: a size that no input's dimension names is left open.
    """
    from onnx import TypeProto

    proto = TypeProto()
    tensor = proto.tensor_type
    tensor.elem_type = TO_ONNX[dtype]
    if shape is not None:
        tensor.shape.SetInParent()
        for d in shape:
            dim = tensor.shape.dim.add()
            if isinstance(d, int):
                dim.dim_value = d
            elif not written or "#" not in repr(d):
                dim.dim_param = repr(d)
    return proto
