"""Control flow: If, Loop and Scan."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional

import numpy as np

from mconv import emit
from mconv.emit import control, slicing
from mconv.onnx.context import Context
from mconv.onnx.registry import onnx_op
from mconv.onnx.sequence import TensorSequence
from mconv.program import dims as D
from mconv.program.dtypes import DType
from mconv.program.value import Value

UNROLL_TURNS = 32  # turns up to which a loop of known length is written out, …
UNROLL_NODES = 2000  # … if that makes no more nodes than this


def _constant_flag(x: Optional[Value]) -> Optional[bool]:
    """A condition that is known now."""
    return bool(np.asarray(x.const).reshape(-1)[0]) if x is not None and x.is_const else None


@onnx_op("If")
def if_(ctx: Context, cond: Value, *, then_branch: Any, else_branch: Any) -> tuple[Value, ...]:
    known = _constant_flag(cond)
    if known is not None:
        return tuple(ctx.import_graph(then_branch if known else else_branch, []))
    squeezed = _squeezed_where_one(ctx, then_branch, else_branch)
    if squeezed is not None:
        return squeezed
    return tuple(
        control.cond(ctx, cond, lambda: ctx.import_graph(then_branch, []), lambda: ctx.import_graph(else_branch, []))
    )


def _squeezed_where_one(ctx: Context, then_branch: Any, else_branch: Any) -> Optional[tuple[Value, ...]]:
    """``x.squeeze(axis)`` as torch's scripting exporter writes it: Squeeze where the size is 1, else Identity.

    The ranks of the two differ, so that what comes after was written for one of them: for the squeezed one. None for
    other branches.
    """
    nodes = [[n for n in branch.node if n.op_type != "Constant"] for branch in (then_branch, else_branch)]
    names = [[n.op_type for n in found] for found in nodes]
    if names != [["Squeeze"], ["Identity"]] or nodes[0][0].input[0] != nodes[1][0].input[0]:
        return None
    if not _asks_for_one(ctx, ctx.node.input[0], nodes[0][0].input[0]):
        return None
    (made,) = ctx.import_graph(then_branch, [])
    size = f"the size of {nodes[0][0].input[0]!r} that is removed"
    ctx.notes.append(f"{ctx.node.name or 'If'}: {size} is taken to be 1: only then the rest of the graph fits")
    return (made,)


_CARRIERS = ("Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze")


def _asks_for_one(ctx: Context, condition: str, name: str) -> bool:
    """Whether a condition is that a size of the tensor *name* is 1: ``Equal(Gather(Shape(name), axis), 1)``."""
    scope = ctx.scope
    assert scope is not None

    def made_by(tensor: str) -> Any:
        node = scope.producer(tensor)
        while node is not None and node.op_type in _CARRIERS:
            node = scope.producer(node.input[0])
        return node

    equal = made_by(condition)
    if equal is None or equal.op_type != "Equal":
        return False
    first, second = equal.input
    for one, size in ((first, second), (second, first)):
        value, part = scope.find(one), made_by(size)
        if not isinstance(value, Value) or not value.is_const or np.asarray(value.const).tolist() not in (1, [1]):
            continue
        if part is not None and part.op_type in ("Gather", "Slice"):
            part = made_by(part.input[0])
        if part is not None and part.op_type == "Shape" and part.input[0] == name:
            return True
    return False


# Loop --------------------------------------------------------------------------------------------------------------


@onnx_op("Loop")
def loop(
    ctx: Context, trip_count: Optional[Value] = None, cond: Optional[Value] = None, *initial: Value, body: Any
) -> tuple[Value, ...]:
    start = _constant_flag(cond)
    if start is False:
        trip_count, cond = ctx.constant(np.array(0, np.int64)), None
    turns = ctx.known_dims(trip_count)
    count = turns[0] if turns is not None and isinstance(turns[0], int) else None
    endless = cond is None or start is True
    carried = len(initial)
    always = ctx.constant(np.array(True))

    def turn(i: Value, state: list[Value]) -> tuple[Optional[Value], list[Value], list[Value]]:
        out = ctx.import_graph(body, [i, always if stays else flag, *state])
        return None if stays else out[0], out[1 : carried + 1], out[carried + 1 :]

    stays = endless and _goes_on(body)
    flag = always
    has_sequence = any(isinstance(v, TensorSequence) for v in initial)
    if stays and count is not None and _worth_unrolling(body, count, has_sequence):
        state, columns = control.unrolled(ctx, turn, initial, count)
        if not count and len(body.output) > carried + 1:
            return (*state, *_nothing_collected(ctx, carried, len(body.output) - carried - 1))
        return (*state, *(_stack(ctx, values, 0) for values in columns))
    if has_sequence:
        raise ctx.refuse("a sequence grows in a loop whose number of turns is known only at run time")
    limit = trip_count if count is None or count < 2**62 else None
    if limit is None and endless and stays:
        raise ctx.refuse("a loop without end")
    if stays:
        finals, collected = control.loop(ctx, turn, initial, limit)
    else:
        # the condition is a carried value too: a body may read it
        first = cond if cond is not None else always

        def conditional(i: Value, state: list[Value]) -> tuple[Optional[Value], list[Value], list[Value]]:
            nonlocal flag
            flag = state[0]
            go_on, after, gathered = turn(i, state[1:])
            assert go_on is not None
            return go_on, [emit.reshape(ctx, ctx.cast(go_on, DType.BOOL), flag.shape or ()), *after], gathered

        finals, collected = control.loop(ctx, conditional, [first, *initial], limit, first)
        finals = finals[1:]
    return (*finals, *collected)


def _goes_on(body: Any) -> bool:
    """Whether a body's condition is the one it was given, or a constant true: then only the count ends the loop."""
    producers = {o: n for n in body.node for o in n.output}
    name = body.output[0].name
    while name in producers and producers[name].op_type == "Identity":
        name = producers[name].input[0]
    if len(body.input) > 1 and name == body.input[1].name:
        return True
    tensors = [t for t in body.initializer if t.name == name]
    node = producers.get(name)
    if node is not None and node.op_type == "Constant":
        tensors = [a.t for a in node.attribute if a.name == "value"]
    if not tensors:
        return False
    from mconv.onnx.types import to_array

    return bool(to_array(tensors[0], name).reshape(-1)[0])


def _worth_unrolling(body: Any, count: int, needed: bool = False) -> bool:
    limit = 1024 if needed else UNROLL_TURNS
    return count <= limit and count * max(len(body.node), 1) <= UNROLL_NODES


def _stack(ctx: Context, values: Sequence[Value], axis: int) -> Value:
    return emit.concat(ctx, [emit.unsqueeze(ctx, v, [axis]) for v in values], axis)


def _nothing_collected(ctx: Context, first: int, count: int) -> list[Value]:
    """The outputs that a loop of no turns collects: empty tensors."""
    made = []
    for i in range(first, first + count):
        shape = ctx.declared(i)
        kind = ctx.type_out(i)
        if not ctx.wants(i):
            shape, kind = (0,), 1
        if shape is None or kind is None:
            raise ctx.refuse("a loop of no turns collects values whose shape is not known")
        from mconv.onnx.types import paddle_dtype

        made.append(emit.fill(ctx, (0, *shape[1:]), 0, paddle_dtype(kind, "Loop")[0]))
    return made


# Scan --------------------------------------------------------------------------------------------------------------


@onnx_op("Scan", since=9)
def scan(
    ctx: Context,
    *inputs: Value,
    body: Any,
    num_scan_inputs: int,
    scan_input_axes: Optional[list[int]] = None,
    scan_input_directions: Optional[list[int]] = None,
    scan_output_axes: Optional[list[int]] = None,
    scan_output_directions: Optional[list[int]] = None,
) -> tuple[Value, ...]:
    axes, backwards = scan_input_axes or [0] * num_scan_inputs, scan_input_directions or [0] * num_scan_inputs
    initial, scanned = inputs[: len(inputs) - num_scan_inputs], inputs[len(inputs) - num_scan_inputs :]
    length: Optional[D.Dim] = None
    for value, axis in zip(scanned, axes):
        size = (value.shape or ())[axis % ctx.rank(value)]
        length = size if length is None or isinstance(size, int) else length
    if length is None:
        raise ctx.refuse("nothing to scan")
    # every scanned input lies with its first element first, along its first dimension
    rows = []
    for value, axis, back in zip(scanned, axes, backwards):
        axis = axis % ctx.rank(value)
        value = slicing.flip(ctx, value, [axis]) if back else value
        rows.append(emit.transpose(ctx, value, [axis, *(i for i in range(ctx.rank(value)) if i != axis)]))

    def turn(i: Value, state: list[Value]) -> tuple[Optional[Value], list[Value], list[Value]]:
        elements = [emit.gather(ctx, v, i, 0, wrap=False) for v in rows]
        out = ctx.import_graph(body, [*state, *elements])
        return None, out[: len(initial)], out[len(initial) :]

    if isinstance(length, int) and _worth_unrolling(body, length) and length:
        finals, columns = control.unrolled(ctx, turn, initial, length)
        collected = [_stack(ctx, values, 0) for values in columns]
    else:
        finals, collected = control.loop(ctx, turn, initial, emit.dim_tensor(ctx, length))
        for value in collected:
            value.shape = (length, *(value.shape or ())[1:])
    outs = []
    for k, value in enumerate(collected):
        if scan_output_directions and scan_output_directions[k]:
            value = slicing.flip(ctx, value, [0])
        axis = (scan_output_axes[k] if scan_output_axes else 0) % ctx.rank(value)
        rest = list(range(1, ctx.rank(value)))
        outs.append(emit.transpose(ctx, value, [*rest[:axis], 0, *rest[axis:]]))
    return (*finals, *outs)


@onnx_op("Scan", since=8)
def scan_8(
    ctx: Context,
    lengths: Optional[Value] = None,
    *inputs: Value,
    body: Any,
    num_scan_inputs: int,
    directions: Optional[list[int]] = None,
) -> tuple[Value, ...]:
    if lengths is not None:
        raise ctx.refuse("sequences of different lengths")
    batch = next((v.shape[0] for v in inputs if v.shape and isinstance(v.shape[0], int)), None)
    if not isinstance(batch, int) or not 0 < batch <= UNROLL_TURNS:
        raise ctx.refuse(f"a batch of {batch if batch is not None else 'a size that is known only at run time'}")
    rows = []
    for i in range(batch):
        one = [emit.gather(ctx, v, ctx.constant(np.array(i, np.int64)), 0) for v in inputs]
        rows.append(scan(ctx, *one, body=body, num_scan_inputs=num_scan_inputs, scan_input_directions=directions))
    return tuple(_stack(ctx, column, 0) for column in zip(*rows))
