"""Linear algebra that ONNX has no operators for, by elimination: of matrices whose size is known, and small."""

from __future__ import annotations

import numpy as np

from mconv.exporters.onnx.context import Context
from mconv.exporters.onnx.errors import Unsupported
from mconv.exporters.onnx.registry import paddle_op
from mconv.exporters.onnx.subgraphs import body, info, node
from mconv.program.dtypes import DType
from mconv.program.value import Value

_LARGEST = 64  # rows of a matrix: each takes a dozen nodes


def _rows(x: Value) -> int:
    size = x.shape[-1] if x.shape else None
    if not isinstance(size, int) or size > _LARGEST:
        raise Unsupported(f"a matrix of {size if isinstance(size, int) else 'a size known only at run time'} rows")
    return size


def eliminated(ctx: Context, a: Value, b: Value) -> Value:
    """The solution of ``a @ x = b`` for every matrix of a batch, by Gauss and Jordan with the largest pivot."""
    n, rank = _rows(a), ctx.rank(a)
    whole = ctx.op("Concat", a, b, axis=rank - 1)
    positions = ctx.const(np.arange(n), DType.INT64)
    for k in range(n):
        column = ctx.op(
            "Abs", ctx.slice(ctx.op("Gather", whole, ctx.const(k, DType.INT64), axis=rank - 1), [k], [n], [rank - 2])
        )
        pivot = ctx.op("Add", ctx.op("ArgMax", column, axis=rank - 2, keepdims=1), k)  # […, 1]
        here = ctx.op("Equal", positions, ctx.const(k, DType.INT64))
        there = ctx.op("Equal", positions, pivot)
        order = ctx.op("Where", here, pivot, ctx.op("Where", there, ctx.const(k, DType.INT64), positions))
        order = ctx.op("Expand", ctx.unsqueeze(order, [ctx.rank(order)]), ctx.shape(whole))
        whole = ctx.op("GatherElements", whole, order, axis=rank - 2)
        row = ctx.slice(whole, [k], [k + 1], [rank - 2])
        row = ctx.op("Div", row, ctx.slice(row, [k], [k + 1], [rank - 1]))
        unit = np.zeros((n, 1), whole.dtype.numpy)
        unit[k] = 1  # the row itself becomes the pivot's
        factors = ctx.op("Sub", ctx.slice(whole, [k], [k + 1], [rank - 1]), unit)
        whole = ctx.op("Sub", whole, ctx.op("Mul", factors, row))
    return ctx.slice(whole, [n], [1 << 62], [rank - 1])


def _turned(ctx: Context, x: Value) -> Value:
    rank = ctx.rank(x)
    return ctx.transpose(x, [*range(rank - 2), rank - 1, rank - 2])


def _batched(ctx: Context, a: Value, b: Value) -> tuple[Value, Value]:
    """Both with the batch that they are broadcast to."""
    ranks = ctx.rank(a), ctx.rank(b)
    if max(ranks) == 2 or (a.shape or ())[:-2] == (b.shape or ())[:-2]:
        return a, b
    rank = max(ranks)
    a, b = (ctx.unsqueeze(v, list(range(rank - ctx.rank(v)))) for v in (a, b))
    outer = [ctx.op("Max", ctx.dim(a, i), ctx.dim(b, i)) for i in range(rank - 2)]
    return (
        ctx.op("Expand", a, ctx.vector([*outer, ctx.dim(a, -2), ctx.dim(a, -1)])),
        ctx.op("Expand", b, ctx.vector([*outer, ctx.dim(b, -2), ctx.dim(b, -1)])),
    )


@paddle_op("inverse", outputs=["Output"])
def inverse(ctx: Context, Input: Value) -> Value:
    n = _rows(Input)
    eye = ctx.const(np.eye(n), Input.dtype)
    return eliminated(ctx, Input, ctx.op("Expand", eye, ctx.shape(Input)))


@paddle_op("solve")
def solve(ctx: Context, X: Value, Y: Value) -> Value:
    if ctx.rank(Y) == 1:
        made = eliminated(ctx, *_batched(ctx, X, ctx.unsqueeze(Y, [1])))
        return ctx.squeeze(made, [ctx.rank(made) - 1])
    return eliminated(ctx, *_batched(ctx, X, Y))


@paddle_op("triangular_solve")
def triangular_solve(
    ctx: Context, X: Value, Y: Value, *, upper: bool = True, transpose: bool = False, unitriangular: bool = False
) -> Value:
    n = _rows(X)
    mask = np.triu(np.ones((n, n)), 1 if unitriangular else 0)
    x = ctx.op("Mul", X, ctx.const(mask if upper else mask.T, X.dtype))
    if unitriangular:
        x = ctx.op("Add", x, ctx.const(np.eye(n), X.dtype))
    return eliminated(ctx, *_batched(ctx, _turned(ctx, x) if transpose else x, Y))


@paddle_op("cholesky")
def cholesky(ctx: Context, X: Value, *, upper: bool = False) -> Value:
    """Column by column."""
    n, rank = _rows(X), ctx.rank(X)
    columns: list[Value] = []
    for j in range(n):
        column = ctx.slice(X, [j], [j + 1], [rank - 1])
        if columns:
            before = ctx.concat(columns, rank - 1)
            row = ctx.slice(before, [j], [j + 1], [rank - 2])
            column = ctx.op("Sub", column, ctx.op("MatMul", before, _turned(ctx, row)))
        root = ctx.op("Sqrt", ctx.slice(column, [j], [j + 1], [rank - 2]))
        below = np.tril(np.ones((n, n)))[:, j : j + 1]
        columns.append(ctx.op("Div", ctx.op("Mul", column, ctx.const(below, X.dtype)), root))
    made = ctx.concat(columns, rank - 1)
    return _turned(ctx, made) if upper else made


@paddle_op("cholesky_solve")
def cholesky_solve(ctx: Context, X: Value, Y: Value, *, upper: bool = False) -> Value:
    turned = _turned(ctx, Y)
    matrix = ctx.op("MatMul", turned, Y) if upper else ctx.op("MatMul", Y, turned)
    return eliminated(ctx, *_batched(ctx, matrix, X))


@paddle_op("slogdeterminant")
def slogdeterminant(ctx: Context, Input: Value) -> Value:
    found = ctx.op("Det", Input)
    logarithm = ctx.op("Log", ctx.op("Abs", found))
    return ctx.concat([ctx.unsqueeze(v, [0]) for v in (ctx.op("Sign", found), logarithm)], 0)


@paddle_op("gather_tree")
def gather_tree(ctx: Context, Ids: Value, Parents: Value) -> Value:
    """Beams back from the last step: one step at a time where their number is known, otherwise by ``Scan``."""
    steps = Ids.shape[0] if Ids.shape else None
    if not isinstance(steps, int) or steps > _LARGEST:
        return _scanned_tree(ctx, Ids, Parents)
    at = None
    found: list[Value] = []
    for step in reversed(range(steps)):
        ids, parents = (ctx.slice(v, [step], [step + 1], [0]) for v in (Ids, Parents))
        if at is None:
            found.append(ids)
            at = ctx.cast(parents, DType.INT64)
        else:
            found.append(ctx.op("GatherElements", ids, at, axis=2))
            at = ctx.cast(ctx.op("GatherElements", parents, at, axis=2), DType.INT64)
    return ctx.concat(found[::-1], 0)


def _scanned_tree(ctx: Context, ids: Value, parents: Value) -> Value:
    """``Scan`` from the last step to the first; what is carried is the position of each beam, [batch, beam]."""
    graph = ctx.graph
    batch, beams = ctx.dim(ids, 1), ctx.dim(ids, 2)
    every = ctx.arange(beams)
    start = ctx.op("Expand", ctx.unsqueeze(every, [0]), ctx.vector([batch, beams]))
    sizes = None if ids.shape is None else ids.shape[1:]
    with ctx.exporter.scope() as scope:
        inside = []
        for name, dtype in (("at", DType.INT64), ("ids", ids.dtype), ("parents", parents.dtype)):
            value = Value(graph.unique(f"{ctx.base}.{name}"), dtype, sizes)
            graph.known[value.name or ""] = value
            inside.append(value)
        at, step_ids, step_parents = inside
        chosen = ctx.op("GatherElements", step_ids, at, axis=1)
        before = ctx.cast(ctx.op("GatherElements", step_parents, at, axis=1), DType.INT64)
    proto = body(graph, scope, "step", [info(v.name or "", v) for v in inside], [before, chosen])
    last, made = graph.unique(f"{ctx.base}.first"), Value(graph.unique(f"{ctx.base}.tree"), ids.dtype, ids.shape)
    node(
        graph,
        "Scan",
        [graph.name_of(v) for v in (start, ids, parents)],
        [last, made.name or ""],
        body=proto,
        num_scan_inputs=2,
        scan_input_directions=[1, 1],
        scan_output_directions=[1],
    )
    graph.known[made.name or ""] = made
    return made
