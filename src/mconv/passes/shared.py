"""What several operators read, and Paddle's own passes change or take away for one of them: each reader gets its own.

Found by running converted models with and without the passes (``ir_optim``) in the real Paddles.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import MutableMapping
from typing import Optional

from mconv.passes.graph import Graph, first
from mconv.passes.rewrite import Site
from mconv.program.params import TensorSource
from mconv.program.program import Block, Op, Program, Var

_CONVOLUTIONS = ("conv2d", "depthwise_conv2d", "conv2d_transpose", "depthwise_conv2d_transpose", "conv3d")
_PRODUCTS = ("matmul", "matmul_v2")
# passes make reshapes of all
_RESHAPES = ("reshape2", "unsqueeze2", "squeeze2", "flatten_contiguous_range", "flatten2")


def keep(program: Program, params: MutableMapping[str, TensorSource]) -> None:
    """All of it, for a program that no other pass goes over.

    Args:
        params: the parameters' values; one that several operators read may get a twin.
    """
    for block in program.blocks:
        own_filters(program, block, params)
    keep_products(program)
    keep_operands(program)


def keep_products(program: Program) -> int:
    """Let Paddle keep products of matrices that more than a ``scale`` reads, and weights that more than one product reads;
    gives how many were in danger.

    Its ``matmul_scale_fuse_pass`` and ``matmul_v2_scale_fuse_pass`` (1.8 to 3.3) move the factor into the product and
    take the product away, though others read it: ``Input Variable(X) of (tanh) Operator … is empty``. Where the product
    has a weight, it is the weight that they multiply, once for each product that it has a part in. They look for a
    ``scale`` that reads the product itself.
    """
    kept = 0
    # (a copy is read instead of the product, and reads it itself: the counts stay)
    readers: Counter[str] = Counter(n for _, op in program.ops() for n in set(op.input_names))

    def by_others(weight: str) -> bool:
        held = program.main.vars.get(weight)
        return held is not None and held.persistable and readers[weight] > 1

    for block in program.blocks:
        made = {n: op for op in block.ops if op.type in _PRODUCTS for n in op.output("Out")}
        if not made:
            continue
        site = Site(program, block)
        for index, op in reversed(list(enumerate(block.ops))):
            x = first(op, "X")
            if op.type == "scale" and x in made and (readers[x] > 1 or by_others(first(made[x], "Y"))):
                copy = site.temporary(x)
                op.set_input("X", [copy])
                block.ops.insert(index, Op.make("assign", {"X": [x]}, {"Out": [copy]}))
                kept += 1
    return kept


def keep_operands(program: Program) -> int:
    """Let oneDNN's passes keep an operand whose transposition is the other one (a Gram matrix); gives how many were in
    danger.

    ``reshape_transpose_matmul_(v2_)mkldnn_fuse_pass`` (2.3 to 3.3) moves a reshape and the ``transpose2`` behind it into
    the product and takes away what the reshape gives, as nothing outside of the three reads it: ``The variable Y is not
    found``.
    """
    kept = 0
    for block in program.blocks:
        turned = {n: first(op, "X") for op in block.ops if op.type == "transpose2" for n in op.output("Out")}
        shaped = {n for op in block.ops if op.type in _RESHAPES for n in op.output("Out")}
        site = Site(program, block)
        for index, op in reversed(list(enumerate(block.ops))):
            if op.type not in _PRODUCTS:
                continue
            for mine, others in (("X", "Y"), ("Y", "X")):
                x = first(op, mine)
                if x in shaped and turned.get(first(op, others)) == x:
                    copy = site.temporary(x)
                    op.set_input(mine, [copy])
                    block.ops.insert(index, Op.make("assign", {"X": [x]}, {"Out": [copy]}))
                    kept += 1
    return kept


def own_filters(program: Program, block: Block, params: MutableMapping[str, TensorSource]) -> int:
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
