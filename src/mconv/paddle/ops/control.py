"""Branches, loops and tensor arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Optional

from mconv import emit
from mconv.emit.control import axes_of_data, discard, filled, inside, register_sizes, true_sizes
from mconv.emit.zero_size import counted
from mconv.paddle.context import Context, Operand
from mconv.paddle.effects import written_from_outside
from mconv.paddle.operation import OperationBlock, TensorType
from mconv.paddle.registry import Unsupported, paddle_op
from mconv.program import dims as D
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
    return b.variable(ctx.name + ".out", dtype, shape)


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


def _like(ctx: Context, value: Value, shape: Optional[Sequence[D.Dim]] = None) -> Value:
    shape = value.shape if shape is None else shape
    return ctx.b.variable(ctx.name + ".out", value.dtype, shape)


def _axes(ctx: Context, *ways: Operand) -> list[int]:
    """The axes of what comes out along which it has a size from data that is known on one of the ways only."""
    values = [v for v in ways if isinstance(v, Value) and v.shape is not None and not is_array(ctx, v)]
    if len(values) < len(ways) or len({len(v.shape or ()) for v in values}) > 1:
        return []
    return axes_of_data(ctx.b, values)


def _joined_shape(ctx: Context, shape: Optional[Sequence[D.Dim]], axes: Sequence[int], ways: Sequence[Operand]) -> Any:
    """*shape* with names of their own for sizes from data, and with those that are the same on all ways."""
    made = list(shape or ())
    for axis in range(len(made)):
        dims = {v.shape[axis] for v in ways if isinstance(v, Value) and v.shape and len(v.shape) == len(made)}
        if axis in axes:
            made[axis] = D.Sym.fresh("join")
        elif len(dims) == 1 and counted(ctx.b, dims):
            made[axis] = dims.pop()
    return made if shape is not None else None


class _Way(NamedTuple):
    """A branch: its block, the sizes that are known in it, what it gives."""

    block: Block
    origins: dict[D.Sym, Any]
    given: list[Operand]


def _walked(ctx: Context, block: OperationBlock, written: list[int], count: int) -> _Way:
    b = ctx.b
    before = {ident: ctx.importer.values[ident] for ident in written}
    sub = b.program.add_block(b.block)
    with inside(b, sub):
        given = [*ctx.importer.walk(block), *(ctx.importer.values[ident] for ident in written)]
        origins = b.origins
    ctx.importer.values.update(before)
    if len(given) != count:
        raise Unsupported("a branch that hands out another number of values than the operation")
    return _Way(sub, origins, given)


def _branch(
    ctx: Context, way: _Way, outs: list[Value], axes: list[list[int]], condition: Value, arrays: list[Value]
) -> list[Value]:
    """Run a branch where *condition* holds, with its values in *outs*; gives the true sizes along *axes*."""
    b = ctx.b
    sizes = [b.variable("if.sizes", DType.INT64, (len(a),)) for a in axes if a]
    with inside(b, way.block):
        b.origins.update(way.origins)
        held = [true_sizes(b, v, a) for v, a in zip(way.given, axes) if a and isinstance(v, Value)]
        for value, out, a in zip(way.given, outs, axes):
            _put(ctx, filled(b, value, a) if a and isinstance(value, Value) else value, out)
        for value, out in zip(held, sizes):
            _put(ctx, value, out)
    scope = b.unique("scope")
    b.block.add_var(Var.of_kind(scope, VarKind.STEP_SCOPES))
    b.raw_op(
        "conditional_block",
        {"Cond": [condition], "Input": _outside(ctx, way.block)},
        {"Out": [*outs, *sizes, *arrays], "Scope": [Value(scope, DType.FP32, None)]},
        sub_block=way.block,
        is_scalar_condition=True,
    )
    return sizes


@paddle_op("if")
def if_(ctx: Context, condition: Value, **attrs: Any) -> tuple:
    b = ctx.b
    blocks = ctx.blocks()
    kinds = [kind for _, kind in ctx.operation.outputs]
    condition = ctx.one(ctx.b.cast(condition, DType.BOOL))
    known = ctx.number(condition)
    if known is not None:
        return tuple(ctx.importer.walk(blocks[0 if known else 1]))
    written, arrays = written_from_outside(*blocks)
    stores, old = _outer(ctx, arrays), _outer(ctx, written)
    ways = [_walked(ctx, block, written, len(kinds) + len(written)) for block in blocks]
    pairs = list(zip(*(way.given for way in ways)))
    axes = [_axes(ctx, *pair) for pair in pairs]

    def outs() -> list[Value]:
        made = [*(_carrier(ctx, kind) for kind in kinds), *(_like(ctx, value) for value in old)]
        for value, a, pair in zip(made, axes, pairs):
            value.shape = _joined_shape(ctx, value.shape, a, pair)
        return made

    choices = [outs(), outs()]
    otherwise = emit.logical(b, "logical_not", condition)
    sizes = [
        _branch(ctx, way, chosen, axes, flag, stores)
        for way, chosen, flag in zip(ways, choices, (condition, otherwise))
    ]
    mask = b.cast(condition, DType.INT32)

    def select(yes: Value, no: Value, out: Value) -> Value:
        b.raw_op("select_input", {"X": [no, yes], "Mask": [mask]}, {"Out": [out]})
        return emit.bind_shape(b, out)

    results = [select(yes, no, out) for out, yes, no in zip(outs(), *choices)]
    numbers = iter([select(yes, no, b.variable("if.sizes", DType.INT64, yes.shape)) for yes, no in zip(*sizes)])
    for result, a in zip(results, axes):
        if a:
            register_sizes(b, result, a, next(numbers))
    ctx.importer.values.update(zip(written, results[len(kinds) :]))
    return tuple(results[: len(kinds)])


@paddle_op("while")
def while_(ctx: Context, condition: Value, *initial: Any, **attrs: Any) -> tuple:
    b, values = ctx.b, ctx.importer.values
    block = ctx.blocks()[0]
    if len(block.args) != len(initial):
        raise Unsupported("a loop whose body takes another number of values than it is entered with")
    going = b.variable("while.going", DType.BOOL, (1,))
    # what the body replaces in place is carried, too, though the operation does not say so
    written, arrays = written_from_outside(block)
    starts: list[Operand] = [*initial, *_outer(ctx, written)]
    idents = [*(ident for ident, _ in block.args), *written]
    of_data: list[list[int]] = [[] for _ in starts]
    before = dict(values), dict(ctx.importer.problems), list(b.notes)
    while True:
        carried = [_loop_variable(ctx, block, k, start, of_data[k]) for k, start in enumerate(starts)]
        sizes = [b.variable("while.sizes", DType.INT64, (len(axes),)) for axes in of_data if axes]
        sub = b.program.add_block(b.block)
        with inside(b, sub):
            _know(ctx, carried, of_data, sizes)
            values.update(zip(idents, carried))
            again, *given = ctx.importer.walk(block)
            given += [values[ident] for ident in written]
            found = [_axes(ctx, *ways) for ways in zip(starts, carried, given)]
            if all(set(new) <= set(axes) for new, axes in zip(found, of_data)):
                _next_turn(ctx, again, given, going, carried, of_data, sizes)
                break
        of_data = [sorted({*new, *axes}) for new, axes in zip(found, of_data)]
        discard(b, sub)
        values.clear()
        values.update(before[0])
        ctx.importer.problems, b.notes = dict(before[1]), list(before[2])
    numbers = [true_sizes(b, v, axes) for v, axes in zip(starts, of_data) if axes and isinstance(v, Value)]
    _put(ctx, ctx.one(b.cast(condition, DType.BOOL)), going)
    for value, variable, axes in zip(starts, carried, of_data):
        if value is not variable:
            _put(ctx, filled(b, value, axes) if axes and isinstance(value, Value) else value, variable)
    for value, variable in zip(numbers, sizes):
        _put(ctx, value, variable)
    names = {v.name for v in [*carried, *sizes]}
    stores = list({v.name: v for v in _outer(ctx, arrays) if v.name not in names}.values())
    scopes = b.unique("scopes")
    b.block.add_var(Var.of_kind(scopes, VarKind.STEP_SCOPES))
    outer = [v for v in _outside(ctx, sub) if v.name not in names | {going.name}]
    b.raw_op(
        "while",
        {"X": [*outer, *carried, *sizes], "Condition": [going]},
        {"Out": [*carried, *sizes, *stores, going], "StepScopes": [Value(scopes, DType.FP32, None)]},
        sub_block=sub,
        is_test=True,
    )
    _know(ctx, carried, of_data, sizes)
    values.update(zip(written, carried[len(block.args) :]))
    return tuple(carried[: len(block.args)])


def _loop_variable(ctx: Context, block: OperationBlock, k: int, start: Operand, axes: list[int]) -> Value:
    """What holds value *k* of a loop from turn to turn: an array itself, else a variable of the block around."""
    if isinstance(start, Value) and is_array(ctx, start):
        return start
    if k < len(block.args):
        made = _carrier(ctx, block.args[k][1])
    else:
        assert isinstance(start, Value)
        made = _like(ctx, start)
    made.shape = _joined_shape(ctx, made.shape, axes, ())
    return made


def _know(ctx: Context, carried: list[Value], of_data: list[list[int]], sizes: list[Value]) -> None:
    """The sizes of a loop's variables can be read off them here, the true ones of those from data beside."""
    numbers = iter(sizes)
    for value, axes in zip(carried, of_data):
        if axes:
            register_sizes(ctx.b, value, axes, next(numbers))
        if not is_array(ctx, value):
            emit.bind_shape(ctx.b, value)


def _next_turn(
    ctx: Context,
    again: Operand,
    given: list[Operand],
    going: Value,
    carried: list[Value],
    of_data: list[list[int]],
    sizes: list[Value],
) -> None:
    """The end of a body: all new values are computed before the first one replaces an old one."""
    b = ctx.b
    numbers = [true_sizes(b, v, axes) for v, axes in zip(given, of_data) if axes and isinstance(v, Value)]
    full = [filled(b, v, axes) if axes and isinstance(v, Value) else v for v, axes in zip(given, of_data)]
    held = [_held(ctx, v, [*carried, *sizes]) for v in [*full, *numbers]]
    for value, out in zip(held, [*carried, *sizes]):
        _put(ctx, value, out)
    assert isinstance(again, Value)
    _put(ctx, ctx.one(b.cast(again, DType.BOOL)), going)


def _held(ctx: Context, value: Operand, carried: list[Value]) -> Operand:
    """A copy of a loop variable that another one is to become."""
    if isinstance(value, Value) and any(value.name == c.name for c in carried) and not is_array(ctx, value):
        return ctx.op("assign", X=value)
    return value


@paddle_op("select_input")
def select_input(ctx: Context, mask: Value, *values: Value) -> Value:
    out = _carrier(ctx, ctx.operation.outputs[0][1])
    ctx.b.raw_op("select_input", {"X": list(values), "Mask": [ctx.b.cast(mask, DType.INT32)]}, {"Out": [out]})
    return out


# tensor arrays: variables of their own kind, written in place ------------------------------------------------------


@paddle_op("create_array")
def create_array(ctx: Context, *, dtype: Optional[DType]) -> Value:
    b = ctx.b
    name = b.unique("array")
    b.program.main.add_var(Var.of_kind(name, VarKind.LOD_TENSOR_ARRAY))
    return Value(name, dtype or DType.FP32, None)


@paddle_op("array_write_", "write_to_array")
def array_write(ctx: Context, *operands: Any) -> Value:
    if ctx.operation.name == "pd_op.array_write_":
        array, x, i = operands
    else:
        i, x = operands
        array = create_array(ctx, dtype=x.dtype)
    index = ctx.one(ctx.b.cast(i, DType.INT64))
    ctx.b.raw_op("write_to_array", {"X": [x], "I": [index]}, {"Out": [array]})
    return array


@paddle_op("array_read", "read_array")
def array_read(ctx: Context, array: Value, i: Value) -> Value:
    out = _carrier(ctx, ctx.operation.outputs[0][1])
    index = ctx.one(ctx.b.cast(i, DType.INT64))
    ctx.b.raw_op("read_from_array", {"X": [array], "I": [index]}, {"Out": [out]})
    return out


@paddle_op("array_length", "lod_array_length")
def array_length(ctx: Context, array: Value) -> Value:
    out = ctx.b.variable("array.length", DType.INT64, (1,))
    ctx.b.raw_op("lod_array_length", {"X": [array]}, {"Out": [out]})
    return out


@paddle_op("array_to_tensor")
def array_to_tensor(ctx: Context, array: Value, *, axis: int, use_stack: bool) -> tuple:
    out = _carrier(ctx, ctx.operation.outputs[0][1])
    sizes = ctx.b.variable("array.sizes", DType.INT32, (-1,))
    ctx.b.raw_op(
        "tensor_array_to_tensor", {"X": [array]}, {"Out": [out], "OutIndex": [sizes]}, axis=axis, use_stack=use_stack
    )
    return out, sizes
