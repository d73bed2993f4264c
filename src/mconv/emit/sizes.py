"""Sizes: what a shape is, now and at run time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional

import numpy as np

from mconv.emit.elementwise import foldable
from mconv.errors import UnsupportedError
from mconv.program import dims as D
from mconv.program.builder import Builder
from mconv.program.dtypes import DType
from mconv.program.value import Value


def need_rank(x: Value, what: str) -> tuple[D.Dim, ...]:
    """The shape of *x*; UnsupportedError when its rank is unknown."""
    if x.shape is None:
        raise UnsupportedError(f"{what}: the rank of its input is unknown")
    return x.shape


def axis_of(axis: int, rank: int) -> int:
    """*axis* counted from the front."""
    if not -rank <= axis < max(rank, 1):
        raise UnsupportedError(f"axis {axis} does not exist in a tensor of rank {rank}")
    return axis % rank if rank else 0


def dims_of(x: Value) -> Optional[list[D.Dim]]:
    """The elements of an integer tensor as dimensions, where they are known now."""
    if x.data is not None:
        return list(x.data)
    if x.is_const and x.dtype.is_int and foldable(x):
        return [int(v) for v in np.asarray(x.const).reshape(-1)]
    return None


def bind_shape(b: Builder, x: Value) -> Value:
    """Remember that the symbols of *x*'s shape can be read off it at run time."""
    for axis, dim in enumerate(x.shape or ()):
        if isinstance(dim, D.Sym) and not computable(b, dim):
            b.origins[dim] = (x, axis)
    return x


def computable(b: Builder, dim: D.Dim) -> bool:
    """Whether a dimension follows from sizes that can be read off other tensors already."""
    if isinstance(dim, int) or dim in b.origins:
        return True
    return all(_known_atom(b, atom) for monomial in dim.terms for atom in monomial)


def _known_atom(b: Builder, atom: Any) -> bool:
    if D.Sym.named(atom) in b.origins:
        return True
    return isinstance(atom, tuple) and atom[0] in _FUNCTIONS and all(computable(b, a) for a in atom[1:])


_FUNCTIONS = frozenset({"floordiv", "max", "min", "broadcast"})  # what _atom computes


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
    from mconv.emit.zero_size import counted

    shape = need_rank(x, "Shape")
    if not counted(b, shape):
        return shape_of(b, x, dtype)
    return as_numbers(b, shape, dtype)


def as_numbers(b: Builder, shape: Sequence[D.Dim], dtype: DType = DType.INT64) -> Value:
    """Dimensions as a 1-D tensor of their true sizes, for a model to compute with."""
    from mconv.emit.zero_size import counted, true_size

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
    from mconv.emit.zero_size import carried_size

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
    from mconv.emit.slicing import slice_

    x, axis = b.origins[dim]
    if axis is None:
        from mconv.emit.shape import reshape

        return reshape(b, b.cast(x, dtype), (1,))
    return slice_(b, shape_of(b, x, dtype), [0], [axis], [axis + 1])


def _argument(b: Builder, dim: D.Dim, dtype: DType) -> Value:
    """An argument of a function of sizes: a number of its own, which no tensor carries."""
    if not b.counts or isinstance(dim, int) or dim in b.origins:
        return dim_tensor(b, dim, dtype)
    return b.once(("argument", dim, dtype), lambda: _polynomial(b, dim, dtype))


def _polynomial(b: Builder, dim: D.Sym, dtype: DType) -> Value:
    from mconv.emit.elementwise import arithmetic

    total: Optional[Value] = None
    for monomial, coefficient in dim.terms.items():
        term: Optional[Value] = None
        for atom in monomial:
            factor = _atom(b, atom, dtype)
            term = factor if term is None else arithmetic(b, "mul", term, factor)
        number = b.constant(np.array([coefficient], dtype.numpy))
        if term is None:
            term = number
        elif coefficient != 1:
            term = arithmetic(b, "mul", term, number)
        total = term if total is None else arithmetic(b, "add", total, term)
    assert total is not None
    return total


def _atom(b: Builder, atom: Any, dtype: DType) -> Value:
    from mconv.emit.elementwise import arithmetic, binary

    symbol = D.Sym.named(atom)
    if symbol in b.origins:
        return _measured(b, symbol, dtype)
    if isinstance(atom, tuple):
        name, *args = atom
        values = [_argument(b, a, dtype) for a in args]
        if name == "floordiv":
            whole = values[0]
            if isinstance(args[0], int) or any(c < 0 for c in args[0].terms.values()):
                # releases round negative quotients differently, their remainders have the divisor's sign everywhere
                whole = arithmetic(b, "sub", whole, binary(b, "elementwise_mod", whole, values[1]))
            return binary(b, "elementwise_floordiv", whole, values[1])
        if name in ("max", "min"):
            return arithmetic(b, name, values[0], values[1])
        if name == "broadcast":  # sizes that are equal, or 1
            out = values[0]
            for value in values[1:]:
                out = arithmetic(b, "max", out, value)
            return out

    def unknown() -> Value:
        raise UnsupportedError(f"the size {symbol!r} cannot be computed at run time")

    return b.once(("size", symbol, dtype), unknown)  # a number that a tensor holds may have been given for it


def shape_tensor(b: Builder, shape: Sequence[D.Dim], dtype: DType = DType.INT64) -> Value:
    """Dimensions as a 1-D tensor; neighbours that one tensor's shape holds are taken from it together."""
    from mconv.emit.slicing import concat, slice_

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
                parts.append(slice_(b, shape_of(b, x, dtype), [0], [axis], [axis + run]))
        if run == 1:
            parts.append(dim_tensor(b, shape[i], dtype))
        i += run
    made = concat(b, parts, 0)
    made.data = tuple(shape)
    return made
