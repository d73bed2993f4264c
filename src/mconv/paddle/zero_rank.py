"""Programs with 0-d tensors (Paddle 2.5 and later) for a Paddle that has none.

Before Paddle 2.5 a scalar is a tensor of shape [1]. Most operators give the same numbers then, because [1] broadcasts
as a scalar does; the rules here are for those where the rank shows. Found by loading models of 2.6.2 and 3.3.1 in the
real 2.3.2.
"""

from __future__ import annotations

from typing import Optional

from mconv.passes.rewrite import Rule, Site, apply, make
from mconv.program.dtypes import AttrType, VarKind
from mconv.program.program import Op, Program

I, L, B = AttrType.INT, AttrType.INTS, AttrType.BOOLEAN  # noqa: E741 - as in the tables of Paddle


def is_scalar(site: Site, name: str) -> bool:
    var = site.var(name)
    return var is not None and var.kind == VarKind.LOD_TENSOR and var.shape == ()


def _first(names: list[str]) -> str:
    return names[0] if names else ""


def _constant(site: Site, op: Op) -> Optional[list[Op]]:
    """fill_constant, assign_value, …: the shape [] is [1]."""
    tensors = op.input("ShapeTensor") + op.input("ShapeTensorList")
    kind = op.attr_types.get("shape")
    if kind not in (AttrType.INTS, AttrType.LONGS) or op.attr("shape") or tensors:
        return None
    op.set_attr("shape", [1], AttrType(kind))
    return [op]


def _reduce(axes: str) -> Rule:
    """No axis means all of them."""

    def rule(site: Site, op: Op) -> Optional[list[Op]]:
        kind = op.attr_types.get(axes)
        if op.attr("reduce_all", False) and op.attr(axes, [0]):
            return None
        if kind not in (AttrType.INTS, AttrType.LONGS) or op.attr(axes):
            return None
        op.set_attr("reduce_all", True, B)
        op.set_attr(axes, [0], AttrType(kind))
        return [op]

    return rule


def _reshaped(site: Site, op: Op, source: str, result: str, shape: list[int]) -> list[Op]:
    del op
    return [
        make(
            "reshape2",
            {"X": source},
            {"Out": result, "XShape": site.temporary(source, (0, *(site.shape(source) or ())))},
            shape=(L, shape),
        )
    ]


def _to_scalar(site: Site, op: Op) -> Optional[list[Op]]:
    """reshape2 and squeeze2 down to a scalar."""
    source, result = _first(op.input("X")), _first(op.output("Out"))
    if not is_scalar(site, result) or op.input("Shape") or op.input("ShapeTensor"):
        return None
    return _reshaped(site, op, source, result, [1])


def _unsqueeze(site: Site, op: Op) -> Optional[list[Op]]:
    """A scalar with n new axes has n, where [1] would get n + 1."""
    source, result = _first(op.input("X")), _first(op.output("Out"))
    if not is_scalar(site, source) or op.input("AxesTensor") or op.input("AxesTensorList"):
        return None
    return _reshaped(site, op, source, result, [1] * len(op.attr("axes", [])))


def _stack(site: Site, op: Op) -> Optional[list[Op]]:
    sources = op.input("X")
    if not sources or not all(is_scalar(site, name) for name in sources):
        return None
    return [make("concat", {"X": sources}, {"Out": op.output("Y")}, axis=(I, 0))]


def _unstack(output: str) -> Rule:
    def rule(site: Site, op: Op) -> Optional[list[Op]]:
        results = op.output(output)
        if not results or not is_scalar(site, results[0]):
            return None
        if len(results) == 1:
            return [make("assign", {"X": op.input("X")}, {"Out": results})]
        return [make("split", {"X": op.input("X")}, {"Out": results}, axis=(I, 0), num=(I, len(results)))]

    return rule


def _lookup(index: str, axis_of_result: Optional[str]) -> Rule:
    """An index without dimensions takes its axis away; [1] leaves it there with the length 1."""

    def rule(site: Site, op: Op) -> Optional[list[Op]]:
        result = _first(op.output("Out"))
        if not is_scalar(site, _first(op.input(index))) or (axis_of_result and op.input("Axis")):
            return None
        rank = len(site.shape(result) or ())
        axis = op.attr(axis_of_result, 0) if axis_of_result else 0
        axis = axis + rank + 1 if axis < 0 else axis
        declared = list(site.shape(result) or ())
        whole = site.temporary(result, [*declared[:axis], 1, *declared[axis:]])
        op.set_output("Out", [whole])
        if rank == 0:
            return [op, make("assign", {"X": whole}, {"Out": result})]
        shaped = make(
            "squeeze2",
            {"X": whole},
            {"Out": result, "XShape": site.temporary(whole, (0, *(site.shape(whole) or ())))},
            axes=(L, [axis]),
        )
        return [op, shaped]

    return rule


def _transpose(site: Site, op: Op) -> Optional[list[Op]]:
    if not is_scalar(site, _first(op.input("X"))):
        return None
    return [make("assign", {"X": op.input("X")}, {"Out": op.output("Out")})]


_RULES: dict[str, Rule] = {
    **dict.fromkeys(
        ("fill_constant", "assign_value", "uniform_random", "gaussian_random", "randint", "truncated_gaussian_random"),
        _constant,
    ),
    **dict.fromkeys(
        (
            "reduce_sum",
            "reduce_mean",
            "reduce_max",
            "reduce_min",
            "reduce_prod",
            "reduce_all",
            "reduce_any",
            "reduce_amax",
            "reduce_amin",
        ),
        _reduce("dim"),
    ),
    "logsumexp": _reduce("axis"),
    "reshape2": _to_scalar,
    "squeeze2": _to_scalar,
    "unsqueeze2": _unsqueeze,
    "stack": _stack,
    "unbind": _unstack("Out"),
    "unstack": _unstack("Y"),
    "gather": _lookup("Index", "axis"),
    "lookup_table_v2": _lookup("Ids", None),
    "one_hot_v2": _lookup("X", None),
    "transpose2": _transpose,
}


def scalars(program: Program) -> frozenset[str]:
    """The variables of a program that have no dimension."""
    found = (v for block in program.blocks for v in block.vars.values())
    return frozenset(v.name for v in found if v.kind == VarKind.LOD_TENSOR and v.shape == ())


def lower(program: Program) -> tuple[int, list[str], list[str]]:
    """Rewrite scalars as tensors of shape [1]; declared shapes follow.

    Returns:
        How many operators changed, and the names of the inputs and outputs that were scalars.
    """
    changed = sum(apply(program, _RULES).values())
    feeds = [p.name for p in program.feeds if p.shape == () and p.var.kind == VarKind.LOD_TENSOR]
    fetches = [p.name for p in program.fetches if p.shape == () and p.var.kind == VarKind.LOD_TENSOR]
    for block in program.blocks:
        for var in block.vars.values():
            if var.kind == VarKind.LOD_TENSOR and var.shape == () and var.desc.type.HasField("lod_tensor"):
                var.desc.type.lod_tensor.tensor.dims.append(1)
    return changed, feeds, fetches
