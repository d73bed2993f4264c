"""Operators of older Paddle in terms of newer ones, for tools that know only those."""

from __future__ import annotations

from mconv.paddle.lower import lower
from mconv.program.program import Block, Op, Program
from mconv.program.targets import PADDLE_3


def modernize(program: Program) -> dict[str, int]:
    """Change *program* in place; returns how many operators were replaced, by type."""

    def wanted(op: Op, block: Block) -> bool:
        """A product over the last axis only. Paddle 3 translates ``mul`` with a reshape, which has no form for two open
        dimensions before that axis (a batch and a length)."""
        if op.type != "mul" or op.attr("y_num_col_dims", 1) != 1:
            return False
        x, y = (program.find_var(op.input(side)[0], block) for side in ("X", "Y"))
        if x is None or y is None or x.shape is None or y.shape is None or len(y.shape) != 2:
            return False
        return bool(op.attr("x_num_col_dims", 1) == len(x.shape) - 1)

    return lower(program, PADDLE_3, wanted).changes
