"""Losses over classes."""

from __future__ import annotations

from typing import Optional

from mconv.emit.elementwise import arithmetic, compare, number, scale, where
from mconv.emit.gather import gather, take_along_axis
from mconv.emit.reduction import reduce
from mconv.emit.shape import squeeze, unsqueeze
from mconv.errors import UnsupportedError
from mconv.program.builder import Builder
from mconv.program.dtypes import DType
from mconv.program.value import Value


def negative_log_likelihood(
    b: Builder,
    x: Value,
    target: Value,
    weight: Optional[Value] = None,
    *,
    reduction: str = "mean",
    ignore_index: Optional[int] = None,
) -> Value:
    """Minus the log probability of the target's class.

    Args:
        x: log probabilities, [N, C, …].
        target: classes, [N, …].
        weight: [C] or None. The mean is weighted too.
        reduction: ``none``, ``sum`` or ``mean``.
        ignore_index: targets that do not count.
    """
    if reduction not in ("none", "sum", "mean"):
        raise UnsupportedError(f"reduction is {reduction!r}")
    target = b.cast(target, DType.INT64)
    factor: Optional[Value] = None
    if ignore_index is not None:
        ignored = number(b, ignore_index, DType.INT64)
        factor = b.cast(compare(b, "not_equal", target, ignored), x.dtype)
        target = where(b, compare(b, "equal", target, ignored), number(b, 0, DType.INT64), target)
    if weight is not None:
        chosen = gather(b, weight, target)
        factor = chosen if factor is None else arithmetic(b, "mul", chosen, factor)
    picked = squeeze(b, take_along_axis(b, x, unsqueeze(b, target, [1]), 1), [1])
    loss = scale(b, picked, -1.0)
    if factor is not None:
        loss = arithmetic(b, "mul", loss, factor)
    if reduction == "none":
        return loss
    if reduction == "sum" or factor is None:
        return reduce(b, reduction, loss)
    return arithmetic(b, "div", reduce(b, "sum", loss), reduce(b, "sum", factor))
