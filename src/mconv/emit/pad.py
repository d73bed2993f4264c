"""Padding and cropping at the ends of dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional, Union

import numpy as np

from mconv.emit.elementwise import arithmetic, compare, logical, where
from mconv.emit.gather import gather
from mconv.emit.generate import remainder
from mconv.emit.known import bind_shape, dims_of, foldable, need_rank, replaced, single
from mconv.emit.ranges import arange, iota, spread
from mconv.emit.shape import fill, reshape, unsqueeze
from mconv.emit.sizes import dim_tensor
from mconv.emit.slicing import concat, slice_
from mconv.emit.zero_size import counted, true_size
from mconv.errors import UnsupportedError
from mconv.program import dims as D
from mconv.program.builder import Builder
from mconv.program.dtypes import DType
from mconv.program.value import Value

MODES = ("constant", "reflect", "edge", "wrap")
_PAD3D = {"constant": "constant", "reflect": "reflect", "edge": "replicate", "wrap": "circular"}


def pad(
    b: Builder,
    x: Value,
    begins: Union[Sequence[D.Dim], Value],
    ends: Union[Sequence[D.Dim], Value],
    mode: str = "constant",
    value: Optional[Value] = None,
) -> Value:
    """*x* with elements put before and after every dimension; negative numbers cut off.

    Args:
        begins, ends: how many, for every dimension; 1-D integer tensors where that comes in at run time.
        mode: ``constant``, ``reflect`` (mirrored without the edge), ``edge`` or ``wrap``.
        value: the constant, one element of *x*'s type; zero when None.
    """
    shape = need_rank(x, "Pad")
    if mode not in MODES:
        raise UnsupportedError(f"Pad: the mode {mode!r} is not known")
    first = dims_of(begins) if isinstance(begins, Value) else list(begins)
    last = dims_of(ends) if isinstance(ends, Value) else list(ends)
    for side in (first, last):
        if side is not None and len(side) != len(shape):
            raise UnsupportedError(f"Pad: {len(side)} numbers for {len(shape)} dimensions")
    if first is None or last is None or not D.is_static(first) or not D.is_static(last):
        return _by_index(b, x, _Ends(begins, first), _Ends(ends, last), mode, value)
    low, high = D.numbers(first), D.numbers(last)
    if mode == "constant" and min(low + high, default=0) < 0:
        x = _cropped(b, x, low, high)
        low, high = [max(v, 0) for v in low], [max(v, 0) for v in high]
    if not any(low) and not any(high):
        return x
    out = tuple(d + s + e for d, s, e in zip(need_rank(x, "Pad"), low, high))
    if 0 in out:
        return fill(b, out, 0, x.dtype)
    made: Optional[Value]
    if mode == "constant":
        made = _constant(b, x, low, high, value, out)
    else:
        made = _pad3d(b, x, low, high, mode, out)
    return bind_shape(b, made) if made is not None else _by_index(b, x, _Ends(low, low), _Ends(high, high), mode, value)


def _cropped(b: Builder, x: Value, low: Sequence[int], high: Sequence[int]) -> Value:
    cut = [i for i in range(len(low)) if low[i] < 0 or high[i] < 0]
    starts = [max(-low[i], 0) for i in cut]
    ends = [high[i] if high[i] < 0 else 2**31 - 1 for i in cut]
    return slice_(b, x, cut, starts, ends)


def _constant(
    b: Builder, x: Value, low: list[int], high: list[int], value: Optional[Value], out: tuple[D.Dim, ...]
) -> Optional[Value]:
    """Padding with a number that a float32 attribute can say; None for others.

    Never the operator ``pad``: its oneDNN kernel hangs or crashes in 2.6 and 3.
    """
    if value is not None and not foldable(value):
        return None
    number = 0.0 if value is None else single(value)
    if x.size == 0:
        return fill(b, out, number, x.dtype)
    exact = _as_attribute(number, x.dtype)
    inner = max(len(low) - 3, 0)
    for axis in range(len(low)):
        if axis < inner or not exact or len(low) > 5 or counted(b, need_rank(x, "Pad")[axis : axis + 1]):
            x = _joined(b, x, axis, low[axis], high[axis], number)
            low, high = [*low], [*high]
            low[axis] = high[axis] = 0
    return _pad3d(b, x, low, high, "constant", out, float(number)) if any(low) or any(high) else x


def _as_attribute(number: float, dtype: DType) -> bool:
    """Whether a float32 attribute holds a number exactly."""
    if dtype.is_int:
        return abs(int(number)) <= 1 << 24
    return dtype is not DType.FP64 or bool(np.isnan(number)) or float(np.float32(number)) == number


def _joined(b: Builder, x: Value, axis: int, low: int, high: int, number: float) -> Value:
    """*x* between blocks of one number."""
    shape = need_rank(x, "Pad")
    sides = [fill(b, replaced(shape, axis, n), number, x.dtype) if n else None for n in (low, high)]
    parts = [v for v in (sides[0], x, sides[1]) if v is not None]
    return concat(b, parts, axis)


def _pad3d(
    b: Builder, x: Value, low: list[int], high: list[int], mode: str, out: tuple[D.Dim, ...], value: float = 0.0
) -> Optional[Value]:
    """``pad3d`` on the last three of five dimensions; None where it does not reach."""
    shape = need_rank(x, "Pad")
    rank = len(shape)
    if rank > 5 or min(low + high) < 0 or any(low[: max(rank - 3, 0)]) or any(high[: max(rank - 3, 0)]):
        return None
    for dim, s, e in zip(shape, low, high):
        # the kernel reads outside of the tensor, or refuses, when the padding is longer than the tensor
        if (s or e) and mode not in ("edge", "constant") and (not isinstance(dim, int) or max(s, e) >= dim):
            return None
    missing = 5 - rank
    paddings: list[int] = []
    for s, e in reversed(list(zip(([0] * missing + low)[-3:], ([0] * missing + high)[-3:]))):
        paddings += [s, e]
    whole = unsqueeze(b, x, list(range(missing))) if missing else x
    made = b.op(
        "pad3d",
        X=whole,
        paddings=paddings,
        mode=_PAD3D[mode],
        value=value,
        data_format="NCDHW",
        result=(x.dtype, (1,) * missing + out),
    )
    return reshape(b, made, out)


class _Ends:
    """How many elements are added at one end of every dimension: known numbers, or a tensor of them."""

    def __init__(self, given: Union[Sequence[D.Dim], Value], known: Optional[Sequence[D.Dim]]):
        self.given, self.known = given, known

    def at(self, b: Builder, axis: int) -> Union[D.Dim, Value]:
        """A size, or a tensor of one element."""
        if self.known is not None:
            return self.known[axis]
        assert isinstance(self.given, Value)
        return b.cast(slice_(b, self.given, [0], [axis], [axis + 1]), DType.INT64)


def _by_index(b: Builder, x: Value, begins: _Ends, ends: _Ends, mode: str, value: Optional[Value]) -> Value:
    """Every mode for padding of any size, known or not: the elements are gathered dimension by dimension."""
    rank = len(need_rank(x, "Pad"))
    inside: Optional[Value] = None
    for axis in range(rank):
        low, high = begins.at(b, axis), ends.at(b, axis)
        assert x.shape is not None
        dim = x.shape[axis]
        if isinstance(low, int) and isinstance(high, int) and not low and not high:
            continue
        if dim == 0:
            raise UnsupportedError("Pad: an empty dimension is padded by a number that is known only at run time")
        position = _positions(b, dim, low, high)
        index, valid = _source(b, position, dim, mode)
        x = gather(b, x, index, axis, wrap=False)
        if valid is not None:
            valid = spread(b, valid, axis, rank)
            inside = valid if inside is None else logical(b, "logical_and", inside, valid)
    if inside is None:
        return x
    number = value if value is not None else b.constant(np.zeros((), x.dtype.numpy), x.dtype)
    return where(b, inside, x, reshape(b, number, [1] * rank))


def _positions(b: Builder, dim: D.Dim, low: Union[D.Dim, Value], high: Union[D.Dim, Value]) -> Value:
    """-low, …, dim + high - 1: where the result's elements lie in the source. Shape [low + dim + high]."""
    if not isinstance(low, Value) and not isinstance(high, Value):
        positions = iota(b, low + dim + high)
        return arithmetic(b, "sub", positions, dim_tensor(b, low)) if low != 0 else positions
    before, after = (v if isinstance(v, Value) else dim_tensor(b, v) for v in (low, high))
    size = dim_tensor(b, true_size(b, dim))
    start = arithmetic(b, "sub", dim_tensor(b, 0), before)
    return arange(b, start, arithmetic(b, "add", size, after), dim_tensor(b, 1))


def _source(b: Builder, position: Value, dim: D.Dim, mode: str) -> tuple[Value, Optional[Value]]:
    """Which element of a dimension stands at each position, and for ``constant`` whether it is one of its own."""
    one = dim_tensor(b, 1)
    size = dim_tensor(b, dim)
    end = arithmetic(b, "sub", size, one)
    if mode == "wrap":
        return remainder(b, position, size), None
    if mode == "reflect":
        period = arithmetic(b, "mul", end, dim_tensor(b, 2))
        phase = remainder(b, position, arithmetic(b, "max", period, one))
        return arithmetic(b, "min", phase, arithmetic(b, "sub", period, phase)), None
    held = arithmetic(b, "min", arithmetic(b, "max", position, dim_tensor(b, 0)), end)
    if mode == "edge":
        return held, None
    valid = compare(b, "equal", held, position)
    if counted(b, [dim]):
        valid = logical(b, "logical_and", valid, compare(b, "less_than", position, dim_tensor(b, true_size(b, dim))))
    return held, valid
