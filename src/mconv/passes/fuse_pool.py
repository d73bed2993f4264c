"""Means over height and width, as ``ReduceMean`` of exporters, are global pooling.

oneDNN has a kernel for the one, and reorders the tensor of a convolution for the other: nine of them in a MobileNetV3
take two thirds of its time (26.6 ms against 9.4 in Paddle 2.6.2). A copy before each makes it 6% slower.
"""

from __future__ import annotations

from mconv.passes.graph import Found, Graph, first, out
from mconv.passes.rewrite import make
from mconv.program.dtypes import AttrType, DType
from mconv.program.program import Op


def global_mean(graph: Graph, op: Op) -> Found:
    """``reduce_mean`` of [N, C, H, W] over the last two dimensions, which stay as 1, as ``pool2d``."""
    x = first(op, "X")
    rank = graph.rank(x)
    if rank != 4 or graph.dtype(x) is not DType.FP32 or not op.attr("keep_dim", False) or op.attr("reduce_all", False):
        return None
    if sorted(axis % rank for axis in op.attr("dim", [])) != [2, 3] or 0 in graph.shape(x):
        return None
    # emit/layout.py copies what a reduction reads of a convolution; pooling takes it as it lies
    copied = graph.by(x, "assign")
    source = x if copied is None else first(copied, "X")
    if source not in graph.producer or source in graph.shared:
        source = x
    made = make(
        "pool2d",
        {"X": source},
        {"Out": out(op)},
        pooling_type=(AttrType.STRING, "avg"),
        ksize=(AttrType.INTS, [1, 1]),
        global_pooling=(AttrType.BOOLEAN, True),
        strides=(AttrType.INTS, [1, 1]),
        paddings=(AttrType.INTS, [0, 0]),
        padding_algorithm=(AttrType.STRING, "EXPLICIT"),
        adaptive=(AttrType.BOOLEAN, False),
        exclusive=(AttrType.BOOLEAN, True),
        ceil_mode=(AttrType.BOOLEAN, False),
        data_format=(AttrType.STRING, "NCHW"),
    )
    return [op], made
