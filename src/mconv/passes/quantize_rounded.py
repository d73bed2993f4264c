"""The linear form of quantised programs for Paddle 1.8, which lacks its operators: the same numbers, rounded by ``scale``,
``round`` and ``clip``, and weights as the floats that their integers stand for.

``round`` takes halves away from 0, where ``quantize_linear`` of ``round_type`` 0 takes them to even: what lies exactly
between two integers comes out one step larger.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Optional

from mconv.passes.graph import first
from mconv.passes.quantize_forms import AWAY, BITS, LEVELS, LINEAR
from mconv.passes.rewrite import make
from mconv.program.dtypes import AttrType, DType
from mconv.program.params import ArraySource, TensorSource
from mconv.program.program import Op, Program, Var


def to_rounded(program: Program, params: Mapping[str, TensorSource]) -> tuple[int, dict[str, TensorSource]]:
    """Write the linear form of the main block with older operators, as far as its scales are stored and are for 8 bits.

    Returns:
        How many operators were replaced, and the parameters that are new.
    """
    import numpy as np

    block = program.main
    made: dict[str, TensorSource] = {}
    count = 0
    ops: list[Op] = []
    integers: set[str] = set()  # integers that are floats now
    for op in block.ops:
        x, y = first(op, "X"), first(op, "Y", output=True)
        scale = params.get(first(op, "Scale"))
        if op.type not in LINEAR or op.attr("bit_length", BITS) != BITS or scale is None:
            ops.append(op)
            continue
        largest = np.asarray(scale.array(), np.float32).reshape(-1)
        if op.type == "dequantize_linear" and x in params:
            array = np.asarray(params[x].array(), np.float32)
            shape = [1] * array.ndim
            axis = int(op.attr("quant_axis", -1))
            if axis >= 0 and len(largest) > 1:
                shape[axis] = -1
            made[y] = ArraySource(array * (largest.reshape(shape) / np.float32(LEVELS)))
            block.add_var(Var.tensor(y, DType.FP32, array.shape, persistable=True))
        elif len(largest) != 1 or not largest[0] > 0 or op.type == "dequantize_linear" and x not in integers:
            ops.append(op)
            continue
        elif op.type == "quantize_linear":
            integers.add(y)
            lowest = -LEVELS if op.attr("round_type", 0) == AWAY else -LEVELS - 1
            wide, whole = (_like(program, f"{y}.{name}", x) for name in ("wide", "whole"))
            block.add_var(Var.tensor(y, DType.FP32, _shape(program, x)))
            ops += [
                _times(x, wide, float(np.float32(LEVELS) / largest[0])),
                make("round", {"X": wide}, {"Out": whole}),
                make(
                    "clip",
                    {"X": whole},
                    {"Out": y},
                    min=(AttrType.FLOAT, float(lowest)),
                    max=(AttrType.FLOAT, float(LEVELS)),
                ),
            ]
        else:
            ops.append(_times(x, y, float(largest[0] / np.float32(LEVELS))))
        count += 1
    block.ops[:] = ops
    named = {n for _, op in program.ops() for n in (*op.input_names, *op.output_names)}
    for name in [n for n in block.vars if n not in named]:
        del block.vars[name]
    return count, made


def _times(x: str, y: str, factor: float) -> Op:
    return make(
        "scale", {"X": x}, {"Out": y}, scale=(AttrType.FLOAT, factor), bias=(AttrType.FLOAT, 0.0),
        bias_after_scale=(AttrType.BOOLEAN, True),
    )  # fmt: skip


def _shape(program: Program, name: str) -> tuple[int, ...]:
    var: Optional[Var] = program.main.vars.get(name)
    return () if var is None or var.shape is None else tuple(var.shape)


def _like(program: Program, name: str, like: str) -> str:
    program.main.add_var(Var.tensor(name, DType.FP32, _shape(program, like)))
    return name
