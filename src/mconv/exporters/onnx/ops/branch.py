"""Branches as If: ``conditional_block``, and ``select_input``, which takes what one of two gave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

from mconv.exporters.onnx.blocks import as_flag, block_of, holds, placeholder, read_outside, said_after, written_by
from mconv.exporters.onnx.context import Context
from mconv.exporters.onnx.errors import Unsupported
from mconv.exporters.onnx.registry import paddle_op
from mconv.exporters.onnx.subgraphs import Array, Held, body, node
from mconv.program import dims as D
from mconv.program.program import Block
from mconv.program.value import Value

# branches ------------------------------------------------------------------------------------------------------------


@dataclass
class Branch:
    """What a ``conditional_block`` would write, if it is run: said when ``select_input`` asks for it.

    Attributes:
        block: its operators.
        condition: when it is run.
        name: the variable that it would write.
        env: what variables held at the time.
    """

    block: Block
    condition: Value
    name: str
    env: dict[str, Any] = field(repr=False)


@paddle_op("conditional_block", "conditional_block_infer", whole=True)
def conditional_block(ctx: Context) -> None:
    op, block = ctx.paddle, block_of(ctx)
    conditions = [ctx.exporter.read(n) for n in op.input("Cond")]
    if len(conditions) != 1 or not op.attr("is_scalar_condition", True):
        raise Unsupported("a condition that is no single number")
    condition: Value = conditions[0]
    written = written_by(ctx.exporter.program, block)
    asked = read_outside(ctx, block, op)
    outside = [n for n in written if n in asked or holds(ctx, n) is not None]
    if outside and all(_only_selected(ctx, n) for n in outside):
        env = _snapshot(ctx)
        for name in outside:
            ctx.exporter.write(name, Branch(block, condition, name, env))
        return
    before = [holds(ctx, n) for n in outside]
    results = if_(
        ctx,
        condition,
        lambda: said_after(ctx, block, outside),
        lambda: [placeholder(ctx, n) if b is None else b for n, b in zip(outside, before)],
    )
    for name, value in zip(outside, results):
        ctx.exporter.write(name, value)


def _only_selected(ctx: Context, name: str) -> bool:
    """Whether nothing but ``select_input`` reads the variable, and nothing else writes it."""
    program = ctx.exporter.program
    readers = [o for _, o in program.ops() if name in o.input_names]
    writers = [o for _, o in program.ops() if name in o.output_names and not o.blocks]
    return bool(readers) and all(o.type == "select_input" for o in readers) and len(writers) == 1


def _snapshot(ctx: Context) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for scope in ctx.graph.scope.chain():
        found = {**scope.env, **found}
    return found


def if_(ctx: Context, condition: Value, then: Any, otherwise: Any) -> list[Held]:
    """An If: *then* and *otherwise* say a branch in its own scope and give its values.

    Raises:
        Unsupported: the values of the two are of different types.
    """
    graph, exporter = ctx.graph, ctx.exporter
    flag = graph.name_of(as_flag(ctx, condition))
    scopes, results = [], []
    for say in (then, otherwise):
        with exporter.scope() as scope:
            results.append(say())
        scopes.append(scope)
    if not results[0]:
        return []
    for i, (a, b) in enumerate(zip(*results)):
        if isinstance(a, Array) != isinstance(b, Array):
            raise Unsupported("a tensor on one way and a tensor array on the other")
        if isinstance(a, Array):
            ctx.needs(13, "If with sequences")
        if a.dtype is not b.dtype:
            with _in(ctx, scopes[1]):
                if isinstance(b, Array):
                    raise Unsupported("tensor arrays of two types")
                results[1][i] = ctx.cast(b, a.dtype)
    graphs = [body(graph, s, w, [], r) for s, w, r in zip(scopes, ("then", "otherwise"), results)]
    outputs = [graph.unique(f"{ctx.base}.if") for _ in results[0]]
    node(graph, "If", [flag], outputs, then_branch=graphs[0], else_branch=graphs[1])
    made: list[Held] = []
    for name, a, b in zip(outputs, *results):
        if isinstance(a, Array):
            made.append(Array(name, a.dtype))
            continue
        value = Value(name, a.dtype, _meet(a.shape, b.shape))
        graph.known[name] = value
        made.append(value)
    return made


class _in:
    """A scope that was left, entered again."""

    def __init__(self, ctx: Context, scope: Any):
        self.graph, self.scope = ctx.graph, scope

    def __enter__(self) -> None:
        self.outer, self.graph.scope = self.graph.scope, self.scope

    def __exit__(self, *_: object) -> None:
        self.graph.scope = self.outer


def _meet(a: Optional[Sequence[D.Dim]], b: Optional[Sequence[D.Dim]]) -> Optional[tuple[D.Dim, ...]]:
    """The shape that both have: sizes that differ are open; None where their ranks differ."""
    if a is None or b is None or len(a) != len(b):
        return None
    return tuple(x if x == y else D.Sym.fresh("join") for x, y in zip(a, b))


@paddle_op("select_input", whole=True)
def select_input(ctx: Context) -> None:
    """One of two values; of two branches, all that they give is said in one If."""
    exporter, op = ctx.exporter, ctx.paddle
    no, yes = (exporter.read(n) for n in op.input("X"))
    (target,) = op.output("Out")
    mask = op.input("Mask")
    if isinstance(no, Branch) and isinstance(yes, Branch):
        pairs = [(op, no.name, yes.name)]
        for other in exporter.block.ops:
            if other.type == "select_input" and other is not op and other.input("Mask") == mask:
                found = [holds(ctx, n) for n in other.input("X")]
                if (
                    all(isinstance(f, Branch) for f in found)
                    and found[0].block is no.block
                    and found[1].block is yes.block
                ):
                    pairs.append((other, found[0].name, found[1].name))
        names = [[p[1] for p in pairs], [p[2] for p in pairs]]
        results = if_(
            ctx,
            yes.condition,
            lambda: said_after(ctx, yes.block, names[1], yes.env),
            lambda: said_after(ctx, no.block, names[0], no.env),
        )
        for (other, _, _), value in zip(pairs, results):
            (name,) = other.output("Out")
            exporter.write(name, value)
            exporter.said.add(id(other))
        return
    condition = exporter.read(mask[0])
    (made,) = if_(ctx, condition, lambda: [settled(ctx, yes)], lambda: [settled(ctx, no)])
    exporter.write(target, made)


def settled(ctx: Context, held: Any) -> Held:
    """The value; of a branch that another one than its own selects, what it gives."""
    if isinstance(held, Branch):
        return said_after(ctx, held.block, [held.name], held.env)[0]
    if not isinstance(held, (Value, Array)):
        raise Unsupported(f"a {type(held).__name__.lower()} of two")
    return held
