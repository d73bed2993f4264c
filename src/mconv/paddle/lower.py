"""Operators of an existing program that a target lacks, by the converters that a ``.json`` goes through, too."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Callable

from mconv.paddle.registry import Unsupported
from mconv.program.params import TensorSource
from mconv.program.program import Block, Op, Program
from mconv.program.targets import Target


@dataclass
class Lowered:
    """What :func:`lower` did.

    Attributes:
        changes: how many operators were replaced, by type.
        refused: operators (their ``id``) that stay where they were, and why.
        parameters: constants that became parameters.
    """

    changes: dict[str, int] = field(default_factory=dict)
    refused: dict[int, str] = field(default_factory=dict)
    parameters: dict[str, TensorSource] = field(default_factory=dict)


def lower(
    program: Program, target: Target, wanted: Callable[[Op, Block], bool], scalars: frozenset[str] = frozenset()
) -> Lowered:
    """Replace the operators that *wanted* picks, in place, by others of *target*; all others stay what they are.

    Args:
        scalars: variables that had no dimension in the source.
    """
    done = Lowered()
    picked = [block for block in program.blocks if any(wanted(op, block) for op in block.ops)]
    if not picked:
        return done
    from mconv.paddle.splicing import Lowering  # and with it numpy, `emit` and all converters

    lowering = Lowering(program, target, scalars)
    for block in picked:
        ops = list(block.ops)
        block.ops[:] = []
        lowering.b.enter(block)
        for op in ops:
            if not wanted(op, block):
                block.ops.append(op)
                continue
            length = len(block.ops)
            try:
                lowering.replace(op, block)
            except Unsupported as e:
                del block.ops[length:]
                block.ops.append(op)
                done.refused[id(op)] = str(e)
            else:
                done.changes[op.type] = done.changes.get(op.type, 0) + 1
    done.parameters = dict(lowering.b.params)
    return done
