"""A reshape in front of a transpose that only drops dimensions of 1 is a squeeze again, as Paddle itself writes it.

Paddle 3.3's passes for oneDNN under PIR (``Config.enable_new_ir``, which PaddleX sets) put reshape, transpose and product
into one operator, ``reshape_transpose_matmul_fuse_pass``: behind a convolution its numbers are wrong, as in the head of
PP-OCR's recognisers. A squeeze is not put into it.
"""

from __future__ import annotations

from mconv.passes.graph import Found, Graph, first, out
from mconv.passes.rewrite import make
from mconv.program.dtypes import AttrType
from mconv.program.program import Op


def squeeze(graph: Graph, op: Op) -> Found:
    """``reshape2`` of a fixed rank that one ``transpose2`` reads, and that only drops dimensions of 1, as ``squeeze2``."""
    x = first(op, "X")
    before, after = graph.shape(x), graph.shape(out(op))
    if len(after) >= len(before) or op.input("Shape") or op.input("ShapeTensor") or op.output("XShape") == []:
        return None
    if graph.only_reader(out(op), "transpose2") is None:
        return None
    dropped = [axis for axis, size in enumerate(before) if size == 1]
    kept = [size for axis, size in enumerate(before) if size != 1]
    if len(dropped) != len(before) - len(after) or kept != list(after):
        return None
    asked = op.attr("shape", [])
    same = [
        size == kept[index] or size == -1 or (size == 0 and index < dropped[0]) for index, size in enumerate(asked)
    ]  # where all but one are what they were, so is that one
    if len(asked) != len(kept) or not all(same) or list(asked).count(-1) > 1:
        return None
    made = make(
        "squeeze2",
        {"X": x},
        {"Out": out(op), "XShape": op.output("XShape")},
        axes=(AttrType.INTS, dropped),
    )
    return [op], made
