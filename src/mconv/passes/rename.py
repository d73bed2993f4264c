"""Other names for the variables of a program."""

from __future__ import annotations

from collections.abc import Mapping

from mconv.errors import UsageError
from mconv.printable import require_visible
from mconv.program.dtypes import AttrType
from mconv.program.near import unknown
from mconv.program.params import TensorSource
from mconv.program.program import Program
from mconv.program.stored import NO_PARAMETERS

RESERVED = frozenset({"feed", "fetch", "@EMPTY@", NO_PARAMETERS})  # what mean something to Paddle, or to mconv


def check(names: Mapping[str, str], present: set[str], option: str = "--rename") -> None:
    """Refuse what cannot be renamed so.

    Args:
        names: old → new.
        present: the names that there are.

    Raises:
        UsageError: an old name is not there, a new one is taken, empty, reserved, or holds what cannot be seen.
    """
    left = present - set(names)
    new: set[str] = set()
    for old, name in names.items():
        if old not in present:
            raise unknown(option, "variable", old, sorted(present))
        require_visible(name, option)
        if not name or name in RESERVED or old in RESERVED:
            raise UsageError(f"{option} {old}={name}: this cannot be a name")
        if name in left or name in new:
            raise UsageError(f"{option} {old}={name}: {name!r} is taken", "rename that one, too")
        new.add(name)


def rename(program: Program, params: Mapping[str, TensorSource], names: Mapping[str, str]) -> dict[str, TensorSource]:
    """Rename variables, those of the parameters included, in place.

    Returns:
        The parameters by their names, in the file's order.

    Raises:
        UsageError: see :func:`check`.
    """
    check(names, {name for block in program.blocks for name in block.vars})
    program.rename(dict(names))
    for _, op in program.ops():
        if op.blocks:  # lists of variables that an executor must not free
            for name, kind in op.attr_types.items():
                value = op.attr(name)
                if kind == AttrType.STRINGS and any(n in names for n in value):
                    op.set_attr(name, [names.get(n, n) for n in value], AttrType.STRINGS)
    held = {names.get(name, name): source for name, source in params.items()}
    return {var.name: held[var.name] for var in program.parameters}
