"""Each value once."""

from __future__ import annotations

from typing import Optional

from mconv.emit import reshape
from mconv.emit.known import need_rank
from mconv.emit.reorder import unique as emit_unique
from mconv.emit.reorder import unique_runs
from mconv.program import dims as D
from mconv.program.value import Value
from mconv.torch.context import AtenContext
from mconv.torch.registry import aten_op

Three = tuple[Value, Optional[Value], Optional[Value]]  # what is not asked for is an empty tensor, which nothing reads


@aten_op("_unique2.default")
def unique2(
    ctx: AtenContext, self: Value, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False
) -> Three:
    values, _, inverse, counts = emit_unique(ctx, self, None, in_order=True)
    whole = reshape(ctx, inverse, need_rank(self, "unique"))
    return values, whole if return_inverse else None, counts if return_counts else None


@aten_op("_unique.default")
def unique(
    ctx: AtenContext, self: Value, sorted: bool = True, return_inverse: bool = False
) -> tuple[Value, Optional[Value]]:
    return unique2(ctx, self, return_inverse=return_inverse)[:2]


@aten_op("unique_dim.default")
def unique_dim(
    ctx: AtenContext,
    self: Value,
    dim: int,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
) -> Three:
    values, _, inverse, counts = emit_unique(ctx, self, dim, in_order=True)
    return values, inverse if return_inverse else None, counts if return_counts else None


@aten_op("unique_consecutive.default")
def unique_consecutive(
    ctx: AtenContext,
    self: Value,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: Optional[int] = None,
) -> Three:
    shape = need_rank(self, "unique_consecutive")
    if dim is not None and len(shape) > 1:
        raise ctx.refuse("runs of equal slices, along a dimension")
    values, inverse, counts = unique_runs(ctx, reshape(ctx, self, (D.product(shape),)))
    whole = reshape(ctx, inverse, shape)
    return values, whole if return_inverse else None, counts if return_counts else None
