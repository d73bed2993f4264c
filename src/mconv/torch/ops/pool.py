"""Pooling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
from mconv.program.schemas import attributes_of
from mconv.program.value import Value
from mconv.torch.context import AtenContext
from mconv.torch.ops.conv import Sizes, as_given, ints, unbatched
from mconv.torch.registry import aten_op


@dataclass(frozen=True)
class Windows:
    """What all poolings by windows are told beside their tensor."""

    kernel_size: Sizes
    stride: Sizes = ()
    padding: Sizes = 0
    dilation: Sizes = 1
    ceil_mode: bool = False

    def over(self, ctx: AtenContext, k: int) -> Window:
        """Of *k* dimensions; without a stride they lie side by side."""
        kernel = ints(ctx, self.kernel_size, k, "the size of the window")
        stride = self.stride
        strides = ints(ctx, stride, k, "the stride") if isinstance(stride, int) or len(stride) else kernel
        pads = ints(ctx, self.padding, k, "the padding")
        return Window.make(kernel, strides, ints(ctx, self.dilation, k, "the dilation"), pads * 2)


def _max(name: str, k: int) -> None:
    @aten_op(f"{name}.default")
    @attributes_of(Windows)
    def plain(ctx: AtenContext, self: Value, **options: Any) -> Value:
        windows = Windows(**options)
        return as_given(ctx, pool.max_pool(ctx, unbatched(ctx, self, k), windows.over(ctx, k), windows.ceil_mode))

    @aten_op(f"{name}_with_indices.default")
    @attributes_of(Windows)
    def indexed(ctx: AtenContext, self: Value, **options: Any) -> tuple[Value, Optional[Value]]:
        if not ctx.wants(1):
            return plain(ctx, self, **options), None
        windows = Windows(**options)
        x = unbatched(ctx, self, k)
        value, position = pool.max_pool_with_index(ctx, x, windows.over(ctx, k), windows.ceil_mode)
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
    @attributes_of(Windows, but=("dilation",))
    def convert(
        ctx: AtenContext,
        self: Value,
        count_include_pad: bool = True,
        divisor_override: Optional[int] = None,
        **options: Any,
    ) -> Value:
        windows = Windows(**options)
        window, x = windows.over(ctx, k), unbatched(ctx, self, k)
        if divisor_override is not None:
            total = pool.average_pool(ctx, *_zero_padded(ctx, x, window, windows.ceil_mode), False, False)
            made = (Expr(ctx, total) * (float(np.prod(window.kernel)) / divisor_override)).value
        else:
            made = pool.average_pool(ctx, x, window, windows.ceil_mode, count_include_pad)
        return as_given(ctx, made)


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
    return as_given(ctx, made)


def _bins(ctx: AtenContext, x: Value, wanted: Sequence[D.Dim], kind: str) -> Value:
    shape = need_rank(x, "adaptive pooling")
    sizes = shape[2:]
    if D.is_static(sizes) and D.is_static(wanted) and all(n % w == 0 for n, w in zip(sizes, wanted)):
        kernel = [n // w for n, w in zip(sizes, wanted)]
        window = Window.make(kernel, kernel)  # type: ignore[arg-type]
        return pool.max_pool(ctx, x, window) if kind == "max" else pool.average_pool(ctx, x, window)
    if kind == "max":  # oneDNN's pooling gets it wrong; this operator is none of its own
        return _largest(ctx, x, wanted)[0]
    whole, cells, ones = _two_or_three(ctx, x, wanted)
    made = pool.operator(ctx, whole, kind, cells, (*shape[:2], *cells), adaptive=True)
    return squeeze(ctx, made, ones) if ones else made


def _two_or_three(ctx: AtenContext, x: Value, wanted: Sequence[D.Dim]) -> tuple[Value, list[int], list[int]]:
    """*x* and the sizes of the result with the spatial dimensions that the operators have, and the one that was put in."""
    ones = [2] if len(wanted) == 1 else []
    cells = [1] * len(ones) + [ctx.static_int(w, "the output size") for w in wanted]
    return unsqueeze(ctx, x, ones) if ones else x, cells, ones


def _largest(ctx: AtenContext, x: Value, wanted: Sequence[D.Dim]) -> tuple[Value, Value]:
    """The largest element of every bin, and its position in its plane."""
    whole, cells, ones = _two_or_three(ctx, x, wanted)
    k, out = len(cells), (*need_rank(x, "adaptive pooling")[:2], *cells)
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


def _registered(k: int) -> None:
    @aten_op(f"adaptive_avg_pool{k}d.default", *([f"_adaptive_avg_pool{k}d.default"] if k > 1 else []))
    def average(ctx: AtenContext, self: Value, output_size: Sequence[Any]) -> Value:
        return _adaptive(ctx, self, output_size, k, "avg")

    @aten_op(f"adaptive_max_pool{k}d.default")
    def largest(ctx: AtenContext, self: Value, output_size: Sequence[Any]) -> tuple[Value, Optional[Value]]:
        if not ctx.wants(1):
            return _adaptive(ctx, self, output_size, k, "max"), None
        value, position = _largest(ctx, unbatched(ctx, self, k), ctx.out_shape[-k:])
        return reshape(ctx, value, ctx.out_shape), reshape(ctx, position, ctx.out_shape)


for _k in (1, 2, 3):
    _registered(_k)
