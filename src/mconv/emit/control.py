"""Control flow: ``conditional_block`` with ``select_input``, and ``while`` with tensor arrays."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Callable, NamedTuple, Optional

import numpy as np

from mconv.emit.elementwise import compare, logical
from mconv.emit.known import bind_shape, computable, need_rank
from mconv.emit.shape import fill, reshape
from mconv.emit.sizes import shape_tensor
from mconv.emit.slicing import slice_
from mconv.emit.zero_size import counted, from_data, register, size_held, true_size
from mconv.errors import UnsupportedError
from mconv.program import dims as D
from mconv.program import signatures
from mconv.program.builder import Builder
from mconv.program.dtypes import DType, VarKind
from mconv.program.program import Block, Var
from mconv.program.value import Value

# (counter, carried values) → (whether to go on, the carried values for the next turn, what is collected)
Body = Callable[[Value, list[Value]], tuple[Optional[Value], list[Value], list[Value]]]


@contextlib.contextmanager
def inside(b: Builder, block: Block) -> Iterator[None]:
    """Operators go into *block*, and sizes measured in it are forgotten behind it."""
    outer, origins = b.block, dict(b.origins)
    b.block = block
    try:
        yield
    finally:
        b.block = outer
        b.origins = origins


def _flag(b: Builder, condition: Value) -> Value:
    """A condition as a bool tensor of one element."""
    return reshape(b, b.cast(condition, DType.BOOL), [1])


def _unnamed(b: Builder, kind: VarKind, hint: str) -> Value:
    name = b.unique(hint)
    b.block.add_var(Var.of_kind(name, kind))
    return Value(name, DType.FP32, None)


def _captured(b: Builder, block: Block) -> list[Value]:
    """The variables around *block* that its operators read."""

    def reads(inner: Block) -> Iterator[str]:
        for op in inner.ops:
            yield from (n for n in op.input_names if n not in inner.vars)
            for sub in op.blocks:
                yield from (n for n in reads(b.program.blocks[sub]) if n not in inner.vars)

    names = dict.fromkeys(n for n in reads(block) if n)
    return [Value(n, DType.FP32, None) for n in names]


def _meet(values: Sequence[Value]) -> tuple[DType, tuple[D.Dim, ...]]:
    """Type and shape that hold for every one of *values*: dimensions that differ are symbols of their own."""
    first = values[0]
    shape = list(need_rank(first, "control flow"))
    for other in values[1:]:
        dims = need_rank(other, "control flow")
        if other.dtype is not first.dtype or len(dims) != len(shape):
            raise UnsupportedError(
                f"a value is {first.dtype.label} of rank {len(shape)} on one way and {other.dtype.label} "
                f"of rank {len(dims)} on another"
            )
        shape = [s if s == d else D.Sym.fresh("join") for s, d in zip(shape, dims)]
    return first.dtype, tuple(shape)


def cond(
    b: Builder, condition: Value, then: Callable[[], list[Value]], otherwise: Callable[[], list[Value]]
) -> list[Value]:
    """The values of one of two branches; only that one is run.

    Args:
        condition: one bool.
        then, otherwise: emit the operators of a branch and give its values, of the same types and ranks in both.
    """
    flag = _flag(b, condition)
    blocks, results, origins = [], [], []
    for branch in (then, otherwise):
        block = b.program.add_block(b.block)
        with inside(b, block):
            results.append(branch())
            origins.append(b.origins)
        blocks.append(block)
    if len(results[0]) != len(results[1]):
        raise UnsupportedError("the two branches do not give as many values")
    pairs = list(zip(*results))
    specs, open_axes = [_meet(pair) for pair in pairs], [axes_of_data(b, pair) for pair in pairs]
    variables = []
    for block, values, known, chosen in zip(blocks, results, origins, (flag, logical(b, "logical_not", flag))):
        outs = [b.variable("branch", v.dtype, carried_shape(v, axes)) for v, axes in zip(values, open_axes)]
        sizes = [b.variable("branch.sizes", DType.INT64, (len(axes),)) for axes in open_axes if axes]
        with inside(b, block):
            b.origins.update(known)
            held = [true_sizes(b, v, axes) for v, axes in zip(values, open_axes) if axes]
            values = [filled(b, v, axes) for v, axes in zip(values, open_axes)]
            for value, out in zip([*values, *held], [*outs, *sizes]):
                b.raw_op("assign", {"X": [value]}, {"Out": [out]})
        b.raw_op(
            "conditional_block",
            {"Cond": [chosen], "Input": _captured(b, block)},
            {"Out": [*outs, *sizes], "Scope": [_unnamed(b, VarKind.STEP_SCOPES, "branch.scope")]},
            sub_block=block,
            is_scalar_condition=True,
        )
        variables.append([*outs, *sizes])
    mask = b.cast(flag, DType.INT32)
    specs += [(DType.INT64, (len(axes),)) for axes in open_axes if axes]
    made = []
    for no, yes, spec in zip(variables[1], variables[0], specs):
        made.append(bind_shape(b, b.op("select_input", X=[no, yes], Mask=mask, result=spec)))
    numbers = iter(made[len(pairs) :])
    for value, axes in zip(made, open_axes):
        if axes:
            register_sizes(b, value, axes, next(numbers))
    return made[: len(pairs)]


# sizes from data that blocks hand out: beside the tensor, which carries padding, its true ones -----------------------


def axes_of_data(b: Builder, ways: Sequence[Value]) -> list[int]:
    """The axes along which a tensor has, on one of some ways, a size that comes from data or is 0, and others on others."""
    axes = []
    for axis, dims in enumerate(zip(*(v.shape or () for v in ways))):
        if any(d != dims[0] for d in dims) and (0 in dims or counted(b, dims)):
            axes.append(axis)
    return axes


def carried_shape(x: Value, axes: Sequence[int]) -> tuple[D.Dim, ...]:
    """The shape of *x* with padding where it is known to have no elements along *axes*."""
    return tuple(1 if i in axes and d == 0 else d for i, d in enumerate(x.shape or ()))


def filled(b: Builder, x: Value, axes: Sequence[int]) -> Value:
    """*x*, or padding where it is known to have no elements along *axes*."""
    shape = carried_shape(x, axes)
    return x if shape == x.shape else fill(b, shape, 0, x.dtype)


def true_sizes(b: Builder, x: Value, axes: Sequence[int]) -> Value:
    """How much of *x* is no padding, along each of *axes*: int64 [their number]."""
    dims = [(x.shape or ())[axis] for axis in axes]
    return shape_tensor(b, [D.maximum(true_size(b, d), 0) if counted(b, [d]) else d for d in dims])


def register_sizes(b: Builder, x: Value, axes: Sequence[int], sizes: Value) -> None:
    """The sizes of *x* along *axes*, by names of their own, come from data; *sizes* holds the true ones."""
    for k, axis in enumerate(axes):
        size = (x.shape or ())[axis]
        assert isinstance(size, D.Sym)
        register(b, size, size_held(b, slice_(b, sizes, [0], [k], [k + 1]) if len(axes) > 1 else sizes))


def loop(
    b: Builder,
    body: Body,
    carried: Sequence[Value],
    trips: Optional[Value] = None,
    condition: Optional[Value] = None,
) -> tuple[list[Value], list[Value]]:
    """Run *body* while *condition* (one bool) holds, at most *trips* times (one int64).

    *body* gets the number of the turn, int64 and 0-d. It may be called more than once: a carried value whose shape
    does not stay the same from turn to turn gets symbolic dimensions, and the body is emitted anew for them.

    Returns:
        the carried values after the last turn; what was collected, stacked along a new first dimension, which may be
        0 where nothing says that there is a turn.
    """
    if trips is None and condition is None:
        raise UnsupportedError("a loop without end")
    shapes = [list(need_rank(v, "Loop")) for v in carried]
    changing: set[tuple[int, int]] = set()  # (carried value, dimension)
    of_data: list[list[int]] = [[] for _ in carried]  # those of them that come from data
    while True:
        block = b.program.add_block(b.block)
        counter = b.variable("loop.i", DType.INT64, (1,))
        state = [b.variable("loop.value", v.dtype, s) for v, s in zip(carried, shapes)]
        sizes = [b.variable("loop.sizes", DType.INT64, (len(axes),)) for axes in of_data if axes]
        with inside(b, block):
            held = iter(sizes)
            for value, axes in zip(state, of_data):
                if axes:
                    register_sizes(b, value, axes, next(held))
                bind_shape(b, value)
            go_on, results, collected = body(reshape(b, counter, ()), list(state))
            if len(results) != len(carried):
                raise UnsupportedError("the body does not give as many values as it takes")
            after_turn = [true_sizes(b, v, axes) for v, axes in zip(results, of_data) if axes]
            results = [filled(b, v, axes) for v, axes in zip(results, of_data)]
            inner = [[a for a, d in enumerate(v.shape or ()) if counted(b, [d])] for v in collected]
            gathered = [true_sizes(b, v, axes) for v, axes in zip(collected, inner) if axes]
        differ, found = set(), False
        for i, (first, before, after) in enumerate(zip(carried, state, results)):
            _meet([before, after])
            pairs = zip(before.shape or (), after.shape or ())
            differ |= {(i, axis) for axis, (old, new) in enumerate(pairs) if old != new}
            moving = [axis for k, axis in changing | differ if k == i]
            axes = [a for a in axes_of_data(b, [first, before, after]) if a in moving]
            found |= axes != of_data[i]
            of_data[i] = sorted({*of_data[i], *axes})
        if differ <= changing and not found:
            break
        for i, axis in differ - changing:
            shapes[i][axis] = D.Sym.fresh("turn")
        changing |= differ
        discard(b, block)
    turn = _Turn(go_on, [*results, *after_turn, *gathered], collected)
    starts = [true_sizes(b, v, axes) for v, axes in zip(carried, of_data) if axes]
    carried = [filled(b, v, axes) for v, axes in zip(carried, of_data)]
    unknown = [b.constant(np.zeros(len(axes), np.int64)) for axes in inner if axes]
    state += [*sizes, *(b.variable("loop.sizes", DType.INT64, v.shape) for v in unknown)]
    finals, stacked = _emit_while(b, block, counter, state, turn, [*carried, *starts, *unknown], trips, condition)
    numbers = iter(finals[len(carried) :])
    for value, axes in zip(finals, of_data):
        if axes:
            register_sizes(b, value, axes, next(numbers))
    for value, axes in zip(stacked, inner):
        if axes:
            _register_collected(b, value, [a + 1 for a in axes], next(numbers))
    return finals[: len(carried)], stacked


def _register_collected(b: Builder, x: Value, axes: Sequence[int], sizes: Value) -> None:
    """The true sizes of what is collected, as of the last turn, where nothing outside of the loop knows them."""
    for k, axis in enumerate(axes):
        size = (x.shape or ())[axis]
        if isinstance(size, D.Sym) and not counted(b, [size]):
            register(b, size, size_held(b, slice_(b, sizes, [0], [k], [k + 1])))


class _Turn(NamedTuple):
    """What a body gives: whether to go on, the carried values, what is collected."""

    go_on: Optional[Value]
    results: list[Value]
    collected: list[Value]


def discard(b: Builder, block: Block) -> None:
    """Forget *block*, the last one made, and those inside of it."""
    for inner in b.program.blocks[block.idx :]:
        for key in [k for k in b._made if k[0] == inner.idx]:
            del b._made[key]
    del b.program.blocks[block.idx :]


def _emit_while(
    b: Builder,
    block: Block,
    counter: Value,
    state: list[Value],
    turn: _Turn,
    carried: Sequence[Value],
    trips: Optional[Value],
    condition: Optional[Value],
) -> tuple[list[Value], list[Value]]:
    go_on, results, collected = turn
    limit = None if trips is None else reshape(b, b.cast(trips, DType.INT64), [1])
    running = b.variable("loop.running", DType.BOOL, (1,))

    def assign(value: Value, variable: Value) -> None:
        b.raw_op("assign", {"X": [value]}, {"Out": [variable]})

    def whether(flag: Optional[Value]) -> Value:
        more = None if limit is None else compare(b, "less_than", counter, limit)
        if flag is None or (flag.is_const and bool(np.all(flag.const)) and more is not None):
            assert more is not None
            return more
        one = _flag(b, flag)
        return one if more is None else logical(b, "logical_and", more, one)

    assign(b.constant(np.zeros(1, np.int64)), counter)
    for value, variable in zip(carried, state):
        assign(value, variable)
    arrays, elements = [_unnamed(b, VarKind.LOD_TENSOR_ARRAY, "loop.collected") for _ in collected], []
    for array, value in zip(arrays, collected):
        kinds = signatures.cpu_dtypes(b.target, "stack")
        wide = value.dtype if kinds is None or value.dtype in kinds else _stackable(value.dtype)
        elements.append(wide)
        var = b.block.vars[array.name or ""]
        var.desc.type.tensor_array.tensor.data_type = int(wide)
    assign(whether(condition), running)
    idle = bool(arrays) and not _turns(b, trips, condition)
    if idle:  # what stands for the first turn where there is none
        first = b.constant(np.zeros(1, np.int64))
        for array, value, wide in zip(arrays, collected, elements):
            dims = [d if isinstance(d, int) or d in b.origins else 1 for d in need_rank(value, "Loop")]
            b.raw_op("write_to_array", {"X": [fill(b, dims, 0, wide)], "I": [first]}, {"Out": [array]})
    with inside(b, block):
        for array, value, wide in zip(arrays, collected, elements):
            b.raw_op("write_to_array", {"X": [b.cast(value, wide)], "I": [counter]}, {"Out": [array]})
        own = {v.name for v in state}
        # a value that another slot is about to be overwritten with is copied first
        kept = [b.op("assign", X=r) if r.name in own and r.name != s.name else r for r, s in zip(results, state)]
        for value, variable in zip(kept, state):
            if value.name != variable.name:
                assign(value, variable)
        b.raw_op("increment", {"X": [counter]}, {"Out": [counter]}, step=1.0)
        assign(whether(go_on), running)
    variables = [*state, counter, running, *arrays]
    names = {v.name for v in variables}
    inputs = [v for v in _captured(b, block) if v.name not in names]
    b.raw_op(
        "while",
        {"X": [*state, counter, *inputs], "Condition": [running]},
        {"Out": variables, "StepScopes": [_unnamed(b, VarKind.STEP_SCOPES, "loop.scopes")]},
        sub_block=block,
        is_test=True,
    )
    finals = []
    for variable, value in zip(state, carried):
        dims = [d if d == c else D.Sym.fresh("loop") for d, c in zip(variable.shape or (), value.shape or ())]
        finals.append(bind_shape(b, Value(variable.name, variable.dtype, dims)))
    turns = D.Sym.fresh("turns")
    if idle:
        register(b, turns, size_held(b, counter))
    return finals, [_stacked(b, a, v, w, turns) for a, v, w in zip(arrays, collected, elements)]


def _turns(b: Builder, trips: Optional[Value], condition: Optional[Value]) -> bool:
    """Whether there is a first turn for certain: the condition is none that could fail, the count above 0."""
    if condition is not None and not (condition.is_const and bool(np.all(condition.const))):
        return False
    if trips is None:
        return True
    if trips.is_const:
        return bool(np.all(np.asarray(trips.const) > 0))
    # the size of an input; the size of a selection may truly be 0
    return trips.data is not None and not counted(b, trips.data) and not from_data(b, trips)


def _stackable(dtype: DType) -> DType:
    return DType.FP32 if dtype.is_float else DType.INT64 if dtype is DType.INT64 else DType.INT32


def _stacked(b: Builder, array: Value, element: Value, wide: DType, turns: D.Dim) -> Value:
    """The elements of a tensor array along a new first dimension."""
    inner = need_rank(element, "Loop")
    # sizes that only the body knows are measured on the result
    known = [isinstance(d, int) or d in b.origins or counted(b, [d]) and computable(b, d) for d in inner]
    inner = tuple(d if k else D.Sym.fresh("collected") for d, k in zip(inner, known))
    shape = inner if inner or b.target.has_0d else (1,)
    spec = {"Out": (wide, (turns, *shape)), "OutIndex": (DType.INT32, (D.Sym.fresh("index"),))}
    made = b.op_outputs("tensor_array_to_tensor", X=array, axis=0, use_stack=True, results=spec)[0]
    return b.cast(reshape(b, bind_shape(b, made), (turns, *inner)), element.dtype)


def unrolled(b: Builder, body: Body, carried: Sequence[Value], trips: int) -> tuple[list[Value], list[list[Value]]]:
    """*body* written out *trips* times; gives the carried values and, per collected value, one value per turn."""
    state = list(carried)
    collected: list[list[Value]] = []
    for i in range(trips):
        _, state, gathered = body(b.constant(np.array(i, np.int64)), state)
        collected.append(gathered)
    return state, [list(column) for column in zip(*collected)]
