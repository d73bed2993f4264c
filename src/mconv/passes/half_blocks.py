"""What half precision has to know of a program with branches and loops before it rewrites one operator of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from mconv.program.params import TensorSource
from mconv.program.program import Block, Program


def pinned(program: Program, params: Mapping[str, TensorSource], ends: Collection[str]) -> set[str]:
    """Variables that have to be float32 under their own names: those that more than one block knows, those that are
    written more than once or kept between runs, and *ends*. A weight that nothing writes is none of them: it may have a
    second form.

    Args:
        ends: inputs and outputs of the program that stay float32.
    """
    found = set(ends)
    at: dict[str, int] = {}  # variable → the block that it was met in
    written: set[str] = set()
    for block, op in program.ops():
        names = set(op.names)
        if op.blocks:
            found |= names - set(params)
        for name in names:
            if at.setdefault(name, block.idx) != block.idx and name not in params:
                found.add(name)
        if block.parent_idx >= 0:  # declared outside: it may be kept from one turn of a loop to the next
            found.update(n for n in names if n not in block.vars and n not in params)
        outputs = set(op.output_names)
        found |= outputs & written
        written |= outputs
    found |= {n for block in program.blocks for n, v in block.vars.items() if v.persistable and n in written}
    return found


def counters(program: Program) -> set[str]:
    """Single numbers in loops that decide how often they turn: half counts no further than 2,048, bfloat16 than 256."""
    found: set[str] = set()
    for _, op in program.ops():
        if op.type != "while":
            continue
        inside = [o for block in program.below(op) for o in block.ops]
        wanted, new = set(), set(op.input("Condition"))
        while new:
            wanted |= new
            new = {n for o in inside if not wanted.isdisjoint(o.output_names) for n in o.input_names} - wanted
        found |= {n for block in program.below(op) for n in wanted if _is_one_number(program, block, n)}
    return found


def _is_one_number(program: Program, block: Block, name: str) -> bool:
    var = program.find_var(name, block)
    return var is not None and var.shape is not None and all(size == 1 for size in var.shape)


def name_weights(program: Program, second: Collection[str]) -> None:
    """Let branches and loops name what their operators read of *second*, weights in half beside the float32 ones."""
    for _, op in program.ops():
        if not op.blocks:
            continue
        parameter = "X" if op.type == "while" else "Input"
        known = op.input(parameter)
        new = sorted(program.reads(op) & set(second) - set(known))
        if new:
            op.set_input(parameter, [*known, *new])
