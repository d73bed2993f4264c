"""How the elements of a tensor lie where oneDNN computes: in blocks, behind a convolution."""

from __future__ import annotations

from mconv.program.builder import Builder
from mconv.program.value import Value

_CONVOLUTIONS = frozenset(
    ("conv2d", "depthwise_conv2d", "conv3d", "conv2d_transpose", "depthwise_conv2d_transpose", "conv3d_transpose")
)
# what oneDNN computes in the layout that it is given; others, and reshape2, lay the elements in their order
_KEEPING = frozenset((
    "abs", "batch_norm", "bilinear_interp_v2", "cast", "clip", "concat", "elementwise_add", "elementwise_div",
    "elementwise_max", "elementwise_min", "elementwise_mul", "elementwise_sub", "elu", "exp", "expand_v2", "gelu",
    "hard_sigmoid", "hard_swish", "layer_norm", "leaky_relu", "log_softmax", "lrn", "mish", "nearest_interp_v2",
    "pool2d", "pool3d", "prelu", "reduce_max", "reduce_mean", "reduce_min", "reduce_sum", "relu", "relu6", "round",
    "scale", "shuffle_channel", "sigmoid", "softmax", "softplus", "split", "sqrt", "stack", "sum", "swish", "tanh",
    "transpose2",
))  # fmt: skip


def plainly_laid(b: Builder, x: Value) -> Value:
    """*x*, copied where it may lie in the blocks of a convolution: the copy's elements lie in their order.

    The product of oneDNN in Paddle 2.3 to 3.3.1 takes what lies in blocks for what does not: a right operand of four
    dimensions and more, and a left one where the right one has batches, too. What its passes fuse into the product, a
    ``transpose2`` behind a ``reshape2``, does not help.
    """
    if x.name is None or x.is_const or (x.rank or 0) < 3 or not _blocked(b, x.name):
        return x
    return b.once(("plainly laid", x.name), lambda: b.op("assign", X=x))


def _blocked(b: Builder, name: str) -> bool:
    """Whether what gives a variable keeps the layout of a convolution before it, from the end of the block on."""
    if b.kinds.isdisjoint(_CONVOLUTIONS):
        return False  # as most programs with many products, through which each one would go
    readers: dict[str, set[str]] = {name: set()}
    for op in reversed(b.block.ops):
        found = [readers.pop(n) for n in op.output_names if n in readers]
        if not found:
            continue
        if op.type in _CONVOLUTIONS:
            return True
        if op.type in _KEEPING or op.type == "reshape2" and any("transpose2" in types for types in found):
            for given in op.input_names:
                if given not in b.params:
                    readers.setdefault(given, set()).add(op.type)
        if not readers:
            break
    return False
