"""What the blocks of branches and loops read and write, and what variables hold around them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Optional

import numpy as np

from mconv.exporters.onnx.context import Context
from mconv.exporters.onnx.errors import Unsupported
from mconv.exporters.onnx.subgraphs import Array, Held, node
from mconv.program.dtypes import TO_ONNX, DType, VarKind
from mconv.program.program import Block, Op, Program
from mconv.program.value import Value


def written_by(program: Program, block: Block) -> list[str]:
    """The variables around *block* that its operators, and those of the blocks inside, write."""
    names = []
    for op in block.ops:
        names += [n for n in op.output_names if n not in block.vars]
        for index in op.blocks:
            names += [n for n in written_by(program, program.blocks[index]) if n not in block.vars]
    return list(dict.fromkeys(names))


def _inner(program: Program, block: Block) -> Iterator[Block]:
    """A block and those inside."""
    yield block
    for op in block.ops:
        for index in op.blocks:
            yield from _inner(program, program.blocks[index])


def reads_first(program: Program, block: Block) -> set[str]:
    """What the operators of *block* read before any of them has written it."""
    found: set[str] = set()
    written: set[str] = set()
    for op in block.ops:
        if op.blocks:
            found |= {*op.input("Cond"), *op.input("Condition")} - written
            for index in op.blocks:
                found |= reads_first(program, program.blocks[index]) - written
        else:
            found |= set(op.input_names) - written
        written |= set(op.output_names)
    return found


def read_outside(ctx: Context, block: Block, op: Op) -> set[str]:
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


def placeholder(ctx: Context, name: str) -> Held:
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


def as_flag(ctx: Context, condition: Value) -> Value:
    """A condition as a bool without dimensions."""
    return ctx.scalar(ctx.cast(condition, DType.BOOL))


def block_of(ctx: Context) -> Block:
    (index,) = ctx.paddle.blocks
    return ctx.exporter.program.blocks[index]


def said_after(ctx: Context, block: Block, names: Sequence[str], env: Optional[dict[str, Any]] = None) -> list[Held]:
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
