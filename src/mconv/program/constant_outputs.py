"""Outputs that depend on no input, which newer Paddles cannot fetch."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Optional

import numpy as np

from mconv.program.dtypes import DType
from mconv.program.operands import Appends
from mconv.program.program import Program
from mconv.program.value import Value


def depending(program: Program, feeds: Collection[Optional[str]]) -> set[str]:
    """Variables of the main block that depend on one of *feeds*."""
    found = {name or "" for name in feeds}
    for op in program.main.ops:
        if op.blocks or not found.isdisjoint(op.input_names):
            found.update(op.output_names)
    return found


def tied(b: Appends, value: Value, feeds: Sequence[Value]) -> Value:
    """*value*, which is constant, as something that depends on an input.

    Paddle 2.6 and 3 fold an output that is constant into a parameter and then cannot fetch it ("The Variable type must
    be … PhiVector"). Nothing times the length of an input's first axis is added; in a model without inputs, a zero that
    an operator writes in place, which no pass takes for constant.
    """
    if feeds:
        nothing = _nothing_of(b, feeds[0])
    else:
        counter = b.constant(np.zeros(1, np.int32))
        b.raw_op("increment", {"X": [counter]}, {"Out": [counter]}, step=0.0)
        nothing = Value(counter.name, DType.INT32, (1,))
    kind = DType.INT32 if value.dtype is DType.BOOL else value.dtype
    if value.size == 0 and value.shape:  # no release adds to no elements
        sizes = b.constant(np.array(value.shape, np.int32))
        shape = b.op("elementwise_add", X=sizes, Y=b.cast(nothing, DType.INT32), result=(DType.INT32, sizes.shape))
        return b.op("fill_constant", ShapeTensor=shape, shape=[], dtype=int(value.dtype), value=0.0, str_value="0",
                    result=(value.dtype, value.shape))  # fmt: skip
    zero = b.cast(nothing, kind)
    if value.shape == () and b.target.has_0d:
        zero = b.op("reshape2", X=zero, shape=[], result=(kind, ()))
    total = b.op("elementwise_add", X=b.cast(value, kind), Y=zero, result=(kind, value.shape))
    return b.cast(total, value.dtype)


def _nothing_of(b: Appends, feed: Value) -> Value:
    """Zero times the length of an input's first axis."""
    if not feed.shape and b.target.has_0d:
        feed = b.op("reshape2", X=feed, shape=[1], result=(feed.dtype, (1,)))
    rank = max(len(feed.shape or ()), 1)
    size = b.op("shape", Input=feed, result=(DType.INT32, (rank,)))
    first = b.op(
        "slice",
        Input=size,
        axes=[0],
        starts=[0],
        ends=[1],
        infer_flags=[1],
        decrease_axis=[],
        result=(DType.INT32, (1,)),
    )
    return b.op("scale", X=first, scale=0.0, bias=0.0, bias_after_scale=True)
