"""The same elements in another shape or order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Callable, Optional

from mconv import emit
from mconv.emit import generate, reorder
from mconv.onnx.context import Context
from mconv.onnx.registry import onnx_op
from mconv.program import dims as D
from mconv.program.value import Value


def _declared_view(ctx: Context, x: Value) -> Optional[Sequence[int]]:
    """The result's shape where the model declares it and *x* has as many elements: then no other is possible."""
    declared = ctx.declared()
    return declared if declared is not None and x.size is not None and D.product(declared) == x.size else None


@onnx_op("Reshape", since=1)
def reshape_1(ctx: Context, x: Value, *, shape: list[int]) -> Value:
    return _reshaped(ctx, x, list(shape), allowzero=False)


@onnx_op("Reshape", since=5)
def reshape(ctx: Context, x: Value, target: Value, *, allowzero: int = 0) -> Value:
    wanted = ctx.known_dims(target)
    if wanted is not None:
        return _reshaped(ctx, x, wanted, allowzero=bool(allowzero))
    known = _declared_view(ctx, x)
    if known is not None:
        return emit.reshape(ctx, x, known)
    if allowzero and (x.shape is None or x.size == 0):
        raise ctx.refuse("with allowzero, of what has no elements, the shape must be constant: it comes in at run time")
    return emit.reshape(ctx, x, target, zero_copies=not allowzero)


def _reshaped(ctx: Context, x: Value, wanted: list[D.Dim], *, allowzero: bool) -> Value:
    dims = list(wanted)
    if x.shape is None:
        raise ctx.refuse("the rank of its input is unknown")
    if not allowzero:
        if any(d == 0 and i >= len(x.shape) for i, d in enumerate(dims)):
            raise ctx.refuse(f"a 0 in {dims} copies a dimension that the input does not have")
        dims = [x.shape[i] if d == 0 else d for i, d in enumerate(dims)]
    if dims.count(-1) > 1 or any(isinstance(d, int) and d < -1 for d in dims):
        raise ctx.refuse(f"the shape {dims} has no meaning")
    if -1 in dims:
        rest = D.product(d for d in dims if d != -1)
        dims[dims.index(-1)] = D.floordiv(D.product(x.shape), rest) if rest != 0 else 0
    total = D.product(dims)
    if x.size is not None and isinstance(total, int) and total != x.size:
        raise ctx.refuse(f"{x.size} elements do not fit into the shape {dims}")
    return emit.reshape(ctx, x, dims)


@onnx_op("Flatten", since=1)
def flatten(ctx: Context, x: Value, *, axis: int = 1) -> Value:
    return emit.flatten(ctx, x, axis)


@onnx_op("Squeeze", since=1)
def squeeze_1(ctx: Context, x: Value, *, axes: Optional[list[int]] = None) -> Value:
    known = _declared_view(ctx, x) if axes is None else None
    return emit.reshape(ctx, x, known) if known is not None else emit.squeeze(ctx, x, axes)


@onnx_op("Squeeze", since=13)
def squeeze(ctx: Context, x: Value, axes: Optional[Value] = None) -> Value:
    if axes is None:
        return squeeze_1(ctx, x)
    known = _declared_view(ctx, x) if ctx.known_dims(axes) is None else None
    return emit.reshape(ctx, x, known) if known is not None else emit.squeeze(ctx, x, ctx.static_ints(axes, "axes"))


@onnx_op("Unsqueeze", since=1)
def unsqueeze_1(ctx: Context, x: Value, *, axes: list[int]) -> Value:
    return emit.unsqueeze(ctx, x, axes)


@onnx_op("Unsqueeze", since=13)
def unsqueeze(ctx: Context, x: Value, axes: Value) -> Value:
    known = _declared_view(ctx, x) if ctx.known_dims(axes) is None else None
    return emit.reshape(ctx, x, known) if known is not None else emit.unsqueeze(ctx, x, ctx.static_ints(axes, "axes"))


@onnx_op("Transpose", since=1)
def transpose(ctx: Context, x: Value, *, perm: Optional[list[int]] = None) -> Value:
    return emit.transpose(ctx, x, list(range(ctx.rank(x)))[::-1] if perm is None else perm)


@onnx_op("Expand", since=8)
def expand(ctx: Context, x: Value, target: Value) -> Value:
    declared = ctx.declared()
    if ctx.known_dims(target) is None and declared is not None and D.is_static(x.shape):
        return emit.expand(ctx, x, declared)
    return emit.expand(ctx, x, target)


@onnx_op("Tile", since=1)
def tile_1(ctx: Context, x: Value, tiles: Value, axis: Value) -> Value:
    times = [1] * ctx.rank(x)
    times[ctx.static_ints(axis, "axis")[0]] = ctx.static_ints(tiles, "tiles")[0]
    return generate.tile(ctx, x, times)


@onnx_op("Tile", since=6)
def tile(ctx: Context, x: Value, repeats: Value) -> Value:
    declared = ctx.declared()
    if ctx.known_dims(repeats) is None and declared is not None and D.is_static(x.shape) and x.size:
        return generate.tile(ctx, x, [int(d) // int(s) for d, s in zip(declared, x.shape or ())])  # type: ignore[arg-type]
    return generate.tile(ctx, x, repeats)


def _by_blocks(name: str, emitted: Callable[..., Value]) -> None:
    @onnx_op(name, since=1)
    def convert(ctx: Context, x: Value, *, blocksize: int, mode: str = "DCR") -> Value:
        if mode not in ("DCR", "CRD"):
            raise ctx.refuse(f"the mode {mode!r} is not known")
        return emitted(ctx, x, blocksize, column_major=mode == "CRD")


_by_blocks("DepthToSpace", reorder.depth_to_space)
_by_blocks("SpaceToDepth", reorder.space_to_depth)
