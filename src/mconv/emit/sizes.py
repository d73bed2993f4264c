"""Sizes: what a shape is, now and at run time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional

import numpy as np

from mconv.emit.known import computable, known_size, need_rank
from mconv.emit.size_arithmetic import compute, join, one_element, part
from mconv.emit.zero_size import carried_size, counted, register, size_held, true_size
from mconv.errors import UnsupportedError
from mconv.program import dims as D
from mconv.program.builder import Builder
from mconv.program.dtypes import DType
from mconv.program.value import Value


def shape_of(b: Builder, x: Value, dtype: DType = DType.INT64) -> Value:
    """The shape of *x* as a 1-D tensor of [rank] elements."""
    shape = need_rank(x, "Shape")
    if D.is_static(shape):
        return b.constant(np.array(shape, dtype.numpy))
    own = any(b.origins.get(d, (None,))[0] is x for d in shape if isinstance(d, D.Sym))
    if not own and all(computable(b, d) for d in shape):
        # not of an intermediate result: Paddle fuses it away under the reader's feet (matmul_transpose_reshape)
        return b.once(("sizes", shape, dtype), lambda: shape_tensor(b, shape, dtype))
    return b.once(("shape", x.name, dtype), lambda: _shape_of(b, x, shape, dtype))


def sizes_of(b: Builder, x: Value, dtype: DType = DType.INT64) -> Value:
    """The shape of *x* as a model means it: :func:`shape_of`, but sizes that come from data are the true ones.

    As dimensions (``data``) the elements are those that tensors carry.
    """
    shape = need_rank(x, "Shape")
    if not counted(b, shape):
        return shape_of(b, x, dtype)
    return as_numbers(b, shape, dtype)


def as_numbers(b: Builder, shape: Sequence[D.Dim], dtype: DType = DType.INT64) -> Value:
    """Dimensions as a 1-D tensor of their true sizes, for a model to compute with."""
    made = shape_tensor(b, [D.maximum(true_size(b, d), 0) if counted(b, [d]) else d for d in shape], dtype)
    made = Value(made.name, made.dtype, made.shape, const=made._const, source=made.source)
    made.data = tuple(shape)
    return made


def _shape_of(b: Builder, x: Value, shape: tuple[D.Dim, ...], dtype: DType) -> Value:
    made = b.op("shape", Input=x, result=(DType.INT32, (len(shape),)))
    made.data = shape
    return b.cast(made, dtype)


def dim_tensor(b: Builder, dim: D.Dim, dtype: DType = DType.INT64) -> Value:
    """A dimension as a tensor of one element, shape [1]."""
    if isinstance(dim, int):
        if dtype is DType.INT32 and dim >= 1 << 31:
            raise UnsupportedError(f"a size of {dim}: beyond the 32 bits that Paddle's operators have for it")
        return b.constant(np.array([dim], dtype.numpy))
    return b.once(("size", dim, dtype), lambda: _dim_tensor(b, dim, dtype))


def _dim_tensor(b: Builder, dim: D.Sym, dtype: DType) -> Value:
    if dim in b.origins:
        made = _measured(b, dim, dtype)
    else:
        carried = carried_size(b, dim) if b.counts else dim
        if carried != dim:
            made = dim_tensor(b, carried, dtype)
            return Value(made.name, made.dtype, made.shape, data=(dim,))
        made = _polynomial(b, dim, dtype)
    made.data = (dim,)
    return made


def _measured(b: Builder, dim: D.Sym, dtype: DType) -> Value:
    """A size read off the tensor that has it."""
    x, axis = b.origins[dim]
    if axis is None:
        return one_element(b, b.cast(x, dtype))
    return part(b, shape_of(b, x, dtype), axis, axis + 1)


def _argument(b: Builder, dim: D.Dim, dtype: DType) -> Value:
    """An argument of a function of sizes: a number of its own, which no tensor carries."""
    if not b.counts or isinstance(dim, int) or dim in b.origins:
        return dim_tensor(b, dim, dtype)
    return b.once(("argument", dim, dtype), lambda: _polynomial(b, dim, dtype))


def _polynomial(b: Builder, dim: D.Sym, dtype: DType) -> Value:
    total: Optional[Value] = None
    for monomial, coefficient in dim.terms.items():
        term: Optional[Value] = None
        for atom in monomial:
            factor = _atom(b, atom, dtype)
            term = factor if term is None else compute(b, "mul", term, factor)
        number = b.constant(np.array([coefficient], dtype.numpy))
        if term is None:
            term = number
        elif coefficient != 1:
            term = compute(b, "mul", term, number)
        total = term if total is None else compute(b, "add", total, term)
    assert total is not None
    return total


def _atom(b: Builder, atom: Any, dtype: DType) -> Value:
    symbol = D.Sym.named(atom)
    if symbol in b.origins:
        return _measured(b, symbol, dtype)
    if isinstance(atom, tuple):
        name, *args = atom
        values = [_argument(b, a, dtype) for a in args]
        if name == "floordiv":
            whole = values[0]
            if isinstance(args[0], int) or D.sign(args[0]) < 1:
                # releases round negative quotients differently, their remainders have the divisor's sign everywhere
                whole = compute(b, "sub", whole, compute(b, "mod", whole, values[1]))
            return compute(b, "floordiv", whole, values[1])
        if name in ("max", "min"):
            return compute(b, name, values[0], values[1])
        if name == "carried":  # see emit/vanishing.py
            return compute(b, "max", values[0], b.constant(np.ones(1, dtype.numpy)))
        if name == "broadcast":  # sizes that are equal, or 1
            out = values[0]
            for value in values[1:]:
                out = compute(b, "max", out, value)
            return out

    def unknown() -> Value:
        raise UnsupportedError(f"the size {symbol!r} cannot be computed at run time")

    return b.once(("size", symbol, dtype), unknown)  # a number that a tensor holds may have been given for it


def shape_tensor(b: Builder, shape: Sequence[D.Dim], dtype: DType = DType.INT64) -> Value:
    """Dimensions as a 1-D tensor; neighbours that one tensor's shape holds are taken from it together."""
    if D.is_static(shape):
        return b.constant(np.array(shape, dtype.numpy).reshape(-1))
    parts, i = [], 0
    while i < len(shape):
        run, origin = 1, b.origins.get(shape[i]) if isinstance(shape[i], D.Sym) else None  # type: ignore[arg-type]
        if origin is not None:
            x, axis = origin
            rest = () if axis is None else (x.shape or ())[axis:]
            while i + run < len(shape) and run < len(rest) and rest[run] == shape[i + run]:
                run += 1
            if run > 1 and axis is not None:
                parts.append(part(b, shape_of(b, x, dtype), axis, axis + run))
        if run == 1:
            parts.append(dim_tensor(b, shape[i], dtype))
        i += run
    made = join(b, parts)
    made.data = tuple(shape)
    return made


def at_least_one(b: Builder, sizes: Value, hint: str) -> tuple[Value, list[D.Dim]]:
    """Sizes that a 1-D integer tensor holds: with 1 in place of 0, and as dimensions that come from data.

    Raises:
        UnsupportedError: not even their number is known.
    """
    rank = known_size(sizes, 0, f"{hint}: the number of dimensions is known only at run time")
    dims: list[D.Dim] = []
    for i in range(rank):
        size = D.Sym.fresh(hint)
        held = part(b, sizes, i, i + 1)
        register(b, size, size_held(b, held))
        carried = compute(b, "max", held, b.constant(np.ones(1, held.dtype.numpy)))
        b.origins[size] = (carried, None)
        dims.append(size)
    ones = b.constant(np.ones(rank, sizes.dtype.numpy))
    return compute(b, "max", sizes, ones), dims
