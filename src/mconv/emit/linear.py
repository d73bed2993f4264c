"""Matrix products and the linear layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

from mconv.emit import weights
from mconv.emit.elementwise import binary, scale
from mconv.emit.known import foldable, need_rank
from mconv.emit.layout import plainly_laid
from mconv.emit.shape import expand_to, squeeze, transpose, unsqueeze
from mconv.errors import UnsupportedError
from mconv.program import dims as D
from mconv.program.builder import Builder
from mconv.program.dtypes import DType
from mconv.program.program import Op
from mconv.program.value import Value


def _product_shape(x: tuple[D.Dim, ...], y: tuple[D.Dim, ...], trans_x: bool, trans_y: bool) -> tuple[D.Dim, ...]:
    rows, inner = (x[-1], x[-2]) if trans_x else (x[-2], x[-1])
    inner2, cols = (y[-1], y[-2]) if trans_y else (y[-2], y[-1])
    if isinstance(inner, int) and isinstance(inner2, int) and inner != inner2:
        raise UnsupportedError(f"MatMul: inner dimensions {inner} and {inner2} differ")
    batch = D.broadcast(x[:-2], y[:-2])
    assert batch is not None
    return (*batch, rows, cols)


def matmul(b: Builder, x: Value, y: Value, *, trans_x: bool = False, trans_y: bool = False) -> Value:
    """``matmul_v2`` with numpy's rules for vectors and batches; *trans_* swap the last two dimensions.

    The products of integers are summed up in double precision, exact up to 2^53: Paddle has kernels for integers, but
    its own passes replace the operator by one that has none.

    A sum of one product is a multiplication: oneDNN in 3 (3.6.2 in Paddle 3.3.1) reads beyond a right operand of one
    row whose elements lie as those of a column, be it transposed by the operator or by a ``transpose2`` behind a
    ``reshape2`` that its passes fuse into the product, and keeps what it prepared for other products of that size.
    """
    if x.dtype.is_int:
        wide = matmul(b, b.cast(x, DType.FP64), b.cast(y, DType.FP64), trans_x=trans_x, trans_y=trans_y)
        b.notes.append("products of integer matrices are computed in double precision: exact up to 2^53")
        return b.cast(b.cast(wide, DType.INT64), x.dtype)
    xs, ys = need_rank(x, "MatMul"), need_rank(y, "MatMul")
    if not xs or not ys:
        raise UnsupportedError("MatMul: an operand has no dimension")
    # vectors become matrices, so that every release and oneDNN see ranks of two and more
    drop: list[int] = []
    if len(xs) == 1:
        x, trans_x, drop = unsqueeze(b, x, [0]), False, [*drop, -2]
    if len(ys) == 1:
        y, trans_y, drop = unsqueeze(b, y, [1]), False, [*drop, -1]
    shape = _product_shape(need_rank(x, "MatMul"), need_rank(y, "MatMul"), trans_x, trans_y)
    inner = (need_rank(x, "MatMul")[-2 if trans_x else -1], need_rank(y, "MatMul")[-1 if trans_y else -2])
    if inner == (1, 1) and (trans_y or not y.is_const):
        x, y = turned(b, x) if trans_x else x, turned(b, y) if trans_y else y
        outer = binary(b, "elementwise_mul", x, y)
        return squeeze(b, outer, [a + len(shape) for a in drop]) if drop else outer
    if not any(isinstance(d, int) and d > 1 for d in inner):  # may be 1
        y, trans_y = _apart(b, turned(b, y) if trans_y else y), False
    y = plainly_laid(b, y)
    if len(need_rank(y, "MatMul")) > 2:
        x = plainly_laid(b, x)
    y = _uncrossed(b, x, y)
    if "matmul_v2" in b.operators:
        made = b.op("matmul_v2", X=x, Y=y, trans_x=trans_x, trans_y=trans_y, result=(x.dtype, shape))
    else:
        x, y = _batched(b, x, y, shape[:-2])
        made = b.op("matmul", X=x, Y=y, transpose_X=trans_x, transpose_Y=trans_y, result=(x.dtype, shape))
    if made.dtype is DType.FP64 and y.is_const:
        # the passes that join what follows into the product take the weight, and the bias in 2.3, for float32
        made = b.op("assign", X=made)
    return squeeze(b, made, [a + len(shape) for a in drop]) if drop else made


def _uncrossed(b: Builder, x: Value, y: Value) -> Value:
    """*y*, copied where there is a product of *y* and *x* already: with that of *x* and *y* beside it, a pass of every
    Paddle on the CPU writes where it must not, and the process dies while the model is loaded."""
    if x.name is None or y.name is None or x.name == y.name:
        return y
    first = b.once(("operands", *sorted((x.name, y.name))), lambda: x)
    return y if first.name == x.name else b.op("assign", X=y)


def _batched(b: Builder, x: Value, y: Value, batch: Sequence[D.Dim]) -> tuple[Value, Value]:
    """As ``matmul`` of 1.8 wants them: the batches are the same, or one has none."""
    held = [need_rank(v, "MatMul")[:-2] for v in (x, y)]
    if held[0] == held[1] or not all(held):
        return x, y
    full = [
        v if h == tuple(batch) else expand_to(b, v, (*batch, *need_rank(v, "MatMul")[-2:]))
        for v, h in zip((x, y), held)
    ]
    return full[0], full[1]


def turned(b: Builder, x: Value) -> Value:
    """The last two dimensions swapped."""
    rank = len(need_rank(x, "MatMul"))
    return transpose(b, x, [*range(rank - 2), rank - 1, rank - 2])


def _maker(b: Builder, name: Optional[str], kind: str) -> Optional[Op]:
    """The operator that gives the variable *name*, if it is of type *kind*."""
    op = next((op for op in reversed(b.block.ops) if name in op.output("Out")), None)
    return op if op is not None and op.type == kind else None


def _apart(b: Builder, y: Value) -> Value:
    """*y*, copied where oneDNN's passes would fuse a transposition that makes its rows of columns, and its reshape."""
    turn = _maker(b, y.name, "transpose2")
    axes: list[int] = turn.attr("axis") if turn is not None else []
    if turn is None or axes[-2] != len(axes) - 1 or _maker(b, turn.input("X")[0], "reshape2") is None:
        return y
    return b.op("assign", X=y)


def linear(
    b: Builder,
    x: Value,
    y: Value,
    bias: Optional[Value] = None,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    trans_x: bool = False,
    trans_y: bool = False,
) -> Value:
    """``alpha * x·y + beta * bias`` as matmul_v2 and elementwise_add, which Paddle fuses into one layer."""
    if trans_x:
        x, trans_x = transpose(b, x, [1, 0]), False
    if trans_y and y.is_const and y.name is None:
        y, trans_y = transposed(b, y), False  # Paddle fuses a layer only when its weight is not transposed
    made = matmul(b, x, y, trans_y=trans_y)
    if alpha != 1.0:
        made = _times(b, made, alpha)
    if bias is not None and beta != 0.0:
        made = binary(b, "elementwise_add", made, bias if beta == 1.0 else _times(b, bias, beta))
    return made


def transposed(b: Builder, weight: Value) -> Value:
    """A constant matrix transposed now or while it is written."""
    if weight.source is None or foldable(weight):
        return transpose(b, weight, [1, 0])
    return weights.transposed(b, weight)


def _times(b: Builder, x: Value, factor: float) -> Value:
    if x.dtype.is_float:
        return scale(b, x, factor)
    if factor == int(factor):
        return scale(b, x, float(int(factor)))
    raise UnsupportedError(f"a factor of {factor} on {x.dtype.label}")
