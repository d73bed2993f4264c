"""What the variables of a finished program are called."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Callable

from mconv.program.program import Program


def final_names(
    program: Program,
    outputs: Mapping[str, str],
    called: Mapping[str, str],
    fixed: Collection[str],
    unique: Callable[[str], str],
) -> dict[str, str]:
    """Old name → new name: the outputs get theirs, then the rest what is free.

    Args:
        outputs: variable → the name of the output that it is.
        called: variable → the name that was asked for it, if it can be.
        fixed: names that stay as they are: inputs and parameters.
        unique: makes a name that is not taken of one that is.
    """
    taken = set(fixed)
    names: dict[str, str] = {}
    for old, new in outputs.items():
        names[old] = new if new not in taken else unique(new)
        taken.add(names[old])
    present = {n for block in program.blocks for n in block.vars}
    for old, new in called.items():
        if old in present and old not in names and old not in taken and new not in taken and new != old:
            names[old] = new
            taken.add(new)
    # a variable that keeps its name must not have lost it to another
    for name in sorted((present & set(names.values())) - set(names)):
        names[name] = unique(name)
    return names
