"""Sequences and optional values: resolved at conversion time, where their lengths are known."""

from __future__ import annotations

from typing import Any, Optional

import numpy as np

from mconv import budget, emit
from mconv.emit.slicing import split_evenly
from mconv.errors import CorruptModelError
from mconv.onnx.context import Context
from mconv.onnx.registry import onnx_op
from mconv.onnx.sequence import TensorSequence
from mconv.program import dims as D
from mconv.program.builder import OPERATIONS_OF_AN_OP
from mconv.program.value import Value


def _items(ctx: Context, x: Value) -> list[Value]:
    if not isinstance(x, TensorSequence):
        raise ctx.refuse("its input is no sequence whose length is known at conversion time")
    return list(x.items)


def _index(ctx: Context, position: Value, size: int) -> int:
    index = ctx.static_ints(position, "the position")[0]
    if not -size <= index < size:
        raise ctx.refuse(f"position {index} in a sequence of {size}")
    return index % size


@onnx_op("SequenceEmpty", since=11)
def sequence_empty(ctx: Context, *, dtype: int = 1) -> Value:
    return TensorSequence([])


@onnx_op("SequenceConstruct", since=11)
def sequence_construct(ctx: Context, *inputs: Value) -> Value:
    return TensorSequence(inputs)


@onnx_op("SequenceInsert", since=11)
def sequence_insert(ctx: Context, sequence: Value, tensor: Value, position: Optional[Value] = None) -> Value:
    items = _items(ctx, sequence)
    index = len(items) if position is None else ctx.static_ints(position, "the position")[0]
    if not -len(items) <= index <= len(items):
        raise ctx.refuse(f"position {index} in a sequence of {len(items)}")
    items.insert(index, tensor)
    return TensorSequence(items)


@onnx_op("SequenceErase", since=11)
def sequence_erase(ctx: Context, sequence: Value, position: Optional[Value] = None) -> Value:
    items = _items(ctx, sequence)
    if not items:
        raise ctx.refuse("the sequence is empty")
    del items[-1 if position is None else _index(ctx, position, len(items))]
    return TensorSequence(items)


@onnx_op("SequenceAt", since=11)
def sequence_at(ctx: Context, sequence: Value, position: Value) -> Value:
    items = _items(ctx, sequence)
    return items[_index(ctx, position, len(items))]


@onnx_op("SequenceLength", since=11)
def sequence_length(ctx: Context, sequence: Value) -> Value:
    return ctx.constant(np.array(len(_items(ctx, sequence)), np.int64))


@onnx_op("ConcatFromSequence", since=11)
def concat_from_sequence(ctx: Context, sequence: Value, *, axis: int, new_axis: int = 0) -> Value:
    items = _items(ctx, sequence)
    if not items:
        raise ctx.refuse("the sequence is empty")
    if new_axis:
        rank = ctx.rank(items[0]) + 1
        axis = axis % rank
        items = [emit.unsqueeze(ctx, v, [axis]) for v in items]
    return emit.concat(ctx, items, axis)


@onnx_op("SplitToSequence", since=11)
def split_to_sequence(
    ctx: Context, x: Value, split: Optional[Value] = None, *, axis: int = 0, keepdims: int = 1
) -> Value:
    axis = axis % max(ctx.rank(x), 1)
    size = (x.shape or ())[axis]
    if not isinstance(size, int):
        raise ctx.refuse("how long the sequence is, is known only at run time")
    if split is None and not size:
        return TensorSequence([])
    if split is None:
        budget.work(size * OPERATIONS_OF_AN_OP, f"a sequence of {size} tensors")
        pieces = split_evenly(ctx, x, size, axis)
        if not keepdims:
            pieces = [emit.squeeze(ctx, v, [axis]) for v in pieces]
        return TensorSequence(pieces)
    sizes = ctx.static_ints(split, "split")
    if not split.shape:  # one number: pieces of that size, the last one may be smaller
        if sizes[0] < 1:
            raise CorruptModelError(f"the size of its pieces is {sizes[0]}")
        budget.work(size // sizes[0] * OPERATIONS_OF_AN_OP, f"a sequence of {size // sizes[0]} tensors")
        sizes = [min(sizes[0], size - start) for start in range(0, size, sizes[0])]
    if D.product(sizes) != 0 and sum(sizes) != size:
        raise ctx.refuse(f"pieces of {sizes} do not make up {size}")
    return TensorSequence(emit.split(ctx, x, sizes, axis))


@onnx_op("SequenceMap", since=17)
def sequence_map(ctx: Context, sequence: Value, *others: Value, body: Any) -> tuple[Value, ...]:
    rows = []
    for i, item in enumerate(_items(ctx, sequence)):
        rest = [_items(ctx, v)[i] if isinstance(v, TensorSequence) else v for v in others]
        rows.append(ctx.import_graph(body, [item, *rest]))
    if not rows:
        return tuple(TensorSequence([]) for _ in body.output)
    return tuple(TensorSequence(column) for column in zip(*rows))


@onnx_op("Optional", since=15)
def optional(ctx: Context, x: Optional[Value] = None, *, type: Any = None) -> Value:
    if x is None:
        raise ctx.refuse("Paddle's programs have no optional values")
    return x


@onnx_op("OptionalGetElement", since=15)
def optional_get_element(ctx: Context, x: Value) -> Value:
    return x


@onnx_op("OptionalHasElement", since=15)
def optional_has_element(ctx: Context, x: Optional[Value] = None) -> Value:
    return ctx.constant(np.array(x is not None))
