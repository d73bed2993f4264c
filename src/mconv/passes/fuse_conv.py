"""What Paddle's ``conv_bn_fuse_pass`` folds a normalisation into has to belong to that convolution alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import MutableMapping
from typing import Optional

from mconv.passes.graph import Graph, first
from mconv.program.params import TensorSource
from mconv.program.program import Block, Op, Program, Var

_CONVOLUTIONS = ("conv2d", "depthwise_conv2d", "conv2d_transpose", "depthwise_conv2d_transpose", "conv3d")


def own_weights(program: Program, block: Block, params: MutableMapping[str, TensorSource]) -> int:
    """Give a convolution with a normalisation behind it a filter and bias that nothing else reads; gives how many.

    The passes (``conv_bn``, ``conv_eltwiseadd_bn``, ``conv_transpose_bn``) write the product over the filter, and the
    sum over the bias, whoever else reads them: Paddle 3.3.1 computes wrongly then.
    """
    norms = [op for op in block.ops if op.type == "batch_norm"]
    if not norms:
        return 0
    readers: Counter[str] = Counter(n for _, op in program.ops() for n in set(op.input_names))
    graph = Graph(program, block, params)
    done = 0
    for norm in norms:
        for op, parameter in _folded(graph, first(norm, "X")):
            name = first(op, parameter)
            if name not in params or readers[name] < 2:
                continue
            own = next(
                n for i in range(len(params) + 1) if (n := f"{name}_{i}") not in params and program.find_var(n) is None
            )
            params[own] = params[name]
            program.main.add_var(Var.tensor(own, params[name].dtype, graph.shape(name), persistable=True))
            op.set_input(parameter, [own])
            readers[name] -= 1
            done += 1
    return done


def _folded(g: Graph, name: str) -> list[tuple[Op, str]]:
    """The weights that are changed when a normalisation of *name* goes: operators and their parameters' names."""
    found: list[tuple[Op, str]] = []
    added: Optional[Op] = g.by(name, "elementwise_add")
    if added is not None:
        found.append((added, "Y"))
        name = first(added, "X")
    conv = g.by(name, *_CONVOLUTIONS)
    return [*found, (conv, "Filter")] if conv is not None else []
