"""Branches, loops and tensor arrays: If, Loop and sequences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

import numpy as np

from mconv.exporters.onnx.context import Context
from mconv.exporters.onnx.errors import Unsupported
from mconv.exporters.onnx.registry import paddle_op
from mconv.exporters.onnx.subgraphs import Array, Held, body, info, node
from mconv.program import dims as D
from mconv.program.dtypes import TO_ONNX, DType, VarKind
from mconv.program.program import Block, Op, Program
from mconv.program.value import Value

_ROUNDS = 12  # of finding out which sizes of carried values change from turn to turn


# what blocks read and write ------------------------------------------------------------------------------------------


def _written(program: Program, block: Block) -> list[str]:
    """The variables around *block* that its operators, and those of the blocks inside, write."""
    names = []
    for op in block.ops:
        names += [n for n in op.output_names if n not in block.vars]
        for index in op.blocks:
            names += [n for n in _written(program, program.blocks[index]) if n not in block.vars]
    return list(dict.fromkeys(names))


def _inner(program: Program, block: Block) -> Iterator[Block]:
    """A block and those inside."""
    yield block
    for op in block.ops:
        for index in op.blocks:
            yield from _inner(program, program.blocks[index])


def _reads_first(program: Program, block: Block) -> set[str]:
    """What the operators of *block* read before any of them has written it."""
    found: set[str] = set()
    written: set[str] = set()
    for op in block.ops:
        if op.blocks:
            found |= {*op.input("Cond"), *op.input("Condition")} - written
            for index in op.blocks:
                found |= _reads_first(program, program.blocks[index]) - written
        else:
            found |= set(op.input_names) - written
        written |= set(op.output_names)
    return found


def _read_outside(ctx: Context, block: Block, op: Op) -> set[str]:
    """What anything but the operators of *block*, those inside it and *op* itself reads."""
    program = ctx.exporter.program
    inside = {id(b) for b in _inner(program, block)}
    return {n for b in program.blocks if id(b) not in inside for o in b.ops if o is not op for n in o.input_names}


def holds(ctx: Context, name: str) -> Any:
    """What a variable holds; None where nothing has been written into it."""
    try:
        return ctx.exporter.read(name)
    except Unsupported:
        return None


def _placeholder(ctx: Context, name: str) -> Held:
    """What stands for a variable that nothing has been written into: a sequence or tensor of nothing.

    Raises:
        Unsupported: nothing is known of it.
    """
    var = ctx.exporter.var(name)
    dtype = _of_elements(ctx, name) if var is not None and var.kind == VarKind.LOD_TENSOR_ARRAY else None
    if dtype is not None:
        return empty(ctx, dtype)
    if var is None or var.dtype is None or var.shape is None:
        raise Unsupported(f"nothing is known of the variable {name!r} before it is written")
    shape = [max(d, 0) if d != -1 else 0 for d in var.shape]
    return ctx.const(np.zeros(shape, bool if var.dtype is DType.BOOL else np.float32), var.dtype)


def _of_elements(ctx: Context, name: str) -> Optional[DType]:
    """The type of what is written into a tensor array; its variable need not say it."""
    program = ctx.exporter.program
    for block, op in program.ops():
        if op.type == "write_to_array" and name in op.output("Out"):
            var = program.find_var(op.input("X")[0], block)
            if var is not None and var.dtype is not None:
                return var.dtype
    var = ctx.exporter.var(name)
    return None if var is None else var.dtype


def empty(ctx: Context, dtype: DType) -> Array:
    """A sequence of no tensors."""
    name = ctx.graph.unique(f"{ctx.base}.sequence")
    node(ctx.graph, "SequenceEmpty", [], [name], dtype=TO_ONNX[dtype])
    return Array(name, dtype)


def _flag(ctx: Context, condition: Value) -> Value:
    """A condition as a bool without dimensions."""
    return ctx.scalar(ctx.cast(condition, DType.BOOL))


def _block(ctx: Context) -> Block:
    (index,) = ctx.paddle.blocks
    return ctx.exporter.program.blocks[index]


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
    op, block = ctx.paddle, _block(ctx)
    conditions = [ctx.exporter.read(n) for n in op.input("Cond")]
    if len(conditions) != 1 or not op.attr("is_scalar_condition", True):
        raise Unsupported("a condition that is no single number")
    condition: Value = conditions[0]
    written = _written(ctx.exporter.program, block)
    asked = _read_outside(ctx, block, op)
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
        lambda: _said(ctx, block, outside),
        lambda: [_placeholder(ctx, n) if b is None else b for n, b in zip(outside, before)],
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


def _said(ctx: Context, block: Block, names: Sequence[str], env: Optional[dict[str, Any]] = None) -> list[Held]:
    """Say a block in the current scope and give what variables hold after it."""
    if env is not None:
        ctx.graph.scope.env.update(env)
    ctx.exporter.walk(block)
    outer, ctx.exporter.block = ctx.exporter.block, block
    try:
        found = [ctx.exporter.read(n) for n in names]
    finally:
        ctx.exporter.block = outer
    for name, value in zip(names, found):
        if not isinstance(value, (Value, Array)):
            raise Unsupported(f"a branch or loop gives {name!r}, which is a {type(value).__name__.lower()}")
    return found


def if_(ctx: Context, condition: Value, then: Any, otherwise: Any) -> list[Held]:
    """An If: *then* and *otherwise* say a branch in its own scope and give its values.

    Raises:
        Unsupported: the values of the two are of different types.
    """
    graph, exporter = ctx.graph, ctx.exporter
    flag = graph.name_of(_flag(ctx, condition))
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
            lambda: _said(ctx, yes.block, names[1], yes.env),
            lambda: _said(ctx, no.block, names[0], no.env),
        )
        for (other, _, _), value in zip(pairs, results):
            (name,) = other.output("Out")
            exporter.write(name, value)
            exporter.said.add(id(other))
        return
    condition = exporter.read(mask[0])
    (made,) = if_(ctx, condition, lambda: [_settled(ctx, yes)], lambda: [_settled(ctx, no)])
    exporter.write(target, made)


def _settled(ctx: Context, held: Any) -> Held:
    """The value; of a branch that another one than its own selects, what it gives."""
    if isinstance(held, Branch):
        return _said(ctx, held.block, [held.name], held.env)[0]
    if not isinstance(held, (Value, Array)):
        raise Unsupported(f"a {type(held).__name__.lower()} of two")
    return held


# loops ---------------------------------------------------------------------------------------------------------------


@paddle_op("while", whole=True)
def while_(ctx: Context) -> None:
    exporter, graph, op, block = ctx.exporter, ctx.graph, ctx.paddle, _block(ctx)
    (condition_name,) = op.input("Condition")
    asked = _read_outside(ctx, block, op) | {p.name for p in exporter.program.fetches}
    first = _reads_first(exporter.program, block)
    carried: list[tuple[str, Held]] = []
    for name in _written(exporter.program, block):
        if name == condition_name or name in op.output("StepScopes"):
            continue
        before = holds(ctx, name)
        if isinstance(before, Branch):
            before = _settled(ctx, before)
        if before is None and (name in asked or name in first):
            before = _placeholder(ctx, name)
        if before is not None:
            carried.append((name, before))
    if any(isinstance(h, Array) for _, h in carried):
        ctx.needs(13, "Loop with sequences")
    start = _flag(ctx, exporter.read(condition_name))
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
            *results, go_on = _said(ctx, block, [*names, condition_name])
            go_on = _flag(ctx, go_on)  # type: ignore[arg-type]
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
