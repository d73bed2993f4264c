"""Branches, loops and tensor arrays."""

from __future__ import annotations

from typing import Any, Optional

from mconv import emit
from mconv.pir.context import Context, Operand
from mconv.pir.effects import written_from_outside
from mconv.pir.reader import PirBlock, TensorType
from mconv.pir.registry import Unsupported, pir_op
from mconv.program.dtypes import DType, VarKind
from mconv.program.program import Block, Var
from mconv.program.value import Value


def _carrier(ctx: Context, kind: Any, like: Optional[Value] = None) -> Value:
    """A variable of the current block that a sub-block or a loop writes."""
    b = ctx.b
    if like is not None and is_array(ctx, like):
        name = b.unique("array")
        b.block.add_var(Var.of_kind(name, VarKind.LOD_TENSOR_ARRAY))
        return Value(name, like.dtype, None)
    if not isinstance(kind, TensorType) or kind.dtype is None:
        raise Unsupported("a branch or loop over something that is no tensor")
    dtype, shape = ctx._spec(kind)
    return b.variable(ctx.pir.name.partition(".")[2] + ".out", dtype, shape)


def is_array(ctx: Context, value: Value) -> bool:
    var = None if value.name is None else ctx.b.program.find_var(value.name, ctx.b.block)
    return var is not None and var.kind == VarKind.LOD_TENSOR_ARRAY


def _put(ctx: Context, value: Operand, into: Value) -> None:
    """Write *value* into an existing variable."""
    if not isinstance(value, Value):
        raise Unsupported("a branch or loop that hands out a vector")
    if is_array(ctx, into):
        if value.name != into.name:
            raise Unsupported("a loop that exchanges its tensor arrays")
        return
    value = ctx.b.cast(value, into.dtype)
    ctx.b.raw_op("assign", {"X": [value]}, {"Out": [into]})


def _outside(ctx: Context, block: Block) -> list[Value]:
    """What the operators of *block* (and below) read and do not make: the operator's inputs."""
    program = ctx.b.program
    seen: dict[str, None] = {}

    def visit(b: Block, made: set[str]) -> None:
        made = set(made)
        for op in b.ops:
            for name in op.input_names:
                if name not in made and name not in b.vars and program.find_var(name, b) is not None:
                    seen.setdefault(name)
            for sub in op.blocks:
                visit(program.blocks[sub], made)
            made |= set(op.output_names)

    visit(block, set())
    return [Value(name, DType.FP32, None) for name in seen]


def _outer(ctx: Context, idents: list[int]) -> list[Value]:
    """The values of outer blocks that a sub-block writes into."""
    found = [ctx.importer.values.get(ident) for ident in idents]
    if any(not isinstance(v, Value) for v in found):
        raise Unsupported("a branch or loop that writes into what is no tensor")
    return [v for v in found if isinstance(v, Value)]


def _like(ctx: Context, value: Value) -> Value:
    return ctx.b.variable(ctx.pir.name.partition(".")[2] + ".out", value.dtype, value.shape)


def _branch(
    ctx: Context, block: PirBlock, outs: list[Value], condition: Value, written: list[int], arrays: list[Value]
) -> None:
    b = ctx.b
    before = {ident: ctx.importer.values[ident] for ident in written}
    with b.sub_block() as sub:
        given = [*ctx.importer.walk(block), *(ctx.importer.values[ident] for ident in written)]
        if len(given) != len(outs):
            raise Unsupported("a branch that hands out another number of values than the operation")
        for value, out in zip(given, outs):
            _put(ctx, value, out)
    ctx.importer.values.update(before)
    scope = b.unique("scope")
    b.block.add_var(Var.of_kind(scope, VarKind.STEP_SCOPES))
    b.raw_op(
        "conditional_block",
        {"Cond": [condition], "Input": _outside(ctx, sub)},
        {"Out": [*outs, *arrays], "Scope": [Value(scope, DType.FP32, None)]},
        sub_block=sub,
        is_scalar_condition=True,
    )


@pir_op("if")
def if_(ctx: Context, condition: Value, **attrs: Any) -> tuple:
    b = ctx.b
    blocks = ctx.blocks()
    kinds = [kind for _, kind in ctx.pir.outputs]
    condition = ctx.one(ctx.b.cast(condition, DType.BOOL))
    known = ctx.number(condition)
    if known is not None:
        return tuple(ctx.importer.walk(blocks[0 if known else 1]))
    written, arrays = written_from_outside(*blocks)
    stores, old = _outer(ctx, arrays), _outer(ctx, written)

    def outs() -> list[Value]:
        return [*(_carrier(ctx, kind) for kind in kinds), *(_like(ctx, value) for value in old)]

    choices = [outs(), outs()]
    otherwise = emit.logical(b, "logical_not", condition)
    _branch(ctx, blocks[0], choices[0], condition, written, stores)
    _branch(ctx, blocks[1], choices[1], otherwise, written, stores)
    mask = b.cast(condition, DType.INT32)
    results = outs()
    for out, yes, no in zip(results, *choices):
        b.raw_op("select_input", {"X": [no, yes], "Mask": [mask]}, {"Out": [out]})
        emit.bind_shape(b, out)
    ctx.importer.values.update(zip(written, results[len(kinds) :]))
    return tuple(results[: len(kinds)])


@pir_op("while")
def while_(ctx: Context, condition: Value, *initial: Any, **attrs: Any) -> tuple:
    b = ctx.b
    block = ctx.blocks()[0]
    if len(block.args) != len(initial):
        raise Unsupported("a loop whose body takes another number of values than it is entered with")
    going = b.variable("while.going", DType.BOOL, (1,))
    _put(ctx, ctx.one(b.cast(condition, DType.BOOL)), going)
    carried: list[Value] = []
    for (ident, kind), value in zip(block.args, initial):
        if isinstance(value, Value) and is_array(ctx, value):
            carried.append(value)
        else:
            carried.append(_carrier(ctx, kind))
            _put(ctx, value, carried[-1])
        ctx.importer.values[ident] = carried[-1]
        emit.bind_shape(b, carried[-1])
    # what the body replaces in place is carried, too, though the operation does not say so
    written, arrays = written_from_outside(block)
    for ident, value in zip(written, _outer(ctx, written)):
        carried.append(_like(ctx, value))
        _put(ctx, value, carried[-1])
        ctx.importer.values[ident] = carried[-1]
        emit.bind_shape(b, carried[-1])
    with b.sub_block() as sub:
        again, *given = ctx.importer.walk(block)
        given += [ctx.importer.values[ident] for ident in written]
        # all new values are computed before the first one replaces an old one
        held = [_held(ctx, v, carried) for v in given]
        for value, out in zip(held, carried):
            _put(ctx, value, out)
        assert isinstance(again, Value)
        _put(ctx, ctx.one(b.cast(again, DType.BOOL)), going)
    inside = len(block.args)
    ctx.importer.values.update(zip(written, carried[inside:]))
    names = {v.name for v in carried}
    stores = list({v.name: v for v in _outer(ctx, arrays) if v.name not in names}.values())
    scopes = b.unique("scopes")
    b.block.add_var(Var.of_kind(scopes, VarKind.STEP_SCOPES))
    outer = [v for v in _outside(ctx, sub) if v.name not in names | {going.name}]
    b.raw_op(
        "while",
        {"X": [*outer, *carried], "Condition": [going]},
        {"Out": [*carried, *stores, going], "StepScopes": [Value(scopes, DType.FP32, None)]},
        sub_block=sub,
        is_test=True,
    )
    return tuple(carried[:inside])


def _held(ctx: Context, value: Operand, carried: list[Value]) -> Operand:
    """A copy of a loop variable that another one is to become."""
    if isinstance(value, Value) and any(value.name == c.name for c in carried) and not is_array(ctx, value):
        return ctx.op("assign", X=value)
    return value


@pir_op("select_input")
def select_input(ctx: Context, mask: Value, *values: Value) -> Value:
    out = _carrier(ctx, ctx.pir.outputs[0][1])
    ctx.b.raw_op("select_input", {"X": list(values), "Mask": [ctx.b.cast(mask, DType.INT32)]}, {"Out": [out]})
    return out


# tensor arrays: variables of their own kind, written in place ------------------------------------------------------


@pir_op("create_array")
def create_array(ctx: Context, *, dtype: Optional[DType]) -> Value:
    b = ctx.b
    name = b.unique("array")
    b.program.main.add_var(Var.of_kind(name, VarKind.LOD_TENSOR_ARRAY))
    return Value(name, dtype or DType.FP32, None)


@pir_op("array_write_", "write_to_array")
def array_write(ctx: Context, *operands: Any) -> Value:
    if ctx.pir.name == "pd_op.array_write_":
        array, x, i = operands
    else:
        i, x = operands
        array = create_array(ctx, dtype=x.dtype)
    place = ctx.one(ctx.b.cast(i, DType.INT64))
    ctx.b.raw_op("write_to_array", {"X": [x], "I": [place]}, {"Out": [array]})
    return array


@pir_op("array_read", "read_array")
def array_read(ctx: Context, array: Value, i: Value) -> Value:
    out = _carrier(ctx, ctx.pir.outputs[0][1])
    place = ctx.one(ctx.b.cast(i, DType.INT64))
    ctx.b.raw_op("read_from_array", {"X": [array], "I": [place]}, {"Out": [out]})
    return out


@pir_op("array_length", "lod_array_length")
def array_length(ctx: Context, array: Value) -> Value:
    out = ctx.b.variable("array.length", DType.INT64, (1,))
    ctx.b.raw_op("lod_array_length", {"X": [array]}, {"Out": [out]})
    return out


@pir_op("array_to_tensor")
def array_to_tensor(ctx: Context, array: Value, *, axis: int, use_stack: bool) -> tuple:
    out = _carrier(ctx, ctx.pir.outputs[0][1])
    sizes = ctx.b.variable("array.sizes", DType.INT32, (-1,))
    ctx.b.raw_op(
        "tensor_array_to_tensor", {"X": [array]}, {"Out": [out], "OutIndex": [sizes]}, axis=axis, use_stack=use_stack
    )
    return out, sizes
