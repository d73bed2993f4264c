"""Parameters of quantised programs, which PaddleSlim stores otherwise than it declares them."""

from __future__ import annotations

from collections.abc import Iterable

from mconv.program.dtypes import DType
from mconv.program.program import Program

_LINEAR = ("quantize_linear", "dequantize_linear")
_OWN = ("X", "Scale", "ZeroPoint")


def parameters(program: Program) -> set[str]:
    """The parameters that ``quantize_linear`` and ``dequantize_linear``, and nothing else, read.

    Paddle's ``QuantWeightPass`` stores the weights as int8 (``save_int_weight``) and leaves them declared as float32;
    what calibration by ``PostTrainingQuantization`` finds for the channels of a weight is stored as [1, channels] and
    declared as [channels].
    """
    found: set[str] = set()
    others: set[str] = set()
    for _, op in program.ops():
        for parameter, names in op.inputs.items():
            (found if op.type in _LINEAR and parameter in _OWN else others).update(names)
    return {v.name for v in program.parameters} & found - others


def declare(program: Program, stored: Iterable[tuple[str, DType]]) -> None:
    """Give the parameters the types in which they are stored (name, type): what Paddle does when it loads them."""
    for name, dtype in stored:
        var = program.main.vars[name]
        if var.dtype is not dtype:
            var.desc.type.lod_tensor.tensor.data_type = int(dtype)
