"""Element by element: arithmetic, comparison, logic, selection."""

from __future__ import annotations

from typing import Any, Callable, Optional

import numpy as np

from mconv.emit.known import dims_of, foldable, single
from mconv.emit.operators import COMMUTES, axis_attribute, folded
from mconv.emit.shape import expand_to, reshape, unsqueeze
from mconv.emit.size_arithmetic import symbolic
from mconv.emit.sizes import shape_tensor
from mconv.errors import UnsupportedError
from mconv.program import dims as D
from mconv.program.builder import Builder
from mconv.program.dtypes import DType
from mconv.program.onednn import LAID_OUT_AS_FIRST
from mconv.program.value import Value


def unary(b: Builder, op: str, x: Value, **attrs: Any) -> Value:
    """A Paddle activation-like operator: one input X, one output of the same type and shape."""
    return b.op(op, X=x, **attrs)


def negative(b: Builder, x: Value) -> Value:
    """``-x``: that of the smallest 8-bit integer, which oneDNN would let saturate, is itself."""
    return b.cast(scale(b, b.cast(x, DType.INT32) if x.dtype is DType.INT8 else x, -1.0), x.dtype)


def _joint(op: str, *operands: Value) -> Optional[tuple[D.Dim, ...]]:
    """The shape that operands broadcast to.

    Raises:
        UnsupportedError: they do not.
    """
    try:
        return D.broadcast(*(v.shape for v in operands))
    except ValueError as e:
        raise UnsupportedError(f"{op}: {e}") from None


def _broadcast(b: Builder, x: Value, y: Value, op: str) -> tuple[Value, Value, Optional[tuple[D.Dim, ...]]]:
    shape = _joint(op, x, y)
    # a first operand of lower rank trips oneDNN's memory descriptors: give it the rank of the second; the power of 2.3
    # takes a scalar base for the exponent otherwise
    least = 0 if op == "elementwise_pow" and (y.rank or 0) > 1 else 1
    if x.rank is not None and y.rank is not None and least <= x.rank < y.rank:
        x = unsqueeze(b, x, list(range(y.rank - x.rank)))
    return x, y, shape


# oneDNN takes 8-bit integers for quantised numbers, which saturate where integers wrap around
_SATURATES = frozenset({"elementwise_add", "elementwise_sub", "elementwise_mul", "elementwise_div"})


def binary(b: Builder, op: str, x: Value, y: Value, *, dtype: Optional[DType] = None) -> Value:
    """A Paddle ``elementwise_*`` operator (or another with inputs X and Y) on broadcast operands of one type.

    Args:
        dtype: element type of the result; default the operands'.
    """
    made = folded(b, op, x, y) if dtype is None else None
    if made is not None:
        return made
    if x.dtype in (DType.INT8, DType.UINT8) and op in _SATURATES:
        wide = binary(b, op, b.cast(x, DType.INT32), b.cast(y, DType.INT32))
        return b.cast(wide, x.dtype)
    if op in COMMUTES and ((x.is_const and not y.is_const) or _lower(x, y)):
        x, y = y, x
    short = _scaled(b, op, x, y)
    if short is not None:
        return short
    if op == "elementwise_div" and x.dtype in (DType.FP32, DType.FP16, DType.BF16):
        if foldable(x) and x.size == 1 and (np.asarray(x.const) == 1).all() and (x.rank or 0) <= (y.rank or 0):
            return unary(b, "reciprocal", y)
        x = _repeated(b, op, x, y)
        if y.rank == 0 and x.rank and y.is_const and b.target.version < 3_000_000:
            y = reshape(b, y, (1,))  # oneDNN in 2.6 cannot divide by what fill_constant gives without dimensions
    x, y, shape = _broadcast(b, x, y, op)
    if x.dtype in (DType.FP32, DType.FP16) and _is_repeated(b, x, shape):
        if _is_repeated(b, y, shape):
            # where both are repeated, oneDNN mixes up the elements: in 2.3 itself, in 2.6 and 3 for a product that reads them
            x = _repeated(b, op, x, y)
        elif b.target.version < 2_006_000 and op in LAID_OUT_AS_FIRST:
            # 2.3's oneDNN lays the result out as it takes the first operand to lie, of which sizes of 1 tell nothing
            x, y = (y, x) if op in COMMUTES else (_repeated(b, op, x, y), y)
    return b.op(op, X=x, Y=y, result=(dtype or x.dtype, shape), **axis_attribute(b, op))


def _is_repeated(b: Builder, x: Value, shape: Optional[tuple[D.Dim, ...]]) -> bool:
    """Whether *x* is smaller than *shape*; where open sizes meet, whether it may be."""
    if x.shape is None or shape is None or x.rank != len(shape) or b.open_sizes_repeat:
        return x.shape != shape
    return any(d == 1 != of for d, of in zip(x.shape, shape))


def _repeated(b: Builder, op: str, x: Value, y: Value) -> Value:
    """*x* in the shape of the result. Where oneDNN (2.6 and 3) repeats the dividend itself, it divides *y* by it."""
    shape = _joint(op, x, y)
    return x if shape is None or shape == x.shape else expand_to(b, x, shape)


def _lower(x: Value, y: Value) -> bool:
    return x.rank is not None and y.rank is not None and x.rank < y.rank


def arithmetic(b: Builder, kind: str, x: Value, y: Value) -> Value:
    """``add``, ``sub``, ``mul``, ``max``, ``min`` or ``div`` (integers truncate towards zero, as in C and ONNX)."""
    if kind in ("max", "min") and x.dtype.is_float:
        made = _extreme(b, f"elementwise_{kind}", x, y)
    elif kind != "div" or x.dtype.is_float:
        made = binary(b, f"elementwise_{kind}", x, y)
    elif foldable(x, y) and (y.const != 0).all():  # type: ignore[union-attr]
        q = np.trunc(np.asarray(x.const, np.longdouble) / np.asarray(y.const, np.longdouble))
        made = b.constant(q.astype(x.dtype.numpy), x.dtype)
    else:  # on integers it truncates in every release; elementwise_floordiv does in some
        made = binary(b, "elementwise_div", x, y)
    data = symbolic(kind, x, y) if x.dtype.is_int else None
    made.data = None if data is None else tuple(data)
    return made


def _extreme(b: Builder, op: str, x: Value, y: Value) -> Value:
    """The larger or smaller float, NaN when either is NaN: Paddle before 3 gives the second where the first is NaN."""
    if y.is_const and not x.is_const:
        x, y = y, x
    made = binary(b, op, x, y)
    if b.target.version >= 3_000_000 or made.is_const or (x.is_const and not np.isnan(np.asarray(x.const)).any()):
        return made
    return where(b, is_nan(b, x), x, made)


def is_nan(b: Builder, x: Value) -> Value:
    """Where *x* is not a number; gives bool."""
    if foldable(x):
        return b.constant(np.isnan(np.asarray(x.const)))
    return b.op("isnan_v2", X=x, result=(DType.BOOL, x.shape))


def _scaled(b: Builder, op: str, x: Value, y: Value) -> Optional[Value]:
    """``scale`` in place of an operator with a scalar constant: no parameter, and right under oneDNN fusion."""
    if op not in ("elementwise_add", "elementwise_sub", "elementwise_mul", "elementwise_div"):
        return None
    # c - y is -y + c: oneDNN's subtraction in 2.3 gives it transposed where y comes from a product that it laid out so
    turned = op == "elementwise_sub" and x.is_const
    tensor, number = (y, x) if turned else (x, y)
    if tensor.is_const or tensor.shape is None or tensor.dtype is not DType.FP32:  # the attributes are float32
        return None
    if not foldable(number) or not number.is_const or number.size != 1 or (number.rank or 0) > (tensor.rank or 0):
        return None
    c = float(single(number))
    if not np.isfinite(c):
        return None
    if turned:
        return scale(b, tensor, -1.0, c)
    if op == "elementwise_add":
        return scale(b, tensor, 1.0, c)
    if op == "elementwise_sub":
        return scale(b, tensor, 1.0, -c)
    if op == "elementwise_mul":
        return scale(b, tensor, c)
    # a division by a power of two is exactly a product
    return scale(b, tensor, 1.0 / c) if c and np.frexp(c)[0] in (0.5, -0.5) else None


def scale(b: Builder, x: Value, factor: float, bias: float = 0.0, *, after: bool = True) -> Value:
    """``factor * x + bias`` (``factor * (x + bias)`` with *after* False); integers want integral numbers."""
    if factor == 1.0 and bias == 0.0:
        return x
    return b.op("scale", X=x, scale=float(factor), bias=float(bias), bias_after_scale=after)


def maximum(b: Builder, x: Value, y: Value) -> Value:
    return arithmetic(b, "max", x, y)


def minimum(b: Builder, x: Value, y: Value) -> Value:
    return arithmetic(b, "min", x, y)


_COMPARE: dict[str, Callable[..., Any]] = {
    "equal": np.equal,
    "not_equal": np.not_equal,
    "less_than": np.less,
    "less_equal": np.less_equal,
    "greater_than": np.greater,
    "greater_equal": np.greater_equal,
}


def compare(b: Builder, op: str, x: Value, y: Value) -> Value:
    """``equal``, ``not_equal``, ``less_than``, ``less_equal``, ``greater_than``, ``greater_equal``; gives bool."""
    if foldable(x, y):
        return b.constant(_COMPARE[op](x.const, y.const))
    decided = _decided(op, x, y)
    if decided is not None:
        return b.constant(decided)
    if x.dtype.is_float and op in ("equal", "not_equal"):
        # up to Paddle 2.6 floats that differ by less than 1e-8 are "equal", and in 2.3 infinity is not equal to itself
        same = logical(b, "logical_and", compare(b, "less_equal", x, y), compare(b, "greater_equal", x, y))
        return same if op == "equal" else logical(b, "logical_not", same)
    x, y, shape = _broadcast(b, x, y, op)
    return b.op(op, X=x, Y=y, result=(DType.BOOL, shape), **axis_attribute(b, op))


def _decided(op: str, x: Value, y: Value) -> Optional[np.ndarray]:
    """Whether sizes are equal, where that can be told now: the same size is, a size and a negative number are not."""
    xs, ys = dims_of(x), dims_of(y)
    if op not in ("equal", "not_equal") or xs is None or ys is None or x.shape is None or len(x.shape) > 1:
        return None
    if (y.rank or 0) > 1:
        return None
    if len(ys) == 1 and len(xs) > 1:
        ys = ys * len(xs)
    if len(xs) != len(ys) or x.shape != y.shape and y.size != 1:
        return None
    answers = []
    for a, b in zip(xs, ys):
        if a == b:
            answers.append(True)
        elif (isinstance(a, int) and isinstance(b, int)) or (_below_zero(a, b) and _plain(a) and _plain(b)):
            answers.append(False)
        else:
            return None
    return np.array(answers if op == "equal" else [not a for a in answers]).reshape(x.shape or y.shape or ())


def _below_zero(*dims: D.Dim) -> bool:
    return any(isinstance(d, int) and d < 0 for d in dims)


def _plain(dim: D.Dim) -> bool:
    """A number, or a sum of products of sizes that cannot be negative."""
    return isinstance(dim, int) or D.sign(dim) > 0


_LOGICAL: dict[str, Callable[..., Any]] = {
    "logical_and": np.logical_and,
    "logical_or": np.logical_or,
    "logical_xor": np.logical_xor,
    "logical_not": np.logical_not,
}


def logical(b: Builder, op: str, x: Value, y: Optional[Value] = None) -> Value:
    """``logical_and``, ``logical_or``, ``logical_xor``, ``logical_not`` on bool."""
    if foldable(x, y):
        return b.constant(_LOGICAL[op](*(v.const for v in (x, y) if v is not None)))
    if y is None:
        return b.op(op, X=x, result=(DType.BOOL, x.shape))
    x, y, shape = _broadcast(b, x, y, op)
    return b.op(op, X=x, Y=y, result=(DType.BOOL, shape))


_BITWISE: dict[str, Callable[..., Any]] = {
    "bitwise_and": np.bitwise_and,
    "bitwise_or": np.bitwise_or,
    "bitwise_xor": np.bitwise_xor,
    "bitwise_not": np.bitwise_not,
}


def bitwise(b: Builder, op: str, x: Value, y: Optional[Value] = None) -> Value:
    """``bitwise_and``, ``bitwise_or``, ``bitwise_xor``, ``bitwise_not`` on integers or bool."""
    if foldable(x, y):
        return b.constant(_BITWISE[op](*(v.const for v in (x, y) if v is not None)), x.dtype)
    return unary(b, op, x) if y is None else binary(b, op, x, y)


def number(b: Builder, value: Any, dtype: DType) -> Value:
    """A scalar constant."""
    return b.constant(np.array(value, dtype.numpy), dtype)


def where(b: Builder, condition: Value, x: Value, y: Value) -> Value:
    """Elements of *x* where *condition* (bool) holds, of *y* elsewhere; all three broadcast.

    Paddle's ``where`` wants three operands of one shape, so they are expanded to it.
    """
    if foldable(condition, x, y):
        picked = np.where(np.asarray(condition.const), np.asarray(x.const), np.asarray(y.const))
        return b.constant(picked.astype(x.dtype.numpy), x.dtype)
    shape = _joint("where", condition, x, y)
    if shape is None:
        raise UnsupportedError("where: the rank of an operand is unknown")
    if foldable(condition):  # decided now, for instance by sizes
        picks = np.asarray(condition.const)
        for all_of, chosen in ((picks.all(), x), (not picks.any(), y)):
            if all_of:
                return expand_to(b, chosen, shape)
        xs, ys = dims_of(x), dims_of(y)
        if len(shape) == 1 and xs is not None and ys is not None and shape == (len(xs),) == (len(ys),) == picks.shape:
            return shape_tensor(b, [p if c else q for c, p, q in zip(picks, xs, ys)], x.dtype)
    if x.dtype is DType.BOOL:  # for which older releases have no kernel
        return b.cast(where(b, condition, b.cast(x, DType.INT32), b.cast(y, DType.INT32)), DType.BOOL)
    condition, x, y = (expand_to(b, v, shape, (condition, x, y)) for v in (condition, x, y))
    return b.op("where", Condition=condition, X=x, Y=y, result=(x.dtype, shape))


def copysign(b: Builder, x: Value, y: Value) -> Value:
    """``|x|`` with the sign of *y*, that of a zero included."""
    below = signbit(b, y)
    size = unary(b, "abs", x)
    return where(b, below, scale(b, size, -1.0), size)


def signbit(b: Builder, x: Value) -> Value:
    """Whether *x* is below zero, or the zero below it; bool. The sign of a zero shows in its reciprocal."""
    zero = number(b, 0, x.dtype)
    below = compare(b, "less_than", x, zero)
    if not x.dtype.is_float:
        return below
    return logical(b, "logical_or", below, compare(b, "less_than", unary(b, "reciprocal", x), zero))


def heaviside(b: Builder, x: Value, y: Value) -> Value:
    """0 where *x* is negative, 1 where it is positive, *y* where it is 0."""
    zero = number(b, 0, x.dtype)
    positive = b.cast(compare(b, "greater_than", x, zero), x.dtype)
    return where(b, compare(b, "equal", x, zero), y, positive)
