"""Removes what no output of a program depends on."""

from __future__ import annotations

from mconv.program.program import Op, Program


def eliminate_dead(program: Program) -> None:
    """Remove operators whose results nothing reads, and variables that no operator names (block 0 and below).

    Sub-blocks are kept whole as long as the operator that runs them is.
    """
    main = program.main
    needed: set[str] = set()
    kept: list[Op] = []
    for op in reversed(main.ops):
        if op.type in ("feed", "fetch") or not needed.isdisjoint(op.output_names):
            needed |= program.reads(op)
            kept.append(op)
    main.ops[:] = kept[::-1]
    live_blocks = {0}
    for block in program.blocks:
        if block.idx in live_blocks:
            for op in block.ops:
                live_blocks.update(op.blocks)
    for block in program.blocks:
        if block.idx not in live_blocks:
            block.ops.clear()
            block.vars.clear()
    forget_unnamed(program)


def forget_unnamed(program: Program) -> None:
    """Take away the variables, parameters included, that no operator names."""
    named = program.named()
    for block in program.blocks:
        for name in [n for n in block.vars if n not in named]:
            del block.vars[name]
