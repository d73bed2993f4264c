"""Programs with 0-d tensors (Paddle 2.5 and later) for a Paddle that has none.

Before Paddle 2.5 a scalar is a tensor of shape [1]. Most operators give the same numbers then, because [1] broadcasts
as a scalar does; what is here is about those where the rank shows. Found by loading models of 2.6.2 and 3.3.1 in the
real 2.3.2.
"""

from __future__ import annotations

from collections.abc import Mapping

from mconv.program.dtypes import AttrType, VarKind
from mconv.program.program import Op, Program

_LISTS = (AttrType.INTS, AttrType.LONGS)
_FILLS = frozenset(
    ("fill_constant", "assign_value", "uniform_random", "gaussian_random", "randint", "truncated_gaussian_random")
)
# reduction → its attribute of axes
_REDUCTIONS: Mapping[str, str] = {
    **dict.fromkeys(
        (f"reduce_{k}" for k in ("sum", "mean", "max", "min", "prod", "all", "any", "amax", "amin")), "dim"
    ),
    "logsumexp": "axis",
}
# operators that converters say otherwise where one of their variables has no dimension: input or output → of which
_SHOWS: Mapping[str, tuple[str, str]] = {
    "gather": ("Index", "in"),
    "lookup_table_v2": ("Ids", "in"),
    "one_hot_v2": ("X", "in"),
    "reshape2": ("Out", "out"),
    "squeeze2": ("Out", "out"),
    "stack": ("X", "in"),
    "transpose2": ("X", "in"),
    "unbind": ("Out", "out"),
    "unsqueeze2": ("X", "in"),
    "unstack": ("Y", "out"),
}


def scalars(program: Program) -> frozenset[str]:
    """The variables of a program that have no dimension."""
    found = (v for block in program.blocks for v in block.vars.values())
    return frozenset(v.name for v in found if v.kind == VarKind.LOD_TENSOR and v.shape == ())


def shows(op: Op, without: frozenset[str]) -> bool:
    """Whether *op* gives another shape where a scalar is ``[1]``, so that a converter has to say it otherwise.

    Args:
        without: the variables that have no dimension in the source.
    """
    name, side = _SHOWS.get(op.type, ("", ""))
    names = op.input(name) if side == "in" else op.output(name) if side else []
    return bool(names) and names[0] in without


def says_no_dimension(op: Op) -> bool:
    """Whether *op* says by an empty list that its result has no dimension, or that no axis stands for all of them."""
    if op.type in _FILLS:
        tensors = op.input("ShapeTensor") + op.input("ShapeTensorList")
        return op.attr_types.get("shape") in _LISTS and not op.attr("shape") and not tensors
    axes = _REDUCTIONS.get(op.type)
    return axes is not None and op.attr_types.get(axes) in _LISTS and not op.attr(axes)


def give_one_dimension(program: Program) -> int:
    """State the shape [1] for what has no dimension: of variables, and where operators say it by an empty list.

    Returns:
        How many operators changed.
    """
    changed = 0
    for _, op in program.ops():
        if not says_no_dimension(op):
            continue
        changed += 1
        name = "shape" if op.type in _FILLS else _REDUCTIONS[op.type]
        if op.type not in _FILLS:
            op.set_attr("reduce_all", True, AttrType.BOOLEAN)
        op.set_attr(name, [1] if op.type in _FILLS else [0], AttrType(op.attr_types[name]))
    for block in program.blocks:
        for var in block.vars.values():
            if var.kind == VarKind.LOD_TENSOR and var.shape == () and var.desc.type.HasField("lod_tensor"):
                var.desc.type.lod_tensor.tensor.dims.append(1)
    return changed
