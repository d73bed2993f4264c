"""Removes what no output of a program depends on."""

from __future__ import annotations

from mconv.program.program import Op, Program


def eliminate_dead(program: Program) -> None:
    """Remove operators whose results nothing reads, and variables that no operator names (block 0 and below).

    Sub-blocks are kept whole as long as the operator that runs them is.
    """
    reads: dict[int, set[str]] = {}
    for block in program.blocks[1:]:
        reads[block.idx] = {n for op in block.ops for n in op.input_names}

    def reads_of(op: Op) -> set[str]:
        names = set(op.input_names)
        for sub in op.blocks:
            names |= reads[sub]
            for inner in program.blocks[sub].ops:
                if inner.blocks:
                    names |= reads_of(inner)
        return names

    main = program.main
    needed: set[str] = set()
    kept: list[Op] = []
    for op in reversed(main.ops):
        if op.type in ("feed", "fetch") or not needed.isdisjoint(op.output_names):
            needed |= reads_of(op)
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
    named = {n for _, op in program.ops() for n in (*op.input_names, *op.output_names)}
    for block in program.blocks:
        for name in [n for n in block.vars if n not in named]:
            del block.vars[name]
