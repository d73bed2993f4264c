"""Numbers that count: from a start to a limit, along a dimension."""

from __future__ import annotations

import numpy as np

from mconv.emit.elementwise import arithmetic, compare, where
from mconv.emit.known import FOLD_LIMIT, bind_shape, computable, dims_of, foldable, single
from mconv.emit.padding import padded
from mconv.emit.shape import fill, reshape
from mconv.emit.sizes import dim_tensor
from mconv.emit.zero_size import counted, from_data
from mconv.errors import UnsupportedError
from mconv.program import dims as D
from mconv.program.builder import Builder
from mconv.program.dtypes import DType
from mconv.program.value import Value


def arange(b: Builder, start: Value, limit: Value, step: Value) -> Value:
    """Numbers from *start* by *step* up to *limit*, excluded; scalars of one type. Shape [ceil((limit-start)/step)]."""
    dtype = start.dtype
    size: D.Dim = D.Sym.fresh("range")
    if foldable(step) and not np.asarray(step.const).any():
        raise UnsupportedError("Range: a step of 0")
    bounds = [dims_of(v) for v in (start, limit, step)]
    known = all(v is not None and len(v) == 1 for v in bounds)
    if known:
        (first,), (last,), (by,) = bounds  # type: ignore[misc]
        if isinstance(by, int) and by != 0:
            size = D.ceildiv(last - first if by > 0 else first - last, abs(by))
            size = size if isinstance(size, D.Sym) else max(size, 0)
    elif foldable(start, limit, step):
        low, high, pace = (float(single(v)) for v in (start, limit, step))
        count = (high - low) / pace
        if not np.isfinite(count):
            raise UnsupportedError("Range: bounds that are no finite numbers")
        size = size if count > 0 else 0
    if size == 0:
        return fill(b, [0], 0, dtype)
    if counted(b, [size]):
        positions = b.cast(iota(b, size), dtype)
        positions = arithmetic(b, "mul", positions, reshape(b, step, (1,)))
        return arithmetic(b, "add", positions, reshape(b, start, (1,)))
    if not known or first != 0:
        limit = _no_earlier(b, start, limit, step)
    made = _range(b, start, limit, step, size)
    if not computable(b, size) and from_data(b, start, limit, step):
        return padded(b, made)
    return bind_shape(b, made)


def _no_earlier(b: Builder, start: Value, limit: Value, step: Value) -> Value:
    """*limit*, or where it lies on the other side of *start* than *step* leads to, for which releases before 3 fail
    instead of giving nothing, *start*; shape [1]."""
    start, limit, step = (reshape(b, v, (1,)) for v in (start, limit, step))
    if step.is_const:
        return arithmetic(b, "max" if single(step) > 0 else "min", limit, start)
    ways = (arithmetic(b, way, limit, start) for way in ("min", "max"))
    return where(b, compare(b, "less_than", step, b.constant(np.zeros(1, step.dtype.numpy), step.dtype)), *ways)


def _range(b: Builder, start: Value, limit: Value, step: Value, size: D.Dim) -> Value:
    dtype = start.dtype
    kind = DType.INT32 if dtype in (DType.INT8, DType.UINT8, DType.INT16) else dtype
    kind = DType.FP32 if dtype is DType.FP16 else kind
    args = [b.cast(reshape(b, v, [1]), kind) for v in (start, limit, step)]
    made = b.op("range", Start=args[0], End=args[1], Step=args[2], result=(kind, (size,)))
    return b.cast(made, dtype)


def iota(b: Builder, size: D.Dim, dtype: DType = DType.INT64) -> Value:
    """0, 1, … size - 1; shape [size]."""
    zero, one = (b.constant(np.array([v], dtype.numpy)) for v in (0, 1))
    if isinstance(size, int):
        if size > FOLD_LIMIT:  # not into the file
            return arange(b, zero, b.constant(np.array([size], dtype.numpy)), one)
        return b.constant(np.arange(size, dtype=dtype.numpy))
    if counted(b, [size]):
        return b.once(("iota", size, dtype), lambda: _range(b, zero, dim_tensor(b, size, dtype), one, size))
    return b.once(("iota", size, dtype), lambda: arange(b, zero, dim_tensor(b, size, dtype), one))


def spread(b: Builder, x: Value, axis: int, rank: int) -> Value:
    """A vector along *axis* of *rank* dimensions, which are 1 elsewhere."""
    assert x.shape is not None
    return reshape(b, x, [x.shape[0] if i == axis else 1 for i in range(rank)])
