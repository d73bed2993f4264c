"""The greatest common divisor and the least common multiple."""

from __future__ import annotations

from mconv.emit.control import loop
from mconv.emit.elementwise import arithmetic, compare, number, unary, where
from mconv.emit.expr import Expr
from mconv.emit.integer import modulo, trunc_divide
from mconv.emit.known import need_rank
from mconv.emit.shape import expand_to, reshape
from mconv.program import dims as D
from mconv.program.builder import Builder
from mconv.program.dtypes import DType
from mconv.program.value import Value


def gcd(b: Builder, x: Value, y: Value) -> Value:
    """Of integers, never negative; of 0 and a number its size. Euclid's steps, until no element has a rest."""
    shape = D.broadcast(need_rank(x, "gcd"), need_rank(y, "gcd"))
    assert shape is not None
    if 0 in shape:
        return arithmetic(b, "add", x, y)  # nothing, of that shape
    whole = shape or (1,)
    sizes = [expand_to(b, unary(b, "abs", b.cast(v, DType.INT64)), whole) for v in (x, y)]
    zero, one = (number(b, n, DType.INT64) for n in (0, 1))

    def goes_on(rest: Value) -> Value:
        left = Expr(b, b.cast(compare(b, "not_equal", rest, zero), DType.INT64))
        return compare(b, "greater_than", left.reduce("sum", range(len(whole))).value, zero)

    def step(_turn: Value, pair: list[Value]) -> tuple[Value, list[Value], list[Value]]:
        large, small = pair
        done = compare(b, "equal", small, zero)
        rest = where(b, done, zero, modulo(b, large, where(b, done, one, small)))
        return goes_on(rest), [where(b, done, large, small), rest], []

    (made, _rest), _ = loop(b, step, sizes, condition=goes_on(sizes[1]))
    return reshape(b, b.cast(made, x.dtype), shape)


def lcm(b: Builder, x: Value, y: Value) -> Value:
    """Of integers, never negative; 0 where one of them is. A multiple beyond the type wraps around."""
    divisor = gcd(b, x, y)
    nothing = compare(b, "equal", divisor, number(b, 0, x.dtype))
    parts = trunc_divide(b, x, where(b, nothing, number(b, 1, x.dtype), divisor))
    return unary(b, "abs", arithmetic(b, "mul", parts, y))
