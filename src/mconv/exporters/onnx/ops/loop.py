"""``while`` as Loop: what is carried from turn to turn, tensor arrays as sequences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

import numpy as np

from mconv.exporters.onnx.blocks import (
    as_flag,
    block_of,
    holds,
    placeholder,
    read_outside,
    reads_first,
    said_after,
    written_by,
)
from mconv.exporters.onnx.context import Context
from mconv.exporters.onnx.errors import Unsupported
from mconv.exporters.onnx.ops.branch import Branch, settled
from mconv.exporters.onnx.registry import paddle_op
from mconv.exporters.onnx.subgraphs import Array, Held, body, info, node
from mconv.program import dims as D
from mconv.program.dtypes import DType
from mconv.program.value import Value

_ROUNDS = 12  # of finding out which sizes of carried values change from turn to turn


@paddle_op("while", whole=True)
def while_(ctx: Context) -> None:
    exporter, graph, op, block = ctx.exporter, ctx.graph, ctx.paddle, block_of(ctx)
    (condition_name,) = op.input("Condition")
    asked = read_outside(ctx, block, op) | {p.name for p in exporter.program.fetches}
    first = reads_first(exporter.program, block)
    carried: list[tuple[str, Held]] = []
    for name in written_by(exporter.program, block):
        if name == condition_name or name in op.output("StepScopes"):
            continue
        before = holds(ctx, name)
        if isinstance(before, Branch):
            before = settled(ctx, before)
        if before is None and (name in asked or name in first):
            before = placeholder(ctx, name)
        if before is not None:
            carried.append((name, before))
    if any(isinstance(h, Array) for _, h in carried):
        ctx.needs(13, "Loop with sequences")
    start = as_flag(ctx, exporter.read(condition_name))
    names = [n for n, _ in carried]
    shapes: list[Optional[list[D.Dim]]] = [_first_shape(ctx, n, h) for n, h in carried]
    problems, trusted = len(exporter.problems), exporter.trusts_declared
    for number in range(_ROUNDS):
        del exporter.problems[problems:]
        exporter.trusts_declared = trusted and not number
        with exporter.scope() as scope:
            turn, flag = (graph.unique(f"{ctx.base}.{n}") for n in ("turn", "running"))
            entries: list[Held] = []
            for (name, held), shape in zip(carried, shapes):
                called = graph.unique(f"{name}.in")
                entry: Held = Array(called, held.dtype) if isinstance(held, Array) else Value(called, held.dtype, shape)
                if isinstance(entry, Value):
                    graph.known[called] = entry
                entries.append(entry)
                scope.env[name] = entry
            again = Value(flag, DType.BOOL, ())
            graph.known[flag] = again
            scope.env[condition_name] = again
            *results, go_on = said_after(ctx, block, [*names, condition_name])
            go_on = as_flag(ctx, go_on)  # type: ignore[arg-type]
            results = [_as(ctx, r, e) for r, e in zip(results, entries)]
        changed = False
        for i, (result, shape) in enumerate(zip(results, shapes)):
            if isinstance(result, Value) and shape is not None:
                other = _open(shape, result.shape)
                changed |= other != shape
                shapes[i] = other
        if not changed:
            break
    exporter.trusts_declared = trusted and not number
    kinds = [info(turn, Value(turn, DType.INT64, ())), info(flag, again)]
    kinds += [info(e.name or "", e) for e in entries]
    proto = body(graph, scope, "turn", kinds, [go_on, *results])
    outputs = [graph.unique(f"{n}.loop") for n in names]
    inputs = ["", graph.name_of(start), *(_name(ctx, h) for _, h in carried)]
    node(graph, "Loop", inputs, outputs, body=proto)
    for (name, held), called, shape in zip(carried, outputs, shapes):
        if isinstance(held, Array):
            exporter.write(name, Array(called, held.dtype))
            continue
        value = Value(called, held.dtype, shape)
        graph.known[called] = value
        exporter.write(name, value)
    exporter.write(condition_name, ctx.const(np.zeros((1,), bool)))


def _first_shape(ctx: Context, name: str, held: Held) -> Optional[list[D.Dim]]:
    """The shape of a carried value as it begins; sizes that the program leaves open are open."""
    if isinstance(held, Array) or held.shape is None:
        return None
    var = ctx.exporter.var(name)
    declared = list(var.shape) if var is not None and var.shape is not None else []
    if len(declared) != len(held.shape):
        return list(held.shape)
    return [d if isinstance(d, int) and d == other else d for d, other in zip(held.shape, declared)]


def _open(shape: list[D.Dim], result: Optional[Sequence[D.Dim]]) -> Optional[list[D.Dim]]:
    """*shape* with the sizes open that are others after a turn; None where the rank is another."""
    if result is None or len(result) != len(shape):
        return None
    return [a if a == b or _is_open(a) else D.Sym.fresh("turn") for a, b in zip(shape, result)]


def _is_open(dim: D.Dim) -> bool:
    return isinstance(dim, D.Sym) and "turn#" in repr(dim)


def _as(ctx: Context, result: Held, entry: Held) -> Held:
    """What a turn gives, of the type that it was entered with."""
    if isinstance(result, Array) or isinstance(entry, Array):
        if not (isinstance(result, Array) and isinstance(entry, Array)) or result.dtype is not entry.dtype:
            raise Unsupported("a loop turns a tensor into a tensor array, or changes the type of one")
        return result
    result = ctx.cast(result, entry.dtype)
    if {entry.rank, result.rank} == {0, 1}:
        return ctx.reshape(result, [] if entry.rank == 0 else [1])
    return result


def _name(ctx: Context, held: Held) -> str:
    return held.name if isinstance(held, Array) else ctx.graph.name_of(held)
