"""Inputs, outputs and vectors of values."""

from __future__ import annotations

from typing import Any, Optional

from mconv.paddle.context import Context
from mconv.paddle.registry import Unsupported, paddle_op
from mconv.program import dims as D
from mconv.program.dtypes import DType
from mconv.program.value import Value


@paddle_op("data", "feed")
def data(ctx: Context, *, name: str, shape: Any = None, dtype: Optional[DType] = None, col: int = 0) -> Value:
    kind, dims = ctx.spec()
    # the same name is the same size, so that a size read in two ways is one
    named = [d if isinstance(d, int) else D.Sym.named(f"{name}.{i}") for i, d in enumerate(dims)]
    return ctx.b.feed(name, kind, named)


@paddle_op("fetch")
def fetch(ctx: Context, x: Any, *, name: str, col: int) -> None:
    if not isinstance(x, Value):
        raise Unsupported("an output that is no tensor")
    ctx.importer.outputs.append((col, x, name))


@paddle_op("builtin.shadow_output")
def shadow_output(ctx: Context, x: Any, *, output_name: str) -> None:
    if not isinstance(x, Value):
        raise Unsupported("an output that is no tensor")
    ctx.importer.outputs.append((len(ctx.importer.outputs), x, output_name))


@paddle_op("builtin.combine")
def combine(ctx: Context, *values: Any) -> list:
    return list(values)


@paddle_op("builtin.split")
def split(ctx: Context, values: Any) -> tuple:
    if not isinstance(values, list):
        raise Unsupported("a vector is needed")
    return tuple(values)


@paddle_op("builtin.slice")
def slice_(ctx: Context, values: Any, *, index: int) -> Any:
    if not isinstance(values, list) or not 0 <= index < len(values):
        raise Unsupported(f"a vector has no element {index}")
    return values[index]


@paddle_op(
    "share_data", "share_data_", "memcpy", "memcpy_d2h", "memcpy_h2d", "copy_to", "npu_identity", "shadow_feed", "nop"
)
def same(ctx: Context, x: Value, **attrs: Any) -> Value:
    """Where a tensor lies says nothing in a ProgramDesc."""
    return x


@paddle_op("depend", "print")
def first(ctx: Context, x: Value, *rest: Any, **attrs: Any) -> Value:
    return x


@paddle_op("assert")
def check(ctx: Context, condition: Value, data: Any, **attrs: Any) -> tuple:
    """A check of the model's own: left out, it gives no value."""
    ctx.note("assertions of the model are left out")
    return ()
