"""Operators of older Paddle in terms of newer ones, for tools that know only those."""

from __future__ import annotations

from typing import Optional

from mconv.passes.rewrite import Rule, Site, apply, make
from mconv.program.dtypes import AttrType
from mconv.program.program import Op, Program


def _mul(site: Site, op: Op) -> Optional[list[Op]]:
    """A product over the last axis only. Paddle 3 translates ``mul`` with a reshape, which has no form for two open
    dimensions before that axis (a batch and a length)."""
    x, y = site.shape(op.input("X")[0]), site.shape(op.input("Y")[0])
    if x is None or y is None or len(y) != 2 or op.attr("y_num_col_dims", 1) != 1:
        return None
    if op.attr("x_num_col_dims", 1) != len(x) - 1 or op.attr("scale_x", 1.0) != 1.0:  # quantized
        return None
    sides = {"X": op.input("X"), "Y": op.input("Y")}
    return [
        make(
            "matmul_v2",
            dict(sides),
            {"Out": op.output("Out")},
            trans_x=(AttrType.BOOLEAN, False),
            trans_y=(AttrType.BOOLEAN, False),
        )
    ]


RULES: dict[str, Rule] = {"mul": _mul}


def modernize(program: Program) -> dict[str, int]:
    """Change *program* in place; returns how many operators were replaced, by type."""
    return apply(program, RULES)
