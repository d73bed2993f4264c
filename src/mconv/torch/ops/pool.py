"""Pooling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional

import numpy as np

from mconv.emit import arithmetic, pool, reshape
from mconv.emit.elementwise import number
from mconv.emit.expr import Expr
from mconv.emit.known import need_rank
from mconv.emit.shape import squeeze, unsqueeze
from mconv.emit.window import Window
from mconv.program import dims as D
from mconv.program.dtypes import DType
from mconv.program.value import Value
from mconv.torch.context import AtenContext
from mconv.torch.ops.conv import Ints, ints, unbatched
from mconv.torch.registry import aten_op


def _window(ctx: AtenContext, kernel_size: Ints, stride: Ints, padding: Ints, dilation: Ints, k: int) -> Window:
    kernel = ints(ctx, kernel_size, k, "the size of the window")
    strides = ints(ctx, stride, k, "the stride") if isinstance(stride, int) or len(stride) else kernel
    pads = ints(ctx, padding, k, "the padding")
    return Window.make(kernel, strides, ints(ctx, dilation, k, "the dilation"), pads * 2)


def _max(name: str, k: int) -> None:
    @aten_op(f"{name}.default")
    def plain(
        ctx: AtenContext,
        self: Value,
        kernel_size: Ints,
        stride: Ints = (),
        padding: Ints = 0,
        dilation: Ints = 1,
        ceil_mode: bool = False,
    ) -> Value:
        window = _window(ctx, kernel_size, stride, padding, dilation, k)
        made = pool.max_pool(ctx, unbatched(ctx, self, k), window, ceil_mode)
        return reshape(ctx, made, ctx.out_shape) if made.rank != len(ctx.out_shape) else made

    @aten_op(f"{name}_with_indices.default")
    def indexed(
        ctx: AtenContext,
        self: Value,
        kernel_size: Ints,
        stride: Ints = (),
        padding: Ints = 0,
        dilation: Ints = 1,
        ceil_mode: bool = False,
    ) -> tuple[Value, Optional[Value]]:
        if not ctx.wants(1):
            return plain(ctx, self, kernel_size, stride, padding, dilation, ceil_mode), None
        window = _window(ctx, kernel_size, stride, padding, dilation, k)
        x = unbatched(ctx, self, k)
        value, position = pool.max_pool_with_index(ctx, x, window, ceil_mode)
        # torch counts the positions of each plane from its start
        plane = D.product(need_rank(x, name)[2:])
        count = number(ctx, plane, DType.INT64) if isinstance(plane, int) else ctx.tensor(plane)
        position = arithmetic(ctx, "sub", position, _first(ctx, position, count))
        return reshape(ctx, value, ctx.out_shape), reshape(ctx, position, ctx.out_shape)


def _first(ctx: AtenContext, position: Value, count: Value) -> Value:
    """Where the plane of a position begins."""
    from mconv.emit import binary

    return arithmetic(ctx, "sub", position, binary(ctx, "elementwise_mod", position, count))


for _k in (1, 2, 3):
    _max(f"max_pool{_k}d", _k)


def _average(name: str, k: int) -> None:
    @aten_op(f"{name}.default")
    def convert(
        ctx: AtenContext,
        self: Value,
        kernel_size: Ints,
        stride: Ints = (),
        padding: Ints = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: Optional[int] = None,
    ) -> Value:
        window = _window(ctx, kernel_size, stride, padding, 1, k)
        x = unbatched(ctx, self, k)
        if divisor_override is not None:
            total = pool.average_pool(ctx, *_zero_padded(ctx, x, window, ceil_mode), False, False)
            made = (Expr(ctx, total) * (float(np.prod(window.kernel)) / divisor_override)).value
        else:
            made = pool.average_pool(ctx, x, window, ceil_mode, count_include_pad)
        return reshape(ctx, made, ctx.out_shape) if made.rank != len(ctx.out_shape) else made


def _zero_padded(ctx: AtenContext, x: Value, window: Window, ceil: bool) -> tuple[Value, Window]:
    """*x* with so many zeros that every window is complete."""
    from mconv.emit.window import pad_spatial

    sizes = need_rank(x, "avg_pool")[2:]
    out = window.out(sizes, ceil)
    end = [(o - 1) * s + e - n - p for o, s, e, n, p in zip(out, window.strides, window.extent, sizes, window.begin)]
    end = [max(v, 0) if isinstance(v, int) else D.maximum(v, 0) for v in end]
    return pad_spatial(ctx, x, window.begin, end), window.unpadded()


for _k in (1, 2, 3):
    _average(f"avg_pool{_k}d", _k)


# adaptive ------------------------------------------------------------------------------------------------------------


def _adaptive(ctx: AtenContext, x: Value, output_size: Sequence[Any], k: int, kind: str) -> Value:
    whole = unbatched(ctx, x, k)
    shape = need_rank(whole, "adaptive pooling")
    given = list(output_size) if not isinstance(output_size, int) else [output_size] * k
    wanted = [n if s is None else s for s, n in zip(given, shape[2:])]
    if all(w == 1 for w in wanted):
        made = pool.global_pool(ctx, whole, kind)
    elif tuple(wanted) == tuple(shape[2:]):
        made = whole
    else:
        made = _bins(ctx, whole, wanted, kind)
    return reshape(ctx, made, ctx.out_shape) if made.rank != len(ctx.out_shape) else made


def _bins(ctx: AtenContext, x: Value, wanted: Sequence[D.Dim], kind: str) -> Value:
    shape = need_rank(x, "adaptive pooling")
    sizes = shape[2:]
    if D.is_static(sizes) and D.is_static(wanted) and all(n % w == 0 for n, w in zip(sizes, wanted)):
        kernel = [n // w for n, w in zip(sizes, wanted)]
        window = Window.make(kernel, kernel)  # type: ignore[arg-type]
        return pool.max_pool(ctx, x, window) if kind == "max" else pool.average_pool(ctx, x, window)
    if kind == "max":  # oneDNN's pooling gets it wrong; this operator is none of its own
        return _largest(ctx, x, wanted)[0]
    ones = [2] if len(sizes) == 1 else []
    whole = unsqueeze(ctx, x, ones) if ones else x
    cells = [1] * len(ones) + [ctx.static_int(w, "the output size") for w in wanted]
    made = pool.operator(ctx, whole, kind, cells, (*shape[:2], *cells), adaptive=True)
    return squeeze(ctx, made, ones) if ones else made


def _largest(ctx: AtenContext, x: Value, wanted: Sequence[D.Dim]) -> tuple[Value, Value]:
    """The largest element of every bin, and its position in its plane."""
    shape = need_rank(x, "adaptive pooling")
    ones = [2] if len(shape) == 3 else []
    whole = unsqueeze(ctx, x, ones) if ones else x
    k = len(shape) - 2 + len(ones)
    cells = [1] * len(ones) + [ctx.static_int(w, "the output size") for w in wanted]
    out = (*shape[:2], *cells)
    value, position = ctx.op_outputs(
        f"max_pool{k}d_with_index",
        X=whole,
        ksize=cells,
        strides=[1] * k,
        paddings=[0] * k,
        global_pooling=False,
        adaptive=True,
        results={"Out": (x.dtype, out), "Mask": (DType.INT32, out)},
    )
    position = ctx.cast(position, DType.INT64)
    return (squeeze(ctx, value, ones), squeeze(ctx, position, ones)) if ones else (value, position)


def _adaptive_average(k: int) -> None:
    @aten_op(f"adaptive_avg_pool{k}d.default", *([f"_adaptive_avg_pool{k}d.default"] if k > 1 else []))
    def convert(ctx: AtenContext, self: Value, output_size: Sequence[Any]) -> Value:
        return _adaptive(ctx, self, output_size, k, "avg")


def _adaptive_max(k: int) -> None:
    @aten_op(f"adaptive_max_pool{k}d.default")
    def convert(ctx: AtenContext, self: Value, output_size: Sequence[Any]) -> tuple[Value, Optional[Value]]:
        if not ctx.wants(1):
            return _adaptive(ctx, self, output_size, k, "max"), None
        value, position = _largest(ctx, unbatched(ctx, self, k), ctx.out_shape[-k:])
        return reshape(ctx, value, ctx.out_shape), reshape(ctx, position, ctx.out_shape)


for _k in (1, 2, 3):
    _adaptive_average(_k)
    _adaptive_max(_k)
