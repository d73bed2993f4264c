"""Puts together again what exporters took apart: layer norm, GELU, Swish, HardSwish, Mish, attention, global pooling,
squeezes.

Paddle's own fusion passes know the whole operators, not their pieces, and the whole ones are right under oneDNN
where some of the pieces are not.

RMS normalisation stays the five or six operators that it is: no pass of Paddle's knows it, 2.3 has no ``rms_norm``,
and that of 3.3 takes other inputs than that of 2.6 to 3.2.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import MutableMapping
from typing import Callable

from mconv.passes import fuse_activation, fuse_attention, fuse_norm, fuse_pool, fuse_squeeze, shared
from mconv.passes.graph import Found, Graph, mentions
from mconv.program import signatures
from mconv.program.dead import eliminate_dead
from mconv.program.params import TensorSource
from mconv.program.program import Op, Program
from mconv.program.targets import Target

Rule = Callable[[Graph, Op], Found]

# operator that a pattern ends in → what is tried there, and the operator that it would become
_RULES: tuple[tuple[str, tuple[str, ...], Rule], ...] = (
    ("layer_norm", ("elementwise_div", "elementwise_mul"), fuse_norm.layer_norm),
    ("gelu", ("elementwise_mul", "scale"), fuse_activation.gelu_erf),
    ("gelu", ("elementwise_mul", "scale"), fuse_activation.gelu_tanh),
    ("mish", ("elementwise_mul",), fuse_activation.mish),
    ("swish", ("elementwise_mul",), fuse_activation.swish),
    ("hard_swish", ("elementwise_mul", "elementwise_div", "scale"), fuse_activation.hard_swish),
    ("scale", ("matmul_v2",), fuse_norm.attention_scale),
    ("pool2d", ("reduce_mean",), fuse_pool.global_mean),
    ("squeeze2", ("reshape2",), fuse_squeeze.squeeze),
)


def fuse(program: Program, params: MutableMapping[str, TensorSource], target: Target) -> Counter[str]:
    """Fuse in place.

    Args:
        params: the parameters' values; only those of one element are looked at. One that several operators read may
            get a twin.

    Returns:
        How many of each operator were put together.
    """
    merge_equal(program)
    done: Counter[str] = Counter()
    mentioned = mentions(program)
    for block in program.blocks:
        graph = Graph(program, block, params, mentioned)
        for made, anchors, rule in _RULES:
            if signatures.find(target, made) is None:
                continue
            for op in list(block.ops):
                if op.type not in anchors or id(op) in graph.gone:
                    continue
                found = rule(graph, op)
                if found is not None:
                    graph.replace(*found)
                    done[made] += 1
    eliminate_dead(program)  # what was left of a pattern reads what the next ones ask to have one reader
    mentioned = mentions(program)
    for block in program.blocks:
        shared.own_filters(program, block, params)
        attentions = fuse_attention.rewrite(program, block, params, mentioned)
        if attentions:
            done["attention"] += attentions
    eliminate_dead(program)
    shared.keep_products(program)
    shared.keep_operands(program)
    return done


_PURE_SKIP = frozenset({"feed", "fetch", "while", "conditional_block", "select_input", "assign", "dropout"})


def _details(op: Op) -> tuple:
    return (
        tuple((k, repr(v)) for k, v in sorted(op.attrs.items())),
        tuple((k, len(v)) for k, v in sorted(op.outputs.items())),
    )


def merge_equal(program: Program) -> int:
    """Let operators that compute the same from the same share one result; gives how many fell away."""
    block = program.main
    written: Counter[str] = Counter(n for _, op in program.ops() for n in op.output_names)
    inner = {n for b in program.blocks[1:] for op in b.ops for n in op.names}
    fetched = {n for op in block.ops if op.type == "fetch" for n in op.input_names}
    alone: dict[tuple, Op] = {}  # the only one so far with its inputs, whose attributes nobody has looked at
    seen: dict[tuple, dict[tuple, Op]] = {}
    names: dict[str, str] = {}
    kept = []
    for op in block.ops:
        op.rename(names, outputs=False)
        outputs = op.output_names
        if (
            op.type in _PURE_SKIP
            or op.blocks
            or "random" in op.type
            or any(written[n] > 1 or n in inner or n in fetched for n in outputs)
            or any(written[n] > 1 for n in op.input_names)
        ):
            kept.append(op)
            continue
        key = (op.type, tuple((k, tuple(v)) for k, v in sorted(op.inputs.items())))
        if key not in alone:
            alone[key] = op
            kept.append(op)
            continue
        if key not in seen:
            seen[key] = {_details(alone[key]): alone[key]}
        twin = seen[key].setdefault(_details(op), op)
        if twin is op:
            kept.append(op)
        else:
            twin_outputs = twin.outputs
            for parameter, mine in op.outputs.items():
                names.update(zip(mine, twin_outputs[parameter]))
    fell = len(block.ops) - len(kept)
    block.ops[:] = kept
    return fell
