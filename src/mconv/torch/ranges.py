"""Recognises indices that count through a dimension: ``x[arange(n)[:, None], arange(m)]`` is *x* itself.

The masks of recent ``transformers`` are built that way, and neither an index nor a gather is needed for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional

from mconv.emit.known import need_rank
from mconv.emit.shape import reshape, transpose
from mconv.program import dims as D
from mconv.program.value import Value
from mconv.torch.context import AtenContext

_VIEWS = ("unsqueeze", "view", "expand", "clone", "alias", "slice", "_to_copy", "squeeze", "_unsafe_view")


def _counts_along(ctx: AtenContext, node: Any) -> Optional[int]:
    """The dimension, counted from the end, along which a node counts 0, 1, …; None when it does not."""
    dims = tuple(ctx.dim_of(s) for s in node.meta["val"].shape)
    long = [i for i, d in enumerate(dims) if d != 1]
    if len(long) != 1:
        return None
    while str(node.target).startswith("aten."):
        name = str(node.target).split(".")[1]
        if name == "arange":
            given = dict(node.kwargs)
            plain = len(node.args) == 1 or (len(node.args) == 2 and node.args[0] == 0)
            value = node.meta["val"]
            whole = not given.get("step") and "int" in str(value.dtype)
            same = tuple(ctx.dim_of(s) for s in value.shape) == (dims[long[0]],)
            return long[0] - len(dims) if plain and whole and same else None
        zero = name == "add" and len(node.args) == 2 and node.args[1] == 0
        if name not in _VIEWS and not zero:
            return None
        source = node.args[0]
        shape = tuple(ctx.dim_of(s) for s in source.meta["val"].shape)
        if [d for d in shape if d != 1] != [dims[long[0]]]:
            return None  # it was cut or repeated
        if name == "slice" and len(node.args) > 2 and node.args[2] not in (0, None):
            return None
        node = source
    return None


def identity(ctx: AtenContext, x: Value, indices: Sequence[Optional[Value]]) -> Optional[Value]:
    """``x[indices]`` as a view, when every index counts through a dimension of its own; else None."""
    shape = need_rank(x, "index")
    nodes = ctx.node.args[1]
    if len(indices) != len(shape) or any(n is None for n in nodes):
        return None
    positions = [_counts_along(ctx, n) for n in nodes]
    if any(p is None for p in positions) or len(set(positions)) != len(positions):
        return None
    rank = len(ctx.out_shape)
    sizes = [ctx.out_shape[p] for p in positions]  # type: ignore[index]
    if any(a != b for a, b in zip(sizes, shape)):
        return None
    order = sorted(range(len(shape)), key=lambda i: positions[i] or 0)
    target: list[D.Dim] = [1] * rank
    for i, p in enumerate(positions):
        target[p] = shape[i]  # type: ignore[index]
    return reshape(ctx, transpose(ctx, x, order), target)
