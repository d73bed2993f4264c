"""Attention as exporters write it, brought into the form of :func:`mconv.emit.attention.attend`.

Paddle's passes (``reshape_transpose_matmul``, ``matmul_transpose_reshape``, ``multihead_matmul_fuse_pass_v2``, …) know
that form alone: keys in the layout of the queries, transposed by the product; the query scaled; nothing between the
second product and the transposition and reshape that join the heads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Optional

import numpy as np

from mconv.emit.attention import lowest
from mconv.passes.graph import Graph, first, out
from mconv.passes.rewrite import Site, cast, make, scale
from mconv.program.dtypes import AttrType, DType
from mconv.program.params import TensorSource
from mconv.program.program import Block, Op, Program

I, L, B = AttrType.INT, AttrType.INTS, AttrType.BOOLEAN  # noqa: E741


def rewrite(
    program: Program, block: Block, params: Mapping[str, TensorSource], mentioned: Mapping[str, set[int]]
) -> int:
    """Bring every attention of *block* into the one form, in place; gives how many products of keys it changed."""
    if not any(op.type == "softmax" for op in block.ops):
        return 0
    site = Site(program, block)
    changed = 0
    graph = Graph(program, block, params, mentioned)
    for step in (_keys, _scale, _rows_that_see_nothing, _factor_behind):
        done = step(graph, site)
        changed += done if step is _keys else 0
        if done:  # which the graph does not know of
            graph = Graph(program, block, params, mentioned)
    return changed


def _scores(g: Graph) -> list[tuple[Op, list[Op]]]:
    """The products that become weights, each with what is between it and its softmax, which nothing else reads."""
    found = []
    for op in g.block.ops:
        if op.type != "matmul_v2" or op.attr("trans_x", False) or g.dtype(out(op)) is not DType.FP32:
            continue
        steps: list[Op] = []
        name = out(op)
        while True:
            reader = g.only_reader(name, "scale", "elementwise_add", "elementwise_mul", "elementwise_div", "softmax")
            if reader is None or len(steps) > 4:
                break
            if reader.type == "softmax":
                if reader.attr("axis", -1) in (-1, (g.rank(name) or 0) - 1):
                    found.append((op, steps))
                break
            steps.append(reader)
            name = out(reader)
    return found


# keys ----------------------------------------------------------------------------------------------------------------


def _keys(g: Graph, site: Site) -> int:
    """Keys that are transposed on their way to the product are transposed by it."""
    done = 0
    for op, _ in _scores(g):
        y = first(op, "Y")
        shape = g.shape(y)
        if op.attr("trans_y", False) or len(shape) < 3 or shape[-2] <= 1:  # see emit.linear.matmul: one row
            continue
        direct = _turned(g, site, y, op) or _through_matrices(g, y)
        if direct is not None:
            op.set_input("Y", [direct])
            op.set_attr("trans_y", True, B)
            done += 1
    return done


def _turned(g: Graph, site: Site, name: str, product: Op) -> Optional[str]:
    """What a ``transpose2`` makes *name* of, but for the last two axes, which the product will swap."""
    turn = g.by(name, "transpose2")
    if turn is None:
        return None
    axes = list(turn.attr("axis"))
    if axes[-2] < axes[-1]:  # in the layout of the queries
        return None
    axes[-2:] = axes[:-3:-1]
    if axes == sorted(axes):
        return first(turn, "X")
    if g.only_reader(name, "matmul_v2") is not product:
        return None
    shape = list(g.shape(name))
    shape[-2:] = shape[:-3:-1]
    turned = site.temporary(name, shape)
    turn.set_output("Out", [turned])
    turn.set_attr("axis", axes, L)
    return turned


def _through_matrices(g: Graph, name: str) -> Optional[str]:
    """[…, T, d] that is flattened to matrices, transposed and reshaped to […, d, T], as PyTorch's exporter writes it."""
    back = g.by(name, "reshape2")
    if back is None or back.input("ShapeTensor") or back.input("Shape"):
        return None
    inner = first(back, "X")
    between = g.by(inner, "unsqueeze2")
    if between is not None:
        inner = first(between, "X")
    turn = g.by(inner, "transpose2")
    if turn is None or list(turn.attr("axis")) != [0, 2, 1]:
        return None
    flat = g.by(first(turn, "X"), "flatten_contiguous_range", "reshape2")
    if flat is None:
        return None
    source = first(flat, "X")
    have, made = g.shape(source), g.shape(name)
    matrices = g.shape(out(flat))
    wanted = back.attr("shape")
    if len(have) != len(made) or len(have) < 4 or have[:-2] != made[:-2] or (have[-1], have[-2]) != made[-2:]:
        return None
    if matrices[1:] != have[-2:] or have[-1] < 1 or sum(d < 0 for d in have[:-2]) > 1 or len(wanted) != len(made):
        return None
    # the leading sizes are those that were flattened where the number of keys is copied or given, or they are
    keys = wanted[-1]
    copied = keys == 0 and g.shape(first(back, "X"))[len(made) - 1 :] == matrices[1:2] and between is not None
    inferred = keys == -1 and min(made[:-1]) > 0
    return source if copied or inferred or keys == have[-2] > 0 else None


# the scale -----------------------------------------------------------------------------------------------------------


def _scale(g: Graph, site: Site) -> int:
    """A number that the scores are multiplied with or divided by is multiplied with the query."""
    done = 0
    for op, steps in _scores(g):
        if not steps or not op.attr("trans_y", False) or g.by(first(op, "X"), "scale") is not None:
            continue
        factor = _number(g, steps[0], out(op))
        if factor is None or g.rank(out(op)) != 4:
            continue
        query = first(op, "X")
        scaled = site.temporary(query)
        op.set_input("X", [scaled])
        op.set_output("Out", [out(steps[0])])
        _put(g, op, [scale(query, scaled, factor)], [steps[0]])
        done += 1
    return done


def _number(g: Graph, op: Op, name: str) -> Optional[float]:
    """The number that *op* multiplies *name* with."""
    if op.type == "scale":
        return op.attr("scale", 1.0) if op.attr("bias", 0.0) == 0.0 and not op.input("ScaleTensor") else None
    if op.type not in ("elementwise_mul", "elementwise_div") or (
        op.type == "elementwise_div" and first(op, "X") != name
    ):
        return None
    number = g.number(g.other(op, name) or "")
    if not number:
        return None
    return number if op.type == "elementwise_mul" else 1.0 / number


def _put(g: Graph, before: Op, new: Sequence[Op], gone: Sequence[Op] = ()) -> None:
    """Insert operators and take others away. The graph does not know of it."""
    ops = g.block.ops
    left = {id(op) for op in gone}
    position = ops.index(before)
    ops[:] = [op for op in [*ops[:position], *new, *ops[position:]] if id(op) not in left]


# rows that see nothing -----------------------------------------------------------------------------------------------


def _rows_that_see_nothing(g: Graph, site: Site) -> int:
    """Minus infinity for what a mask hides and 0 for the weights that are NaN then: without both, times 0 behind it.

    PyTorch's exporter writes ``where(isnan(w), 0, w)`` for every attention, an operator on all of the scores.
    """
    done = 0
    softmaxes = [op for op in g.block.ops if op.type == "softmax"]
    groups: dict[str, list[tuple[Op, Op, Op]]] = {}
    for softmax in softmaxes:
        added = g.by(first(softmax, "X"), "elementwise_add")
        weights = out(softmax)
        readers = g.consumers.get(weights, [])
        nan = next((r for r in readers if r.type == "isnan_v2"), None)
        pick = next((r for r in readers if r.type == "where"), None)
        if added is None or nan is None or pick is None or len(readers) != 2 or weights in g.shared:
            continue
        if first(pick, "Condition") != out(nan) or first(pick, "Y") != weights or _filled(g, first(pick, "X")) != 0.0:
            continue
        product = g.only_reader(out(pick), "matmul_v2")
        if g.only_reader(out(nan), "where") is not pick or product is None or first(product, "X") != out(pick):
            continue
        for bias in (first(added, "Y"), first(added, "X")):
            masked = g.by(bias, "where")
            if masked is not None and _filled(g, first(masked, "X")) == 0.0:
                if _filled(g, first(masked, "Y")) == -np.inf:
                    groups.setdefault(bias, []).append((softmax, pick, product))
                break
    for bias, users in groups.items():
        if len(users) != len(g.consumers.get(bias, [])) or bias in g.shared:
            continue  # something else reads minus infinity
        masked = g.by(bias, "where")
        assert masked is not None
        seen = _without_minus_infinity(g, site, masked)
        for softmax, pick, product in users:
            product.set_input("X", [out(softmax)])
            result = out(product)
            plain = site.temporary(result)
            product.set_output("Out", [plain])
            after = make("elementwise_mul", {"X": plain, "Y": seen}, {"Out": result}, axis=(I, -1))
            g.block.ops.insert(g.block.ops.index(product) + 1, after)
            g.block.ops.remove(pick)
            done += 1
    return done


def _filled(g: Graph, name: str) -> Optional[float]:
    """The number that all elements of a variable are."""
    spread = g.by(name, "expand_v2")
    if spread is not None:
        name = first(spread, "X")
    filled = g.by(name, "fill_constant")
    if filled is not None and not filled.input_names:
        return float(filled.attr("str_value") or filled.attr("value", 0.0))
    return g.number(name)


def _without_minus_infinity(g: Graph, site: Site, masked: Op) -> str:
    """Replace the bias of a mask by one of finite numbers; gives what is 1 where a row sees something, else 0."""
    mask, bias = first(masked, "Condition"), out(masked)
    shape = g.shape(bias)
    low = lowest(DType.FP32)
    shown = site.new(bias, DType.FP32, shape)
    some, seen = (site.new(bias, kind, (*shape[:-1], 1)) for kind in (DType.BOOL, DType.FP32))
    _put(
        g,
        masked,
        [
            cast(mask, shown, DType.BOOL, DType.FP32),
            scale(shown, bias, -low, low),
            make("reduce_any", {"X": mask}, {"Out": some}, dim=(L, [-1]), keep_dim=(B, True), reduce_all=(B, False)),
            cast(some, seen, DType.BOOL, DType.FP32),
        ],
        [masked],
    )
    return seen


# a factor per row ----------------------------------------------------------------------------------------------------


def _factor_behind(g: Graph, site: Site) -> int:
    """A factor per row of the second product goes behind the transposition and reshape that join the heads."""
    done = 0
    flat: dict[str, str] = {}  # factor → the same for joined heads
    for op in [op for op in g.block.ops if op.type == "elementwise_mul"]:
        product, factor = first(op, "X"), first(op, "Y")
        shape, of = g.shape(product), g.shape(factor)
        if g.by(product, "matmul_v2") is None or len(shape) != 4 or len(of) != 4 or of[1] != 1 or of[3] != 1:
            continue
        if g.only_reader(product, "elementwise_mul") is not op:
            continue
        turn = g.only_reader(out(op), "transpose2")
        join = g.only_reader(out(turn), "reshape2") if turn is not None else None
        if turn is None or join is None or list(turn.attr("axis")) != [0, 2, 1, 3]:
            continue
        joined = out(join)
        made = g.shape(joined)
        if made != (shape[0], shape[2], shape[1] * shape[3]) or min(shape[1], shape[3]) < 1:
            continue
        if join.input("Shape") or join.input("ShapeTensor"):
            continue
        if factor not in flat:
            flat[factor] = site.temporary(factor, (of[0], of[2], 1))
            xshape = site.temporary(factor, (0, *of))
            squeezed = make("squeeze2", {"X": factor}, {"Out": flat[factor], "XShape": xshape}, axes=(L, [1]))
            g.block.ops.insert(g.block.ops.index(op), squeezed)
        plain = site.temporary(joined)
        turn.set_input("X", [product])
        join.set_output("Out", [plain])
        g.block.ops.remove(op)
        op.set_input("X", [plain])
        op.set_input("Y", [flat[factor]])
        op.set_output("Out", [joined])
        g.block.ops.insert(g.block.ops.index(join) + 1, op)
        done += 1
    return done
