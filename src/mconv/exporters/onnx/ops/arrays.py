"""Tensor arrays: sequences."""

from __future__ import annotations

from mconv.exporters.onnx.blocks import empty, holds
from mconv.exporters.onnx.context import Context
from mconv.exporters.onnx.errors import Unsupported
from mconv.exporters.onnx.ops.branch import if_
from mconv.exporters.onnx.registry import paddle_op
from mconv.exporters.onnx.subgraphs import Array, Held, node
from mconv.program import dims as D
from mconv.program.dtypes import DType
from mconv.program.value import Value


def _array(ctx: Context, name: str) -> Array:
    """The tensor array of a variable.

    Raises:
        Unsupported: it is none.
    """
    found = ctx.exporter.read(name)
    if not isinstance(found, Array):
        raise Unsupported("a tensor array that ONNX has no sequence for")
    return found


def _position(ctx: Context, index: Value) -> Value:
    return ctx.scalar(ctx.cast(index, DType.INT64))


def _length(ctx: Context, array: Array) -> Value:
    name = ctx.graph.unique(f"{ctx.base}.length")
    node(ctx.graph, "SequenceLength", [array.name], [name])
    made = Value(name, DType.INT64, ())
    ctx.graph.known[name] = made
    return made


@paddle_op("write_to_array", whole=True)
def write_to_array(ctx: Context) -> None:
    """At its end, or in the place of an element: which, is known at run time."""
    exporter, graph, op = ctx.exporter, ctx.graph, ctx.paddle
    x = exporter.read(op.input("X")[0])
    (target,) = op.output("Out")
    if not isinstance(x, Value):
        raise Unsupported("what is written into a tensor array is no tensor")
    before = holds(ctx, target)
    array = before if isinstance(before, Array) else empty(ctx, x.dtype)
    x = ctx.cast(x, array.dtype)
    index = _position(ctx, exporter.read(op.input("I")[0]))
    tensor = graph.name_of(x)
    if not isinstance(before, Array):
        made = graph.unique(target)
        node(graph, "SequenceInsert", [array.name, tensor], [made])
        exporter.write(target, Array(made, array.dtype))
        return
    ctx.needs(13, "If with sequences")
    there = ctx.op("Less", index, _length(ctx, array))
    position = graph.name_of(index)

    def replaced() -> list[Held]:
        without, inside = (graph.unique(f"{target}.{n}") for n in ("without", "with"))
        node(graph, "SequenceErase", [array.name, position], [without])
        node(graph, "SequenceInsert", [without, tensor, position], [inside])
        return [Array(inside, array.dtype)]

    def longer() -> list[Held]:
        inside = graph.unique(f"{target}.longer")
        node(graph, "SequenceInsert", [array.name, tensor], [inside])
        return [Array(inside, array.dtype)]

    (found,) = if_(ctx, there, replaced, longer)
    exporter.write(target, found)


@paddle_op("read_from_array", whole=True)
def read_from_array(ctx: Context) -> None:
    exporter, graph, op = ctx.exporter, ctx.graph, ctx.paddle
    array = _array(ctx, op.input("X")[0])
    position = _position(ctx, exporter.read(op.input("I")[0]))
    (target,) = op.output("Out")
    var = exporter.var(target)
    shape = None if var is None or var.shape is None else [d if d >= 0 else D.Sym.fresh(target) for d in var.shape]
    name = graph.unique(target)
    node(graph, "SequenceAt", [array.name, graph.name_of(position)], [name])
    made = Value(name, array.dtype, shape)
    graph.known[name] = made
    exporter.write(target, made)


@paddle_op("lod_array_length", whole=True)
def lod_array_length(ctx: Context) -> None:
    array = _array(ctx, ctx.paddle.input("X")[0])
    (target,) = ctx.paddle.output("Out")
    length = _length(ctx, array)
    var = ctx.exporter.var(target)
    scalar = ctx.exporter.has_0d and var is not None and var.shape == ()
    ctx.exporter.write(target, length if scalar else ctx.reshape(length, [1]))


@paddle_op("tensor_array_to_tensor", whole=True)
def tensor_array_to_tensor(ctx: Context) -> None:
    exporter, graph, op = ctx.exporter, ctx.graph, ctx.paddle
    array = _array(ctx, op.input("X")[0])
    (target,) = op.output("Out")
    axis, stack = int(op.attr("axis", 0)), bool(op.attr("use_stack", False))
    var = exporter.var(target)
    shape = None if var is None or var.shape is None else [d if d >= 0 else D.Sym.fresh(target) for d in var.shape]
    name = graph.unique(target)
    node(graph, "ConcatFromSequence", [array.name], [name], axis=axis, new_axis=int(stack))
    made = Value(name, array.dtype, shape)
    graph.known[name] = made
    exporter.write(target, made)
    for index in op.output("OutIndex"):
        if exporter.uses.get(index):
            if not stack:
                raise Unsupported("the sizes of the elements of a tensor array")
            count = ctx.reshape(_length(ctx, array), [1])
            exporter.write(index, ctx.cast(ctx.op("Expand", ctx.const([1], DType.INT64), count), DType.INT32))
