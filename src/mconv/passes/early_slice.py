"""A slice that keeps one position of an axis (BERT's pooler: the first token) is taken before what computes each position
by itself, so that nobody computes the others.

Of the last layer of an encoder, keys and values are of every token; queries, the product behind the attention and the
feed-forward part are then of one. The numbers are those of before. Paddle's own passes no longer take that layer's attention
for one operator (``multihead_matmul``, on a GPU), so that this is for engines that have none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Callable, Optional

from mconv.passes.graph import Graph, first, mentions, out
from mconv.passes.rewrite import Site, make
from mconv.program.dtypes import AttrType
from mconv.program.program import Op, Program

_END = 1 << 31  # from where on an end is that of the axis, whatever its size
# each element is computed of the one at the same place in X
_ELEMENT = frozenset(
    """
    gelu relu relu6 tanh sigmoid swish silu mish hard_swish hard_sigmoid leaky_relu elu softplus exp sqrt square
    abs cast assign scale
    """.split()  # noqa: SIM905
)
_PRODUCTS = frozenset({"matmul_v2", "matmul", "mul"})
_BINARY = frozenset({"elementwise_add", "elementwise_sub", "elementwise_mul", "elementwise_div"})


@dataclass(frozen=True)
class Part:
    """The first or the last position of an axis."""

    axis: int
    last: bool

    def at(self, axis: int) -> Part:
        return Part(axis, self.last)


# input → the part of it that is read; of one that is not in it, all
Read = dict[str, Part]
Rule = Callable[[Graph, Op, Part], Optional[Read]]


def slice_early(program: Program) -> int:
    """Rewrite the program in place; gives how many products compute one position now. 0: nothing is changed."""
    graph, site = Graph(program, program.main, {}, mentions(program)), Site(program, program.main)
    parts, reads = _parts(graph)
    products = sum(op.type in _PRODUCTS and out(op) in parts for op in graph.block.ops)
    if not products:
        return 0
    taken: dict[tuple[str, Part], str] = {}
    ops: list[Op] = []
    for op in graph.block.ops:
        for name, part in reads.get(id(op), {}).items():
            if parts.get(name) == part or op.type == "slice":
                continue
            if (name, part) not in taken:
                taken[name, part] = site.temporary(name, _shape(graph.shape(name), part))
                ops.append(_slice(name, taken[name, part], part))
            op.rename({name: taken[name, part]}, outputs=False)
        ops.append(op)
    for op in ops:
        kept = parts.get(_main(op)) if op.type == "reshape2" else None
        if kept is not None:
            sizes = list(op.attr("shape"))
            sizes[kept.axis] = 0  # that of the input, as it was
            op.set_attr("shape", sizes, AttrType.INTS)
    for name, part in parts.items():
        var = site.var(name)
        assert var is not None
        var.desc.type.lod_tensor.tensor.dims[part.axis] = 1
    graph.block.ops[:] = ops
    return products


def _parts(graph: Graph) -> tuple[dict[str, Part], dict[int, Read]]:
    """Variable → the one part of it that anybody reads and that can be computed alone; the operators, by their identity, that
    compute such a variable, and what they read."""
    wanted: dict[str, set[Optional[Part]]] = {}
    parts: dict[str, Part] = {}
    reads: dict[int, Read] = {}
    for op in reversed(graph.block.ops):
        read: Optional[Read] = None
        name = _main(op)
        found = wanted.get(name, set())
        (part,) = found if len(found) == 1 else (None,)
        others = [n for n in op.output_names if n != name and (graph.consumers.get(n) or n in graph.shared)]
        if part is not None and not others and not op.blocks:
            rule = _rule(op.type)
            read = rule(graph, op, part) if rule is not None and _has(graph, name, part) else None
        if read is not None and part is not None and all(_has(graph, *each) for each in read.items()):
            parts[name], reads[id(op)] = part, read
        else:
            read = _asked(graph, op)
        for one in op.input_names:
            wanted.setdefault(one, set()).add(read.get(one))
    return parts, reads


def _has(graph: Graph, name: str, part: Part) -> bool:
    """Whether a variable is written once, and has such an axis."""
    return name not in graph.shared and part.axis < (graph.rank(name) or 0)


def _main(op: Op) -> str:
    return first(op, "Y", output=True) if op.type in ("layer_norm", "quantize_linear", "dequantize_linear") else out(op)


def _asked(graph: Graph, op: Op) -> Read:
    """The part that a slice keeps."""
    axes, starts, ends = (list(op.attr(name, [])) for name in ("axes", "starts", "ends"))
    if op.type != "slice" or len(axes) != 1 or len(op.input_names) != 1 or len(starts) != 1 or len(ends) != 1:
        return {}
    name = first(op, "Input")
    if axes[0] < 0 or not _has(graph, name, Part(axes[0], False)) or graph.shape(name)[axes[0]] == 1:
        return {}
    if (starts[0], ends[0]) == (0, 1) or (starts[0] == -1 and ends[0] >= _END - 1):
        return {name: Part(axes[0], starts[0] < 0)}
    return {}


def _shape(shape: Sequence[int], part: Part) -> list[int]:
    return [1 if axis == part.axis else size for axis, size in enumerate(shape)]


def _slice(name: str, made: str, part: Part) -> Op:
    starts, ends = ([-1], [_END - 1]) if part.last else ([0], [1])
    return make(
        "slice",
        {"Input": name},
        {"Out": made},
        axes=(AttrType.INTS, [part.axis]),
        starts=(AttrType.INTS, starts),
        ends=(AttrType.INTS, ends),
        infer_flags=(AttrType.INTS, [1]),
        decrease_axis=(AttrType.INTS, []),
    )


# the operators ---------------------------------------------------------------------------------------------------------


def _rule(type: str) -> Optional[Rule]:
    return _element if type in _ELEMENT else _binary if type in _BINARY else _RULES.get(type)


def _element(g: Graph, op: Op, part: Part) -> Optional[Read]:
    return {first(op, "X"): part} if len(op.input_names) == 1 else None


def _dropout(g: Graph, op: Op, part: Part) -> Optional[Read]:
    return _element(g, op, part) if op.attr("is_test", False) else None


def _binary(g: Graph, op: Op, part: Part) -> Optional[Read]:
    """Where an operand's size is 1, or it has no such axis, it has but one position."""
    rank, at = g.rank(out(op)), op.attr("axis", -1)
    found: Read = {}
    for name in (first(op, "X"), first(op, "Y")):
        its = g.rank(name)
        if rank is None or its is None:
            return None
        # of a lower rank it lies at the last axes, or from that one on
        axis = part.axis - (rank - its if at == -1 or its == rank else at)
        if 0 <= axis < its and g.shape(name)[axis] != 1:
            found[name] = part.at(axis)
    return found


def _matmul(g: Graph, op: Op, part: Part) -> Optional[Read]:
    """A row of the product is of a row of the first operand, and of all of the second."""
    x, y = first(op, "X"), first(op, "Y")
    rank, its = g.rank(out(op)), g.rank(x)
    turned = op.attr("trans_x" if op.type == "matmul_v2" else "transpose_X", False)
    if rank is None or its is None or its < 2 or x == y or turned or part.axis != rank - 2:
        return None
    return {x: part.at(its - 2)} if (g.rank(y) or 1) > 1 else None


def _mul(g: Graph, op: Op, part: Part) -> Optional[Read]:
    return {first(op, "X"): part} if part.axis < op.attr("x_num_col_dims", 1) else None


def _layer_norm(g: Graph, op: Op, part: Part) -> Optional[Read]:
    return {first(op, "X"): part} if part.axis < op.attr("begin_norm_axis", 1) else None


def _softmax(g: Graph, op: Op, part: Part) -> Optional[Read]:
    rank = g.rank(out(op))
    return {first(op, "X"): part} if rank is not None and op.attr("axis", -1) % rank != part.axis else None


def _transpose(g: Graph, op: Op, part: Part) -> Optional[Read]:
    return {first(op, "X"): part.at(op.attr("axis")[part.axis])}


def _reshape(g: Graph, op: Op, part: Part) -> Optional[Read]:
    """One that leaves the axes up to that one as they are."""
    x, axis, sizes = first(op, "X"), part.axis, list(op.attr("shape", []))
    before = g.shape(x)
    if len(op.input_names) != 1 or axis >= min(len(before), len(sizes)):
        return None
    kept = [size == 0 or 0 < size == had for size, had in zip(sizes[: axis + 1], before)]
    rest = [sizes[axis + 1 :], before[axis + 1 :]]
    # the one that is worked out of the others is what it was where these are
    worked_out = (
        -1 in sizes[:axis] and all(min(each, default=1) > 0 for each in rest) and prod(rest[0]) == prod(rest[1])
    )
    if worked_out:
        kept[sizes.index(-1)] = True
    return {x: part} if all(kept) else None


def _per_tensor(g: Graph, op: Op, part: Part) -> Optional[Read]:
    """One scale for all elements."""
    scale = g.shape(first(op, "Scale"))
    return {first(op, "X"): part} if scale and prod(scale) == 1 else None


_RULES: dict[str, Rule] = {
    "matmul_v2": _matmul,
    "matmul": _matmul,
    "mul": _mul,
    "dropout": _dropout,
    "layer_norm": _layer_norm,
    "softmax": _softmax,
    "transpose2": _transpose,
    "reshape2": _reshape,
    "quantize_linear": _per_tensor,
    "dequantize_linear": _per_tensor,
}
