"""Operators in the form that is right in every runtime, for operands that fit already."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Callable, Optional

import numpy as np

from mconv.emit.known import foldable
from mconv.program import dims as D
from mconv.program.builder import Builder
from mconv.program.dtypes import DType
from mconv.program.targets import PADDLE_2_3
from mconv.program.value import Value

ARITHMETIC: dict[str, Callable[..., Any]] = {
    "elementwise_add": np.add,
    "elementwise_sub": np.subtract,
    "elementwise_mul": np.multiply,
    "elementwise_max": np.maximum,
    "elementwise_min": np.minimum,
}
COMMUTES = frozenset({"elementwise_add", "elementwise_mul"})


def axis_attribute(b: Builder, op: str) -> dict[str, int]:
    """The default, said: the passes of 2.3 leave alone what does not say it, OpenVINO's reader refuses it."""
    return {"axis": -1} if "axis" in b.operators.get(op, {}).get("attrs", ()) else {}


def folded(b: Builder, op: str, x: Value, y: Value) -> Optional[Value]:
    """What ``elementwise_*`` gives of two constants, computed now; None where it is not."""
    if op not in ARITHMETIC or not foldable(x, y):
        return None
    with np.errstate(all="ignore"):
        return b.constant(ARITHMETIC[op](x.const, y.const).astype(x.dtype.numpy), x.dtype)


def concat_op(b: Builder, values: Sequence[Value], axis: int, shape: Sequence[D.Dim]) -> Value:
    """``concat``, whose result has *shape*."""
    # a pass of every release (seqpool_cvm_concat_fuse_pass) crashes where the first operand is a parameter
    first = b.op("assign", X=values[0]) if values[0].is_const else values[0]
    kind = values[0].dtype
    # behind a first operand of size 1 there, oneDNN in 2.3 lays the result out by columns, which nothing behind it knows;
    # it leaves float64 alone
    if b.target == PADDLE_2_3 and kind is DType.FP32 and _lies_otherwise(first, axis, len(shape)):
        wide = [b.cast(v, DType.FP64) for v in (first, *values[1:])]
        return b.cast(b.op("concat", X=wide, axis=axis, result=(DType.FP64, tuple(shape))), kind)
    return b.op("concat", X=[first, *values[1:]], axis=axis, result=(kind, tuple(shape)))


def _lies_otherwise(x: Value, axis: int, rank: int) -> bool:
    """Whether *x* may be of size 1 along *axis*, so that its elements lie in more ways than one: not along the first
    dimension, and of three along the last alone, where the one before may be 1, too."""
    if rank == 3 and axis != 2:
        return False
    looked_at = (axis, 1) if rank == 3 else (axis,)
    return axis > 0 and (x.shape is None or all(not isinstance(x.shape[i], int) or x.shape[i] == 1 for i in looked_at))


def slice_op(
    b: Builder,
    x: Value,
    axes: Sequence[int],
    starts: Sequence[int],
    ends: Sequence[int],
    shape: Sequence[D.Dim],
    *,
    start: Optional[Value] = None,
    end: Optional[Value] = None,
    strides: Optional[Sequence[int]] = None,
) -> Value:
    """``slice``, or ``strided_slice`` where there are *strides*; the result has *shape*.

    Args:
        start, end: bounds that come in as 1-D int32 tensors, in place of the attributes.
    """
    return b.op(
        "slice" if strides is None else "strided_slice",
        **({} if strides is None else {"strides": list(strides)}),
        Input=x,
        axes=list(axes),
        starts=list(starts),
        ends=list(ends),
        StartsTensor=start,
        EndsTensor=end,
        infer_flags=[1 if start is None and end is None else -1] * len(axes),
        decrease_axis=[],
        result=(x.dtype, tuple(shape)),
    )
