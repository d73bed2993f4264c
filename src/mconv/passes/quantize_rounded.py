"""The linear form of quantised programs for Paddle 1.8, which lacks its operators: the same numbers, rounded by ``scale``,
``round`` and ``clip``, and weights as the floats that their integers stand for.

``round`` takes halves away from 0, where ``quantize_linear`` of ``round_type`` 0 takes them to even: what lies exactly
between two integers comes out one step larger.
"""

from __future__ import annotations

from collections.abc import Mapping

from mconv.passes.graph import first
from mconv.passes.quantize_forms import AWAY, BITS, LEVELS, LINEAR, along
from mconv.passes.rewrite import clip, declared, make, scale
from mconv.program.dead import forget_unnamed
from mconv.program.dtypes import DType
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
        stored = params.get(first(op, "Scale"))
        if op.type not in LINEAR or op.attr("bit_length", BITS) != BITS or stored is None:
            ops.append(op)
            continue
        largest = np.asarray(stored.array(), np.float32).reshape(-1)
        if op.type == "dequantize_linear" and x in params:
            array = np.asarray(params[x].array(), np.float32)
            step = along(largest, array.ndim, int(op.attr("quant_axis", -1))) / np.float32(LEVELS)
            made[y] = ArraySource(array * step)
            block.add_var(Var.tensor(y, DType.FP32, array.shape, persistable=True))
        elif len(largest) != 1 or not largest[0] > 0 or op.type == "dequantize_linear" and x not in integers:
            ops.append(op)
            continue
        elif op.type == "quantize_linear":
            integers.add(y)
            lowest = -LEVELS if op.attr("round_type", 0) == AWAY else -LEVELS - 1
            floats = (f"{y}.wide", f"{y}.whole", y)
            wide, whole, _ = (declared(block, name, DType.FP32, block.vars.get(x)) for name in floats)
            ops += [
                scale(x, wide, float(np.float32(LEVELS) / largest[0])),
                make("round", {"X": wide}, {"Out": whole}),
                clip(whole, y, float(lowest), float(LEVELS)),
            ]
        else:
            ops.append(scale(x, y, float(largest[0] / np.float32(LEVELS))))
        count += 1
    block.ops[:] = ops
    forget_unnamed(program)
    return count, made
