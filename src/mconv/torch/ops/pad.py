"""Padding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

from mconv.emit.elementwise import number
from mconv.emit.known import need_rank
from mconv.emit.pad import pad as emit_pad
from mconv.program import dims as D
from mconv.program.value import Value
from mconv.torch.context import AtenContext, Number
from mconv.torch.registry import aten_op

_MODES = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def _padded(ctx: AtenContext, x: Value, pad: Sequence[D.Dim], mode: str, value: Optional[Number] = None) -> Value:
    """*pad* has a begin and an end for each dimension, the last one first."""
    rank = len(need_rank(x, "pad"))
    begins: list[D.Dim] = [0] * rank
    ends: list[D.Dim] = [0] * rank
    for i in range(len(pad) // 2):
        begins[rank - 1 - i], ends[rank - 1 - i] = pad[2 * i], pad[2 * i + 1]
    return emit_pad(ctx, x, begins, ends, mode, None if value is None else number(ctx, value, x.dtype))


@aten_op("constant_pad_nd.default")
def constant_pad_nd(ctx: AtenContext, self: Value, pad: Sequence[D.Dim], value: Number = 0) -> Value:
    return _padded(ctx, self, pad, "constant", value)


@aten_op("pad.default")
def pad(
    ctx: AtenContext, self: Value, pad: Sequence[D.Dim], mode: str = "constant", value: Optional[Number] = None
) -> Value:
    return _padded(ctx, self, pad, _MODES[mode], value)


def _named(name: str, mode: str) -> None:
    @aten_op(*(f"{name}{k}d.default" for k in (1, 2, 3)))
    def convert(ctx: AtenContext, self: Value, padding: Sequence[D.Dim]) -> Value:
        return _padded(ctx, self, padding, mode)


_named("reflection_pad", "reflect")
_named("replication_pad", "edge")


@aten_op("_pad_circular.default")
def pad_circular(ctx: AtenContext, self: Value, pad: Sequence[D.Dim]) -> Value:
    return _padded(ctx, self, pad, "wrap")
